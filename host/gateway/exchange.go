package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// Why an exchange is given up.
var (
	errAnswered = errors.New("a module has answered")
	errReset    = errors.New("a module has reset the exchange")
	errTimeout  = errors.New("the provider took too long")
	errSilent   = errors.New("the attempt was given up before its answer began") // the module learns of no answer, as in Envoy
	errLeft     = errors.New("the client has left")
	errOver     = errors.New("the exchange is over")
)

// An exchange is one request on its way, and its answer. One goroutine, the handler's, takes it through; a second one
// brings the body of a request that is long. What modules do later, when they have waited for something, comes from the
// worker: attend then writes it.
type exchange struct {
	generation *generation
	worker     *worker
	request    *http.Request
	controller *http.ResponseController
	attributes attributes
	chain      *chain.Exchange
	up, down   flow
	attempt    *attempt // the one that runs, or has brought the answer; nil where the exchange takes no step of its own to a provider
	kept       []byte   // the request's body, as long as another attempt may need it

	ctx    context.Context // ends with the exchange
	cancel context.CancelCauseFunc
	clock  watch

	// Only on the worker.
	inside bool // the handler is on the worker: it will look for itself what has come
	closed bool

	upload upload
	later  sync.WaitGroup // calls of attend

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
	x := &exchange{generation: n, request: r, writer: w, controller: http.NewResponseController(w)}
	x.upload.open(x)
	headers, refused := requestHeaders(r)
	if refused != nil {
		refused.write(w, r)
		m.answered(refused.status)
		x.upload.discard()
		return
	}
	x.begin(context.WithoutCancel(r.Context()), headers)
	stop := context.AfterFunc(r.Context(), x.left)
	defer stop()
	whole := false
	defer func() { // also where a part of this program panics, which net/http contains
		x.end(whole)
		m.answered(x.status)
	}()
	if whole = x.run(headers); !whole {
		// The client must not take what it has for the whole answer; nor nothing for an empty one, where it seems to have left and
		// has but closed its own side.
		panic(http.ErrAbortHandler)
	}
}

// begin gives the exchange a worker, and bounds it. It is over when ctx is, or by end.
func (x *exchange) begin(ctx context.Context, headers *abi.Headers) {
	x.worker = x.generation.worker()
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	x.up.init(x.ctx.Done(), nil)
	x.down.init(x.ctx.Done(), x.look)
	x.attributes = attributes{x: x, began: time.Now(), client: clientAddress(x.request, x.generation.trusted), request: headers}
	x.clock.start(func() { x.stop(errTimeout) })
	x.clock.bound(0, x.generation.idle)
}

// left ends an exchange whose client has left. net/http says so also of one that it waits for in vain: that is told that it is late.
func (x *exchange) left() {
	if !x.upload.late() {
		x.cancel(errLeft)
	}
}

// do runs f on the worker, and then brings what has come to the client.
func (x *exchange) do(f func()) {
	x.worker.Do(func() {
		x.inside = true
		f()
		x.inside = false
	})
}

// close ends the exchange for the modules, and leaves the worker.
func (x *exchange) close() {
	x.worker.Do(func() {
		x.closed = true
		if x.attempt != nil {
			x.attempt.close()
		}
		if x.chain != nil {
			x.chain.Close()
		}
		x.worker.mend()
	})
	x.worker.exchanges.Add(-1)
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
	x.upload.interrupt()
}

// run takes the exchange through. It is false when the client did not get a whole answer.
func (x *exchange) run(headers *abi.Headers) bool {
	bodiless := !x.upload.unread.Load()
	x.do(func() {
		x.worker.mend()
		x.chain = chain.New(x.worker.plugins[:x.generation.pipeline], chain.Config{
			Upstream: &x.up, Downstream: &x.down, Reset: func() { x.stop(errReset) }, Properties: &x.attributes,
			MaxBuffer: x.generation.maxBuffer, FailOpen: x.generation.failOpen,
		})
		x.chain.OnRequestHeaders(headers, bodiless)
	})
	if x.deliver() {
		return true
	}
	if !bodiless {
		x.upload.take()
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
			return x.gaveUp()
		}
	}
}

// gaveUp is the end of an exchange that was stopped while it waited.
func (x *exchange) gaveUp() bool {
	if x.deliver() {
		return true
	}
	if errors.Is(context.Cause(x.ctx), errTimeout) {
		x.reply(timedOut)
	}
	return x.deliver()
}

func (x *exchange) answering() *abi.Headers {
	headers, _ := x.down.begun()
	return headers
}

// reply answers in the provider's place, so that the modules see it.
func (x *exchange) reply(r reply) {
	x.do(func() {
		if x.chain == nil || x.attributes.response != nil {
			return
		}
		h, body := r.answer(x.attributes.request)
		x.attributes.response = h
		x.chain.OnResponseHeaders(h, false)
		x.chain.OnResponseData(body, true)
	})
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
	if len(data) == 0 && (!x.wrote || ended) {
		x.mayWrite() // its headers, or its end; write does so for what it writes
	}
	if !x.wrote {
		x.wrote = true
		x.writeHeaders(headers)
		if !ended && len(data) == 0 {
			_ = x.controller.Flush()
		}
	}
	if len(data) > 0 {
		if err := x.write(data); err != nil {
			x.cancel(err) // the client has left, or reads no more
		}
		if !ended || trailers != nil { // of an answer with a length net/http sends no trailers
			_ = x.controller.Flush()
		}
	}
	if ended {
		for name, value := range trailers.All() {
			if name != "" && name[0] != ':' && !isHopByHop(name) {
				x.writer.Header().Add(http.TrailerPrefix+name, value)
			}
		}
		x.done = true
	}
	return x.done
}

// mayWrite gives an HTTP/2 client that opens no window its time: it holds only its own stream. (On HTTP/1.1 the connection has its own deadline:
// server.go.)
func (x *exchange) mayWrite() {
	if x.request.ProtoMajor == 2 {
		_ = x.controller.SetWriteDeadline(time.Now().Add(x.generation.idle))
	}
}

// write writes a piece of the body in small ones: who reads slowly, but reads, has time for each.
func (x *exchange) write(data []byte) error {
	for piece := range slices.Chunk(data, pieceBytes) {
		x.mayWrite()
		if _, err := x.writer.Write(piece); err != nil {
			return err
		}
		x.clock.touch()
	}
	return nil
}

func (x *exchange) writeHeaders(h *abi.Headers) {
	to := x.writer.Header()
	x.status = http.StatusBadGateway // where it has none that an answer can have
	for name, value := range h.All() {
		switch {
		case name == ":status":
			if status, err := strconv.Atoi(value); err == nil && status >= 200 && status <= 999 {
				x.status = status
			}
		case name == "" || name[0] == ':' || isHopByHop(name):
		default:
			to.Add(name, value)
		}
	}
	if len(to["Content-Type"]) == 0 {
		to["Content-Type"] = nil // or net/http would guess one
	}
	if x.upload.unread.Load() && x.request.ProtoMajor == 1 {
		// What is left of the body must not be taken for the next request.
		to.Set("Connection", "close")
	}
	to.Set("X-Request-Id", x.attributes.request.Value("x-request-id"))
	x.writer.WriteHeader(x.status)
}

// end lets nothing go on after the handler. What the modules log and count at their end is a quarter of their work: an HTTP/1.1 client that
// can tell that it has the whole answer gets it before. (On a goroutine of its own it would cost more than it gains: the next exchange
// then goes to another worker, whose VM is cold.)
func (x *exchange) end(whole bool) {
	x.clock.end()
	if whole && x.request.ProtoMajor == 1 && x.writer.Header().Get("Content-Length") != "" {
		_ = x.controller.Flush()
	}
	x.close()
	x.cancel(errOver)
	x.up.fail(errOver)
	if whole {
		x.upload.discard()
	} else {
		x.upload.abandon()
	}
	x.later.Wait()
}
