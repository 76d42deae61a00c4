package harness

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// patience is how long, by the mocked clock, an exchange may wait for a timer.
const patience = 10 * time.Minute

// Exchange takes one exchange through the modules. The error is of a module that could not be loaded again after its
// VM had failed in an earlier one; whatever happens in the exchange itself stands in the Result.
func (p *Pipeline) Exchange(ctx context.Context, r Request) (*Result, error) {
	before := p.crashes()
	if err := p.revive(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	logged, called := len(p.logs.all()), len(p.callouts.since(0))
	x := &exchange{p: p, request: r, result: &Result{Crashes: before}}
	p.worker.Do(func() {
		x.chain = chain.New(p.plugins, p.chainConfig(x))
	})
	x.run()
	p.worker.Do(x.chain.Close)
	p.flush()
	x.result.Took = time.Since(began)
	x.result.Logs = p.logs.all()[logged:]
	x.result.Callouts = p.callouts.since(called)
	x.result.Crashes = append(x.result.Crashes, p.crashes()...)
	p.exchanges++
	return x.result, nil
}

// crashes are why VMs have failed, each told once.
func (p *Pipeline) crashes() (all []error) {
	p.worker.Do(func() {
		for _, plugin := range p.plugins {
			if err := plugin.VM().Err(); err != nil && !p.told[plugin.VM()] {
				p.told[plugin.VM()] = true
				all = append(all, err)
			}
		}
	})
	return all
}

// Later is for hosts in which something comes late; here nothing does.
func (*Pipeline) Later(context.Context, *Result) bool { return false }

func (p *Pipeline) chainConfig(x *exchange) chain.Config {
	c := chain.Config{
		Upstream: (*provider)(x), Downstream: (*client)(x), Reset: func() { x.reset = true },
		MaxBuffer: p.setup.MaxBuffer, Properties: attributesOf{x},
	}
	for _, m := range p.setup.Modules {
		c.FailOpen = append(c.FailOpen, m.Inspector)
	}
	return c
}

// exchange is one exchange with its client and its provider.
type exchange struct {
	p       *Pipeline
	request Request
	result  *Result
	chain   *chain.Exchange
	reset   bool
	quick   bool // waits for what was posted only where it must
}

// run brings request and answer, and says how it ended.
func (x *exchange) run() {
	switch {
	case !x.sendRequest():
		x.result.Outcome = Left
	case !x.wait(func() bool { return x.received() || x.ended() }):
		x.result.Outcome = Held
	case x.ended() || x.request.Leaves != BeforeAnswer && x.answer():
		x.result.Outcome = Answered
		if x.reset {
			x.result.Outcome = Reset
		}
	case x.request.Leaves == BeforeAnswer || x.request.Leaves == InAnswer && len(x.result.Chunks) > 0:
		x.result.Outcome = Left
	case x.request.Answer.Failure == Cut:
		x.result.Outcome = BrokenOff
	default:
		x.result.Outcome = Held
	}
}

func (x *exchange) received() bool { return x.result.Provider != nil && x.result.Provider.Ended }
func (x *exchange) ended() bool    { return x.reset || x.result.Ended }

// wait lets time pass until something is so, and tells whether it came to that.
func (x *exchange) wait(so func() bool) bool {
	if x.quick && so() {
		return true
	}
	x.p.settle()
	until := x.p.clock.Now().Add(patience)
	for !so() {
		if !x.p.clock.next(until) {
			return false
		}
		x.p.settle()
	}
	return true
}

// sendRequest brings the request; false: the client has broken off in it.
func (x *exchange) sendRequest() bool {
	r := &x.request
	pieces := Pieces(r.Body, r.Chunks, r.ChunkSize)
	h := toABI(RequestHeaders(*r))
	ends := len(r.Trailers) == 0
	x.do(func() { x.chain.OnRequestHeaders(h, ends && len(pieces) == 0) })
	for i, piece := range pieces {
		if r.Leaves == InRequest && i >= len(pieces)/2 {
			return false
		}
		x.do(func() { x.chain.OnRequestData([]byte(piece), ends && i == len(pieces)-1) })
	}
	if r.Leaves == InRequest {
		return false
	}
	if !ends {
		x.do(func() { x.chain.OnRequestTrailers(toABI(r.Trailers)) })
	}
	return true
}

// do does something on the worker, unless the exchange is over.
func (x *exchange) do(f func()) {
	if x.reset {
		return
	}
	x.p.worker.Do(f)
	if x.p.setup.EarlyCallouts {
		x.p.settle()
	} else if !x.quick {
		x.p.barrier()
	}
}

// RequestHeaders are the headers of a request with its defaults, pseudo headers first.
func RequestHeaders(r Request) Headers {
	body := len(Pieces(r.Body, r.Chunks, r.ChunkSize)) > 0
	if r.Method == "" {
		r.Method = "GET"
		if body {
			r.Method = "POST"
		}
	}
	if r.Path == "" {
		r.Path = "/"
		if body {
			r.Path = "/v1/chat/completions"
		}
	}
	if r.Authority == "" {
		r.Authority = "leash.test"
	}
	h := Headers{{":authority", r.Authority}, {":path", r.Path}, {":method", r.Method}, {":scheme", "http"}}
	for _, entry := range r.Headers {
		h = append(h, [2]string{strings.ToLower(entry[0]), entry[1]})
	}
	if _, set := h.Lookup("content-type"); body && !set {
		h = append(h, [2]string{"content-type", "application/json"})
	}
	if _, set := h.Lookup("content-length"); body && !set && r.Chunks == nil && len(r.Trailers) == 0 {
		h = append(h, [2]string{"content-length", strconv.Itoa(len(r.Body))})
	}
	return h
}

// answer brings the provider's answer, and tells whether the exchange came to its end.
func (x *exchange) answer() bool {
	a := x.request.Answer
	if a.Delay > 0 {
		x.p.Advance(a.Delay)
	}
	if x.ended() {
		return true
	}
	pieces := Pieces(a.Body, a.Chunks, a.ChunkSize)
	if a.Failure == Unreachable || a.Failure == Timeout || a.Failure == Cut && len(pieces) == 0 && a.Status == 0 {
		a = x.failed()
		pieces = []string{a.Body}
	}
	h := x.answerHeaders(a, len(pieces) > 0)
	ends := len(a.Trailers) == 0 && a.Failure != Cut
	x.do(func() { x.chain.OnResponseHeaders(h, ends && len(pieces) == 0) })
	for i, piece := range pieces {
		if i > 0 && a.Pace > 0 {
			x.p.Advance(a.Pace)
		}
		if x.ended() {
			return true
		}
		x.do(func() { x.chain.OnResponseData([]byte(piece), ends && i == len(pieces)-1) })
		if x.request.Leaves == InAnswer && len(x.result.Chunks) > 0 {
			return false
		}
	}
	if a.Failure == Cut {
		return x.ended()
	}
	if !ends {
		x.do(func() { x.chain.OnResponseTrailers(toABI(a.Trailers)) })
	}
	return x.wait(x.ended)
}

// failed is what Envoy answers in the place of a provider that does not.
func (x *exchange) failed() Answer {
	if x.request.Answer.Failure == Timeout {
		return Answer{Status: 504, Headers: Headers{{"content-type", "text/plain"}}, Body: "upstream request timeout"}
	}
	return Answer{
		Status: 503, Headers: Headers{{"content-type", "text/plain"}},
		Body: "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
	}
}

func (x *exchange) answerHeaders(a Answer, body bool) *abi.Headers {
	h := abi.NewHeaders(":status", strconv.Itoa(a.status()))
	for _, entry := range a.Headers {
		h.Add(strings.ToLower(entry[0]), entry[1])
	}
	if _, set := h.Get("content-type"); body && !set {
		h.Add("content-type", ContentType(a))
	}
	if _, set := h.Get("content-length"); body && !set && a.Chunks == nil && a.ChunkSize == 0 && len(a.Trailers) == 0 && a.Failure == "" {
		h.Add("content-length", strconv.Itoa(len(a.Body)))
	}
	return h
}

// ContentType is what a body looks like: a stream of events, or JSON.
func ContentType(a Answer) string {
	first := a.Body
	if len(a.Chunks) > 0 {
		first = a.Chunks[0]
	}
	if strings.HasPrefix(first, "data:") || strings.HasPrefix(first, "event:") || strings.HasPrefix(first, ":") {
		return "text/event-stream"
	}
	return "application/json"
}

// provider is what stands behind the modules.
type provider exchange

var _ chain.Sink = (*provider)(nil)

// Headers takes the request's headers.
func (p *provider) Headers(h *abi.Headers, end bool) {
	p.result.Provider = &Message{Headers: fromABI(h), Ended: end}
}

// Data takes a piece of the body.
func (p *provider) Data(data []byte, end bool) { p.result.Provider.add(data, end) }

// Trailers takes the end.
func (p *provider) Trailers(h *abi.Headers) {
	p.result.Provider.Trailers, p.result.Provider.Ended = fromABI(h), true
}

// client is who asked.
type client exchange

var _ chain.Sink = (*client)(nil)

// Headers takes the answer's headers.
func (c *client) Headers(h *abi.Headers, end bool) {
	c.result.Status, _ = strconv.Atoi(h.Value(":status")) // what is no number is none
	c.result.Headers, c.result.Ended = fromABI(h), end
}

// Data takes a piece of the body.
func (c *client) Data(data []byte, end bool) { c.result.add(data, end) }

// Trailers takes the end.
func (c *client) Trailers(h *abi.Headers) { c.result.Trailers, c.result.Ended = fromABI(h), true }

func (m *Message) add(data []byte, end bool) {
	if len(data) > 0 {
		m.Body += string(data)
		m.Chunks = append(m.Chunks, string(data))
	}
	m.Ended = m.Ended || end
}
