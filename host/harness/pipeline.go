package harness

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leash-gateway/leash/host/abi"
)

// A Pipeline is modules in their host, ready for exchanges, one after the other. Its state stays from one to the next.
// It is for one goroutine. Close it when done.
type Pipeline struct {
	setup     Setup
	harness   *Harness
	worker    abi.Worker
	plugins   []*abi.Plugin
	shared    []*abi.Shared
	clock     *clock
	metrics   metrics
	callouts  callouts
	logs      logs
	random    io.Reader
	exchanges int
	told      map[*abi.VM]bool // VMs that have failed, and whose failure stands in a Result
}

// Start compiles the modules of a setup, and configures them. A module that refuses its configuration, or fails, is an error that
// holds what it logged.
func (h *Harness) Start(ctx context.Context, s Setup) (*Pipeline, error) {
	s = s.withDefaults()
	p := &Pipeline{setup: s, harness: h, clock: &clock{now: s.Clock}, plugins: make([]*abi.Plugin, len(s.Modules)), told: map[*abi.VM]bool{}}
	p.callouts = callouts{script: s.Callouts, clock: p.clock}
	// The same each time: a test that fails once fails again.
	p.random = rand.NewChaCha8([32]byte{'l', 'e', 'a', 's', 'h'})
	for i, m := range s.Modules {
		shared := abi.NewShared()
		for key, value := range s.Shared {
			shared.Set(m.Name, key, []byte(value), 0)
		}
		p.shared = append(p.shared, shared)
		if err := p.load(ctx, i); err != nil {
			p.Close(ctx)
			return nil, err
		}
	}
	return p, nil
}

// load makes the VM and plugin of a module.
func (p *Pipeline) load(ctx context.Context, i int) error {
	m := p.setup.Modules[i]
	program, err := p.harness.Compile(ctx, m.File)
	if err != nil {
		return err
	}
	logged := len(p.logs.all())
	p.worker.Do(func() {
		var vm *abi.VM
		if vm, err = program.NewVM(ctx, &p.worker, abi.VMConfig{
			ID: m.Name, Configuration: []byte(m.VMConfig), Env: m.Env, Allow: m.Allow,
			Host: abi.Host{
				Logger: &p.logs, Clock: p.clock, Random: p.random, Shared: p.shared[i], Metrics: &p.metrics, HTTP: &p.callouts, GRPC: &p.callouts,
				Tracer: p.setup.Tracer,
			},
		}); err != nil {
			return
		}
		var plugin *abi.Plugin
		if plugin, err = vm.NewPlugin(abi.PluginConfig{
			Name: m.Name, RootID: m.RootID, Configuration: []byte(m.Config), AllowOnHeadersStopIteration: program.Kit(),
			Properties: attributes{p.setup.Properties},
		}); err != nil {
			_ = vm.Close(ctx)
			return
		}
		p.plugins[i] = plugin
	})
	if err != nil {
		for _, line := range p.logs.all()[logged:] {
			err = fmt.Errorf("%w\n    %s: %s", err, line.Level, line.Message)
		}
		return fmt.Errorf("start module %s: %w", m.Name, err)
	}
	p.settle()
	return nil
}

// Close ends the modules. It may be called several times.
func (p *Pipeline) Close(ctx context.Context) {
	p.worker.Do(func() {
		for i, plugin := range p.plugins {
			if plugin != nil {
				p.harness.cover.take(plugin.VM())
				_, _ = plugin.Close() // a module that fails here has nothing left to lose
				_ = plugin.VM().Close(ctx)
				p.plugins[i] = nil
			}
		}
	})
}

// Advance moves the clock; timers and ticks fire on their way.
func (p *Pipeline) Advance(d time.Duration) {
	until := p.clock.Now().Add(d)
	for p.clock.next(until) {
		p.settle()
	}
	p.clock.set(until)
	p.settle()
}

// Now is the time on the mocked clock.
func (p *Pipeline) Now() time.Time { return p.clock.Now() }

// Metric is a counter's sum, a gauge's level, or how many samples a histogram took; 0 for one that does not exist.
func (p *Pipeline) Metric(name string) int64 { return p.Metrics()[name] }

// Metrics are all of them.
func (p *Pipeline) Metrics() map[string]int64 { return p.metrics.values() }

// Logs are all lines that were written since the start.
func (p *Pipeline) Logs() []Log { return p.logs.all() }

// Shared is a value of the modules' shared data, and whether there is one.
func (p *Pipeline) Shared(key string) (string, bool) {
	for i, m := range p.setup.Modules {
		if value, _, found := p.shared[i].Get(m.Name, key); found {
			return string(value), true
		}
	}
	return "", false
}

// SharedKeys are the keys of the modules' shared data, sorted.
func (p *Pipeline) SharedKeys() []string {
	keys := map[string]bool{}
	for i, m := range p.setup.Modules {
		for _, key := range p.shared[i].Keys(m.Name) {
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// MemorySize is what the VMs have together, in bytes.
func (p *Pipeline) MemorySize() int64 {
	var size int64
	p.worker.Do(func() {
		for _, plugin := range p.plugins {
			size += plugin.VM().MemorySize()
		}
	})
	return size
}

// revive loads modules anew whose VM has failed, as an Envoy with FAIL_RELOAD does.
func (p *Pipeline) revive(ctx context.Context) error {
	for i, plugin := range p.plugins {
		var failed error
		p.worker.Do(func() { failed = plugin.VM().Err() })
		if failed == nil {
			continue
		}
		p.worker.Do(func() { _ = plugin.VM().Close(ctx) })
		delete(p.told, plugin.VM())
		if err := p.load(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// settle waits for everything that was posted to the worker, and brings answers of callouts, until nothing more comes.
func (p *Pipeline) settle() {
	p.barrier()
	for waiting := p.callouts.take(); len(waiting) > 0; waiting = p.callouts.take() {
		for _, deliver := range waiting {
			deliver()
			p.barrier()
		}
	}
}

// barrier waits until the worker has done what was posted to it.
func (p *Pipeline) barrier() {
	done := make(chan struct{})
	p.worker.Post(func() { close(done) })
	<-done
}

// flushed is how much earlier than due ticks come at the end of an exchange, so that what a module collects to write it together
// (package module does so for a tenth of a second) is there to be looked at.
const flushed = 200 * time.Millisecond

func (p *Pipeline) flush() {
	p.clock.early(flushed)
	p.settle()
}

// logs keeps what modules write, a line each.
type logs struct {
	mu    sync.Mutex
	lines []Log
	bytes int
}

// maxLogged bounds what is kept of what modules write, in bytes.
const maxLogged = 64 << 20

var _ abi.Logger = (*logs)(nil)

// Level is that of everything.
func (*logs) Level() abi.Level { return abi.Trace }

// Log keeps the lines of a record.
func (l *logs) Log(r abi.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(r.Message) {
		if l.bytes > maxLogged {
			return
		}
		l.bytes += len(line) + 64
		if l.bytes > maxLogged {
			line = "this is more than is kept: nothing of what follows is"
		}
		l.lines = append(l.lines, Log{r.Level.String(), r.Plugin, strings.TrimSuffix(line, "\n")})
	}
}

func (l *logs) all() []Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[:len(l.lines):len(l.lines)]
}

func (l *logs) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines, l.bytes = nil, 0
}
