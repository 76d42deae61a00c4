// Package config is leash.yaml: its types, defaults, strict reading, checks and JSON Schema. It is the only schema of
// Leash's configuration; everything else is made from it.
package config

import (
	"net/url"
	"time"
)

// Config is a whole leash.yaml.
type Config struct {
	// Listen is the gateway's address.
	Listen string `yaml:"listen" json:"listen,omitempty"`
	// TrustedProxies are the networks of the load balancers and CDNs in front, as 10.20.0.0/16 or 2001:db8::7/128: of requests that come from
	// there, the client's address is the last one in X-Forwarded-For that is not theirs. Whoever else connects is the client, whatever it says.
	TrustedProxies []Network `yaml:"trusted_proxies" json:"trusted_proxies,omitempty"`
	// Control is the control service: readiness and metrics.
	Control Control `yaml:"control" json:"control,omitzero"`
	// Envoy is how Envoy is run.
	Envoy Envoy `yaml:"envoy" json:"envoy,omitzero"`
	// Limits bound what is taken in.
	Limits Limits `yaml:"limits" json:"limits,omitzero"`
	// Modules says where the .wasm files are and how they are loaded.
	Modules Modules `yaml:"modules" json:"modules,omitzero"`
	// AllowAnonymous permits a pipeline without the module auth: whoever reaches the gateway may use it.
	AllowAnonymous bool `yaml:"allow_anonymous" json:"allow_anonymous,omitempty"`
	// Providers are where requests go, by name.
	Providers map[string]*Provider `yaml:"providers" json:"providers"`
	// Tenants own the virtual keys, by name.
	Tenants map[string]*Tenant `yaml:"tenants" json:"tenants,omitempty"`
	// Routes send models and paths to providers; the first that matches is taken.
	Routes []Route `yaml:"routes" json:"routes"`
	// Tracing sends traces to an OpenTelemetry collector.
	Tracing Tracing `yaml:"tracing" json:"tracing,omitzero"`
	// Pipeline is the modules that requests pass, from first to last, and answers from last to first. The module route
	// is added at its end where it is missing.
	Pipeline []Module `yaml:"pipeline" json:"pipeline,omitempty"`

	file      string
	positions map[string]position
	lines     []string
	made      map[string]string   // paths that the file has under others
	admitted  map[string]Admitted // by module
}

// Control is the control service.
type Control struct {
	// Listen is its address. It has no access control of its own: keep it on the loopback or behind one.
	Listen string `yaml:"listen" json:"listen,omitempty"`
}

// Envoy is how Envoy is run.
type Envoy struct {
	// Admin is the address of Envoy's admin interface, which must be on the loopback.
	Admin string `yaml:"admin" json:"admin,omitempty"`
	// Concurrency is the number of worker threads; 0 is one for each core.
	Concurrency int `yaml:"concurrency" json:"concurrency,omitempty" jsonschema:"minimum=0"`
	// LogLevel is Envoy's own: trace, debug, info, warning, error.
	LogLevel string `yaml:"log_level" json:"log_level,omitempty" jsonschema:"enum=trace,enum=debug,enum=info,enum=warning,enum=error"`
}

// Limits bound what is taken in.
type Limits struct {
	// RequestBytes is the largest body of a request, such as 10MiB; past it the client reads 413.
	RequestBytes Size `yaml:"request_bytes" json:"request_bytes,omitempty"`
	// ResponseBytes is the largest answer that is not streamed.
	ResponseBytes Size `yaml:"response_bytes" json:"response_bytes,omitempty"`
}

// Modules says where the .wasm files are and how they are loaded.
type Modules struct {
	// Dir holds all.wasm and NAME.wasm; by default the folder build/modules beside the command's own.
	Dir string `yaml:"dir" json:"dir,omitempty"`
	// Layout is how Leash's own modules become Envoy filters. together: neighbours share one. filters: each has one of its own, so that other
	// filters of Envoy's may be put between them. All come from one file, and run in one VM. files: each comes from a file of its own and has a VM of its own,
	// which costs most.
	Layout string `yaml:"layout" json:"layout,omitempty" jsonschema:"enum=together,enum=filters,enum=files"`
	// Trust is the file of the trust policy, which says who must have signed the modules that are not Leash's own. Without
	// it, signatures are not asked for.
	Trust string `yaml:"trust" json:"trust,omitempty"`
}

// Provider is where requests go.
type Provider struct {
	// Kind is what the provider is: openai, anthropic, google, openai-compatible, or another one of those below; openai where it
	// is not named. Requests of clients with another API than the provider's are translated.
	Kind string `yaml:"kind" json:"kind,omitempty"`
	// BaseURL is what an official client would be given as base URL, such as https://api.openai.com/v1; the kind's own by
	// default.
	BaseURL URL `yaml:"base_url" json:"base_url,omitzero"`
	// APIKey refers to the provider's key. Without it requests carry none (local models).
	APIKey *Secret `yaml:"api_key" json:"api_key,omitempty"`
	// Region is Amazon's region: bedrock.
	Region string `yaml:"region" json:"region,omitempty"`
	// Project is the id of the one in Google's cloud: vertex, vertex-anthropic.
	Project string `yaml:"project" json:"project,omitempty"`
	// Location is where the models are there: one of Google's regions, us, eu or global.
	Location string `yaml:"location" json:"location,omitempty"`
	// Resource is the name of the resource in Azure: azure-openai, azure-openai-deployments.
	Resource string `yaml:"resource" json:"resource,omitempty"`
	// APIVersion is the version of Azure's API: azure-openai-deployments.
	APIVersion string `yaml:"api_version" json:"api_version,omitempty"`
	// AWS is what requests to Amazon are signed with, in place of a key: bedrock.
	AWS *AWS `yaml:"aws" json:"aws,omitempty"`
	// ServiceAccount refers to the key of a service account, Google's JSON file, in place of a key: vertex, vertex-anthropic. Tokens are
	// got with it, and renewed ahead of their end.
	ServiceAccount *Secret `yaml:"service_account" json:"service_account,omitempty"`
	// APIKeys refer to several keys, in place of one: requests are shared out among them, and one that is asked too often is left
	// alone for a time.
	APIKeys []ProviderKey `yaml:"api_keys" json:"api_keys,omitempty"`
	// CAFile holds the certificates (PEM) that vouch for the provider; by default the system's.
	CAFile string `yaml:"ca_file" json:"ca_file,omitempty"`
	// MockWithoutKey lets the built-in mock answer while the key is not set.
	MockWithoutKey bool `yaml:"mock_without_key" json:"mock_without_key,omitempty"`
	// Timeouts bound waiting for the provider.
	Timeouts Timeouts `yaml:"timeouts" json:"timeouts,omitzero"`
	// Breaker keeps requests that could go elsewhere away from a provider that fails.
	Breaker Breaker `yaml:"breaker" json:"breaker,omitzero"`
	// HealthCheck asks the provider, beside all requests, whether it is there.
	HealthCheck HealthCheck `yaml:"health_check" json:"health_check,omitzero"`
	// Limits bound what the provider is asked at once.
	Limits ProviderLimits `yaml:"limits" json:"limits,omitzero"`
}

// AWS is what requests to Amazon are signed with: an access key, or the file that one is in.
type AWS struct {
	// AccessKeyID refers to the id of the access key.
	AccessKeyID *Secret `yaml:"access_key_id" json:"access_key_id,omitempty"`
	// SecretAccessKey refers to the secret of the access key.
	SecretAccessKey *Secret `yaml:"secret_access_key" json:"secret_access_key,omitempty"`
	// SessionToken refers to the token of an access key that expires.
	SessionToken *Secret `yaml:"session_token" json:"session_token,omitempty"`
	// CredentialsFile is, in their place, a file such as ~/.aws/credentials.
	CredentialsFile string `yaml:"credentials_file" json:"credentials_file,omitempty"`
	// Profile is the section of that file; default by default.
	Profile string `yaml:"profile" json:"profile,omitempty"`
}

// ProviderKey is one of several keys of a provider.
type ProviderKey struct {
	// Key refers to it.
	Key Secret `yaml:"key" json:"key"`
	// Weight shares requests out among the keys; 1 by default.
	Weight int `yaml:"weight" json:"weight,omitempty" jsonschema:"minimum=1"`
}

// Breaker keeps requests that could go elsewhere away from a provider that fails: while it is open the provider comes last. Then one
// request tries whether it works again.
type Breaker struct {
	// Consecutive failures open it.
	Consecutive int `yaml:"consecutive" json:"consecutive,omitempty" jsonschema:"minimum=1"`
	// Percent of the attempts within window, if they are at least volume, that failed open it.
	Percent int `yaml:"percent" json:"percent,omitempty" jsonschema:"minimum=1,maximum=100"`
	// Volume is how many attempts percent is taken of at the least.
	Volume int `yaml:"volume" json:"volume,omitempty" jsonschema:"minimum=1"`
	// Window is how long attempts are counted.
	Window Duration `yaml:"window" json:"window,omitempty"`
	// Open is how long it stays open; each time that it opens again, twice as long.
	Open Duration `yaml:"open" json:"open,omitempty"`
	// MaxOpen is how long it stays open at the most.
	MaxOpen Duration `yaml:"max_open" json:"max_open,omitempty"`
}

// HealthCheck asks a provider whether it is there. While it is not, it is sent nothing.
type HealthCheck struct {
	// Path is what is asked for, relative to the base URL: something that costs nothing and needs no key. An answer with a status
	// below 500 will do.
	Path string `yaml:"path" json:"path,omitempty" jsonschema:"pattern=^/"`
	// Interval is the time between two checks.
	Interval Duration `yaml:"interval" json:"interval,omitempty"`
	// Timeout is for one.
	Timeout Duration `yaml:"timeout" json:"timeout,omitempty"`
}

// ProviderLimits bound what a provider is asked at once. What is beyond them goes to the next target, or is refused.
type ProviderLimits struct {
	// Connections are how many there may be, and one for each of Envoy's workers at the least; 0: as many as are needed.
	Connections int `yaml:"connections" json:"connections,omitempty" jsonschema:"minimum=0"`
	// Requests are how many may be under way; 0: any number.
	Requests int `yaml:"requests" json:"requests,omitempty" jsonschema:"minimum=0"`
	// RetryBudget bounds how many of the requests under way are there once more, because no connection came about the first time.
	RetryBudget Budget `yaml:"retry_budget" json:"retry_budget,omitzero"`
}

// Budget bounds what is tried again, so that an outage does not multiply what is asked for. Without percent nothing is bounded.
type Budget struct {
	// Percent is how many tries there may be to a hundred requests.
	Percent int `yaml:"percent" json:"percent,omitempty" jsonschema:"minimum=1,maximum=100"`
	// Least is how many there may be in any case; by default 3 of retry_budget, and 10 of failover.
	Least int `yaml:"least" json:"least,omitempty" jsonschema:"minimum=1"`
}

// Timeouts bound waiting for a provider.
type Timeouts struct {
	// Connect is for the connection, TLS included.
	Connect Duration `yaml:"connect" json:"connect,omitempty"`
	// Idle is for the next piece of an answer, the first included.
	Idle Duration `yaml:"idle" json:"idle,omitempty"`
	// Total is for the whole answer.
	Total Duration `yaml:"total" json:"total,omitempty"`
}

// Tenant owns virtual keys.
type Tenant struct {
	// Keys are the tenant's virtual keys.
	Keys []Key `yaml:"keys" json:"keys,omitempty"`
	// Modules overrides the configuration of modules in the pipeline for this tenant, by module: maps are merged, all
	// else is replaced.
	Modules map[string]Raw `yaml:"modules" json:"modules,omitempty"`
}

// Key is a virtual key: what an application sends as its API key.
type Key struct {
	// Name tells the key apart in logs and limits.
	Name string `yaml:"name" json:"name"`
	// SHA256 is the key's SHA-256 in hexadecimal digits: printf %s "$KEY" | sha256sum
	SHA256 string `yaml:"sha256" json:"sha256" jsonschema:"pattern=^[0-9a-fA-F]{64}$"`
	// User is who stands behind the key, if that is one person.
	User string `yaml:"user" json:"user,omitempty"`
}

// Route sends a model, or a path that is no LLM traffic, to providers.
type Route struct {
	// Model is what the client asks for: a name, or a pattern in which * stands for any characters.
	Model string `yaml:"model" json:"model,omitempty"`
	// Path is let through as it is, without a look at its content: key and request limits still apply.
	Path string `yaml:"path" json:"path,omitempty" jsonschema:"pattern=^/"`
	// Provider is the name of a provider, where there is one only.
	Provider string `yaml:"provider" json:"provider,omitempty"`
	// UpstreamModel is the model's name at that provider, where it is another.
	UpstreamModel string `yaml:"upstream_model" json:"upstream_model,omitempty"`
	// Targets are, in place of a provider, several: when one fails, the next is asked.
	Targets []Target `yaml:"targets" json:"targets,omitempty"`
	// Prefer orders the targets: by cost, the cheapest first after Leash's table of prices, or by latency, the one first that has begun
	// its answers the soonest of late. By default their order is that of the list.
	Prefer string `yaml:"prefer" json:"prefer,omitempty" jsonschema:"enum=cost,enum=latency"`
	// Affinity is the name of a header: requests with the same value come to the same target, as long as that works.
	Affinity string `yaml:"affinity" json:"affinity,omitempty"`
	// Tenants are those for whom the route is; by default all.
	Tenants []string `yaml:"tenants" json:"tenants,omitempty"`
	// Headers are what a request must have, by name: a value, or a pattern in which * stands for any characters.
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	// Timeouts bound the route's exchanges, where the provider's own do not fit.
	Timeouts RouteTimeouts `yaml:"timeouts" json:"timeouts,omitzero"`
	// Failover says when the next target is asked.
	Failover Failover `yaml:"failover" json:"failover,omitzero"`
	// StreamErrors ends a stream that breaks off with an error in the client's form also where its only provider is sent requests as they
	// come, and where else the connection ends. It costs a step more in the gateway for each event. All other routes have it.
	StreamErrors bool `yaml:"stream_errors" json:"stream_errors,omitempty"`
}

// Target is one of the providers that a route leads to.
type Target struct {
	// Provider is the name of a provider.
	Provider string `yaml:"provider" json:"provider"`
	// Model is the model's name there, where it is another than the client's.
	Model string `yaml:"model" json:"model,omitempty"`
	// Weight shares requests out: neighbours that have one come in a random order, in which the first is each as often as its
	// weight is a part of their sum.
	Weight int `yaml:"weight" json:"weight,omitempty" jsonschema:"minimum=1"`
	// Without is what the model cannot do: tools, media (images, sounds and files). Requests with such are not sent there.
	Without []string `yaml:"without" json:"without,omitempty"`
	// Context is how many tokens the model takes, question and answer together; 0: any number. It is held against an estimate.
	Context int `yaml:"context" json:"context,omitempty" jsonschema:"minimum=0"`

	group int // of neighbours with weights
}

// RouteTimeouts bound a route's exchanges.
type RouteTimeouts struct {
	// Connect is for the connection, TLS included, in place of the provider's own; one that does not come about is tried once more.
	Connect Duration `yaml:"connect" json:"connect,omitempty"`
	// FirstByte is for the beginning of an answer; after it the next target is asked.
	FirstByte Duration `yaml:"first_byte" json:"first_byte,omitempty"`
	// Idle is for the next piece of an answer.
	Idle Duration `yaml:"idle" json:"idle,omitempty"`
	// Total is for the whole answer, all attempts included; where it ends one of several, the next has a second.
	Total Duration `yaml:"total" json:"total,omitempty"`
}

// IdleSlack is how much later Idle passes than FirstByte, where both are the same: which of them did would be a matter of luck, or both would be
// counted.
const IdleSlack = 50 * time.Millisecond

// Failover says when the next target of a route is asked. That an answer breaks off, does not come in time or cannot be read always
// counts, as long as nothing of it has gone to the client.
type Failover struct {
	// On are the statuses of answers after which the next target is asked; by default 401 to 404, 408, 429 and all from 500 on.
	On []int `yaml:"on" json:"on,omitempty"`
	// Attempts is how many targets are asked at the most; by default all.
	Attempts int `yaml:"attempts" json:"attempts,omitempty" jsonschema:"minimum=0"`
	// MidStream lets a stream that breaks off, or ends with an error, after its first words go on at the next target, which is told what has been
	// said. Else, and where that is not possible, it ends with an error.
	MidStream bool `yaml:"mid_stream" json:"mid_stream,omitempty"`
	// Hedge is after how long without the beginning of an answer the next target is asked too. The first answer goes to the client, and the other
	// attempts are given up. Without it one is asked after the other.
	Hedge Duration `yaml:"hedge" json:"hedge,omitempty"`
	// Budget bounds the attempts after the first ones by the requests of the last seconds. Beyond it a request is sent to one target only.
	Budget Budget `yaml:"budget" json:"budget,omitzero"`
}

// Module is one step of the pipeline.
type Module struct {
	// Module is its name: one of Leash's own, or what the file registers.
	Module string `yaml:"module" json:"module"`
	// File is the .wasm of a module that is not one of Leash's own, relative to leash.yaml.
	File string `yaml:"file" json:"file,omitempty"`
	// Ref is, in place of a file, where the module is in an OCI registry: REGISTRY/REPOSITORY:TAG@sha256:DIGEST.
	Ref string `yaml:"ref" json:"ref,omitempty"`
	// Kind says, of a module with a file or ref, whether its failure refuses the request (policy) or not (inspector). A
	// module that carries its manifest knows it itself.
	Kind string `yaml:"kind" json:"kind,omitempty" jsonschema:"enum=policy,enum=inspector"`
	// Config is the module's own configuration; the module's README describes it.
	Config Raw `yaml:"config" json:"config,omitempty"`
}

// defaults are what holds where leash.yaml says nothing.
func defaults() *Config {
	return &Config{
		Listen:  "127.0.0.1:8080",
		Control: Control{Listen: "127.0.0.1:8081"},
		Envoy:   Envoy{Admin: "127.0.0.1:9901", LogLevel: "warning"},
		Modules: Modules{Layout: Together},
		Limits:  Limits{RequestBytes: 10 << 20, ResponseBytes: 32 << 20},
		Tracing: Tracing{Protocol: "grpc", Service: "leash", Percent: 100},
	}
}

// setDefaults gives what is not said, of the provider at a path. A zero that stands in the file stays, for it to be refused.
func (c *Config) setDefaults(p *Provider, path string) {
	if k := p.Description(); k != nil && p.BaseURL.Host == "" {
		if base := p.kindBaseURL(k); base != "" {
			_ = p.BaseURL.UnmarshalText([]byte(base)) // a test reads them all; where a part is none, that is told
		}
	}
	if p.Kind == "" {
		p.Kind = DefaultKind
	}
	for _, d := range []struct {
		at  *Duration
		def time.Duration
	}{
		{&p.Timeouts.Connect, 5 * time.Second}, {&p.Timeouts.Idle, 5 * time.Minute}, {&p.Timeouts.Total, 15 * time.Minute},
		{&p.Breaker.Window, 10 * time.Second}, {&p.Breaker.Open, time.Second}, {&p.Breaker.MaxOpen, time.Minute},
		{&p.HealthCheck.Interval, 5 * time.Second}, {&p.HealthCheck.Timeout, 2 * time.Second},
	} {
		if *d.at == 0 {
			*d.at = Duration(d.def)
		}
	}
	c.setLeast(&p.Limits.RetryBudget, path+".limits.retry_budget", leastRetries)
	for _, d := range []struct {
		at    *int
		field string
		def   int
	}{{&p.Breaker.Consecutive, "consecutive", 5}, {&p.Breaker.Percent, "percent", 50}, {&p.Breaker.Volume, "volume", 20}} {
		if *d.at == 0 && !c.Given(path+".breaker."+d.field) {
			*d.at = d.def
		}
	}
}

// URL is a base URL, without a slash at its end.
type URL struct{ url.URL }

// Path is the name of the file that the configuration was read from.
func (c *Config) Path() string { return c.file }
