package distribution

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extension "github.com/envoyproxy/go-control-plane/envoy/service/extension/v3"
	metrics "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/catalog"
)

// Options are what a server needs.
type Options struct {
	// Catalogue says where channels point, and has the modules.
	Catalogue *catalog.Catalog
	// Access says who may have which module; nil: everybody all. An Envoy says who it is with a token, in the metadata authorization of its
	// gRPC service.
	Access *access.Control
	// Slots is the file of the slots' configurations (see [LoadSlots]); "": modules run with their defaults.
	Slots string
	// Patience is how long an Envoy may take to load a module until that counts as a refusal. Default: 30 s.
	Patience time.Duration
	// MinRequests is how many requests canaries must have served before they are judged by errors and latency. Default: 100.
	MinRequests int
	// Log takes what happens.
	Log *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

const (
	defaultPatience    = 30 * time.Second
	defaultMinRequests = 100
	// tick is how often deadlines and canaries are looked at.
	tick = 250 * time.Millisecond
	// recheckEvery is how often everything is verified anew that Envoys may still ask for: what was revoked in the trust policy, or
	// changed in the store, is found out at the latest then.
	recheckEvery = 30 * time.Second
	// maxSlots bounds how many slots one stream may name, maxPast how many are remembered of Envoys that are gone.
	maxSlots = 256
	maxPast  = 10_000
)

// A Server gives Envoys their modules. Make it with [New], register it with a gRPC server, and run [Server.Serve] beside that.
type Server struct {
	o Options

	// kick wakes Serve: something is dirty, or there are verdicts. It has room for one.
	kick    chan struct{}
	metrics *counters
	made    atomic.Int64 // numbers filters, from when the server was started

	mu       sync.Mutex
	targets  map[string]*target // by the slot's name
	dirty    map[string]bool    // slots to be looked up
	streams  map[*stream]bool
	nodes    map[string]map[*stream]bool // streams by the id of their node
	verdicts []verdict
	judged   map[release]bool
	coming   map[line]digest.Digest // versions whose promotion is under way
	unfit    map[release]string     // versions that did not load on standby, and why
	away     map[subject]away       // Envoys that went away while they loaded something
	slots    *Slots
	trials   map[release]*trial
	meters   map[string]traffic // by node
	past     map[subject]Status // of Envoys that are no longer connected
}

// New makes a server. It does nothing until Serve is called.
func New(o Options) *Server {
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.MinRequests <= 0 {
		o.MinRequests = defaultMinRequests
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		o: o, kick: make(chan struct{}, 1), metrics: newCounters(), targets: map[string]*target{}, dirty: map[string]bool{}, streams: map[*stream]bool{},
		nodes: map[string]map[*stream]bool{}, coming: map[line]digest.Digest{}, unfit: map[release]string{}, judged: map[release]bool{}, away: map[subject]away{}, trials: map[release]*trial{}, meters: map[string]traffic{}, past: map[subject]Status{},
	}
	s.made.Store(o.Now().UnixNano())
	return s
}

// Register adds the services to a gRPC server, which must be made with [Codec].
func (s *Server) Register(g grpc.ServiceRegistrar) {
	extension.RegisterExtensionConfigDiscoveryServiceServer(g, &plain{s: s})
	discovery.RegisterAggregatedDiscoveryServiceServer(g, &aggregated{s: s})
	metrics.RegisterMetricsServiceServer(g, &metering{s: s})
}

// Serve follows the catalogue until ctx ends: it looks up what slots are to be filled with, moves channels back whose
// version an Envoy refuses, and judges canaries.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	if err := s.watchSlots(ctx, &waiting); err != nil {
		return err
	}
	_, seq := s.o.Catalogue.AllChannels()
	waiting.Go(func() {
		for e, err := range s.o.Catalogue.Watch(ctx, seq) {
			if err != nil {
				if ctx.Err() == nil {
					s.o.Log.Error("the catalogue can no longer be followed", "error", err)
				}
				return
			}
			s.moved(e)
		}
	})
	ticks, rechecks := time.NewTicker(tick), time.NewTicker(recheckEvery)
	defer ticks.Stop()
	defer rechecks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
		case <-ticks.C:
			s.overdue()
			s.judgeTrials(ctx)
		case <-rechecks.C:
			s.recheck()
		}
		s.execute(ctx)
		s.refresh(ctx)
	}
}

// recheck has everything looked up again that an Envoy has asked for, and forgets the rest.
func (s *Server) recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.targets {
		if len(s.subscriptions(name)) == 0 {
			delete(s.targets, name)
			delete(s.dirty, name)
			continue
		}
		s.dirty[name] = true
	}
}

// moved marks what an event of the catalogue may have changed.
func (s *Server) moved(e catalog.Event) {
	switch e.Kind {
	case catalog.Promote, catalog.Rollback, catalog.Clear, catalog.StartCanary, catalog.EndCanary, catalog.Yank, catalog.Release, catalog.Deprecate, catalog.Undeprecate:
	default:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, t := range s.targets {
		if t.slot.Module == e.Module {
			s.dirty[name] = true
		}
	}
	if e.Kind == catalog.Promote || e.Kind == catalog.StartCanary {
		s.pardon(release{e.Module, e.Channel, e.Digest})
	}
	s.wake()
}

// pardon forgets what is held against a release: somebody wants it, perhaps again. s.mu is held.
func (s *Server) pardon(r release) {
	delete(s.judged, r)
	delete(s.unfit, r)
	for name, t := range s.targets {
		if t.slot.Module != r.module || t.slot.Channel != r.channel {
			continue
		}
		for _, sub := range s.subscriptions(name) {
			if _, d := digestOf(sub.refused); d == r.digest {
				sub.refused, sub.reason = "", ""
				s.spend(name, r.digest)
			}
		}
	}
}

// spend has another filter made of a version that an Envoy has refused, which is to be asked about it again. s.mu is held.
func (s *Server) spend(name string, d digest.Digest) {
	s.dirty[name] = true
	for _, f := range []*filter{s.targets[name].filter, s.targets[name].canary} {
		if f != nil && f.build.Digest == d {
			f.spent.Store(true)
		}
	}
}

// wake wakes Serve. s.mu may be held.
func (s *Server) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// refresh looks up the slots that are dirty, and tells the streams.
func (s *Server) refresh(ctx context.Context) {
	s.mu.Lock()
	names := slices.Sorted(maps.Keys(s.dirty))
	clear(s.dirty)
	s.mu.Unlock()
	for _, name := range names {
		s.mu.Lock()
		before, slots, asked := s.targets[name], s.slots, s.subscriptions(name)
		s.mu.Unlock()
		if before == nil {
			continue // nobody asks for it any more
		}
		next := s.lookUp(ctx, before, slots)
		s.mu.Lock()
		s.targets[name] = next
		for _, sub := range asked {
			sub.verified = true
		}
		for st := range s.streams {
			if st.slots[name] != nil {
				s.wakeNode(st) // a slot on standby may have waited for this one to be looked up
			}
		}
		s.mu.Unlock()
	}
}

// subscriptions are those to a slot. s.mu is held.
func (s *Server) subscriptions(name string) (all []*subscription) {
	for st := range s.streams {
		if sub := st.slots[name]; sub != nil {
			all = append(all, sub)
		}
	}
	return all
}
