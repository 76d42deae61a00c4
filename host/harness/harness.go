// Package harness runs proxy-wasm modules for their tests: any .wasm, as Envoy would run it, with everything around it
// in the test's hands: the clock, the provider's answers and where they are cut into pieces, the answers to callouts,
// the attributes of the exchange.
//
// In a Go test it takes three lines:
//
//	p := harness.Load(t, "hello.wasm").Pipeline(`{"greeting":"hi"}`)
//	got := p.Do(harness.Request{Body: chat, Answer: harness.Answer{Body: completion}})
//	if got.Status != 200 { … }
//
// What a module did is read off the [Result] (the answer, what the provider received, callouts, log lines) and off the
// [Pipeline] (metrics, shared data). Package scenario beside this one reads the same from YAML files.
//
// Nothing here takes longer than the module itself: time is mocked, and moves only by [Pipeline.Advance], by the paces
// and delays that a test asks for, and where an exchange waits for a timer.
package harness

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// Options are how modules are run. The zero value is what most tests want.
type Options struct {
	// CacheDir keeps compiled code, so that a module is compiled once. Default: memory only.
	CacheDir string
	// Deadline is how long one callback may run, in real time. Default 5 s.
	Deadline time.Duration
	// MaxMemory is what a VM may have, in bytes. Default 512 MiB.
	MaxMemory int64
	// CoverDir is a folder into which each pipeline that is closed writes what of its modules has run, for `go tool covdata`. Default:
	// none is written.
	CoverDir string
	// Conditions is told of each condition that a module has come to: see [abi.Options].
	Conditions func(number uint32, holds bool)
}

// A Harness compiles modules and makes pipelines of them. It is safe for concurrent use.
type Harness struct {
	engine *abi.Engine
	cover  coverage

	mu       sync.Mutex
	programs map[string]program // by file
}

// program is what a file was when it was compiled.
type program struct {
	*abi.Program
	size    int64
	changed time.Time
}

// New is a Harness. Close it after its pipelines.
func New(ctx context.Context, o Options) (*Harness, error) {
	engine, err := abi.New(ctx, abi.Options{CacheDir: o.CacheDir, Deadline: o.Deadline, MaxMemory: o.MaxMemory, Conditions: o.Conditions})
	if err != nil {
		return nil, err
	}
	return &Harness{engine: engine, cover: coverage{dir: o.CoverDir}, programs: map[string]program{}}, nil
}

// Close frees the compiled code.
func (h *Harness) Close(ctx context.Context) error { return h.engine.Close(ctx) }

// Compile compiles a file, once until it changes; Start does so by itself. With a warm cache it takes milliseconds.
func (h *Harness) Compile(ctx context.Context, file string) (*abi.Program, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	known := h.programs[file]
	if known.Program != nil && known.size == info.Size() && known.changed.Equal(info.ModTime()) {
		return known.Program, nil
	}
	wasm, err := config.ReadFile(file, wasmfile.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	compiled, err := h.engine.Compile(ctx, wasm)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", file, err)
	}
	if known.Program != nil {
		_ = known.Close(ctx) // VMs that run it go on
	}
	h.programs[file] = program{compiled, info.Size(), info.ModTime()}
	return compiled, nil
}

// A Module is one filter of a pipeline: a .wasm with its configuration.
type Module struct {
	// Name is for logs and names the VM. Default: module, module2 and so on.
	Name string
	// File is the .wasm.
	File string
	// Config is what the module is configured with, JSON for most.
	Config string
	// RootID tells a .wasm that holds several plugins which one is meant.
	RootID string
	// VMConfig and Env are for the VM.
	VMConfig string
	Env      map[string]string
	// Allow are the host calls, WASI functions and callbacks that the module may use, as Envoy's capability_restriction_config. Empty: all.
	Allow []string
	// Inspector says that exchanges go on without the module when its VM fails; without it they are answered with 503.
	Inspector bool
}

// A Setup is a pipeline and what surrounds it.
type Setup struct {
	// Name tells it apart from others.
	Name string
	// Modules are what requests pass from first to last, and answers from last to first.
	Modules []Module
	// Clock is the time at which everything begins. Default: noon (UTC) on the 1st of November 2026.
	Clock time.Time
	// Properties are attributes of every exchange, by their path: "source.address". Values are string, int, bool or []byte. A dot inside
	// of a name is written as "\.".
	Properties map[string]any
	// Callouts answer what modules ask of other servers, over HTTP or gRPC, by the name of the upstream: one answer after the other, the
	// last again and again. An upstream that is not here is not known to the host. To a gRPC call the pieces of the body are
	// messages, and trailers bring grpc-status.
	Callouts map[string][]Answer
	// Shared is shared data that is there from the beginning, for each module.
	Shared map[string]string
	// MaxBuffer is how many bytes of a body a module may hold. Default 64 MiB, as modules of Leash have bounds of their own.
	MaxBuffer int
	// EarlyCallouts brings callouts' answers as soon as they can come, between the pieces of a request, not after the request.
	EarlyCallouts bool
	// Tracer sees every host call. Default: none.
	Tracer abi.Tracer
}

const defaultMaxBuffer = 64 << 20

// Noon is when the mocked clock begins unless a Setup says otherwise.
var Noon = time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC)

func (s Setup) withDefaults() Setup {
	if s.Clock.IsZero() {
		s.Clock = Noon
	}
	if s.MaxBuffer == 0 {
		s.MaxBuffer = defaultMaxBuffer
	}
	modules := make([]Module, len(s.Modules))
	for i, m := range s.Modules {
		if m.Name == "" {
			m.Name = "module"
			if i > 0 {
				m.Name += fmt.Sprint(i + 1)
			}
		}
		modules[i] = m
	}
	s.Modules = modules
	return s
}
