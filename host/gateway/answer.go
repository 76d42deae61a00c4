package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/leash-gateway/leash/host/abi"
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
	to, found := x.generation.routes.find(headers.Value(":method"), path, headers.Value(routeHeader))
	if !found {
		x.reply(unknownURL)
		return x.await()
	}
	p := x.generation.providers[to.provider]
	x.attributes.provider = p
	r := p.upstreamRequest(headers, to).WithContext(x.ctx)
	if _, whole := x.up.begun(); whole {
		body, _, _ := x.up.take() // providers get no trailers
		r.ContentLength = int64(len(body))
		if len(body) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		}
	} else {
		r.Body, r.ContentLength = &x.up, contentLength(headers)
	}
	x.clock.bound(p.total, p.idle)
	response, err := p.roundTrip(r)
	if err != nil {
		return x.unanswered(p)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or given up
	p.counts.answered(response.StatusCode)
	return x.takeAnswer(p, response)
}

// contentLength is what the client said, or -1. Modules that change a body remove it.
func contentLength(h *abi.Headers) int64 {
	n, err := strconv.ParseInt(h.Value("content-length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// unanswered is an exchange that no provider answers.
func (x *exchange) unanswered(p *provider) bool {
	switch cause := context.Cause(x.ctx); {
	case cause == nil:
		p.counts.answered(http.StatusServiceUnavailable)
		x.reply(unavailable)
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
	n := r.ContentLength
	if n > 0 && n <= inlineBody && x.request.Method != http.MethodHead {
		body := make([]byte, n)
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
	bodiless := n == 0 || x.request.Method == http.MethodHead
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
	piece := pieces.Get().(*[pieceBytes]byte) //nolint:forcetypeassert // nothing else is put there
	defer pieces.Put(piece)
	for {
		n, err := r.Body.Read(piece[:])
		x.clock.touch()
		switch {
		case err == nil:
			x.do(func() { x.chain.OnResponseData(bytes.Clone(piece[:n]), false) })
		case errors.Is(err, io.EOF):
			x.do(func() { x.lastOfAnswer(bytes.Clone(piece[:n]), trailersOf(r.Trailer)) })
			return x.await()
		default:
			x.countTimeout(p)
			return x.deliver()
		}
		if x.deliver() {
			return true
		}
	}
}

func (x *exchange) lastOfAnswer(piece []byte, trailers *abi.Headers) {
	x.chain.OnResponseData(piece, trailers == nil)
	if trailers != nil {
		x.chain.OnResponseTrailers(trailers)
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
