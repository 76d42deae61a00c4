package gateway

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

type connectKey struct{}

// connectWithin bounds how long requests in a context wait for a connection; 0 leaves that to the provider. Connections are the provider's
// all the same: whichever is free is taken.
func connectWithin(ctx context.Context, bound time.Duration) context.Context {
	if bound == 0 {
		return ctx
	}
	return context.WithValue(ctx, connectKey{}, bound)
}

// A dialer makes the connections to a provider.
type dialer struct {
	connect  time.Duration // within which one comes about where the request has no bound of its own
	tls      *tls.Config
	failures *atomic.Int64
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return d.within(ctx, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	})
}

// dialTLS has the handshake within the same bound, as Envoy has it.
func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	return d.within(ctx, func(ctx context.Context) (net.Conn, error) {
		return (&tls.Dialer{Config: d.tls}).DialContext(ctx, network, address)
	})
}

func (d *dialer) within(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	bound, ok := ctx.Value(connectKey{}).(time.Duration)
	if !ok {
		bound = d.connect
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	c, err := dial(ctx)
	if err != nil {
		d.failures.Add(1)
		return nil, dialError{err}
	}
	return c, nil
}

// A dialError says that no connection came about, and so that nothing has reached the provider.
type dialError struct{ error }

// Unwrap is why.
func (e dialError) Unwrap() error { return e.error }
