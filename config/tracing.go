package config

import (
	"encoding/json"
	"maps"
	"slices"
)

// Tracing sends a trace of each exchange, with a span for each attempt at a provider, to an OpenTelemetry collector. It is off without an
// endpoint.
type Tracing struct {
	// Endpoint is where the collector takes OTLP: http://127.0.0.1:4317, say, or https.
	Endpoint URL `yaml:"endpoint" json:"endpoint,omitzero"`
	// Protocol is how: grpc, or http (protobuf, at /v1/traces unless endpoint has a path).
	Protocol string `yaml:"protocol" json:"protocol,omitempty" jsonschema:"enum=grpc,enum=http"`
	// Headers go with what is sent, by name, such as the one with the collector's key; they refer to their values.
	Headers map[string]*Secret `yaml:"headers" json:"headers,omitempty"`
	// CAFile holds the certificates (PEM) that vouch for the collector; by default the system's.
	CAFile string `yaml:"ca_file" json:"ca_file,omitempty"`
	// Service is the gateway's name in traces.
	Service string `yaml:"service" json:"service,omitempty"`
	// Percent is how many exchanges of a hundred are traced of which the client does not say itself, in traceparent, whether they are.
	Percent int `yaml:"percent" json:"percent,omitempty" jsonschema:"minimum=1,maximum=100"`
	// Propagate passes traceparent, tracestate and baggage on to providers. Otherwise they end here.
	Propagate bool `yaml:"propagate" json:"propagate,omitempty"`
	// Prompts puts what the model is told into spans, redacted, up to 4 KiB.
	Prompts bool `yaml:"prompts" json:"prompts,omitempty"`
	// Completions puts what it answers there, likewise.
	Completions bool `yaml:"completions" json:"completions,omitempty"`
	// OmitAddress leaves the client's address out.
	OmitAddress bool `yaml:"omit_address" json:"omit_address,omitempty"`
}

// On says that exchanges are traced.
func (t *Tracing) On() bool { return t.Endpoint.Host != "" }

// tracerModule is the module that tells of exchanges. It stands ahead of the policies, so that it is told of what they refuse, and behind
// Leash's other inspectors where these come first, which have found out what an exchange has cost.
const tracerModule = "tracer"

// tracer is the step of the pipeline that traces.
func (c *Config) tracer() step {
	encoded, _ := json.Marshal(struct { // numbers and flags only
		Percent     int  `json:"percent"`
		Prompts     bool `json:"prompts,omitempty"`
		Completions bool `json:"completions,omitempty"`
		OmitAddress bool `json:"omit_address,omitempty"`
	}{c.Tracing.Percent, c.Tracing.Prompts, c.Tracing.Completions, c.Tracing.OmitAddress})
	return step{Name: tracerModule, Config: encoded, path: "tracing"}
}

// protocols are how a collector is spoken to.
var protocols = []string{"grpc", "http"}

func (c *Config) checkTracing(fail failer) {
	t := &c.Tracing
	if !slices.Contains(protocols, t.Protocol) {
		fail("tracing.protocol", Suggestion(t.Protocol, protocols), "%q is no protocol of a collector", t.Protocol)
	}
	if t.Percent < 1 || t.Percent > 100 {
		fail("tracing.percent", "to trace nothing, leave endpoint out", "must be 1 to 100")
	}
	if t.CAFile != "" && t.Endpoint.Scheme != "https" {
		fail("tracing.ca_file", "", "is for https, but endpoint is not")
	}
	if t.Protocol == "grpc" && t.Endpoint.Path != "" {
		fail("tracing.endpoint", "such as http://127.0.0.1:4317, or protocol: http", "has a path, which gRPC has no place for")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		path := "tracing.headers." + name
		if !headerName(name) {
			fail(path, "such as authorization", "%q is not the name of a header", name)
			continue
		}
		checkKey(path, t.Headers[name], fail)
	}
	if (t.Prompts || t.Completions) && !t.On() {
		fail("tracing", "name an endpoint", "prompts and completions are asked for, but nothing is traced")
	}
}
