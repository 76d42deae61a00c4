// Package abi runs proxy-wasm modules on wazero, as Envoy runs them in V8: the same .wasm, the same calls, the same
// answers. What it does not know is HTTP itself: an embedder (test harness, ext_proc host, gateway) hands it headers and
// bodies and does what the module decides; package chain beside this one does that as Envoy's filter chain does.
//
// The parts, from the outside in:
//
//	Engine    compiles; holds the limits and the compiled code on disk            safe for concurrent use
//	Program   one compiled .wasm                                                  safe for concurrent use
//	Worker    what a worker thread is in Envoy: one thing at a time               Do and Post from anywhere
//	VM        one instance of a Program, with its memory, on a Worker             only on its Worker
//	Plugin    one configuration of the module (a root context) in a VM            only on its Worker
//	Stream    one HTTP exchange of a Plugin                                       only on its Worker
//	Conn      one TCP connection of a Plugin                                      only on its Worker
//
// "Only on its Worker" means inside a function given to [Worker.Do] or [Worker.Post]. Answers to callouts and ticks come
// in the same way, so whatever belongs to an exchange needs no lock of its own if its owner too touches it only there.
//
// A lifecycle:
//
//  1. [New], [Engine.Compile]: once per process and module.
//  2. [Program.NewVM]: instantiates; the module's _initialize (or _start) runs.
//  3. [VM.NewPlugin]: proxy_on_context_create, proxy_on_vm_start, proxy_on_configure.
//  4. [Plugin.NewStream]: proxy_on_context_create; then the phases, in the order in which HTTP brings them.
//  5. [Stream.Close]: proxy_on_done, proxy_on_log, proxy_on_delete. Exactly once, however the exchange ended.
//  6. [Plugin.Close], [VM.Close], [Engine.Close].
//
// A callback returns what the module decided, or an error when the VM has failed (a trap, too much time or memory). A
// failed VM runs nothing any more: every callback returns the same error, and [StreamHost.Failed] tells each stream.
//
// Where Envoy and the specification differ, this package does what Envoy 1.40 does; docs/reference/abi.md lists what
// is tested against it.
//
// Specification: https://github.com/proxy-wasm/spec/tree/main/abi-versions
package abi

import "strconv"

// A Version is a version of the ABI that a module was built for, as its export proxy_abi_version_X_Y_Z says.
type Version uint8

// The versions of the ABI.
const (
	V010 Version = 1 << iota
	V020
	V021
)

// String is the version as "0.2.1".
func (v Version) String() string {
	switch v {
	case V010:
		return "0.1.0"
	case V020:
		return "0.2.0"
	case V021:
		return "0.2.1"
	}
	return "unknown"
}

// A Status is the result of a host call.
type Status uint32

// The results of host calls. Those that the specification lacks are Envoy's.
const (
	OK                   Status = 0
	NotFound             Status = 1
	BadArgument          Status = 2
	SerializationFailure Status = 3
	ParseFailure         Status = 4
	InvalidMemoryAccess  Status = 6
	Empty                Status = 7
	CasMismatch          Status = 8
	InternalFailure      Status = 10
	BrokenConnection     Status = 11
	Unimplemented        Status = 12
)

var statusNames = [...]string{
	"ok", "not found", "bad argument", "serialization failure", "parse failure", "bad expression",
	"invalid memory access", "empty", "cas mismatch", "result mismatch", "internal failure", "broken connection", "unimplemented",
}

func (s Status) String() string { return nameOf(statusNames[:], uint32(s)) }

// An Action is what a module answers to a phase.
type Action uint8

// The actions, as Envoy knows them. A module says 0 or 1; what 1 means depends on the phase.
const (
	// Continue passes on what the phase brought.
	Continue Action = iota
	// Pause holds it until [StreamHost.Continue]. For headers and trailers: the filters behind do not see them, but later
	// phases of this stream go on. For bodies: what came is kept, and shown again together with what comes next.
	Pause
	// PauseAll, for headers: no later phase of this direction comes before [StreamHost.Continue]. It is what Envoy makes
	// of Pause unless the plugin has AllowOnHeadersStopIteration, and of every answer after a local response.
	PauseAll
	// PauseNoBuffer, for bodies: what came is not kept by the embedder and is lost unless the module kept it.
	PauseNoBuffer
)

func (a Action) String() string {
	return nameOf([]string{"continue", "pause", "pause all", "pause without buffer"}, uint32(a))
}

// A Level is how grave a log line is.
type Level uint32

// The levels.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
	Critical
)

var levelNames = []string{"trace", "debug", "info", "warn", "error", "critical"}

func (l Level) String() string { return nameOf(levelNames, uint32(l)) }

// A MapType names headers or trailers.
type MapType uint32

// The maps.
const (
	RequestHeaders MapType = iota
	RequestTrailers
	ResponseHeaders
	ResponseTrailers
	GRPCInitialMetadata
	GRPCTrailingMetadata
	HTTPCallResponseHeaders
	HTTPCallResponseTrailers
	mapTypes
)

var mapNames = []string{
	"request headers", "request trailers", "response headers", "response trailers",
	"grpc initial metadata", "grpc trailing metadata", "http call response headers", "http call response trailers",
}

func (m MapType) String() string { return nameOf(mapNames, uint32(m)) }

// A BufferType names bytes that a module may read and partly write.
type BufferType uint32

// The buffers.
const (
	RequestBody BufferType = iota
	ResponseBody
	DownstreamData
	UpstreamData
	HTTPCallResponseBody
	GRPCMessage
	VMConfiguration
	PluginConfiguration
	ForeignArguments
	bufferTypes
)

var bufferNames = []string{
	"request body", "response body", "downstream data", "upstream data", "http call response body", "grpc message",
	"vm configuration", "plugin configuration", "foreign function arguments",
}

func (b BufferType) String() string { return nameOf(bufferNames, uint32(b)) }

// A StreamType is a direction of an exchange or connection.
type StreamType uint32

// The directions.
const (
	Request StreamType = iota
	Response
	Downstream
	Upstream
	streamTypes
)

func (s StreamType) String() string {
	return nameOf([]string{"request", "response", "downstream", "upstream"}, uint32(s))
}

// A Peer is who closed a connection.
type Peer uint32

// The peers.
const (
	UnknownPeer Peer = iota
	Local
	Remote
)

func nameOf(names []string, i uint32) string {
	if int(i) < len(names) {
		return names[i]
	}
	return strconv.FormatUint(uint64(i), 10)
}
