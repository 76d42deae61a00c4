package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	plugins   []config.Filter // those of the pipeline, and behind them those that take exchanges to a provider
	pipeline  int             // how many the former are
	carriers  map[string]int  // by provider: the place of the latter
	machines  []machine
	failOpen  []bool // by filter of the pipeline: an inspector
	routes    *routes
	providers map[string]*provider
	trusted   []config.Network // proxies in front
	maxBuffer int              // bytes that a module may hold of a body
	idle      time.Duration    // how long any exchange may be silent
	workers   []*worker
	exchanges sync.WaitGroup
	calls     sync.WaitGroup // that modules make
	checkers  []*checker
	checks    checks
}

// A machine is a VM that each worker has: what of the plugins has the same code, and may do the same, shares one, as in Envoy.
type machine struct {
	name    string // of its first plugin
	vm      string
	allow   []string
	program *abi.Program
	plugins []int // by their places
}

const leastIdle = time.Minute

// bufferSlack lets the modules be the first to find a body too large: theirs is the better error.
const bufferSlack = 1 << 20

func (g *Gateway) newGeneration(ctx context.Context, c *config.Config, o Options) (*generation, error) {
	n := &generation{
		gateway: g, plugins: c.Filters(), carriers: map[string]int{}, routes: newRoutes(c, o), providers: map[string]*provider{}, trusted: c.TrustedProxies,
		maxBuffer: int(max(c.Limits.RequestBytes, c.Limits.ResponseBytes)) + bufferSlack, idle: g.settings.leastIdle,
	}
	n.pipeline = len(n.plugins)
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		n.idle = max(n.idle, time.Duration(c.Providers[name].Timeouts.Idle))
		p, err := newProvider(name, c, o, g.metrics, g.settings.Log)
		if err != nil {
			return nil, &Refused{Provider: name, Err: err}
		}
		n.providers[name] = p
		if o.Mock[name] == nil {
			if one := newChecker(name, c.Providers[name], p, g.settings.Log); one != nil {
				n.checkers = append(n.checkers, one)
			}
		}
		n.carriers[name] = len(n.plugins)
		n.plugins = append(n.plugins, c.Carrier(name, strings.TrimRight(p.base.EscapedPath(), "/"), false))
	}
	if err := n.findMachines(ctx, o.ModulesDir); err != nil {
		return nil, err
	}
	for _, f := range n.plugins[:n.pipeline] {
		n.failOpen = append(n.failOpen, !f.Policy)
	}
	var starting errgroup.Group // a VM takes some tens of milliseconds to start
	for range g.settings.Workers {
		w := &worker{generation: n, slots: make([]slot, len(n.machines)), plugins: make([]*abi.Plugin, len(n.plugins))}
		n.workers = append(n.workers, w)
		starting.Go(func() error { return w.start(ctx) })
	}
	if err := starting.Wait(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// findMachines gives each plugin the VM that it runs in.
func (n *generation) findMachines(ctx context.Context, dir string) error {
	for i, f := range n.plugins {
		p, err := n.gateway.program(ctx, f, dir)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(n.machines, func(m machine) bool { return m.vm == f.VM && m.program == p && slices.Equal(m.allow, f.Allow) })
		if at < 0 {
			at = len(n.machines)
			n.machines = append(n.machines, machine{name: f.Name, vm: f.VM, allow: f.Allow, program: p})
		}
		n.machines[at].plugins = append(n.machines[at].plugins, i)
	}
	return nil
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

// A worker has a VM of each machine.
type worker struct {
	abi.Worker
	generation *generation
	exchanges  atomic.Int32

	slots   []slot        // by machine; only on the worker
	plugins []*abi.Plugin // by place; likewise, and replaced as a whole, because exchanges keep it
}

// A slot is where the VM of a machine lives.
type slot struct {
	vm     *abi.VM
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

// load makes the VM of a machine, with its plugins. It runs on the worker.
func (w *worker) load(ctx context.Context, i int) error {
	n, s := w.generation, &w.slots[i]
	m := &n.machines[i]
	s.loaded = time.Now()
	vm, err := m.program.NewVM(ctx, &w.Worker, abi.VMConfig{ID: m.vm, Allow: m.allow, Host: abi.Host{
		Logger: (*logger)(n.gateway), Shared: n.gateway.shared, Metrics: n.gateway.metrics, HTTP: (*caller)(n),
	}})
	if err != nil {
		return &Refused{Filter: m.name, Err: err}
	}
	plugins := slices.Clone(w.plugins)
	for _, at := range m.plugins {
		f := &n.plugins[at]
		if plugins[at], err = vm.NewPlugin(abi.PluginConfig{
			Name: f.Name, Configuration: f.Config, AllowOnHeadersStopIteration: m.program.Kit(), Properties: node{},
		}); err != nil {
			_ = vm.Close(ctx)
			return &Refused{Filter: f.Name, Err: err}
		}
	}
	s.vm, w.plugins = vm, plugins
	n.gateway.metrics.vms.Add(1)
	return nil
}

// reloadPause keeps a module that dies at every request from being started without a pause.
const reloadPause = time.Second

// mend replaces VMs that have died. Until a policy's has been replaced it refuses; an inspector's lets pass. What was stopped stays so.
func (w *worker) mend() {
	for i := range w.slots {
		s, m := &w.slots[i], w.generation.gateway.metrics
		cause := s.vm.Err()
		if cause == nil || errors.Is(cause, abi.ErrClosed) {
			continue
		}
		name := w.generation.machines[i].name
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
				for _, at := range w.generation.machines[i].plugins {
					_, _ = w.plugins[at].Close() // a VM that has died cannot say goodbye
				}
				_ = s.vm.Close(context.Background())
				w.generation.gateway.metrics.vms.Add(-1)
			}
		}
	})
}
