package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
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
	// lingering is how long, and discarded how many bytes, of a body go on being read after the answer: who closes a connection on a client that
	// still sends takes the answer from it. (net/http discards as much.)
	lingering = time.Second
	discarded = 256 << 10
)

// pieces are buffers to read into.
var pieces = sync.Pool{New: func() any { return new([pieceBytes]byte) }}

// An upload is the body of a client's request on its way to the modules.
//
//  1. open: there is one, and it must come in time.
//  2. take brings it to the modules: at once if it is short, else beside what else is done.
//  3. discard or abandon: whatever has not come is not wanted any more.
type upload struct {
	x       *exchange
	by      time.Time   // when it must have come
	unread  atomic.Bool // there is one, and it is not at its end
	waiting atomic.Bool // the handler itself waits for it
	pumping sync.WaitGroup
}

func (u *upload) open(x *exchange) {
	u.x = x
	if x.request.Body == nil || x.request.Body == http.NoBody {
		return
	}
	u.unread.Store(true)
	u.by = time.Now().Add(x.generation.gateway.settings.requestTimeout)
	_ = x.controller.EnableFullDuplex()    // HTTP/2 always is; otherwise net/http waits for the body before it answers
	_ = x.controller.SetReadDeadline(u.by) // where it is not possible, the client's leaving ends it
}

// end notes that the client has sent all of it.
func (u *upload) end() {
	u.unread.Store(false)
	_ = u.x.controller.SetReadDeadline(time.Time{})
}

// late tells whether it should have come.
func (u *upload) late() bool { return u.unread.Load() && !time.Now().Before(u.by) }

// interrupt ends the handler's own waiting.
func (u *upload) interrupt() {
	if u.waiting.Load() {
		u.expire(0)
	}
}

func (u *upload) expire(after time.Duration) {
	_ = u.x.controller.SetReadDeadline(time.Now().Add(after))
}

// discard lets the client send a little more after it has been answered, so that it reads the answer.
func (u *upload) discard() {
	switch {
	case !u.unread.Load():
	case u.x.request.ProtoMajor == 2:
		u.expire(0) // which ends the stream, not the connection
	default:
		_ = u.x.controller.Flush()
		u.expire(lingering)
	}
	u.pumping.Wait()
}

// abandon reads no more.
func (u *upload) abandon() {
	if u.unread.Load() {
		u.expire(0)
	}
	u.pumping.Wait()
}

func (u *upload) take() {
	if n := u.x.request.ContentLength; n > 0 && n <= inlineBody {
		u.takeAtOnce(n)
		return
	}
	u.pumping.Go(u.pump)
}

func (u *upload) takeAtOnce(n int64) {
	x := u.x
	u.waiting.Store(true)
	defer u.waiting.Store(false)
	if x.ctx.Err() != nil {
		return // interrupt may have come before
	}
	body := make([]byte, n)
	_, err := io.ReadFull(x.request.Body, body)
	if err == nil {
		_, err = x.request.Body.Read(nil)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		u.broken(err)
		return
	}
	u.end()
	x.do(func() { u.last(body) })
}

// pump brings a long body, piece by piece, no faster than the provider takes it.
func (u *upload) pump() {
	x := u.x
	piece := pieces.Get().(*[pieceBytes]byte) //nolint:forcetypeassert // nothing else is put there
	defer pieces.Put(piece)
	for x.ctx.Err() == nil {
		n, err := x.request.Body.Read(piece[:])
		switch {
		case err == nil:
			x.worker.Do(func() { x.chain.OnRequestData(bytes.Clone(piece[:n]), false) })
			x.clock.touch()
		case errors.Is(err, io.EOF):
			u.end()
			x.worker.Do(func() { u.last(bytes.Clone(piece[:n])) })
			return
		default:
			u.broken(err)
			return
		}
		x.up.drained(maxHeld)
	}
	// The exchange is over. Until the deadline what still comes is thrown away.
	for left := discarded; left > 0; {
		n, err := x.request.Body.Read(piece[:])
		if err != nil {
			return
		}
		left -= n
	}
}

func (u *upload) last(piece []byte) {
	trailers := trailersOf(u.x.request.Trailer)
	u.x.chain.OnRequestData(piece, trailers == nil)
	if trailers != nil {
		u.x.chain.OnRequestTrailers(trailers)
	}
}

// broken is a request that did not come to its end.
func (u *upload) broken(err error) {
	x := u.x
	if x.ctx.Err() != nil {
		return
	}
	answer := badRequest
	if errors.Is(err, os.ErrDeadlineExceeded) {
		answer = slowRequest
	}
	x.reply(answer)
	x.up.fail(ofClient{err}) // behind the answer: what fails with it is answered as the provider's fault
	x.attend()
}
