package abi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// VMConfig is how a VM is made. Its zero value is a VM that remembers metrics and shared data for itself, has no way to
// call out, and writes no log.
type VMConfig struct {
	// ID is vm_id: what VMs with the same Shared have in common under it is their shared data and queues.
	ID string
	// Configuration is what proxy_on_vm_start is about.
	Configuration []byte
	// Env are the environment variables; nothing else of the process is seen.
	Env map[string]string
	// Allow are the host calls, WASI functions and callbacks that the module may use ("proxy_log", "fd_write",
	// "proxy_on_request_headers"), as capability_restriction_config in Envoy. Empty: all. A refused host call answers
	// InternalFailure, a refused WASI function errno 76 (ENOTCAPABLE), a refused callback is not called.
	Allow []string
	// Failed, where it is set, is told once why the VM runs nothing any more. It is called on the worker, in what the VM failed in.
	Failed func(error)
	// Host is what surrounds the VM.
	Host Host
}

// A TrapError says that a VM has failed and runs nothing any more.
type TrapError struct {
	// Callback is what ran, as "proxy_on_request_body".
	Callback string
	// Err is why: of wazero, with the stack of Wasm functions, or ErrDeadline.
	Err error
}

func (e *TrapError) Error() string { return fmt.Sprintf("run %s: %v", e.Callback, e.Err) }

// Unwrap is why.
func (e *TrapError) Unwrap() error { return e.Err }

// Reasons why a VM fails or a plugin does not start.
var (
	// ErrDeadline says that a callback ran longer than Options.Deadline.
	ErrDeadline = errors.New("the callback ran longer than its deadline")
	// ErrTooDeep says that the module's functions called each other deeper than Options.MaxDepth.
	ErrTooDeep = errors.New("the module calls its functions too deep")
	// ErrRestricted says that the module called the host while it may not: before it was started, or while it
	// allocated memory for the host.
	ErrRestricted = errors.New("host call from an initializer or an allocation")
	// ErrRefused says that proxy_on_vm_start or proxy_on_configure answered false.
	ErrRefused = errors.New("the module refused its configuration; its log says why")
	// ErrClosed says that the VM has been closed.
	ErrClosed = errors.New("the VM is closed")
)

// A VM is one instance of a Program. It is used only on its Worker.
type VM struct {
	program *Program
	worker  *Worker
	config  VMConfig
	env     []string
	shared  *Shared
	metrics metrics

	module api.Module
	memory api.Memory
	malloc api.Function
	calls  callbacks
	ctx    *callContext

	contexts map[uint32]scope
	nextID   uint32
	http     callouts[*httpCall]
	grpc     callouts[*grpcCall]

	current    scope    // whose callback runs, nil outside
	effective  scope    // what proxy_set_effective_context chose, nil: current
	callback   string   // the name of what runs
	restricted bool     // only allowedEarly may be called
	stopped    bool     // a local response was sent in this callback
	after      []func() // to be done when the callback is over
	failure    error    // why nothing runs any more
	closed     bool
	denied     map[string]bool
	output     [2]output // stdout, stderr

	limit time.Duration // of what runs, 0: none
	began time.Time     // when it asked for the first time whether it may go on
	made  uint32        // host calls

	arguments [16]uint64 // of a callback, its result in [0]
	small     [1]uint64  // of malloc, which runs within callbacks
}

// scope is a root context, stream or connection.
type scope interface {
	root() *Plugin
	contextID() uint32
	stream() *Stream // nil for others
	conn() *Conn     // likewise
	failed(error)
}

// callContext is what wazero hands to host functions: whose call it is.
type callContext struct {
	context.Context
	vm *VM
}

// Value spares the walk to the root, as nothing here is ever a context's value.
func (*callContext) Value(any) any { return nil }

// NewVM instantiates the program on a worker and initializes it. Close it when done.
func (p *Program) NewVM(ctx context.Context, w *Worker, config VMConfig) (*VM, error) {
	config.Host = config.Host.withDefaults()
	vm := &VM{
		program: p, worker: w, config: config, shared: config.Host.Shared,
		contexts: map[uint32]scope{}, nextID: 1,
	}
	vm.ctx = &callContext{context.WithoutCancel(ctx), vm}
	vm.output[0].level, vm.output[1].level = Info, Error
	for name, value := range config.Env {
		vm.env = append(vm.env, name+"="+value)
	}
	slices.Sort(vm.env)
	vm.deny(config.Allow)
	module, err := p.engine.runtime.InstantiateModule(withMemory(ctx), p.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, fmt.Errorf("instantiate module: %w", err)
	}
	vm.module, vm.memory = module, module.Memory()
	vm.shared.enter(config.ID)
	if vm.malloc = module.ExportedFunction("malloc"); vm.malloc == nil {
		vm.malloc = module.ExportedFunction("proxy_on_memory_allocate")
	}
	vm.calls = findCallbacks(vm)
	if err := vm.initialize(); err != nil {
		_ = vm.Close(ctx)
		return nil, err
	}
	return vm, nil
}

// initialize runs what the language wants to have run first. https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1#integration
func (vm *VM) initialize() error {
	names := []string{"_start"}
	if vm.module.ExportedFunction("_initialize") != nil {
		names = []string{"_initialize", "main"}
		if vm.module.ExportedFunction("main") == nil {
			names[1] = "__main_void"
		}
	}
	vm.restricted = true
	defer func() { vm.restricted = false }()
	for _, name := range names {
		f := vm.module.ExportedFunction(name)
		if f == nil {
			continue
		}
		parameters := len(f.Definition().ParamTypes())
		clear(vm.arguments[:])
		if _, err := vm.call(nil, callback{name, f, parameters}, vm.program.engine.startDeadline); err != nil {
			return err
		}
	}
	return nil
}

// Worker is what the VM runs on.
func (vm *VM) Worker() *Worker { return vm.worker }

// Clock is the time that the VM sees.
func (vm *VM) Clock() Clock { return vm.config.Host.Clock }

// Err is why the VM has failed or that it is closed, nil while it lives.
func (vm *VM) Err() error { return vm.failure }

// MemorySize is how many bytes of memory the VM has; it never shrinks.
func (vm *VM) MemorySize() int64 { return int64(vm.memory.Size()) }

// Close frees the VM. Its streams get no more callbacks, callouts are cancelled. It may be called several times.
func (vm *VM) Close(ctx context.Context) error {
	if vm.failure == nil {
		vm.failure = ErrClosed
	}
	vm.shared.forget(vm)
	vm.http.cancelAll()
	vm.grpc.cancelAll()
	for _, c := range vm.contexts {
		if p, ok := c.(*Plugin); ok {
			p.stopTicks()
		}
	}
	if !vm.closed {
		vm.closed = true
		vm.shared.leave(vm.config.ID)
	}
	return vm.module.Close(ctx)
}

// fail ends the VM: everything that lives on it is told.
func (vm *VM) fail(err error) {
	if vm.failure != nil {
		return
	}
	vm.failure = err
	vm.http.cancelAll()
	vm.grpc.cancelAll()
	vm.shared.forget(vm)
	for _, c := range vm.contexts {
		c.failed(err)
	}
	if vm.config.Failed != nil {
		vm.config.Failed(err)
	}
}

// A callback is a function of the module.
type callback struct {
	name       string
	function   api.Function // nil: the module has none, or it is refused
	parameters int
}

// call runs a callback with what is in vm.arguments and returns its result, 0 if it has none. A trap fails the VM. What the
// callback wanted to have done afterwards (continue, local response) is left to settle, because the result must be looked at before.
func (vm *VM) call(of scope, c callback, deadline time.Duration) (uint32, error) {
	if vm.failure != nil {
		return 0, vm.failure
	}
	savedCurrent, savedEffective, savedName := vm.current, vm.effective, vm.callback
	vm.current, vm.effective, vm.callback = of, nil, c.name
	err := vm.run(c, deadline)
	if savedCurrent == nil {
		vm.output[0].end(vm, err != nil)
		vm.output[1].end(vm, err != nil)
	}
	vm.current, vm.effective, vm.callback = savedCurrent, savedEffective, savedName
	if err != nil {
		vm.after = nil
		if s, ok := of.(*Stream); ok {
			s.replying = false
		}
		vm.fail(&TrapError{c.name, err})
		return 0, vm.failure
	}
	return uint32(vm.arguments[0]), nil //nolint:gosec // an i32 in 64 bits
}

func (vm *VM) run(c callback, limit time.Duration) error {
	vm.limit, vm.began = limit, time.Time{}
	return c.function.CallWithStack(vm.ctx, vm.arguments[:max(c.parameters, 1)])
}

// callAndSettle is call, and then what the callback wanted to have done afterwards.
func (vm *VM) callAndSettle(of scope, c callback) error {
	if _, err := vm.call(of, c, vm.program.engine.deadline); err != nil {
		return err
	}
	vm.settle()
	return nil
}

// later remembers what is to be done when the callback is over. What it asks for more often than makes sense is forgotten.
func (vm *VM) later(f func()) {
	if len(vm.after) < maxLater {
		vm.after = append(vm.after, f)
	}
}

// settle does what a callback wanted to have done when it is over.
func (vm *VM) settle() {
	vm.stopped = false
	for len(vm.after) > 0 && vm.current == nil {
		do := vm.after[0]
		vm.after = vm.after[1:]
		do()
	}
}

// alloc asks the module for memory. It runs within a host call, and what the module may call meanwhile is restricted.
func (vm *VM) alloc(size int) (pointer uint32, memory []byte, ok bool) {
	vm.small[0] = uint64(uint32(size)) //nolint:gosec // far below 4 G
	restricted := vm.restricted
	vm.restricted = true
	err := vm.malloc.CallWithStack(vm.ctx, vm.small[:])
	vm.restricted = restricted
	if err != nil {
		panic(err) // unwinds the callback that made the host call
	}
	if vm.small[0] == 0 {
		return 0, nil, false
	}
	pointer = uint32(vm.small[0])                      //nolint:gosec // an i32 in 64 bits
	memory, ok = vm.memory.Read(pointer, uint32(size)) //nolint:gosec // as above
	return pointer, memory, ok
}

// deny fills what may not be called.
func (vm *VM) deny(allow []string) {
	if len(allow) == 0 {
		return
	}
	vm.denied = map[string]bool{}
	for _, table := range [][]hostcall{hostcalls[:], wasiCalls[:]} {
		for i := range table {
			if name := table[i].name; (strings.HasPrefix(name, "proxy_") || table[i].wasi) && !slices.Contains(allow, name) {
				vm.denied[name] = true
			}
		}
	}
	for name := range callbackSignatures {
		if strings.HasPrefix(name, "proxy_") && name != "proxy_on_memory_allocate" && !slices.Contains(allow, name) {
			vm.denied[name] = true
		}
	}
}
