package gateway

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
)

// A generation is one configuration at work.
type generation struct {
	gateway   *Gateway
	filters   []config.Filter
	programs  []*abi.Program // by filter
	failOpen  []bool         // by filter: an inspector
	routes    *routes
	providers map[string]*provider
	maxBuffer int           // bytes that a module may hold of a body
	idle      time.Duration // how long any exchange may be silent
	workers   []*worker
	exchanges sync.WaitGroup
	calls     sync.WaitGroup // that modules make
}

const leastIdle = time.Minute

// bufferSlack lets the modules be the first to find a body too large: theirs is the better error.
const bufferSlack = 1 << 20

func (g *Gateway) newGeneration(ctx context.Context, c *config.Config, o Options) (*generation, error) {
	n := &generation{
		gateway: g, filters: c.Filters(), routes: newRoutes(c, o), providers: map[string]*provider{},
		maxBuffer: int(max(c.Limits.RequestBytes, c.Limits.ResponseBytes)) + bufferSlack, idle: g.settings.leastIdle,
	}
	for name := range c.Providers {
		n.idle = max(n.idle, time.Duration(c.Providers[name].Timeouts.Idle))
		p, err := newProvider(name, c, o, g.metrics)
		if err != nil {
			return nil, &Refused{Provider: name, Err: err}
		}
		n.providers[name] = p
	}
	for _, f := range n.filters {
		p, _, err := g.program(ctx, f, o.ModulesDir)
		if err != nil {
			return nil, err
		}
		n.programs = append(n.programs, p)
		n.failOpen = append(n.failOpen, !f.Policy)
	}
	var starting errgroup.Group // a VM takes some tens of milliseconds to start
	for range g.settings.Workers {
		w := &worker{generation: n, slots: make([]slot, len(n.filters))}
		n.workers = append(n.workers, w)
		starting.Go(func() error { return w.start(ctx) })
	}
	if err := starting.Wait(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// retire ends the generation when its last exchange has ended.
func (n *generation) retire() {
	n.exchanges.Wait()
	n.close()
}

func (n *generation) close() {
	for _, w := range n.workers {
		w.stop()
	}
	n.calls.Wait() // they have been cancelled
	for _, p := range n.providers {
		p.transport.CloseIdleConnections()
	}
}

// worker picks the one with the fewest exchanges.
func (n *generation) worker() *worker {
	least := n.workers[0]
	for _, w := range n.workers[1:] {
		if w.exchanges.Load() < least.exchanges.Load() {
			least = w
		}
	}
	least.exchanges.Add(1)
	return least
}

// A worker has a VM of each filter.
type worker struct {
	abi.Worker
	generation *generation
	exchanges  atomic.Int32

	slots   []slot        // only on the worker
	plugins []*abi.Plugin // likewise; replaced as a whole, because exchanges keep it
}

// A slot is where the VM of one filter lives.
type slot struct {
	vm     *abi.VM
	plugin *abi.Plugin
	loaded time.Time
}

func (w *worker) start(ctx context.Context) (err error) {
	w.Do(func() {
		for i := range w.slots {
			if err = w.load(ctx, i); err != nil {
				return
			}
		}
	})
	return err
}

// load makes the VM of a filter. It runs on the worker.
func (w *worker) load(ctx context.Context, i int) error {
	n, s := w.generation, &w.slots[i]
	f := &n.filters[i]
	s.loaded = time.Now()
	vm, err := n.programs[i].NewVM(ctx, &w.Worker, abi.VMConfig{ID: f.Name, Allow: f.Allow, Host: abi.Host{
		Logger: (*logger)(n.gateway), Shared: n.gateway.shared, Metrics: n.gateway.metrics, HTTP: (*caller)(n),
	}})
	if err != nil {
		return &Refused{Filter: f.Name, Err: err}
	}
	plugin, err := vm.NewPlugin(abi.PluginConfig{
		Name: f.Name, Configuration: f.Config, AllowOnHeadersStopIteration: true, Properties: node{},
	})
	if err != nil {
		_ = vm.Close(ctx)
		return &Refused{Filter: f.Name, Err: err}
	}
	s.vm, s.plugin = vm, plugin
	n.gateway.metrics.vms.Add(1)
	plugins := make([]*abi.Plugin, len(w.slots))
	for j := range w.slots {
		plugins[j] = w.slots[j].plugin
	}
	w.plugins = plugins
	return nil
}

// reloadPause keeps a module that dies at every request from being started without a pause.
const reloadPause = time.Second

// mend replaces VMs that have died. Until a policy's has been replaced it refuses; an inspector's lets pass.
func (w *worker) mend() {
	for i := range w.slots {
		s, m := &w.slots[i], w.generation.gateway.metrics
		cause := s.vm.Err()
		if cause == nil {
			continue
		}
		name := w.generation.filters[i].Name
		if time.Since(s.loaded) < reloadPause {
			m.reload(name, "backoff")
			continue
		}
		log := w.generation.gateway.settings.Log
		dead := s.vm
		if err := w.load(context.Background(), i); err != nil {
			m.reload(name, "failure")
			log.Error("load a module again that has failed", "module", name, "error", err)
			continue
		}
		m.reload(name, "success")
		m.vms.Add(-1)
		_ = dead.Close(context.Background()) // what it has left are exchanges that know of its end
		log.Warn("a module was loaded again", "module", name, "cause", firstLine(fmt.Sprint(cause)))
	}
}

// stop ends the VMs. No exchange may run.
func (w *worker) stop() {
	w.Do(func() {
		for i := range w.slots {
			if s := &w.slots[i]; s.vm != nil {
				_, _ = s.plugin.Close() // a VM that has died cannot say goodbye
				_ = s.vm.Close(context.Background())
				w.generation.gateway.metrics.vms.Add(-1)
			}
		}
	})
}
