package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
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
	response, err := p.roundTrip(r)
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
		x.reply(timedOut)
	default:
		return x.deliver()
	}
	return x.await()
}

// takeAnswer brings a provider's answer to the modules, and what they let pass to the client.
func (x *exchange) takeAnswer(p *provider, r *http.Response) bool {
	x.clock.touch()
	h := responseHeaders(r)
	if shortBody(x.request, r) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return x.brokenOff(p, h)
		}
		x.do(func() {
			x.attributes.response = h
			x.chain.OnResponseHeaders(h, false)
			x.chain.OnResponseData(body, true)
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
	whole, err := x.pour(r, x.chain, x.clock.touch, func() bool { return !x.deliver() })
	switch {
	case err != nil:
		x.countTimeout(p)
		return x.deliver()
	case whole:
		return x.await()
	}
	return true
}

// shortBody tells an answer that is taken in whole before the modules see it.
func shortBody(to *http.Request, r *http.Response) bool {
	return r.ContentLength > 0 && r.ContentLength <= inlineBody && to.Method != http.MethodHead
}

// pour brings the body of an answer to modules, piece by piece, as long as more is wanted. It is true when all of it has come.
func (x *exchange) pour(r *http.Response, to *chain.Exchange, touch func(), more func() bool) (whole bool, err error) {
	piece := pieces.Get().(*[pieceBytes]byte) //nolint:forcetypeassert // nothing else is put there
	defer pieces.Put(piece)
	for {
		n, err := r.Body.Read(piece[:])
		touch()
		switch {
		case errors.Is(err, io.EOF):
			var trailers *abi.Headers
			if to == x.chain { // of an attempt none: the module provider could end a stream no more, whose end they would be
				trailers = trailersOf(r.Trailer)
			}
			x.do(func() { lastOfAnswer(to, bytes.Clone(piece[:n]), trailers) })
			return true, nil
		case err != nil:
			return false, err
		}
		x.do(func() { to.OnResponseData(bytes.Clone(piece[:n]), false) })
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

// brokenOff is an answer that was to be short and broke off: the client has nothing of it yet.
func (x *exchange) brokenOff(p *provider, h *abi.Headers) bool {
	if x.countTimeout(p) || x.ctx.Err() == nil {
		x.do(func() {
			x.attributes.response = h
			x.chain.OnResponseHeaders(h, false)
		})
	}
	return x.deliver()
}

// countTimeout tells whether a provider took too long, and counts it.
func (x *exchange) countTimeout(p *provider) bool {
	late := errors.Is(context.Cause(x.ctx), errTimeout)
	if late {
		p.counts.timeouts.Add(1)
	}
	return late
}
