// Package scenario is what a module promises, as YAML beside it: exchanges, and what is expected of each.
//
// [Load] reads a file, [Runner.Run] runs it on a [Target]: the harness of package harness, or a real Envoy. The format is strict: what is misspelled is
// refused with its place and a suggestion. docs/reference/scenarios.md describes it, [Schema] is its JSON Schema.
package scenario

import "github.com/leash-gateway/leash/config"

// A File is one scenario file: scenarios that have their surroundings in common.
type File struct {
	// Description says what the file is about.
	Description  string `yaml:"description,omitempty" json:"description,omitempty"`
	Surroundings `yaml:",inline"`
	// Scenarios are run one by one, each in a host of its own.
	Scenarios []Scenario `yaml:"scenarios" json:"scenarios"`

	path      string
	positions map[string]position
	lines     []string
}

// Surroundings are what is around the exchanges. What a scenario says goes before what its file says.
type Surroundings struct {
	// Module is the name of the module to run; by default the one whose folder the file is in.
	Module string `yaml:"module,omitempty" json:"module,omitempty"`
	// Config is the module's configuration: a map, or text as it is.
	Config Value `yaml:"config,omitempty" json:"config,omitzero"`
	// Modules are several modules, from first to last, in place of module and config.
	Modules []Module `yaml:"modules,omitempty" json:"modules,omitempty"`
	// Leash is a whole leash.yaml, whose pipeline is run, with its tenants and routes.
	Leash Block `yaml:"leash,omitempty" json:"leash,omitzero"`
	// LeashFile is the path of a leash.yaml, relative to this file.
	LeashFile string `yaml:"leash_file,omitempty" json:"leash_file,omitempty"`
	// Clock is the time at which everything begins: 2026-11-01T12:00:00Z by default.
	Clock Time `yaml:"clock,omitempty" json:"clock,omitzero"`
	// Properties are attributes of every exchange, by path: source.address, say.
	Properties map[string]Value `yaml:"properties,omitempty" json:"properties,omitempty"`
	// Callouts answer the calls that modules make, by the name of the upstream: one answer after the other, the last again and again. To a gRPC call the pieces of the body are messages, and the trailer grpc-status is its status.
	Callouts map[string][]Answer `yaml:"callouts,omitempty" json:"callouts,omitempty"`
	// Shared is shared data that is there at the beginning.
	Shared map[string]string `yaml:"shared,omitempty" json:"shared,omitempty"`
	// Only says where it can be run: host, or envoy.
	Only string `yaml:"only,omitempty" json:"only,omitempty" jsonschema:"enum=host,enum=envoy"`
}

// Module is one module of several.
type Module struct {
	// Name is that of the module, by which its .wasm is found.
	Name string `yaml:"name" json:"name"`
	// File is the .wasm, relative to this file, where it is not found by the name.
	File string `yaml:"file,omitempty" json:"file,omitempty"`
	// Config is the module's configuration: a map, or text as it is.
	Config Value `yaml:"config,omitempty" json:"config,omitzero"`
	// Kind says whether an exchange goes on without the module when its VM fails (inspector) or not (policy, the default).
	Kind string `yaml:"kind,omitempty" json:"kind,omitempty" jsonschema:"enum=policy,enum=inspector"`
	// Allow are the host calls, WASI functions and callbacks that the module may use: all by default. A call that is refused answers an internal failure.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty"`
	// RootID tells a .wasm that holds several plugins which one is meant.
	RootID string `yaml:"root_id,omitempty" json:"root_id,omitempty"`
	// VMConfig is the configuration of the VM.
	VMConfig string `yaml:"vm_config,omitempty" json:"vm_config,omitempty"`
	// Env are the environment variables of the VM.
	Env map[string]string `yaml:"env,omitempty" json:"env,omitempty"`
}

// Scenario is a sequence of steps in one host.
type Scenario struct {
	// Name says what is promised.
	Name         string `yaml:"name" json:"name"`
	Surroundings `yaml:",inline"`
	// Refused is text in the error with which the modules refuse their configuration; then there are no steps.
	Refused string `yaml:"refused,omitempty" json:"refused,omitempty"`
	// Steps are taken one after the other.
	Steps []Step `yaml:"steps,omitempty" json:"steps,omitempty"`
}

// Step is an exchange, or time that passes, and what is expected then.
type Step struct {
	// Name tells the step apart.
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	// Advance moves the mocked clock before anything else in the step.
	Advance config.Duration `yaml:"advance,omitempty" json:"advance,omitempty"`
	// Repeat takes the exchange so many times; what is expected is expected of each.
	Repeat int `yaml:"repeat,omitempty" json:"repeat,omitempty" jsonschema:"minimum=1"`
	// Request is what the client sends. Without it, there is no exchange.
	Request *Request `yaml:"request,omitempty" json:"request,omitempty"`
	// Answer is what the provider answers: an empty 200 by default.
	Answer Answer `yaml:"answer,omitempty" json:"answer,omitzero"`
	// Expect is what must have come of it.
	Expect Expect `yaml:"expect,omitempty" json:"expect,omitzero"`
}

// Request is what a client sends.
type Request struct {
	// Method is by default GET without a body and POST with one.
	Method string `yaml:"method,omitempty" json:"method,omitempty"`
	// Path is by default /, with a body /v1/chat/completions.
	Path string `yaml:"path,omitempty" json:"path,omitempty"`
	// Authority is the host that is called: leash.test by default.
	Authority string `yaml:"authority,omitempty" json:"authority,omitempty"`
	Content   `yaml:",inline"`
	// Leaves says when the client breaks off: in_request, before_answer or in_answer.
	Leaves string `yaml:"leaves,omitempty" json:"leaves,omitempty" jsonschema:"enum=in_request,enum=before_answer,enum=in_answer"`
	// Properties go before those of the surroundings.
	Properties map[string]Value `yaml:"properties,omitempty" json:"properties,omitempty"`
}

// Content is headers, a body and trailers, as they are sent.
type Content struct {
	// Headers are sent in the order of their names.
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
	// HeaderList are headers in their order, each a name and a value; a name may stand there several times.
	HeaderList [][]string `yaml:"header_list,omitempty,flow" json:"header_list,omitempty"`
	// Body is the body as it is.
	Body string `yaml:"body,omitempty" json:"body,omitempty"`
	// JSON is a body written as YAML.
	JSON Value `yaml:"json,omitempty" json:"json,omitzero"`
	// Events is a stream of server-sent events: the data of each, as a map or as text. Each is a piece of its own unless chunk_size says otherwise.
	Events []Value `yaml:"events,omitempty" json:"events,omitempty"`
	// Chunks is the body in the pieces in which it is sent.
	Chunks []string `yaml:"chunks,omitempty" json:"chunks,omitempty"`
	// ChunkSize cuts the body into pieces of so many bytes.
	ChunkSize int `yaml:"chunk_size,omitempty" json:"chunk_size,omitempty" jsonschema:"minimum=1"`
	// Trailers are sent after the body.
	Trailers map[string]string `yaml:"trailers,omitempty" json:"trailers,omitempty"`
}

// Answer is what a provider, or the upstream of a callout, says.
type Answer struct {
	// Status is by default 200.
	Status  int `yaml:"status,omitempty" json:"status,omitempty"`
	Content `yaml:",inline"`
	// Delay is how long it takes until the answer begins, by the mocked clock.
	Delay config.Duration `yaml:"delay,omitempty" json:"delay,omitempty"`
	// Pace is the time between the pieces.
	Pace config.Duration `yaml:"pace,omitempty" json:"pace,omitempty"`
	// Failure says that no whole answer comes: unreachable, timeout, or cut (after what there is of it).
	Failure string `yaml:"failure,omitempty" json:"failure,omitempty" jsonschema:"enum=unreachable,enum=timeout,enum=cut"`
}

// Expect is what must have come of an exchange. What it does not name may be as it likes, but an exchange must be
// answered to its end, and no VM may fail, unless it says so.
type Expect struct {
	// Outcome is how the exchange ends for the client: answered by default, reset, cut, left or held; any stands for all but held.
	Outcome string `yaml:"outcome,omitempty" json:"outcome,omitempty" jsonschema:"enum=answered,enum=reset,enum=cut,enum=left,enum=held,enum=any"`
	// Crash says that a VM fails.
	Crash bool `yaml:"crash,omitempty" json:"crash,omitempty"`
	// Status is the answer's.
	Status  int `yaml:"status,omitempty" json:"status,omitempty"`
	Message `yaml:",inline"`
	// Events are the server-sent events of the answer, all of them, in their order.
	Events []Event `yaml:"events,omitempty" json:"events,omitempty"`
	// EventsJoined are, by path, the texts at this path of all events put together: choices[0].delta.content, say.
	EventsJoined map[string]string `yaml:"events_joined,omitempty" json:"events_joined,omitempty"`
	// Provider is what the provider received.
	Provider *Received `yaml:"provider,omitempty" json:"provider,omitempty"`
	// ProviderNotReached says that nothing got there.
	ProviderNotReached bool `yaml:"provider_not_reached,omitempty" json:"provider_not_reached,omitempty"`
	// Callouts are the calls that the modules made in this exchange, all of them, in their order.
	Callouts []Called `yaml:"callouts,omitempty" json:"callouts,omitempty"`
	// Logs are lines that the modules wrote in this exchange, in their order; others may stand between.
	Logs []Line `yaml:"logs,omitempty" json:"logs,omitempty"`
	// LogsLack are texts that stand in no line.
	LogsLack []string `yaml:"logs_lack,omitempty" json:"logs_lack,omitempty"`
	// Metrics are sums of counters and levels of gauges since the scenario's beginning, by name and labels, as in leash_tokens_total.[tenant=acme]; of histograms it is how many samples they took.
	Metrics map[string]int `yaml:"metrics,omitempty" json:"metrics,omitempty"`
	// Shared is shared data, by key.
	Shared map[string]string `yaml:"shared,omitempty" json:"shared,omitempty"`
}

// Message is what is expected of headers, body and trailers.
type Message struct {
	// Headers are exact values; several of one name are joined by a comma and a blank.
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
	// HeadersMatch are regular expressions.
	HeadersMatch map[string]Pattern `yaml:"headers_match,omitempty" json:"headers_match,omitempty"`
	// HeadersAbsent must not be there.
	HeadersAbsent []string `yaml:"headers_absent,omitempty" json:"headers_absent,omitempty"`
	// Body is the whole body.
	Body *string `yaml:"body,omitempty" json:"body,omitempty"`
	// BodyFile is a file, relative to this one, with the whole body; leash module test -update writes it.
	BodyFile string `yaml:"body_file,omitempty" json:"body_file,omitempty"`
	// BodyContains are texts in the body.
	BodyContains []string `yaml:"body_contains,omitempty" json:"body_contains,omitempty"`
	// BodyLacks are texts that are not.
	BodyLacks []string `yaml:"body_lacks,omitempty" json:"body_lacks,omitempty"`
	// BodyMatch is a regular expression.
	BodyMatch Pattern `yaml:"body_match,omitempty" json:"body_match,omitzero"`
	// JSON are values in the body by their path: choices[0].message.content, say.
	JSON map[string]Value `yaml:"json,omitempty" json:"json,omitempty"`
	// JSONAbsent are paths at which there is nothing.
	JSONAbsent []string `yaml:"json_absent,omitempty" json:"json_absent,omitempty"`
	// Trailers are exact values.
	Trailers map[string]string `yaml:"trailers,omitempty" json:"trailers,omitempty"`
}

// Received is what is expected of a request at its server.
type Received struct {
	// Method is as the server reads it.
	Method string `yaml:"method,omitempty" json:"method,omitempty"`
	// Path is as the server reads it, with the query.
	Path    string `yaml:"path,omitempty" json:"path,omitempty"`
	Message `yaml:",inline"`
}

// Called is a callout.
type Called struct {
	// Upstream is whom the module called.
	Upstream string `yaml:"upstream" json:"upstream"`
	Received `yaml:",inline"`
}

// Event is a server-sent event.
type Event struct {
	// Data is the whole data.
	Data string `yaml:"data,omitempty" json:"data,omitempty"`
	// JSON are values in the data by their path.
	JSON map[string]Value `yaml:"json,omitempty" json:"json,omitempty"`
	// Match is a regular expression for the data.
	Match Pattern `yaml:"match,omitempty" json:"match,omitzero"`
}

// Line is a line of a module's log.
type Line struct {
	// Level is that of the line.
	Level string `yaml:"level,omitempty" json:"level,omitempty" jsonschema:"enum=trace,enum=debug,enum=info,enum=warn,enum=error,enum=critical"`
	// Contains is text in the line.
	Contains string `yaml:"contains,omitempty" json:"contains,omitempty"`
	// Match is a regular expression.
	Match Pattern `yaml:"match,omitempty" json:"match,omitzero"`
	// JSON are values in a line that is JSON, by their path.
	JSON map[string]Value `yaml:"json,omitempty" json:"json,omitempty"`
	// JSONAbsent are paths at which there is nothing.
	JSONAbsent []string `yaml:"json_absent,omitempty" json:"json_absent,omitempty"`
}

// Path is the file's.
func (f *File) Path() string { return f.path }
