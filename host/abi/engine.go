package abi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/leash-gateway/leash/host/abi/internal/meter"
)

// Options are the limits of an Engine. The zero value is safe.
type Options struct {
	// CacheDir keeps compiled code on disk, so that a module compiles (seconds) once per machine and version of
	// wazero. "" keeps it in memory only. Several processes may share it. What was compiled first goes when it is more than 1 GiB, at New and with what is compiled later.
	CacheDir string
	// MaxMemory is how many bytes of memory a VM may have; rounded down to pages of 64 KiB. Beyond it memory.grow fails, which most
	// languages turn into a trap. Default 512 MiB, at most 4 GiB. (Envoy: 1 GiB.)
	MaxMemory int64
	// Deadline is how long one callback may run before its VM is stopped. Default 5 s; negative: no limit. A loop that calls
	// nothing is stopped too. (Envoy has no such limit: there it blocks the worker for ever.)
	Deadline time.Duration
	// MaxDepth is how deep the module's functions may call each other. Default 20000. A VM's stack is bounded to 400 MB besides.
	MaxDepth int32
	// StartDeadline is the same for starting and configuring a VM. Default 30 s; negative: no limit.
	StartDeadline time.Duration
	// Conditions is told of each condition that a module has come to, of an if or br_if, and whether it holds. They are numbered from 0 as they stand in the
	// file. With it modules are twenty times slower: it is for [github.com/leash-gateway/leash/author/optimize.NewProfile]. Default: none is told.
	Conditions func(number uint32, holds bool)
}

const (
	pageSize             = 64 << 10
	defaultMaxMemory     = 512 << 20
	defaultDeadline      = 5 * time.Second
	defaultStartDeadline = 30 * time.Second
	defaultMaxDepth      = 20000
)

// ErrCache says that Options.CacheDir cannot be used.
var ErrCache = errors.New("open cache of compiled modules")

// An Engine compiles modules and runs them within its limits.
type Engine struct {
	runtime       wazero.Runtime
	cache         wazero.CompilationCache
	cacheDir      string
	deadline      time.Duration
	startDeadline time.Duration
	maxDepth      int32
	conditions    func(number uint32, holds bool)
}

// New is an Engine. Close it after all its VMs.
func New(ctx context.Context, o Options) (*Engine, error) {
	config := wazero.NewRuntimeConfig().WithMemoryLimitPages(memoryPages(o.MaxMemory))
	e := &Engine{deadline: limit(o.Deadline, defaultDeadline), startDeadline: limit(o.StartDeadline, defaultStartDeadline), maxDepth: o.MaxDepth, conditions: o.Conditions}
	if e.maxDepth <= 0 {
		e.maxDepth = defaultMaxDepth
	}
	if o.CacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrCache, o.CacheDir, err)
		}
		e.cache, e.cacheDir = cache, o.CacheDir
		trimCache(o.CacheDir)
		config = config.WithCompilationCache(cache)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := e.instantiateHost(ctx); err != nil {
		_ = e.Close(ctx)
		return nil, err
	}
	return e, nil
}

// Close frees everything, also VMs that are still open, which must not be used any more.
func (e *Engine) Close(ctx context.Context) error {
	err := e.runtime.Close(ctx)
	if e.cache != nil {
		if cacheErr := e.cache.Close(ctx); err == nil {
			err = cacheErr
		}
	}
	return err
}

func memoryPages(bytes int64) uint32 {
	if bytes <= 0 {
		bytes = defaultMaxMemory
	}
	return uint32(min(max(bytes/pageSize, 1), 65536)) //nolint:gosec // bounded here
}

// limit is a configured limit, where 0 stands for the default and 0 is returned for none.
func limit(configured, standard time.Duration) time.Duration {
	switch {
	case configured < 0:
		return 0
	case configured == 0:
		return standard
	}
	return configured
}

// instantiateHost makes the functions that modules import, once for all of them: whose call it is, is in the context.
func (e *Engine) instantiateHost(ctx context.Context) error {
	env := e.runtime.NewHostModuleBuilder("env")
	for i := range hostcalls {
		c := &hostcalls[i]
		env.NewFunctionBuilder().WithGoModuleFunction(c, c.types(), c.results()).Export(c.name)
	}
	if _, err := env.Instantiate(ctx); err != nil {
		return fmt.Errorf("instantiate host functions: %w", err)
	}
	asked := e.runtime.NewHostModuleBuilder(meter.Module)
	const i32 = api.ValueTypeI32
	asked.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(ask), []api.ValueType{i32}, nil).Export(meter.Function)
	asked.NewFunctionBuilder().WithGoFunction(api.GoFunc(e.condition), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export(meter.ConditionFunction)
	if _, err := asked.Instantiate(ctx); err != nil {
		return fmt.Errorf("instantiate meter: %w", err)
	}
	for _, name := range wasiModules {
		wasi := e.runtime.NewHostModuleBuilder(name)
		for i := range wasiCalls {
			c := &wasiCalls[i]
			wasi.NewFunctionBuilder().WithGoModuleFunction(c, c.types(), c.results()).Export(c.name)
		}
		if _, err := wasi.Instantiate(ctx); err != nil {
			return fmt.Errorf("instantiate %s: %w", name, err)
		}
	}
	return nil
}

// ask is what a module calls every few milliseconds, and when it calls too deep: it goes on, or ends here.
func ask(ctx context.Context, _ api.Module, stack []uint64) {
	vm := ctx.(*callContext).vm            //nolint:forcetypeassert // run gives wazero no other
	if uint32(stack[0]) == meter.TooDeep { //nolint:gosec // an i32 in 64 bits
		panic(ErrTooDeep)
	}
	vm.mayGoOn()
}

// condition is what a module calls with each condition where these are counted: the condition is both the first parameter and the result.
func (e *Engine) condition(_ context.Context, stack []uint64) {
	e.conditions(uint32(stack[1]), uint32(stack[0]) != 0) //nolint:gosec // an i32 in 64 bits each
}

// mayGoOn ends the callback if it has run for too long.
func (vm *VM) mayGoOn() {
	if vm.limit == 0 {
		return
	}
	now := time.Now()
	if vm.began.IsZero() {
		vm.began = now // the few milliseconds before do not count
	}
	if now.Sub(vm.began) > vm.limit {
		panic(fmt.Errorf("%w of %s", ErrDeadline, vm.limit))
	}
}

var _ api.GoModuleFunction = (*hostcall)(nil)
