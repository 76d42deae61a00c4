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
	// came is sent to (never blocking) whenever something has come, or the flow was broken.
	came chan struct{}
	// passed, if there is one, is called on the worker after something has come.
	passed func()

	mu       sync.Mutex
	headers  *abi.Headers
	data     []byte
	trailers *abi.Headers
	ended    bool
	broken   error
}

var _ chain.Sink = (*flow)(nil)

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
	f.signal()
	if f.passed != nil {
		f.passed()
	}
}

func (f *flow) signal() {
	select {
	case f.came <- struct{}{}:
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
	return data, f.trailers, f.ended
}

// held is how many bytes nobody has taken yet.
func (f *flow) held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.data)
}

// fail lets readers read no more.
func (f *flow) fail(err error) {
	f.mu.Lock()
	f.broken = err
	f.mu.Unlock()
	f.signal()
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
			return n, nil
		case ended:
			return 0, io.EOF
		case broken != nil:
			return 0, broken
		}
		<-f.came
	}
}

// Close does nothing: who fills the flow ends it.
func (*flow) Close() error { return nil }
