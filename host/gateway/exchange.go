package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// Why an exchange is given up.
var (
	errAnswered = errors.New("a module has answered")
	errReset    = errors.New("a module has reset the exchange")
	errTimeout  = errors.New("the provider took too long")
	errOver     = errors.New("the exchange is over")
)

const (
	// requestTimeout is how long a client may take to send a request.
	requestTimeout = time.Minute
	// inlineBody is the longest body, in bytes, that is taken in whole before the modules see it.
	inlineBody = 256 << 10
	// pieceBytes is the longest piece of a body that is read at once.
	pieceBytes = 32 << 10
	// maxHeld is how many bytes may wait for a provider before no more is read from the client.
	maxHeld = 1 << 20
)

// An exchange is one request on its way, and its answer. One goroutine, the handler's, takes it through; a second one
// brings the body of a request that is long. What modules do later, when they have waited for something, comes from the
// worker: attend then writes it.
type exchange struct {
	generation *generation
	worker     *worker
	request    *http.Request
	attributes attributes
	chain      *chain.Exchange
	up, down   flow

	ctx    context.Context // ends with the exchange
	cancel context.CancelCauseFunc
	clock  watch

	// Only on the worker.
	inside bool // the handler is on the worker: it will look for itself what has come
	closed bool

	unread  atomic.Bool // the client's body is being read, and not at its end
	pumping sync.WaitGroup
	later   sync.WaitGroup // calls of attend

	writing sync.Mutex // held before the fields below
	writer  http.ResponseWriter
	status  int
	wrote   bool
	done    bool // the client has the whole answer
}

func serve(n *generation, w http.ResponseWriter, r *http.Request) {
	m := n.gateway.metrics
	m.active.Add(1)
	defer m.active.Add(-1)
	headers, err := requestHeaders(r)
	switch {
	case errors.Is(err, errHeaders):
		w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
		m.answered(http.StatusRequestHeaderFieldsTooLarge)
		return
	case err != nil:
		badRequest.write(w)
		m.answered(http.StatusBadRequest)
		return
	}
	x := &exchange{generation: n, worker: n.worker(), request: r, writer: w}
	defer x.worker.exchanges.Add(-1)
	x.ctx, x.cancel = context.WithCancelCause(r.Context())
	defer x.cancel(errOver)
	x.up.came, x.down.came = make(chan struct{}, 1), make(chan struct{}, 1)
	x.down.passed = x.look
	x.attributes = attributes{x: x, began: time.Now(), request: headers}
	whole := x.run(headers)
	x.end()
	m.answered(x.status)
	if !whole && r.Context().Err() == nil {
		panic(http.ErrAbortHandler) // the client must not take what it has for the whole answer
	}
}

// do runs f on the worker, and then brings what has come to the client.
func (x *exchange) do(f func()) {
	x.worker.Do(func() {
		x.inside = true
		f()
		x.inside = false
		if _, whole := x.down.begun(); whole {
			x.close()
		}
	})
}

// close ends the exchange for the modules. It runs on the worker.
func (x *exchange) close() {
	if !x.closed && x.chain != nil {
		x.closed = true
		x.chain.Close()
		x.worker.mend()
	}
}

// look is called on the worker when something has come for the client.
func (x *exchange) look() {
	if !x.inside {
		x.later.Go(x.attend)
	}
}

// attend writes what has come for the client without the handler's doing, and ends the handler's waiting where there is
// nothing more to wait for.
func (x *exchange) attend() {
	if x.deliver() {
		x.stop(errAnswered)
	}
}

// stop ends whatever the handler waits for.
func (x *exchange) stop(cause error) {
	x.cancel(cause)
	if x.unread.Load() {
		_ = http.NewResponseController(x.writer).SetReadDeadline(time.Unix(1, 0)) // one that knows no deadlines will read to the end
	}
}

// run takes the exchange through. It is false when the client did not get a whole answer.
func (x *exchange) run(headers *abi.Headers) bool {
	bodiless := x.request.Body == nil || x.request.Body == http.NoBody
	x.do(func() {
		x.worker.mend()
		x.chain = chain.New(x.worker.plugins, chain.Config{
			Upstream: &x.up, Downstream: &x.down, Reset: func() { x.stop(errReset) }, Properties: &x.attributes,
			MaxBuffer: x.generation.maxBuffer, FailOpen: x.generation.failOpen,
		})
		x.chain.OnRequestHeaders(headers, bodiless)
	})
	if x.deliver() {
		return true
	}
	if !bodiless {
		x.takeBody()
	}
	for {
		if x.deliver() {
			return true
		}
		if sent, _ := x.up.begun(); sent != nil && x.answering() == nil {
			return x.forward(sent)
		}
		select {
		case <-x.up.came:
		case <-x.down.came:
		case <-x.ctx.Done():
			return x.deliver()
		}
	}
}

func (x *exchange) answering() *abi.Headers {
	headers, _ := x.down.begun()
	return headers
}

// takeBody brings the request's body to the modules: at once if it is short, else beside what else is done.
func (x *exchange) takeBody() {
	controller := http.NewResponseController(x.writer)
	_ = controller.SetReadDeadline(time.Now().Add(requestTimeout)) // where it is not possible, the client's leaving ends it
	x.unread.Store(true)
	if n := x.request.ContentLength; n > 0 && n <= inlineBody {
		body := make([]byte, n)
		_, err := io.ReadFull(x.request.Body, body)
		if err == nil {
			_, err = x.request.Body.Read(nil)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			x.broken(err)
			return
		}
		x.bodyRead(controller)
		x.do(func() { x.lastOfBody(body) })
		return
	}
	_ = controller.EnableFullDuplex() // HTTP/2 always is
	x.pumping.Go(func() { x.pump(controller) })
}

// bodyRead notes that the client has sent all of its body.
func (x *exchange) bodyRead(c *http.ResponseController) {
	x.unread.Store(false)
	_ = c.SetReadDeadline(time.Time{})
}

// pump brings a long body, piece by piece, no faster than the provider takes it.
func (x *exchange) pump(c *http.ResponseController) {
	for x.ctx.Err() == nil {
		piece := make([]byte, pieceBytes)
		n, err := x.request.Body.Read(piece)
		switch {
		case err == nil:
			x.worker.Do(func() { x.chain.OnRequestData(piece[:n], false) })
			x.clock.touch()
		case errors.Is(err, io.EOF):
			x.bodyRead(c)
			x.worker.Do(func() { x.lastOfBody(piece[:n]) })
			return
		default:
			x.broken(err)
			return
		}
		for x.up.held() > maxHeld && x.ctx.Err() == nil {
			select {
			case <-x.ctx.Done():
			case <-time.After(time.Millisecond):
			}
		}
	}
}

func (x *exchange) lastOfBody(piece []byte) {
	trailers := trailersOf(x.request.Trailer)
	x.chain.OnRequestData(piece, trailers == nil)
	if trailers != nil {
		x.chain.OnRequestTrailers(trailers)
	}
}

// broken is a request that did not come to its end.
func (x *exchange) broken(err error) {
	if x.ctx.Err() != nil {
		return
	}
	answer := badRequest
	if errors.Is(err, os.ErrDeadlineExceeded) {
		answer = slowRequest
	}
	x.up.fail(err)
	x.reply(answer)
	x.attend()
}

// reply answers in the provider's place, so that the modules see it.
func (x *exchange) reply(r reply) {
	x.do(func() {
		if x.chain == nil || x.attributes.response != nil {
			return
		}
		x.attributes.response = r.headers()
		x.chain.OnResponseHeaders(x.attributes.response, false)
		x.chain.OnResponseData(bytes.Clone(r.body), true)
	})
}

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
		body, trailers, _ := x.up.take()
		r.ContentLength = int64(len(body))
		if len(body) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		}
		if trailers != nil {
			r.Trailer, r.ContentLength = httpHeader(trailers), -1
		}
	} else {
		r.Body, r.ContentLength = &x.up, contentLength(headers)
	}
	x.clock.start(p.total, p.idle, func() { x.stop(errTimeout) })
	defer x.clock.end()
	response, err := p.roundTrip(r)
	if err != nil {
		return x.unanswered(p)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or given up
	p.counts.answered(response.StatusCode)
	return x.takeAnswer(response)
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
	case errors.Is(cause, errTimeout):
		p.counts.timeouts.Add(1)
		x.reply(timedOut)
	default:
		return x.deliver()
	}
	return x.await()
}

// takeAnswer brings a provider's answer to the modules, and what they let pass to the client.
func (x *exchange) takeAnswer(r *http.Response) bool {
	x.clock.touch()
	h := responseHeaders(r)
	n := r.ContentLength
	if n > 0 && n <= inlineBody && x.request.Method != http.MethodHead {
		body := make([]byte, n)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return x.brokenOff(h, err)
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
	for {
		piece := make([]byte, pieceBytes)
		n, err := r.Body.Read(piece)
		x.clock.touch()
		switch {
		case err == nil:
			x.do(func() { x.chain.OnResponseData(piece[:n], false) })
		case errors.Is(err, io.EOF):
			x.do(func() { x.lastOfAnswer(piece[:n], trailersOf(r.Trailer)) })
			return x.await()
		default:
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
func (x *exchange) brokenOff(h *abi.Headers, _ error) bool {
	if errors.Is(context.Cause(x.ctx), errTimeout) || context.Cause(x.ctx) == nil {
		x.do(func() {
			x.attributes.response = h
			x.chain.OnResponseHeaders(h, false)
		})
	}
	return x.deliver()
}

// await waits for what the modules still hold of the answer.
func (x *exchange) await() bool {
	for !x.deliver() {
		select {
		case <-x.down.came:
		case <-x.ctx.Done():
			return x.deliver()
		}
	}
	return true
}

// deliver writes to the client what the modules have let pass. It is true when that was the end of the answer.
func (x *exchange) deliver() bool {
	x.writing.Lock()
	defer x.writing.Unlock()
	headers, _ := x.down.begun()
	if headers == nil || x.done {
		return x.done
	}
	data, trailers, ended := x.down.take()
	if !x.wrote {
		x.wrote = true
		x.writeHeaders(headers)
		if !ended && len(data) == 0 {
			_ = http.NewResponseController(x.writer).Flush()
		}
	}
	if len(data) > 0 {
		_, _ = x.writer.Write(data) // a client that has left ends the context
		x.clock.touch()
		if !ended {
			_ = http.NewResponseController(x.writer).Flush()
		}
	}
	if ended {
		for name, value := range trailers.All() {
			x.writer.Header().Add(http.TrailerPrefix+name, value)
		}
		x.done = true
	}
	return x.done
}

func (x *exchange) writeHeaders(h *abi.Headers) {
	to := x.writer.Header()
	x.status = http.StatusOK
	for name, value := range h.All() {
		switch {
		case name == ":status":
			if status, err := strconv.Atoi(value); err == nil && status >= 200 && status <= 999 {
				x.status = status
			}
		case name[0] == ':' || isHopByHop(name):
		default:
			to.Add(name, value)
		}
	}
	if len(to["Content-Type"]) == 0 {
		to["Content-Type"] = nil // or net/http would guess one
	}
	if x.unread.Load() && x.request.ProtoMajor == 1 {
		// What is left of the body must not be taken for the next request.
		to.Set("Connection", "close")
	}
	to.Set("X-Request-Id", x.attributes.request.Value("x-request-id"))
	x.writer.WriteHeader(x.status)
}

// end lets nothing go on after the handler.
func (x *exchange) end() {
	x.worker.Do(x.close)
	x.stop(errOver)
	x.up.fail(errOver)
	x.pumping.Wait()
	x.later.Wait()
}

func httpHeader(h *abi.Headers) http.Header {
	out := make(http.Header, h.Len())
	for name, value := range h.All() {
		out.Add(name, value)
	}
	return out
}
