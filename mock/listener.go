package mock

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Listen listens on an address, for a server of the provider's. While the provider is down, connections to it are refused:
// the setting "down" needs a listener of this kind. The server closes it.
func (p *Provider) Listen(ctx context.Context, address string) (net.Listener, error) {
	inner, err := (&net.ListenConfig{KeepAlive: time.Minute}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	l := &listener{inner: inner, address: inner.Addr(), open: map[*connection]struct{}{}}
	l.changed = sync.NewCond(&l.mu)
	p.listener.Store(l)
	return l, nil
}

// Down closes all connections and refuses new ones, until so much time has passed; it is false if the provider's listener is
// not one of Listen's.
func (p *Provider) Down(d time.Duration) bool {
	l := p.listener.Load()
	if l == nil {
		return false
	}
	l.down(d)
	return true
}

// A listener can be taken down and comes up again at the same address.
type listener struct {
	address net.Addr

	mu      sync.Mutex
	changed *sync.Cond
	inner   net.Listener // nil while it is down
	closed  bool
	open    map[*connection]struct{}
	again   *time.Timer
}

// Accept waits for a connection, however often the listener goes down meanwhile.
func (l *listener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		for l.inner == nil && !l.closed {
			l.changed.Wait()
		}
		inner := l.inner
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		accepted, err := inner.Accept()
		l.mu.Lock()
		current := l.inner == inner && !l.closed
		if err != nil && current {
			l.mu.Unlock()
			return nil, err
		}
		if err == nil && current {
			c := &connection{TCPConn: accepted.(*net.TCPConn), of: l} //nolint:forcetypeassert,errcheck // it listens on TCP
			l.open[c] = struct{}{}
			l.mu.Unlock()
			return c, nil
		}
		l.mu.Unlock()
		if err == nil {
			_ = accepted.Close() // it came as the listener went down
		}
	}
}

// Addr is where it listens.
func (l *listener) Addr() net.Addr { return l.address }

// Close ends it for good.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.changed.Broadcast()
	if l.again != nil {
		l.again.Stop()
	}
	if l.inner == nil {
		return nil
	}
	return l.inner.Close()
}

func (l *listener) down(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.inner != nil {
		_ = l.inner.Close() // what it has accepted is closed below
		l.inner = nil
	}
	for c := range l.open {
		_ = c.TCPConn.Close() // as a process that dies
	}
	clear(l.open)
	if l.again != nil {
		l.again.Stop()
	}
	l.again = time.AfterFunc(d, l.up)
}

// reopenEvery is how often it tries to have its address back, in case someone else has it for a moment.
const reopenEvery = 50 * time.Millisecond

func (l *listener) up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.inner != nil {
		return
	}
	inner, err := (&net.ListenConfig{KeepAlive: time.Minute}).Listen(context.Background(), "tcp", l.address.String())
	if err != nil {
		l.again = time.AfterFunc(reopenEvery, l.up)
		return
	}
	l.inner = inner
	l.changed.Broadcast()
}

// A connection is known to its listener until it is closed.
type connection struct {
	*net.TCPConn
	of *listener
}

// Close closes it.
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.TCPConn.Close()
}
