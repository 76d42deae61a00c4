package abi

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A Stage is one place in a pipeline: a program, the VM that it runs in, and its configuration. Stages with the same program, vm_id and
// VM configuration share one VM on each worker, as plugins do in Envoy.
type Stage struct {
	Program *Program
	VM      VMConfig
	Plugin  PluginConfig
}

// PoolConfig is the size of a Pool.
type PoolConfig struct {
	// Workers is how many exchanges can run at the same time. Default: GOMAXPROCS.
	Workers int
	// RetryMin and RetryMax bound the pause before a worker whose VM has failed gets a new one; it doubles while they fail again
	// within RetryMax. Default 50 ms and 5 s.
	RetryMin, RetryMax time.Duration
}

// A Pool runs a pipeline on several workers, with VMs of its own on each. Exchanges are many to a worker.
//
// A worker whose VM has failed gets new VMs in the background, and no exchange until then. Swap puts another pipeline into
// its place: new exchanges run on the new one, the old one finishes what it has begun and is then freed.
type Pool struct {
	ctx    context.Context //nolint:containedctx // VMs are made for as long as the pool lives
	config PoolConfig
	shared *Shared
	counts *MetricSet

	mu      sync.Mutex
	stages  []Stage
	slots   []*slot
	retired int // slots that still have exchanges
	version int
	closed  bool
	changed chan struct{} // closed and made anew when a slot comes, goes or is freed
	broken  error         // of the last attempt to make a slot
	work    sync.WaitGroup
}

// A Lease is an exchange's place on a worker.
type Lease struct {
	// Worker is where everything about the exchange is to be done.
	Worker *Worker
	// Plugins are the stages, in their order.
	Plugins []*Plugin

	pool *Pool
	slot *slot
	once sync.Once
}

// slot is a worker with a VM or more.
type slot struct {
	worker  *Worker
	plugins []*Plugin
	vms     []*VM
	leases  int
	index   int
	version int
	made    time.Time
	pause   time.Duration // before its successor is made, if it fails soon
	mending bool
	out     bool // not in the pool any more: freed with the last lease
}

// ErrPoolClosed says that the pool takes no exchanges any more.
var ErrPoolClosed = errors.New("the pool is closed")

// NewPool starts a pipeline on all workers. It fails as a whole: a pipeline of which one VM does not start runs nowhere.
func NewPool(ctx context.Context, stages []Stage, config PoolConfig) (*Pool, error) {
	if config.Workers <= 0 {
		config.Workers = runtime.GOMAXPROCS(0)
	}
	if config.RetryMin <= 0 {
		config.RetryMin = 50 * time.Millisecond
	}
	if config.RetryMax <= 0 {
		config.RetryMax = 5 * time.Second
	}
	p := &Pool{
		ctx: context.WithoutCancel(ctx), config: config, shared: NewShared(), counts: NewMetricSet(), changed: make(chan struct{}),
	}
	return p, p.Swap(ctx, stages)
}

// Swap starts another pipeline on all workers and then gives it all new exchanges. If it does not start, the old one goes on.
func (p *Pool) Swap(ctx context.Context, stages []Stage) error {
	stages = p.completed(stages)
	slots := make([]*slot, 0, p.config.Workers)
	for i := range p.config.Workers {
		if err := ctx.Err(); err != nil {
			p.freeAll(slots)
			return err
		}
		s, err := p.start(stages)
		if err != nil {
			p.freeAll(slots)
			return err
		}
		s.index, s.pause = i, p.config.RetryMin
		slots = append(slots, s)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.freeAll(slots)
		return ErrPoolClosed
	}
	old := p.slots
	p.version++
	for _, s := range slots {
		s.version = p.version
	}
	p.slots, p.stages, p.broken = slots, stages, nil
	free := p.retire(old)
	p.notify()
	p.mu.Unlock()
	p.freeAll(free)
	return nil
}

// completed gives stages what they share across workers if the embedder gave nothing.
func (p *Pool) completed(stages []Stage) []Stage {
	stages = slices.Clone(stages)
	for i := range stages {
		host := &stages[i].VM.Host
		if host.Shared == nil {
			host.Shared = p.shared
		}
		if host.Metrics == nil {
			host.Metrics = p.counts
		}
	}
	return stages
}

// Acquire gives an exchange a place on the worker that has the fewest, and waits for one while there is none. Release it when
// the exchange is closed. The error is ctx's, with the reason why there are no VMs, or ErrPoolClosed.
func (p *Pool) Acquire(ctx context.Context) (*Lease, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, ErrPoolClosed
		}
		if best := p.pick(); best != nil {
			best.leases++
			p.mu.Unlock()
			return &Lease{Worker: best.worker, Plugins: best.plugins, pool: p, slot: best}, nil
		}
		changed, broken := p.changed, p.broken
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), broken)
		}
	}
}

// Release gives the place back. More calls do nothing. It must not be called on the worker.
func (l *Lease) Release() {
	l.once.Do(func() {
		p := l.pool
		p.mu.Lock()
		l.slot.leases--
		free := l.slot.out && l.slot.leases == 0
		if l.slot.failed() {
			p.mend(l.slot)
		}
		p.mu.Unlock()
		if free {
			p.free(l.slot)
			p.mu.Lock()
			p.retired--
			p.notify()
			p.mu.Unlock()
		}
	})
}

// Draining is how many workers of former pipelines still have exchanges.
func (p *Pool) Draining() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.retired
}

// Close takes no more exchanges, waits for those that run until ctx is done, and frees the VMs.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	free := p.retire(p.slots)
	p.slots = nil
	p.notify()
	p.mu.Unlock()
	p.freeAll(free)
	p.work.Wait()
	for {
		p.mu.Lock()
		retired, changed := p.retired, p.changed
		p.mu.Unlock()
		if retired == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("close pool: %d workers have exchanges: %w", retired, ctx.Err())
		}
	}
}

// pick is the sound slot with the fewest leases; others are mended on the way.
func (p *Pool) pick() *slot {
	var best *slot
	for _, s := range p.slots {
		switch {
		case s.failed():
			p.mend(s)
		case best == nil || s.leases < best.leases:
			best = s
		}
	}
	return best
}

func (s *slot) failed() bool {
	return slices.ContainsFunc(s.vms, func(vm *VM) bool { return vm.broken.Load() })
}

// mend has a new slot made in the background that takes the place of one that has failed.
func (p *Pool) mend(s *slot) {
	if s.mending || s.out || p.closed {
		return
	}
	s.mending = true
	pause := time.Duration(0)
	if time.Since(s.made) < p.config.RetryMax {
		pause = s.pause
	}
	stages := p.stages
	p.work.Go(func() { p.replace(s, stages, pause) })
}

func (p *Pool) replace(s *slot, stages []Stage, pause time.Duration) {
	for {
		p.mu.Lock()
		changed, obsolete := p.changed, s.out || p.closed
		p.mu.Unlock()
		if obsolete {
			return
		}
		if pause > 0 {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-changed: // perhaps the pool is closed or has another pipeline
				timer.Stop()
				pause = max(pause/2, time.Millisecond)
				continue
			}
		}
		successor, err := p.start(stages)
		if err == nil {
			successor.index, successor.version = s.index, s.version
			successor.pause = min(2*max(pause, p.config.RetryMin), p.config.RetryMax)
			p.exchange(s, successor)
			return
		}
		pause = min(2*max(pause, p.config.RetryMin), p.config.RetryMax)
		p.mu.Lock()
		p.broken = err
		p.mu.Unlock()
	}
}

// exchange puts a successor in the place of a slot, unless that has left the pool meanwhile.
func (p *Pool) exchange(s, successor *slot) {
	p.mu.Lock()
	if s.out || p.closed {
		p.mu.Unlock()
		p.free(successor)
		return
	}
	p.slots[s.index], p.broken = successor, nil
	free := p.retire([]*slot{s})
	p.notify()
	p.mu.Unlock()
	p.freeAll(free)
}

// retire takes slots out of the pool and returns those that nobody uses.
func (p *Pool) retire(slots []*slot) (free []*slot) {
	for _, s := range slots {
		if s.out = true; s.leases == 0 {
			free = append(free, s)
		} else {
			p.retired++
		}
	}
	return free
}

func (p *Pool) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// start makes a slot: a worker, and the VMs and plugins of all stages.
func (p *Pool) start(stages []Stage) (s *slot, err error) {
	s = &slot{worker: &Worker{}, made: time.Now()}
	s.worker.Do(func() {
		for _, stage := range stages {
			var plugin *Plugin
			if plugin, err = s.add(p.ctx, stage); err != nil {
				return
			}
			s.plugins = append(s.plugins, plugin)
		}
	})
	if err != nil {
		p.free(s)
		return nil, err
	}
	return s, nil
}

func (s *slot) add(ctx context.Context, stage Stage) (*Plugin, error) {
	at := slices.IndexFunc(s.vms, func(vm *VM) bool {
		return vm.program == stage.Program && vm.config.ID == stage.VM.ID && string(vm.config.Configuration) == string(stage.VM.Configuration) &&
			slices.Equal(vm.config.Allow, stage.VM.Allow)
	})
	if at < 0 {
		vm, err := stage.Program.NewVM(ctx, s.worker, stage.VM)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", stage.Plugin.Name, err)
		}
		at, s.vms = len(s.vms), append(s.vms, vm)
	}
	return s.vms[at].NewPlugin(stage.Plugin)
}

func (p *Pool) freeAll(slots []*slot) {
	for _, s := range slots {
		p.free(s)
	}
}

func (p *Pool) free(s *slot) {
	s.worker.Do(func() {
		for _, plugin := range s.plugins {
			if plugin.vm.failure == nil {
				_, _ = plugin.Close() // a trap at the very end changes nothing
			}
		}
		for _, vm := range s.vms {
			_ = vm.Close(p.ctx)
		}
	})
}
