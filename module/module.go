// Package module is what the author of a Leash module writes against.
//
// A module is a small Go type that implements only the phases it cares about: [RequestHeaderHandler], [RequestHandler],
// [ResponseHeaderHandler], [ResponseHandler], [EventHandler], [Finisher]. It sees an LLM [Exchange], never proxy-wasm.
// It is registered under a name, with its kind and its constructor:
//
//	func init() { module.Register("hello", module.Inspector, New) }
//
// A [Pipeline] runs one or several modules in order inside one .wasm file. An exchange is parsed once and shared; the
// first refusal ends it; every module that ran is told the end. Requests pass the modules in the pipeline's order,
// answers in the reverse order, as they pass the filters of an Envoy filter chain.
//
// The package compiles natively too, so that a policy is tested in milliseconds without Wasm (package moduletest).
package module

import (
	"slices"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module/printf"
)

// Kind says what happens to an exchange when a module cannot do its work.
type Kind string

const (
	// Policy modules fail closed: when they cannot decide, the request is refused.
	Policy Kind = "policy"
	// Inspector modules fail open: their failure never touches a request.
	Inspector Kind = "inspector"
)

// A RequestHeaderHandler is called when the request's headers have arrived, before its body; x.Request is still nil.
// It is the place to refuse early: nothing of the body has been taken in yet.
type RequestHeaderHandler interface {
	RequestHeader(x *Exchange) error
}

// A RequestHandler is called with the parsed request before it leaves for the provider. It may change or refuse it. For a client that lists
// the models (GET /v1/models, or for one of them GET /v1/models/NAME) it is called too, and x.Request is nil.
type RequestHandler interface {
	Request(x *Exchange) error
}

// A ResponseHeaderHandler is called when the answer's status and headers have arrived, before any of its body.
type ResponseHeaderHandler interface {
	ResponseHeader(x *Exchange) error
}

// A ResponseHandler is called with a whole, parsed, successful answer (x.Response). Streams go to EventHandler instead.
type ResponseHandler interface {
	Response(x *Exchange) error
}

// An EventHandler is called with each event of a streamed answer. It may change it, hold it back, or end the stream
// by returning a [Refusal], which the client sees as an error event in its own API's form.
type EventHandler interface {
	Event(x *Exchange, e *Event) error
}

// A Finisher is called exactly once for each exchange that the module took part in, also after a refusal or a
// disconnect, with the final status, usage and timings. x.Now() is when the exchange ended.
type Finisher interface {
	Finish(x *Exchange)
}

// A LateFinisher does not mind when its Finish is called: after those of the others, at most a tenth of a second after the exchange, with those of
// other exchanges, one behind the other. That takes a fraction of the time, since what they run through and look at is then at hand. All that is known
// of the exchange still is, the client's address too. But for the host it is over: there are no properties of it any more. What is
// still to come is lost if the VM dies, as what a Flusher has put off.
type LateFinisher interface {
	Finisher
	FinishesLate()
}

// A Flusher puts off what need not be done within an exchange: Flush is called at most a tenth of a second after an exchange
// in which x.FlushLater was called, and when the plugin ends in order. What has been put off is lost if the VM dies. h.Send tells another service, but
// of what it is given when the plugin ends, nothing is sent any more.
type Flusher interface {
	Flush(h Host)
}

// A BodyHandler works on exchanges that are not LLM traffic (plain HTTP, other JSON APIs): it is called with the whole
// body of each such request, and may read and replace it with x.RequestBody and x.SetRequestBody. For LLM traffic a RequestHandler may
// do so, and this one is not called. A pipeline that holds one lets every path through that the other modules allow.
type BodyHandler interface {
	RequestBody(x *Exchange) error
}

// A UsageReader asks for x.Usage to be known in Finish: answers are then parsed, and streams asked for their usage.
// The extra event which that causes is hidden from a client that did not ask for it.
type UsageReader interface {
	ReadsUsage() bool
}

// A Narrower says which of the phases that its type implements it needs under its configuration. What nobody needs is
// not asked of Envoy, which is where the time goes.
type Narrower interface {
	Needs() Phase
}

// A HeaderHolder sets headers of requests by what their bodies say, without which it is of no use: a configuration with no_header_pause, under which
// headers leave before, is refused.
type HeaderHolder interface {
	HoldsHeaders()
}

// Phase is a set of phases.
type Phase uint16

// The phases, in the order in which an exchange passes them.
const (
	PhaseRequestHeader Phase = 1 << iota
	PhaseRequest
	PhaseBody
	PhaseResponseHeader
	PhaseResponse
	PhaseEvent
	PhaseFinish
	PhaseUsage
	PhaseCarry

	allPhases Phase = 1<<9 - 1
)

// String names a single phase, for logs.
func (p Phase) String() string {
	switch p {
	case PhaseRequestHeader:
		return "request header"
	case PhaseRequest:
		return "request"
	case PhaseBody:
		return "body"
	case PhaseResponseHeader:
		return "response header"
	case PhaseResponse:
		return "response"
	case PhaseEvent:
		return "event"
	case PhaseFinish:
		return "finish"
	case PhaseCarry:
		return "carry"
	default:
		return "phases"
	}
}

// A Definition is a registered module: what Register was told.
type Definition struct {
	Name string
	Kind Kind
	// New builds the module from its JSON configuration. An error names the path of the value that is wrong.
	New func(config []byte) (any, error)
}

// registry is filled by the init functions of the modules that are linked in: a .wasm has no other place to start.
var registry = map[string]Definition{}

// Register makes a module known under its name. build gets the configuration decoded into C, with the defaults of
// C's SetDefaults method applied before and its Validate method called after decoding, where C has them.
// It is called from init and panics on a name that is taken.
func Register[C, M any](name string, kind Kind, build func(C) (M, error)) {
	if _, taken := registry[name]; taken {
		panic("module: " + name + " is registered twice")
	}
	registry[name] = Definition{Name: name, Kind: kind, New: func(config []byte) (any, error) {
		var c C
		if err := Decode(config, &c); err != nil {
			return nil, err
		}
		return build(c)
	}}
}

// Lookup returns the registered module of that name.
func Lookup(name string) (Definition, bool) {
	d, ok := registry[name]
	return d, ok
}

// Names lists the registered modules, sorted.
func Names() []string {
	names := make([]string, 0, len(registry))
	for name := range registry {
		at, _ := slices.BinarySearch(names, name)
		names = slices.Insert(names, at, name)
	}
	return names
}

// An instance is a built module with its phases looked up once, not at every request.
type instance struct {
	requestHeader  RequestHeaderHandler
	request        RequestHandler
	body           BodyHandler
	responseHeader ResponseHeaderHandler
	response       ResponseHandler
	event          EventHandler
	finish         Finisher
	flush          Flusher
	carry          Carrier
	needs          Phase
	late           bool // its Finish may be
	holds          bool // headers, until bodies have been seen
}

func newInstance(m any) (instance, error) {
	want := allPhases
	if n, ok := m.(Narrower); ok {
		want = n.Needs()
	}
	var in instance
	take := func(phase Phase, implemented bool) bool {
		if implemented && want&phase != 0 {
			in.needs |= phase
			return true
		}
		return false
	}
	if h, ok := m.(RequestHeaderHandler); take(PhaseRequestHeader, ok) {
		in.requestHeader = h
	}
	if h, ok := m.(RequestHandler); take(PhaseRequest, ok) {
		in.request = h
	}
	if h, ok := m.(BodyHandler); take(PhaseBody, ok) {
		in.body = h
	}
	if h, ok := m.(ResponseHeaderHandler); take(PhaseResponseHeader, ok) {
		in.responseHeader = h
	}
	if h, ok := m.(ResponseHandler); take(PhaseResponse, ok) {
		in.response = h
	}
	if h, ok := m.(EventHandler); take(PhaseEvent, ok) {
		in.event = h
	}
	if h, ok := m.(Finisher); take(PhaseFinish, ok) {
		in.finish = h
		_, in.late = m.(LateFinisher)
	}
	if h, ok := m.(Carrier); take(PhaseCarry, ok) {
		in.carry = h
	}
	in.flush, _ = m.(Flusher)
	_, in.holds = m.(HeaderHolder)
	if u, ok := m.(UsageReader); ok && u.ReadsUsage() {
		in.needs |= PhaseUsage
	}
	if in.needs == 0 && want != 0 {
		return in, printf.Errorf("%T implements no phase: give it a Request, Response, Event or Finish method", m)
	}
	return in, nil
}

// Event is one event of a streamed answer, on its way through the modules.
type Event struct {
	*llm.Event
	dropped   bool
	synthetic bool // made at the end of a stream that had no end of its own; never sent
	before    []*llm.Event
}

// Drop keeps the event from the client (and from the modules that are still to come).
func (e *Event) Drop() { e.dropped = true }

// InsertBefore sends another event ahead of this one, through the modules that are still to come.
func (e *Event) InsertBefore(other *llm.Event) { e.before = append(e.before, other) }
