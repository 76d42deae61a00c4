package distribution_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/catalog/catalogtest"
	"github.com/leash-gateway/leash/registry/distribution"
)

// A registry is a catalogue and what distributes it, over real sockets.
type registry struct {
	*distribution.Server
	Catalogue *catalog.Catalog
	Store     *catalogtest.Store
	Address   string

	t       testing.TB
	options distribution.Options
	stop    func()
	ahead   atomic.Int64 // how far the registry's clock is ahead
}

// newRegistry starts one. The end of the test ends it.
func newRegistry(t testing.TB, trust catalog.Trust, o distribution.Options) *registry {
	t.Helper()
	c, store := catalogtest.Open(t, trust)
	o.Catalogue, o.Log = c, slog.New(slog.NewTextHandler(t.Output(), nil))
	r := &registry{Catalogue: c, Store: store, t: t}
	if o.Now == nil {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }
	}
	r.options = o
	r.start(nettest.FreeAddress(t)) // one at which it can be started again
	t.Cleanup(func() { r.stop() })
	return r
}

// start starts the server, also one that was stopped: at the same address, with the same catalogue.
func (r *registry) start(address string) {
	r.t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Server = distribution.New(r.options)
	r.Address, r.stop = l.Addr().String(), r.serve(r.Server, l, nil)
}

// secured serves the same with TLS, beside it.
func (r *registry) secured(l net.Listener, config *tls.Config) (address string) {
	r.t.Cleanup(r.serve(distribution.New(r.options), l, config))
	return l.Addr().String()
}

func (r *registry) serve(s *distribution.Server, l net.Listener, config *tls.Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.ServeOn(ctx, l, config) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
}

// skip moves the clock on, by more than an Envoy is waited for.
func (r *registry) skip() { r.ahead.Add(int64(time.Minute)) }

const module = "acme/greeter"

// publish pushes modules.
func (r *registry) publish(modules ...[]byte) {
	r.t.Helper()
	for _, wasm := range modules {
		catalogtest.Publish(r.t, r.Catalogue, r.Store, module, wasm)
	}
}

// promote points stable at a version.
func (r *registry) promote(version string) {
	r.t.Helper()
	if _, err := r.Catalogue.Promote(context.Background(), catalogtest.Me, catalog.Promotion{Module: module, Channel: "stable", Version: version}); err != nil {
		r.t.Fatal(err)
	}
}

// lost are the slots whose Envoys are no longer connected.
func (r *registry) lost() (n int) {
	for _, one := range r.Envoys() {
		if one.State == distribution.Gone {
			n++
		}
	}
	return n
}

// points is the version that a channel points at.
func (r *registry) points(channel string) string {
	r.t.Helper()
	c, err := r.Catalogue.Channel(module, channel)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.Version
}

// state is that of the only Envoy with a slot, and running the version that it runs there.
func (r *registry) state(slot string) distribution.State { return r.status(slot).State }
func (r *registry) running(slot string) string           { return r.status(slot).Version }

func (r *registry) status(slot string) distribution.Status {
	for _, one := range r.Envoys() {
		if one.Slot == slot {
			return one
		}
	}
	return distribution.Status{}
}

// lastReason is that of the last event of a kind.
func (r *registry) lastReason(kind catalog.Kind) string {
	r.t.Helper()
	events, err := r.Catalogue.History(catalog.Query{Module: module})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == kind {
			return e.Actor + ": " + e.Reason
		}
	}
	return ""
}

// indented is text that stands deeper in YAML.
func indented(text string, by int) string {
	prefix := strings.Repeat(" ", by)
	return prefix + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+prefix)
}
