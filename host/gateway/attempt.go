package gateway

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// An attempt takes an exchange to one provider and back. It is the sink for what the module provider makes of the answer.
type attempt struct {
	x        *exchange
	to       target
	provider *provider
	number   int
	last     bool  // nobody else is asked after it
	race     *race // of which it is; nil where one is made after the other

	chain      *chain.Exchange
	attributes attributes
	up         flow
	ctx        context.Context // ends with the attempt
	cancel     context.CancelCauseFunc
	clock      watch

	over    bool          // the end of its answer has come
	decided chan struct{} // closed when it is known whether the answer goes on; guards missed
	missed  bool          // it does not: the next provider is asked
}

var _ chain.Sink = (*attempt)(nil)

// newAttempt is nil where there is no target of that number.
func (x *exchange) newAttempt(headers *abi.Headers, to target, number int) *attempt {
	p := x.generation.providers[headers.Value(config.TargetHeader+strconv.Itoa(number))]
	if p == nil {
		return nil
	}
	a := &attempt{x: x, to: to, provider: p, number: number, last: headers.Value(config.TargetHeader+strconv.Itoa(number+1)) == "", decided: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancelCause(x.ctx)
	a.up.init(a.ctx.Done(), nil)
	return a
}

// run is true when the client has a whole answer, or when the next provider is to be asked.
func (a *attempt) run(headers *abi.Headers, body []byte) (whole, next bool) {
	x := a.x
	a.clock.start(func() { a.cancel(errTimeout) })
	defer a.clock.end()
	defer after(a.to.timeouts.first, a.silent)()
	headers.Set(config.AttemptHeader, strconv.Itoa(a.number))
	a.attributes = attributes{x: x, began: time.Now(), request: headers, provider: a.provider}
	x.do(func() {
		if a.race != nil && a.race.winner != nil { // meanwhile
			return
		}
		x.worker.mend()
		x.attempt, x.attributes.provider = a, a.provider
		at := x.generation.carriers[a.provider.name]
		a.chain = chain.New(x.worker.plugins[at:at+1], chain.Config{
			Upstream: &a.up, Downstream: a, Reset: func() { a.cancel(errReset) }, Properties: &a.attributes,
			MaxBuffer: x.generation.maxBuffer + bufferSlack,
		})
		a.chain.OnRequestHeaders(headers, false)
		a.chain.OnRequestData(body, true)
	})
	whole = a.send()
	if next = a.isMissed(); next {
		x.do(a.close)
	}
	return whole, next
}

// silent ends an attempt whose answer has not begun in time.
func (a *attempt) silent() {
	select {
	case <-a.decided:
	default:
		a.cancel(errSilent)
	}
}

// send brings what the module has made of the request to the provider, and the answer back. It is true when the client has a whole answer.
func (a *attempt) send() bool {
	for {
		sent, whole := a.up.begun()
		if whole {
			return a.exchange(sent)
		}
		select {
		case <-a.up.came:
		case <-a.decided: // the module has answered itself
			return !a.missed && a.x.await()
		case <-a.ctx.Done():
			return a.broken()
		}
	}
}

func (a *attempt) exchange(sent *abi.Headers) bool {
	p := a.provider
	path, _, _ := strings.Cut(sent.Value(":path"), "?")
	r := p.upstreamRequest(sent, path).WithContext(connectWithin(a.ctx, a.to.timeouts.connect))
	body, _, _ := a.up.take()
	setBody(r, body)
	if !p.prove(r, body) {
		return a.reply(noProof)
	}
	if err := p.begin(); err != nil {
		return a.unanswered(err)
	}
	defer p.end()
	bounds := timeouts{idle: p.idle, total: p.total}.within(a.to.own)
	if bounds.idle == a.to.timeouts.first { // which of both passes would be a matter of luck
		bounds.idle += config.IdleSlack
	}
	a.clock.bound(bounds.total, bounds.idle)
	response, err := p.roundTrip(r, a.touch)
	if err != nil {
		return a.unanswered(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or given up
	p.counts.answered(response.StatusCode)
	h := responseHeaders(response)
	if comesWhole(a.x.request, response) {
		body, err := wholeBody(response)
		if err != nil && a.ctx.Err() != nil {
			return a.broken()
		}
		if _, is := response.Body.(*redacted); is && err != nil { // of an error nothing goes on before it is looked through, in Envoy neither
			return a.reply(brokeOff)
		}
		if err != nil {
			h.Remove("content-length")
		}
		a.answer(h, body) // whether that is all of it, the module finds out
		return a.ended()
	}
	a.x.do(func() {
		a.attributes.response = h
		a.chain.OnResponseHeaders(h, response.ContentLength == 0)
	})
	if response.ContentLength == 0 {
		return a.ended()
	}
	if a.x.deliver() {
		return true
	}
	whole, err := a.x.pour(response, a.chain, a.wanted)
	switch {
	case err != nil:
		return a.broken()
	case whole:
		return a.ended()
	}
	return a.x.deliver()
}

// touch is a sign of life of the provider.
func (a *attempt) touch() {
	a.clock.touch()
	a.x.clock.touch()
}

// wanted brings to the client what has come, and tells whether more of the answer is of use.
func (a *attempt) wanted() bool {
	select {
	case <-a.decided:
		return !a.missed && !a.x.deliver()
	default:
		return true
	}
}

// answer brings a whole answer to the module.
func (a *attempt) answer(h *abi.Headers, body []byte) {
	a.x.do(func() {
		a.attributes.response = h
		a.chain.OnResponseHeaders(h, false)
		a.chain.OnResponseData(body, true)
	})
}

// reply answers in the provider's place, so that the module sees it and the client reads it in its own form.
func (a *attempt) reply(r reply) bool {
	h, body := r.answer(a.attributes.request)
	h.Set(config.NextHeader, "1")
	a.answer(h, body)
	return a.ended()
}

// unanswered is an attempt to which the provider has said nothing, and why.
func (a *attempt) unanswered(err error) bool {
	switch cause := context.Cause(a.ctx); {
	case cause == nil:
		return a.reply(a.provider.failed(err))
	case errors.Is(cause, errTimeout) && a.x.ctx.Err() == nil:
		a.late()
		return a.reply(timedOut)
	}
	return a.broken()
}

// late tells whether the provider took too long, and counts it.
func (a *attempt) late() bool {
	cause := context.Cause(a.ctx)
	late := errors.Is(cause, errTimeout) || errors.Is(cause, errSilent)
	if late {
		a.provider.counts.timeouts.Add(1)
	}
	return late
}

// ended waits, where the provider has said all, for what becomes of it.
func (a *attempt) ended() bool {
	a.over = true
	select {
	case <-a.decided:
		return !a.missed && a.x.await()
	case <-a.ctx.Done():
		return a.broken()
	}
}

// broken is an attempt that has come to an end in its course. Where nothing of its answer has gone on, another takes its place.
func (a *attempt) broken() bool {
	x := a.x
	late := a.late()
	if x.ctx.Err() != nil { // the exchange itself is over: its time is up, or the client has left
		return x.gaveUp()
	}
	x.do(func() {
		if a.attributes.response != nil && !a.over { // its beginning has come: the module ends it for the client, or says what becomes of it
			a.chain.OnResponseData(nil, true)
		}
	})
	select {
	case <-a.decided:
		return !a.missed && x.await()
	default:
	}
	alone := false
	x.do(func() {
		select {
		case <-a.decided: // meanwhile
		default:
			if alone = a.alone(); !alone {
				a.decide(true)
			}
		}
	})
	if !alone {
		return !a.missed && x.await()
	}
	if late {
		x.reply(timedOut)
	} else {
		x.reply(unavailable)
	}
	return x.await()
}

// alone tells, on the worker, that nobody else can answer any more.
func (a *attempt) alone() bool {
	if a.race != nil {
		return a.race.alone(a)
	}
	return a.last
}

// isMissed tells that the answer does not go on, as far as is known.
func (a *attempt) isMissed() bool {
	select {
	case <-a.decided:
		return a.missed
	default:
		return false
	}
}

// decide settles, on the worker, whether the answer goes on. Then no attempt needs the request any more.
func (a *attempt) decide(missed bool) {
	if a.race != nil {
		missed = a.race.settle(a, missed)
	}
	a.missed = missed
	if !missed {
		a.x.kept = nil
	}
	close(a.decided)
}

// close ends the attempt for its module.
func (a *attempt) close() {
	if a.chain != nil {
		a.chain.Close()
	}
	a.cancel(errOver)
}

// Headers takes what the module has made of the answer's, and decides whether it goes on.
func (a *attempt) Headers(h *abi.Headers, end bool) {
	x := a.x
	a.decide(!a.alone() && again(h, a.to.on))
	if a.missed {
		return
	}
	h.Remove(config.NextHeader)
	x.attributes.response = h
	x.chain.OnResponseHeaders(h, end)
}

// Data takes a piece of the body.
func (a *attempt) Data(data []byte, end bool) {
	if !a.missed {
		a.x.chain.OnResponseData(data, end)
	}
}

// Trailers end the answer.
func (a *attempt) Trailers(h *abi.Headers) {
	if !a.missed {
		a.x.chain.OnResponseTrailers(h)
	}
}

// retriable are statuses, besides those of the provider's own errors, that say nothing about the request: another provider may serve it.
var retriable = []int{401, 402, 403, 404, 408, 429}

// again tells whether another provider may do better, where a route names the statuses after which, after these.
func again(h *abi.Headers, on []int) bool {
	if _, says := h.Get(config.NextHeader); says {
		return true
	}
	status, _ := strconv.Atoi(h.Value(":status"))
	if len(on) > 0 {
		return slices.Contains(on, status)
	}
	return status >= 500 || slices.Contains(retriable, status)
}
