package moduletest

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/module"
)

// An Exchange is a request and what the provider answers. Its zero value is a POST to /v1/chat/completions with neither
// body nor answer.
type Exchange struct {
	// Method and Path are POST and /v1/chat/completions by default.
	Method, Path string
	// Header are the request's headers. HeaderList are further ones, for those that are sent more than once.
	Header     map[string]string
	HeaderList [][2]string
	Request    string
	// RequestChunks, where set, is the request's body in pieces, instead of Request.
	RequestChunks []string
	// Status is 200 by default. A streamed answer has the content type text/event-stream in AnswerHeader and comes in
	// AnswerChunks; any other comes in Answer. AnswerChunks that are empty but not nil are an answer without a body.
	Status       int
	AnswerHeader map[string]string
	Answer       string
	AnswerChunks []string
	// Trailers ends both bodies with trailers.
	Trailers bool
	// Leaves is when the client goes away.
	Leaves Leaving
	// Cut leaves the answer without an end, as a client does that disconnects in the middle of it.
	Cut bool
	// EarlyCalls lets outbound calls and timers end before the next piece of a body comes, instead of after the last.
	EarlyCalls bool
	// Properties are what the host knows of the exchange, path elements joined with dots. The source.address is
	// 192.0.2.1:4711 by default.
	Properties map[string]string
}

// Leaving is a moment at which a client goes away.
type Leaving uint8

// The moments. For the middle of the answer see [Exchange.Cut].
const (
	Never        Leaving = iota
	InRequest            // before the last piece of its body
	WhileWaiting         // as soon as a module waits for a call or a timer
	BeforeAnswer         // when the request has reached the provider
)

// A Result is what came out of an exchange. Header names are in lower case, the values of a repeated one joined with
// commas.
type Result struct {
	// Sent says whether the request reached the provider; SentBody and SentHeader are what it read.
	Sent       bool
	SentBody   string
	SentHeader map[string]string
	// Status, Header and Body are what the client read. Status 0 means that it read no answer.
	Status int
	Header map[string]string
	Body   string
	// Chunks are the pieces in which Body came.
	Chunks []string
	// Properties are the host's, with what modules have added.
	Properties map[string]string
}

// Do takes an exchange through the pipeline. The modules' Finish has been called when it returns, and what they sent besides is answered.
func (h *Host) Do(e Exchange) Result {
	h.t.Helper()
	x := newTravel(h, e)
	if x.request() && e.Leaves != BeforeAnswer {
		x.answer()
	}
	for _, f := range x.filters {
		f.flow.OnDone()
	}
	h.flush()
	h.sendRequests()
	return x.result
}

// travel is one exchange on its way through the filters of its host.
type travel struct {
	h       *Host
	e       Exchange
	filters []*filter
	header  [2][][2]string
	props   map[string]string
	waiting []wait
	left    bool // the client
	replied bool // by a filter, in the provider's place
	result  Result
}

// wait is a call or a timer.
type wait struct {
	at time.Time
	f  func()
}

func newTravel(h *Host, e Exchange) *travel {
	x := &travel{h: h, e: e, props: map[string]string{"source.address": "192.0.2.1:4711"}}
	maps.Copy(x.props, e.Properties)
	x.result.Properties = x.props
	header := map[string]string{
		":method": or(e.Method, "POST"), ":path": or(e.Path, "/v1/chat/completions"), "x-request-id": "test-request",
	}
	x.header[module.Requests] = append(pairsOf(header, e.Header), e.HeaderList...)
	for _, p := range h.filters {
		f := &filter{travel: x}
		f.flow = p.Start(f)
		x.filters = append(x.filters, f)
	}
	return x
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// pairsOf lists headers in the order of their names, so that tests are told the same each time.
func pairsOf(defaults, header map[string]string) [][2]string {
	for name, value := range header {
		defaults[strings.ToLower(name)] = value
	}
	pairs := make([][2]string, 0, len(defaults)+2)
	for _, name := range slices.Sorted(maps.Keys(defaults)) {
		pairs = append(pairs, [2]string{name, defaults[name]})
	}
	return pairs
}

// joined is headers as a test reads them.
func joined(pairs [][2]string) map[string]string {
	header := make(map[string]string, len(pairs))
	for _, p := range pairs {
		if value, repeated := header[p[0]]; repeated {
			p[1] = value + "," + p[1]
		}
		header[p[0]] = p[1]
	}
	return header
}

// request takes the request through the filters, and says whether it went on to the provider.
func (x *travel) request() bool {
	in := message{side: module.Requests, pieces: x.e.RequestChunks, trailers: x.e.Trailers}
	if in.pieces == nil && x.e.Request != "" {
		in.pieces = []string{x.e.Request}
	}
	in.cut = x.e.Leaves == InRequest
	if in.cut && len(in.pieces) > 0 {
		in.pieces = in.pieces[:len(in.pieces)-1]
	}
	for _, f := range x.filters {
		in.pieces = f.pass(in)
		if x.replied {
			x.reply()
			return false
		}
		in.trailers = false
		if in.cut || x.left || !f.open {
			return false
		}
	}
	x.result.Sent, x.result.SentBody = true, strings.Join(in.pieces, "")
	x.result.SentHeader = joined(x.header[module.Requests])
	return true
}

// answer takes the provider's answer through the filters to the client.
func (x *travel) answer() {
	if x.e.Status == 0 {
		x.e.Status = 200
	}
	x.header[module.Responses] = pairsOf(map[string]string{
		":status": strconv.Itoa(x.e.Status), "content-type": "application/json",
	}, x.e.AnswerHeader)
	in := message{side: module.Responses, pieces: x.e.AnswerChunks, trailers: x.e.Trailers, cut: x.e.Cut}
	if in.pieces == nil {
		in.pieces = []string{x.e.Answer}
	}
	x.toClient(in)
}

// reply takes a filter's answer through the filters to the client, as Envoy does.
func (x *travel) reply() {
	x.replied = false
	x.toClient(message{side: module.Responses, pieces: []string{x.result.Body}})
}

func (x *travel) toClient(in message) {
	x.result.Body = ""
	for _, f := range slices.Backward(x.filters) {
		f.open, f.resumed = false, false
		in.pieces = f.pass(in)
		if x.replied { // in the place of an answer without a body
			in = message{side: module.Responses, pieces: []string{x.result.Body}}
			x.replied = false
			continue
		}
		in.trailers = false
		if x.left || !f.open {
			return
		}
	}
	x.result.Header = joined(x.header[module.Responses])
	x.result.Status, _ = strconv.Atoi(x.result.Header[":status"])
	delete(x.result.Header, ":status")
	x.result.Chunks, x.result.Body = in.pieces, strings.Join(in.pieces, "")
}

// settle ends the calls and timers that modules wait for, each at its time.
func (x *travel) settle() {
	for len(x.waiting) > 0 && !x.left {
		if x.e.Leaves == WhileWaiting {
			x.left = true
			return
		}
		first := 0
		for i, w := range x.waiting {
			if w.at.Before(x.waiting[first].at) {
				first = i
			}
		}
		next := x.waiting[first]
		x.waiting = slices.Delete(x.waiting, first, first+1)
		if next.at.After(x.h.Clock) {
			x.h.Clock = next.at
		}
		next.f()
	}
}
