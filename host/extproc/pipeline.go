package extproc

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leash-gateway/leash/host/abi"
)

// A Status is the state of a loaded pipeline.
type Status struct {
	Name string
	// Generation counts how often the name has been loaded.
	Generation int64
	Loaded     time.Time
	Filters    []FilterStatus
	// Needs are the parts of an exchange that the pipeline looks at.
	Needs Parts
	// Policy says that exchanges are refused where the pipeline cannot run.
	Policy bool
	// Exchanges are under way now, Failures VMs that have died since it was loaded.
	Exchanges, Failures int64
	// Memory of all VMs, in bytes.
	Memory int64
}

// A FilterStatus is what a pipeline tells of one filter.
type FilterStatus struct {
	Name   string
	SHA256 string // of the .wasm, in hexadecimal digits
	Policy bool
}

// pipeline is a loaded Spec.
type pipeline struct {
	host       *Host
	spec       Spec // without the .wasm, which is compiled
	programs   []*program
	failOpen   []bool
	policy     bool
	needs      Parts
	generation int64
	loaded     time.Time
	active     atomic.Int64 // exchanges
	failures   atomic.Int64
	memory     atomic.Int64
	complained atomic.Int64 // when, in Unix seconds

	mu      sync.Mutex
	slots   []*slot
	retired bool
	open    int // slots that are not closed yet
}

// slot is where exchanges run: one at a time, through VMs of its own.
type slot struct {
	worker  *abi.Worker
	vms     []*abi.VM
	plugins []*abi.Plugin
	memory  int64
	refs    int  // exchanges; guarded by the pipeline's mu
	dead    bool // likewise: a VM has failed, and another slot takes its place soon
	retired bool // likewise: to be closed after its last exchange
}

func (h *Host) newPipeline(ctx context.Context, spec Spec) (*pipeline, error) {
	spec.Filters = slices.Clone(spec.Filters)
	p := &pipeline{host: h, loaded: time.Now()}
	for i, f := range spec.Filters {
		program, err := h.programs.get(ctx, f.Wasm)
		if err != nil {
			p.retire()
			return nil, fmt.Errorf("filter %s: %w", f.Name, err)
		}
		p.programs = append(p.programs, program)
		p.failOpen = append(p.failOpen, !f.Policy)
		p.policy = p.policy || f.Policy
		p.needs |= partsOf(program.Callbacks()) &^ f.Unneeded
		spec.Filters[i].Wasm = nil
	}
	p.spec = spec
	for range h.options.Workers {
		s, err := p.newSlot(ctx)
		if err != nil {
			p.retire()
			return nil, err
		}
		p.slots = append(p.slots, s)
		p.open++
	}
	return p, nil
}

// newSlot starts the VMs of the filters.
func (p *pipeline) newSlot(ctx context.Context) (s *slot, err error) {
	s = &slot{worker: &abi.Worker{}}
	s.worker.Do(func() {
		for i, f := range p.spec.Filters {
			if err = s.add(ctx, p, i); err != nil {
				err = fmt.Errorf("filter %s: %w", f.Name, err)
				s.close(ctx)
				return
			}
		}
		p.measure(s)
	})
	return s, err
}

// add makes the plugin of a filter, in the VM of one before it if they share one.
func (s *slot) add(ctx context.Context, p *pipeline, i int) error {
	f, vm := p.spec.Filters[i], s.shared(p, i)
	if vm == nil {
		var err error
		if vm, err = p.newVM(ctx, s, i); err != nil {
			return err
		}
		s.vms = append(s.vms, vm)
	}
	plugin, err := vm.NewPlugin(abi.PluginConfig{Name: f.Name, RootID: f.RootID, Configuration: f.Configuration, AllowOnHeadersStopIteration: p.programs[i].Kit()})
	if err != nil {
		return err
	}
	s.plugins = append(s.plugins, plugin)
	return nil
}

// shared is the VM that a filter shares with one before it.
func (s *slot) shared(p *pipeline, i int) *abi.VM {
	f := p.spec.Filters[i]
	for at, plugin := range s.plugins {
		if other := p.spec.Filters[at]; f.VM != "" && other.VM == f.VM && p.programs[at] == p.programs[i] && slices.Equal(other.Allow, f.Allow) {
			return plugin.VM()
		}
	}
	return nil
}

func (p *pipeline) newVM(ctx context.Context, s *slot, i int) (*abi.VM, error) {
	h, f := p.host, p.spec.Filters[i]
	return p.programs[i].NewVM(ctx, s.worker, abi.VMConfig{
		ID:     p.spec.Name + "/" + cmp.Or(f.VM, f.Name), // so that limits outlive a pipeline of the same name
		Allow:  f.Allow,
		Failed: func(err error) { p.died(s, fmt.Errorf("%s: %w", f.Name, err)) },
		Host: abi.Host{
			Logger: &moduleLog{log: h.options.Log, records: h.options.Records, pipeline: p.spec.Name},
			Shared: h.shared, Metrics: h.metrics.modules, HTTP: h.options.HTTP,
		},
	})
}

// measure notes the memory of a slot's VMs. It runs on the slot's worker.
func (p *pipeline) measure(s *slot) {
	var now int64
	for _, vm := range s.vms {
		now += vm.MemorySize()
	}
	p.memory.Add(now - s.memory)
	s.memory = now
}

// close frees the VMs. It runs on the slot's worker.
func (s *slot) close(ctx context.Context) {
	for _, plugin := range s.plugins {
		if plugin.VM().Err() == nil {
			_, _ = plugin.Close() // a module that is not done yet ends with its VM
		}
	}
	for _, vm := range s.vms {
		_ = vm.Close(ctx)
	}
}

// acquire takes the least busy slot that lives. If none does, a dead one: its chain refuses the exchange or lets it
// pass, as its filters are policies or not.
func (p *pipeline) acquire() *slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := p.slots[0]
	for _, s := range p.slots[1:] {
		if best.dead && !s.dead || best.dead == s.dead && s.refs < best.refs {
			best = s
		}
	}
	best.refs++
	p.active.Add(1)
	return best
}

// release gives a slot back.
func (p *pipeline) release(s *slot) {
	defer p.host.work.Done()
	p.host.exchanges.Add(-1)
	p.active.Add(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	s.refs--
	p.closeIdle(s)
}

// died has a slot replaced, one of whose VMs has died of what err says: in an exchange, or in a tick between two. One that dies as it is started is in
// no slot yet, which whoever starts it is told.
func (p *pipeline) died(s *slot, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.dead || !slices.Contains(p.slots, s) {
		return
	}
	s.dead = true
	p.failures.Add(1)
	cause, _, _ := strings.Cut(err.Error(), "\n") // the stack comes behind it
	p.host.options.Log.Warn("a VM has died, and is made anew", "pipeline", p.spec.Name, "cause", cause)
	if !p.retired {
		p.host.work.Go(func() { p.replace(s) })
	}
}

// replace puts a new slot in the place of a dead one, after a pause, and tries again until it lives.
func (p *pipeline) replace(old *slot) {
	for {
		select {
		case <-p.host.revive.Done():
			return
		case <-time.After(p.host.options.RevivePause):
		}
		if !p.reserve() {
			return
		}
		fresh, err := p.newSlot(p.host.revive)
		if err == nil {
			p.put(old, fresh)
			return
		}
		p.unreserve()
		p.host.options.Log.Error("start a VM anew", "pipeline", p.spec.Name, "error", err)
	}
}

// reserve keeps the programs while a slot is made. It tells whether there is a use for one.
func (p *pipeline) reserve() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.retired {
		p.open++
	}
	return !p.retired
}

func (p *pipeline) unreserve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slotClosed()
}

func (p *pipeline) put(old, fresh *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots[slices.Index(p.slots, old)] = fresh
	old.retired, fresh.retired = true, p.retired
	p.closeIdle(old)
	p.closeIdle(fresh)
}

// retire frees the pipeline when its last exchange has ended.
func (p *pipeline) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
	for _, s := range p.slots { // a slot that replaces one is in open, and retires when it is put
		s.retired = true
		p.closeIdle(s)
	}
	if len(p.slots) == 0 {
		p.closePrograms()
	}
}

// closeIdle frees a slot that is retired and runs nothing, and with the last slot the programs. p.mu is held.
func (p *pipeline) closeIdle(s *slot) {
	if !s.retired || s.refs > 0 {
		return
	}
	s.refs = -1 << 30 // never again
	p.host.work.Go(func() {
		s.worker.Do(func() { s.close(context.Background()); p.memory.Add(-s.memory) })
		p.mu.Lock()
		defer p.mu.Unlock()
		p.slotClosed()
	})
}

// slotClosed frees the programs after the last slot. p.mu is held.
func (p *pipeline) slotClosed() {
	if p.open--; p.open == 0 && p.retired {
		p.closePrograms()
	}
}

func (p *pipeline) closePrograms() {
	p.host.programs.drop(p.programs)
	p.programs = nil
}

// complain logs what goes wrong with exchanges, at most once a minute: it may be the same for each.
func (p *pipeline) complain(what string, attributes ...any) {
	const pause = 60
	now := time.Now().Unix()
	if last := p.complained.Load(); now-last >= pause && p.complained.CompareAndSwap(last, now) {
		p.host.options.Log.Warn(what, append([]any{"pipeline", p.spec.Name}, attributes...)...)
	}
}

func (p *pipeline) status() Status {
	s := Status{
		Name: p.spec.Name, Generation: p.generation, Loaded: p.loaded, Needs: p.needs, Policy: p.policy,
		Exchanges: p.active.Load(), Failures: p.failures.Load(), Memory: p.memory.Load(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.spec.Filters {
		if i < len(p.programs) { // not freed meanwhile
			s.Filters = append(s.Filters, FilterStatus{Name: f.Name, SHA256: hex.EncodeToString(p.programs[i].sum[:]), Policy: f.Policy})
		}
	}
	return s
}
