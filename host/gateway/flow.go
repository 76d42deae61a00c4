package gateway

import (
	"io"
	"sync"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// A flow is one direction of an exchange behind the modules: what they have let pass, until it is taken. It is safe for
// concurrent use. Its reader gets what comes of the body, waiting for it.
type flow struct {
	// came is sent to (never blocking) whenever something has come, or the flow was broken; taken whenever something has been taken.
	came, taken chan struct{}
	// passed, if there is one, is called on the worker after something has come.
	passed func()
	// over is closed when nobody waits for the flow any more.
	over <-chan struct{}

	mu       sync.Mutex
	headers  *abi.Headers
	data     []byte
	trailers *abi.Headers
	ended    bool
	broken   error
}

var _ chain.Sink = (*flow)(nil)

func (f *flow) init(over <-chan struct{}, passed func()) {
	f.came, f.taken, f.over, f.passed = make(chan struct{}, 1), make(chan struct{}, 1), over, passed
}

// Headers take what begins the direction.
func (f *flow) Headers(h *abi.Headers, end bool) { f.put(h, nil, nil, end) }

// Data takes a piece of the body, which belongs to the flow from now on.
func (f *flow) Data(data []byte, end bool) { f.put(nil, data, nil, end) }

// Trailers end the direction.
func (f *flow) Trailers(h *abi.Headers) { f.put(nil, nil, h, true) }

func (f *flow) put(headers *abi.Headers, data []byte, trailers *abi.Headers, end bool) {
	f.mu.Lock()
	if headers != nil {
		f.headers = headers
	}
	if trailers != nil {
		f.trailers = trailers
	}
	if len(f.data) == 0 {
		f.data = data
	} else {
		f.data = append(f.data, data...)
	}
	f.ended = f.ended || end
	f.mu.Unlock()
	signal(f.came)
	if f.passed != nil {
		f.passed()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begun are the headers once they have come, and whether the whole direction has.
func (f *flow) begun() (headers *abi.Headers, whole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.headers, f.ended
}

// take empties the flow of its body.
func (f *flow) take() (data []byte, trailers *abi.Headers, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, f.data = f.data, nil
	signal(f.taken)
	return data, f.trailers, f.ended
}

// drained waits until at most so many bytes have not been taken yet, or it is over.
func (f *flow) drained(most int) {
	for {
		f.mu.Lock()
		held := len(f.data)
		f.mu.Unlock()
		if held <= most {
			return
		}
		select {
		case <-f.taken:
		case <-f.over:
			return
		}
	}
}

// fail lets readers read no more.
func (f *flow) fail(err error) {
	f.mu.Lock()
	f.broken = err
	f.mu.Unlock()
	signal(f.came)
}

// Read waits for a piece of the body. The end of a flow is io.EOF.
func (f *flow) Read(b []byte) (int, error) {
	for {
		f.mu.Lock()
		n := copy(b, f.data)
		f.data = f.data[n:]
		ended, broken := f.ended, f.broken
		f.mu.Unlock()
		switch {
		case n > 0:
			signal(f.taken)
			return n, nil
		case ended:
			return 0, io.EOF
		case broken != nil:
			return 0, broken
		}
		select {
		case <-f.came:
		case <-f.over: // net/http waits for who reads its requests' bodies, also when the request is cancelled
			return 0, errOver
		}
	}
}

// Close does nothing: who fills the flow ends it.
func (*flow) Close() error { return nil }
