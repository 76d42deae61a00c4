// Package extproc is the Module Host: it runs pipelines of proxy-wasm modules for Envoys that do not load Wasm
// themselves, as the gRPC service envoy.service.ext_proc.v3.ExternalProcessor.
//
//	client ─▶ Envoy ─▶ provider
//	            │ ▲   one gRPC stream an exchange: headers, bodies, trailers there,
//	            ▼ │   what the modules made of them back
//	           Host ─ Pipeline ─ slot (a Worker, with a VM for each filter) ─ chain.Exchange
//
// A Host holds pipelines by name. Load replaces one while exchanges run: new exchanges take the new one, those under
// way end on the old one, which then is freed. Service serves a Host over gRPC.
//
// Protocol: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/service/ext_proc/v3/external_processor.proto
package extproc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leash-gateway/leash/host/abi"
)

// DefaultPipeline is the pipeline of an exchange that names none.
const DefaultPipeline = "default"

// Errors of Load and Unload.
var (
	// ErrNotLoaded says that there is no pipeline of a name.
	ErrNotLoaded = errors.New("no such pipeline")
	// ErrClosed says that the Host has been closed.
	ErrClosed = errors.New("the host is closed")
	// ErrBusy says that there are too many exchanges at one time.
	ErrBusy = errors.New("too many exchanges at one time")
	// ErrInvalid says that what is to be loaded makes no pipeline: a wrong .wasm, or a configuration that its module
	// refuses.
	ErrInvalid = errors.New("invalid pipeline")
)

// Options are how a Host runs modules. The zero value is safe.
type Options struct {
	// Engine bounds VMs and names the folder for compiled code.
	Engine abi.Options
	// Workers is how many exchanges may be worked on at the same instant; a pipeline has a VM of each filter for each.
	// Default: one for each core.
	Workers int
	// MaxExchanges is how many exchanges may be under way; more are refused. Each holds what its modules hold back, up to
	// MaxBuffer of its pipeline in each direction. Default 10,000.
	MaxExchanges int
	// Records takes the lines of the module logger. Default: nowhere.
	Records io.Writer
	// Log takes everything else that modules and the host write. Default: nowhere.
	Log *slog.Logger
	// HTTP makes the calls of modules. Default: each is refused as one to an unknown cluster.
	HTTP abi.HTTPCaller
	// RevivePause is how long after a VM has died it is made anew, so that one that dies at every exchange does not
	// keep a core busy. Default 1 s.
	RevivePause time.Duration
}

// A Host runs pipelines. It is safe for concurrent use.
type Host struct {
	options   Options
	engine    *abi.Engine
	programs  *programs
	shared    *abi.Shared
	metrics   *Metrics
	exchanges atomic.Int64
	revive    context.Context // ends with the Host
	stop      context.CancelFunc
	work      sync.WaitGroup // exchanges, and what replaces and frees VMs

	mu        sync.RWMutex
	pipelines map[string]*pipeline
	closed    bool
	watchers  []func(ready error)
	loading   sync.Mutex // one Load at a time
}

// New is a Host without pipelines. Close it.
func New(ctx context.Context, o Options) (*Host, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MaxExchanges <= 0 {
		o.MaxExchanges = 10_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Records == nil {
		o.Records = io.Discard
	}
	if o.RevivePause <= 0 {
		o.RevivePause = time.Second
	}
	engine, err := abi.New(ctx, o.Engine)
	if err != nil {
		return nil, fmt.Errorf("start module host: %w", err)
	}
	h := &Host{
		options: o, engine: engine, programs: &programs{engine: engine, bySum: map[[sha256.Size]byte]*program{}},
		shared: abi.NewShared(), pipelines: map[string]*pipeline{},
	}
	h.metrics = newMetrics(h)
	h.revive, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	return h, nil
}

// Load makes spec the pipeline of its name, in the place of one that is there. It returns when new exchanges take it. An
// error (ErrInvalid, unless the Host is closed or ctx has ended) leaves everything as it was.
func (h *Host) Load(ctx context.Context, spec Spec) (Status, error) {
	h.loading.Lock()
	defer h.loading.Unlock()
	if err := spec.check(); err != nil {
		return Status{}, fmt.Errorf("load pipeline %s: %w: %w", spec.Name, ErrInvalid, err)
	}
	if err := ctx.Err(); err != nil { // while another was loaded
		return Status{}, fmt.Errorf("load pipeline %s: %w", spec.Name, err)
	}
	next, err := h.newPipeline(ctx, spec)
	if err != nil {
		return Status{}, fmt.Errorf("load pipeline %s: %w: %w", spec.Name, ErrInvalid, err)
	}
	if err := ctx.Err(); err != nil { // who has been told that it failed may have unloaded the name meanwhile
		next.retire()
		return Status{}, fmt.Errorf("load pipeline %s: %w", spec.Name, err)
	}
	h.mu.Lock()
	previous := h.pipelines[spec.Name]
	next.generation = 1
	if previous != nil {
		next.generation = previous.generation + 1
	}
	if h.closed {
		h.mu.Unlock()
		next.retire()
		return Status{}, ErrClosed
	}
	h.pipelines[spec.Name] = next
	h.tell()
	h.mu.Unlock()
	if previous != nil {
		previous.retire()
	}
	h.options.Log.Info("pipeline loaded", "pipeline", spec.Name, "generation", next.generation)
	return next.status(), nil
}

// Unload takes a pipeline away; exchanges under way end on it. Its error is ErrNotLoaded.
func (h *Host) Unload(name string) error {
	h.mu.Lock()
	p := h.pipelines[name]
	delete(h.pipelines, name)
	h.tell()
	h.mu.Unlock()
	if p == nil {
		return fmt.Errorf("unload pipeline %s: %w", name, ErrNotLoaded)
	}
	p.retire()
	h.options.Log.Info("pipeline unloaded", "pipeline", name)
	return nil
}

// List is what is loaded, by name.
func (h *Host) List() []Status {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var all []Status
	for _, name := range slices.Sorted(maps.Keys(h.pipelines)) {
		all = append(all, h.pipelines[name].status())
	}
	return all
}

// Status is the state of one pipeline. Its error is ErrNotLoaded.
func (h *Host) Status(name string) (Status, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if p := h.pipelines[name]; p != nil {
		return p.status(), nil
	}
	return Status{}, fmt.Errorf("pipeline %s: %w", name, ErrNotLoaded)
}

// Ready is nil if exchanges can be worked on.
func (h *Host) Ready() error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.ready()
}

func (h *Host) ready() error {
	switch {
	case h.closed:
		return ErrClosed
	case len(h.pipelines) == 0:
		return errors.New("no pipeline is loaded")
	}
	return nil
}

// onReady has f told now, and whenever that may have changed, what Ready says. f must not call the Host.
func (h *Host) onReady(f func(ready error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers = append(h.watchers, f)
	f(h.ready())
}

// tell tells those who watch. h.mu is held.
func (h *Host) tell() {
	for _, f := range h.watchers {
		f(h.ready())
	}
}

// Metrics are the metrics of the Host and of its modules.
func (h *Host) Metrics() *Metrics { return h.metrics }

// acquire takes the least busy slot of a pipeline for an exchange; the pipeline's release gives it back. Its error is
// ErrNotLoaded or ErrBusy.
func (h *Host) acquire(name string) (*pipeline, *slot, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	p := h.pipelines[name]
	if p == nil {
		return nil, nil, fmt.Errorf("pipeline %s: %w", name, ErrNotLoaded)
	}
	if h.exchanges.Add(1) > int64(h.options.MaxExchanges) {
		h.exchanges.Add(-1)
		return nil, nil, ErrBusy
	}
	h.work.Add(1) // before closed can be set, so before Close waits
	return p, p.acquire(), nil
}

// Close unloads everything and waits until exchanges have ended; whoever serves them ends them. More calls do nothing.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	pipelines := h.pipelines
	h.pipelines = nil
	closed := h.closed
	h.closed = true
	h.tell()
	h.mu.Unlock()
	if closed {
		return nil
	}
	h.stop()
	for _, p := range pipelines {
		p.retire()
	}
	h.work.Wait()
	return h.engine.Close(ctx)
}
