package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// forward brings to a provider what the modules have let pass, and its answer back.
func (x *exchange) forward(headers *abi.Headers) bool {
	path := headers.Value(":path")
	for i := range len(path) {
		if path[i] == '?' {
			path = path[:i]
			break
		}
	}
	to, found := x.generation.routes.find(headers.Value(":method"), path, headers.Value(config.RouteHeader))
	if !found {
		x.reply(unknownURL)
		return x.await()
	}
	if to.provider == "" {
		return x.carry(headers, to)
	}
	p := x.generation.providers[to.provider]
	x.attributes.provider = p
	r := p.upstreamRequest(headers, to.path).WithContext(connectWithin(x.ctx, to.timeouts.connect))
	var body []byte
	if _, whole := x.up.begun(); whole || p.proof != nil && p.proof.ofBody() {
		if !x.keep() { // which does not wait where it is whole; providers get no trailers
			return x.gaveUp()
		}
		body, x.kept = x.kept, nil
		setBody(r, body)
	} else {
		r.Body, r.ContentLength = &x.up, contentLength(headers)
	}
	if !p.prove(r, body) {
		x.reply(noProof)
		return x.await()
	}
	if err := p.begin(); err != nil {
		return x.unanswered(p, err)
	}
	defer p.end()
	x.clock.bound(to.timeouts.total, to.timeouts.idle)
	began := after(to.timeouts.first, func() { x.stop(errTimeout) })
	response, err := p.roundTrip(r, x.clock.touch)
	began()
	if err != nil {
		return x.unanswered(p, err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or given up
	p.counts.answered(response.StatusCode)
	return x.takeAnswer(p, response)
}

// after has f called when a time has passed (0: never), unless what it returns is called before.
func after(d time.Duration, f func()) (stop func()) {
	if d <= 0 {
		return func() {}
	}
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop() }
}

func setBody(r *http.Request, body []byte) {
	r.ContentLength = int64(len(body))
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
}

// contentLength is what the client said, or -1. Modules that change a body remove it.
func contentLength(h *abi.Headers) int64 {
	n, err := strconv.ParseInt(h.Value("content-length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// unanswered is an exchange that no provider answers, and why.
func (x *exchange) unanswered(p *provider, err error) bool {
	switch cause := context.Cause(x.ctx); {
	case cause == nil:
		x.reply(p.failed(err))
	case x.countTimeout(p):
		p.counts.answered(timedOut.status) // as Envoy counts what it says in the provider's place
		x.reply(timedOut)
	default:
		return x.deliver()
	}
	return x.await()
}

// takeAnswer brings a provider's answer to the modules, and what they let pass to the client.
func (x *exchange) takeAnswer(p *provider, r *http.Response) bool {
	h := responseHeaders(r)
	if comesWhole(x.request, r) {
		body, err := wholeBody(r)
		if err != nil {
			if r.StatusCode < http.StatusMultipleChoices { // it has been worked for, which the modules count
				x.do(func() {
					x.attributes.response = h
					x.chain.OnResponseHeaders(h, false)
				})
			}
			return x.brokenOff(p)
		}
		x.do(func() {
			x.attributes.response = h
			x.chain.OnResponseHeaders(h, false)
			lastOfAnswer(x.chain, body, trailersOf(r.Trailer))
		})
		return x.await()
	}
	bodiless := r.ContentLength == 0 || x.request.Method == http.MethodHead
	x.do(func() {
		x.attributes.response = h
		x.chain.OnResponseHeaders(h, bodiless)
	})
	if bodiless {
		return x.await()
	}
	if x.deliver() {
		return true
	}
	whole, err := x.pour(r, x.chain, func() bool { return !x.deliver() })
	switch {
	case err != nil:
		return x.brokenOff(p)
	case whole:
		return x.await()
	}
	return true
}

// comesWhole tells an answer that is taken in whole before the modules see it: one that is short, unless it is a stream, whose events go on
// as they come; or an error that is looked through for a credential.
func comesWhole(to *http.Request, r *http.Response) bool {
	if _, is := r.Body.(*redacted); is {
		return true
	}
	return r.ContentLength > 0 && r.ContentLength <= inlineBody && to.Method != http.MethodHead && !strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream")
}

// wholeBody is the body of such an answer, or as much of it as has come.
func wholeBody(r *http.Response) ([]byte, error) {
	if r.ContentLength < 0 {
		return io.ReadAll(r.Body)
	}
	body := make([]byte, r.ContentLength)
	n, err := io.ReadFull(r.Body, body)
	return body[:n], err
}

// pour brings the body of an answer to modules, piece by piece, as long as more is wanted. It is true when all of it has come.
func (x *exchange) pour(r *http.Response, to *chain.Exchange, more func() bool) (whole bool, err error) {
	piece := pieces.Get().(*[pieceBytes]byte) //nolint:forcetypeassert // nothing else is put there
	defer pieces.Put(piece)
	for {
		n, err := r.Body.Read(piece[:])
		switch {
		case errors.Is(err, io.EOF):
			var trailers *abi.Headers
			if to == x.chain { // of an attempt none: the module provider could end a stream no more, whose end they would be
				trailers = trailersOf(r.Trailer)
			}
			x.do(func() { lastOfAnswer(to, bytes.Clone(piece[:n]), trailers) })
			return true, nil
		case err != nil && n == 0:
			return false, err
		}
		x.do(func() { to.OnResponseData(bytes.Clone(piece[:n]), false) })
		if err != nil {
			return false, err
		}
		if !more() {
			return false, nil
		}
	}
}

func lastOfAnswer(to *chain.Exchange, piece []byte, trailers *abi.Headers) {
	to.OnResponseData(piece, trailers == nil)
	if trailers != nil {
		to.OnResponseTrailers(trailers)
	}
}

// brokenOff is an answer that does not come to its end. Where the modules have seen its beginning, they are told no other: they learn that the
// exchange was given up. A client that has nothing of it yet reads an error all the same, as with Envoy.
func (x *exchange) brokenOff(p *provider) bool {
	instead := brokeOff
	if x.countTimeout(p) {
		instead = timedOut
	} else if x.ctx.Err() != nil {
		return x.deliver()
	}
	if x.attributes.response == nil {
		x.reply(instead)
		return x.await()
	}
	if x.deliver() {
		return true
	}
	h, body := instead.answer(x.attributes.request)
	alone := x.answerAlone(h, body)
	if alone {
		x.do(func() { x.chain.Instead(h) })
	}
	return alone
}

// answerAlone answers without the modules a client that has nothing of an answer. It is false where it has.
func (x *exchange) answerAlone(h *abi.Headers, body []byte) bool {
	x.writing.Lock()
	defer x.writing.Unlock()
	if x.wrote {
		return false
	}
	x.wrote, x.done = true, true
	x.writeHeaders(h)
	_, _ = x.writer.Write(body) // an error is a client that has left
	return true
}

// countTimeout tells whether a provider took too long, and counts it.
func (x *exchange) countTimeout(p *provider) bool {
	late := errors.Is(context.Cause(x.ctx), errTimeout)
	if late {
		p.counts.timeouts.Add(1)
	}
	return late
}
