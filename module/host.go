package module

import "time"

// Level is the severity of a log line.
type Level uint8

// The levels, as proxy-wasm numbers them.
const (
	Debug Level = iota + 1
	Info
	Warn
	Error
)

// A Host is what a pipeline runs in: the adapter to proxy-wasm, or the fake of package moduletest.
type Host interface {
	// Unix is the wall clock: the seconds since 1970 and the nanoseconds since then, as time.Unix takes them.
	Unix() (seconds, nanoseconds int64)
	// Log writes one line.
	Log(level Level, message string)
	// Metric adds to a counter, sets a gauge or records into a histogram. The host may drop a metric that it cannot take;
	// it never fails.
	Metric(s *Series, value int64)
	// Shared is the data that all workers of one Envoy share.
	Shared() SharedData
	// RequestBodies says whether the bodies of requests are shown, which not every .wasm is built for.
	RequestBodies() bool
	// VM is what the pipelines of one VM have in common.
	VM() *VM
	// FlushSoon asks for the pipeline's Flush to be called within a tenth of a second.
	FlushSoon()
	// Send sends a request to another service within a tenth of a second, for which no exchange waits (see Exchange.Send).
	Send(call Call, done func(CallResult)) error
}

// SharedData is a small key-value store, shared by the workers of one host, with compare-and-swap.
type SharedData interface {
	// Get returns a value and its version; nil and 0 when there is none.
	Get(key string) (value []byte, version uint32)
	// Set writes a value if its version is still the given one, and says whether it did. Version 0 writes only where
	// there is no value yet.
	Set(key string, value []byte, version uint32) bool
}

// Side is a half of an exchange.
type Side uint8

// The sides.
const (
	Requests Side = iota
	Responses
)

// A Stream is one HTTP exchange in its host. Its calls act at once; they are valid only during a callback of a [Flow].
type Stream interface {
	// Headers returns all headers, names in lower case; the caller may change the slice. SetHeader puts one value in the
	// place of all that a header has.
	Headers(side Side) [][2]string
	SetHeader(side Side, name, value string)
	RemoveHeader(side Side, name string)
	// ReplaceHeaders puts these headers in the place of all.
	ReplaceHeaders(side Side, headers [][2]string)
	// Body returns what the host has buffered of a body; SetBody replaces it.
	Body(side Side) []byte
	SetBody(side Side, body []byte)
	// Reply answers the client in the provider's place.
	Reply(status int, header [][2]string, body []byte)
	// Resume lets a paused side go on.
	Resume(side Side)
	// Property reads a property of the host (see Envoy's attributes); ok is false when there is none.
	Property(path ...string) (value []byte, ok bool)
	// SetProperty writes a property that later filters of the same exchange can read and that no client can write.
	SetProperty(name string, value []byte)
	// Call sends a request to an upstream of the host; done is called once, also on a failure, unless the exchange
	// has ended before.
	Call(call Call, done func(CallResult)) error
	// After calls f once, d from now, unless the exchange has ended before. Hosts round d up to their tick.
	After(d time.Duration, f func())
}

// A Call is an HTTP request that a module sends: while an exchange waits (Exchange.Call), or besides (Exchange.Send).
type Call struct {
	// Upstream is the host's name for where it goes: an Envoy cluster.
	Upstream string
	// Method is GET when it is empty, and Path is "/".
	Method string
	Path   string
	// Authority is the Host header.
	Authority string
	Header    [][2]string
	Body      []byte
	// Timeout bounds the call; 5 s when it is zero.
	Timeout time.Duration
}

// A CallResult is what came back of a Call. Where there was no answer the status is what the host makes of that, as for a client: 503 for a service that
// cannot be reached, 504 for one that did not answer in time; or 0, where the answer broke off or the call could not be sent.
type CallResult struct {
	Status int
	Header [][2]string
	Body   []byte
}

// Action is what a callback tells the host to do with the side that it was called for.
type Action uint8

// The actions.
const (
	Continue Action = iota
	Pause
)
