package abi

import (
	"context"
	"crypto/rand"
	"io"
	"time"
)

// A Host is what surrounds a VM. Fields that are nil have the default named with them.
type Host struct {
	// Logger gets what modules log and write to stdout and stderr. Default: nowhere.
	Logger Logger
	// Clock is the time that modules see and that ticks follow. Default: the machine's.
	Clock Clock
	// Random is what WASI's random_get reads. Default: crypto/rand.
	Random io.Reader
	// Shared is the shared data and queues. VMs that are to see each other's have the same one. Default: one of its own.
	Shared *Shared
	// Metrics are where modules count. Default: a MetricSet of its own.
	Metrics Metrics
	// HTTP makes HTTP calls. Default: none; each call is refused as one to an unknown cluster.
	HTTP HTTPCaller
	// GRPC makes gRPC calls. Default: likewise.
	GRPC GRPCCaller
	// Foreign are functions by name, besides those of ForeignFunctions.
	Foreign map[string]ForeignFunction
	// Tracer sees every host call. Default: none, which costs nothing.
	Tracer Tracer
}

func (h Host) withDefaults() Host {
	if h.Logger == nil {
		h.Logger = nowhere{}
	}
	if h.Clock == nil {
		h.Clock = SystemClock{}
	}
	if h.Random == nil {
		h.Random = rand.Reader
	}
	if h.Shared == nil {
		h.Shared = NewShared()
	}
	if h.Metrics == nil {
		h.Metrics = NewMetricSet()
	}
	return h
}

// A Record is a log line of a module.
type Record struct {
	Level Level
	// Plugin, RootID and VMID name who wrote it; empty before there is a plugin.
	Plugin, RootID, VMID string
	Message              string
}

// A Logger takes log lines. Log may be called from several workers at once. Level is the lowest that it writes, which
// modules may ask for.
type Logger interface {
	Log(Record)
	Level() Level
}

// A Clock is time. AfterFunc calls f once, from anywhere, after at least d, unless stop is called before.
type Clock interface {
	Now() time.Time
	AfterFunc(d time.Duration, f func()) (stop func())
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now is the time.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (SystemClock) AfterFunc(d time.Duration, f func()) func() {
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop() }
}

// A ForeignFunction answers proxy_call_foreign_function. It runs on the worker and may keep neither arguments nor caller.
type ForeignFunction func(caller Caller, arguments []byte) (result []byte, status Status)

// A Caller is who calls a foreign function: the plugin, and the stream or connection if the call comes from one.
type Caller struct {
	Plugin *Plugin
	Stream *Stream
	Conn   *Conn
}

// A Tracer sees host calls after they are made, on the worker.
type Tracer interface {
	HostCall(HostCall)
}

// A HostCall is one call of a module to its host, decoded. It is valid while the Tracer runs.
type HostCall struct {
	// Plugin and Context are whose call it is; Context is 0 before there is one.
	Plugin  string
	Context uint32
	// Callback is what the module was doing: "proxy_on_request_headers".
	Callback string
	// Name is the function: "proxy_get_property", "fd_write".
	Name string
	// In and Out are the arguments and, if Status is OK, the results, in the specification's order.
	In, Out []Argument
	Status  Status
	// Errno is the result of a WASI function, which has no Status.
	Errno uint32
	WASI  bool
}

// An Argument is a named value: string, uint32, uint64, int64, MapType, BufferType, StreamType, Level or *Headers.
type Argument struct {
	Name  string
	Value any
}

// An HTTPCall is a request that a module makes.
type HTTPCall struct {
	// Cluster is the name of an upstream, or in a mesh of anything that the embedder has given a name.
	Cluster string
	// Headers hold at least :method, :path and :authority.
	Headers  *Headers
	Body     []byte
	Trailers *Headers
	// Timeout is 0 for none.
	Timeout time.Duration
}

// An HTTPAnswer is the response to an HTTPCall. Headers hold :status.
type HTTPAnswer struct {
	Headers  *Headers
	Body     []byte
	Trailers *Headers
}

// An HTTPCaller makes calls. HTTPCall returns at once, with an error if the call cannot be made (ErrUnknownCluster:
// "bad argument" for the module; others: "internal failure"). Otherwise it calls done once, from anywhere, with the answer or nil if there is
// none. A timeout is an answer with :status 504, as in Envoy. After ctx is done, done is not needed any more.
type HTTPCaller interface {
	HTTPCall(ctx context.Context, call *HTTPCall, done func(*HTTPAnswer)) error
}

// A GRPCCall is a gRPC method that a module calls.
type GRPCCall struct {
	// Service is what the module named: a cluster, or an envoy.config.core.v3.GrpcService message.
	Service string
	// Method is the full name of the method: "/package.Service/Method".
	Method   string
	Metadata *Headers
	// Timeout is 0 for none and for streams.
	Timeout time.Duration
}

// GRPCEvents are what a GRPCCaller calls, from anywhere, one after the other. Close is the last, once, with the status of
// the call (0: ok).
type GRPCEvents struct {
	InitialMetadata  func(*Headers)
	Message          func([]byte)
	TrailingMetadata func(*Headers)
	Close            func(status uint32, message string)
}

// A GRPCStream is an open call. Send must not block; after end it is not called again. Cancelling is the end of the ctx of GRPCCaller.
type GRPCStream interface {
	Send(message []byte, end bool)
	// CloseSend says that no more is sent.
	CloseSend()
}

// A GRPCCaller opens calls; unary ones too: one Send with end follows. Its errors are those of HTTPCaller.
type GRPCCaller interface {
	GRPCCall(ctx context.Context, call *GRPCCall, events GRPCEvents) (GRPCStream, error)
}

type nowhere struct{}

func (nowhere) Log(Record)   {}
func (nowhere) Level() Level { return Info }
