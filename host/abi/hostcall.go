package abi

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/tetratelabs/wazero/api"
)

// A hostcall is a function that modules import. One table of them (hostcalls, wasiCalls) gives the signatures, the calls,
// the traces and the reference.
type hostcall struct {
	name string
	// params are the parameters in the specification's words; results that are written to memory are among them.
	params []param
	// run does it. p are the raw parameters.
	run func(vm *VM, p args) Status
	// versions are those that have the function; 0: all.
	versions Version
	// early: it may be called before the module is started and while it allocates memory for the host.
	early bool
	wasi  bool
}

// args are the raw parameters of a host call. wazero leaves the upper half of a 32-bit one as it was in the register.
type args []uint64

func (p args) word(i int) uint32 { return uint32(p[i]) } //nolint:gosec // what is cut off means nothing

// A param is a parameter: one or two Wasm values, depending on its kind.
type param struct {
	name string
	kind kind
}

type kind uint8

const (
	word     kind = iota // a number
	long                 // a 64-bit number
	mapWord              // a MapType
	bufWord              // a BufferType
	dirWord              // a StreamType
	lvlWord              // a Level
	in                   // pointer and size of bytes
	inPairs              // pointer and size of a list of pairs
	out                  // pointers to where pointer and size of bytes are written
	outPairs             // likewise, of pairs
	outWord              // pointer to where 32 bits are written
	outLong              // pointer to where 64 bits are written
)

func (k kind) values() int {
	switch k {
	case in, inPairs, out, outPairs:
		return 2
	default:
		return 1
	}
}

// types are the parameters of the function in Wasm.
func (c *hostcall) types() []api.ValueType {
	var types []api.ValueType
	for _, p := range c.params {
		for range p.kind.values() {
			if p.kind == long {
				types = append(types, api.ValueTypeI64)
			} else {
				types = append(types, api.ValueTypeI32)
			}
		}
	}
	return types
}

// results are those of the function in Wasm: a status or errno, but for proc_exit and emscripten's.
func (c *hostcall) results() []api.ValueType {
	if c.name == "proc_exit" || c.name == "emscripten_notify_memory_growth" {
		return nil
	}
	return []api.ValueType{api.ValueTypeI32}
}

// askEvery is after how many host calls the clock is looked at: one may take much longer than what the module's own fuel counts.
const askEvery = 16

// Call is what wazero calls. It is on the way of every host call.
func (c *hostcall) Call(ctx context.Context, _ api.Module, stack []uint64) {
	vm := ctx.(*callContext).vm //nolint:forcetypeassert // call gives wazero no other
	if vm.restricted && !c.early {
		panic(ErrRestricted)
	}
	vm.made++
	if vm.made%askEvery == 0 {
		vm.mayGoOn()
	}
	if vm.denied != nil && vm.denied[c.name] {
		c.refuse(vm, stack)
		return
	}
	if vm.config.Host.Tracer != nil {
		c.traced(vm, stack)
		return
	}
	status := c.run(vm, stack)
	if len(stack) > 0 {
		stack[0] = uint64(status)
	}
}

// refuse is what a module gets that may not call.
func (c *hostcall) refuse(vm *VM, stack []uint64) {
	const errnoNotCapable = 76
	what, status := "proxy-wasm", uint64(InternalFailure)
	if c.wasi {
		what, status = "WASI", errnoNotCapable
	}
	vm.log(Error, "Attempted call to restricted "+what+" capability: "+c.name)
	if len(stack) > 0 {
		stack[0] = status
	}
}

// A HostFunction is a function that modules may import.
type HostFunction struct {
	Module, Name string
	// Versions of the ABI that have it; none: all.
	Versions []Version
}

// HostFunctions are all of them; those of WASI once, though they may be imported from wasi_unstable too.
func HostFunctions() (list []HostFunction) {
	for _, table := range [][]hostcall{hostcalls[:], wasiCalls[:]} {
		for i := range table {
			f := HostFunction{Module: "env", Name: table[i].name}
			if table[i].wasi {
				f.Module = wasiModules[0]
			}
			for v := V010; v <= V021; v <<= 1 {
				if table[i].versions&v != 0 {
					f.Versions = append(f.Versions, v)
				}
			}
			list = append(list, f)
		}
	}
	return list
}

// SignatureOf is the function's type in Wasm: for each parameter whether it has 64 bits, and whether there is a result.
func SignatureOf(f HostFunction) (is64 []bool, result bool) {
	c := findHostcall(f.Module, f.Name)
	if c == nil {
		return nil, false
	}
	for _, t := range c.types() {
		is64 = append(is64, t == api.ValueTypeI64)
	}
	return is64, len(c.results()) > 0
}

func findHostcall(module, name string) *hostcall {
	table := wasiCalls[:]
	if module == "env" {
		table = hostcalls[:]
	} else if !slices.Contains(wasiModules, module) {
		return nil
	}
	for i := range table {
		if table[i].name == name {
			return &table[i]
		}
	}
	return nil
}

// What follows reads and writes the module's memory for the functions of the tables.

// bytes is a view of what pointer and size say, valid until the module runs again.
func (vm *VM) bytes(pointer, size uint32) ([]byte, bool) {
	return vm.memory.Read(pointer, size)
}

func (vm *VM) string(pointer, size uint32) (string, bool) {
	view, ok := vm.bytes(pointer, size)
	return string(view), ok
}

func (vm *VM) setWord(pointer, value uint32) bool {
	return vm.memory.WriteUint32Le(pointer, value)
}

func (vm *VM) setLong(pointer uint32, value uint64) bool {
	return vm.memory.WriteUint64Le(pointer, value)
}

// give copies data into memory that the module allocates, and writes where it is to p and how much to n.
func (vm *VM) give(data []byte, p, n uint32) Status { return give(vm, data, p, n) }

func give[T string | []byte](vm *VM, data T, p, n uint32) Status {
	var pointer uint32
	if len(data) > 0 {
		var memory []byte
		var ok bool
		if pointer, memory, ok = vm.alloc(len(data)); !ok {
			return InvalidMemoryAccess
		}
		copy(memory, data)
	}
	return vm.given(pointer, len(data), p, n)
}

// given writes where something is and how much.
func (vm *VM) given(pointer uint32, size int, p, n uint32) Status {
	if !vm.setWord(p, pointer) || !vm.setWord(n, uint32(size)) { //nolint:gosec // far below 4 G
		return InvalidMemoryAccess
	}
	return OK
}

// givePairs is give for a list, which is written directly into the module's memory.
func (vm *VM) givePairs(h *Headers, p, n uint32) Status {
	if h.Len() == 0 {
		return vm.given(0, 0, p, n)
	}
	size := pairsSize(h.list)
	pointer, memory, ok := vm.alloc(size)
	if !ok {
		return InvalidMemoryAccess
	}
	appendPairs(memory[:0], h.list)
	return vm.given(pointer, size, p, n)
}

func (vm *VM) word(pointer uint32) uint32 {
	view, ok := vm.bytes(pointer, 4)
	if !ok {
		return 0
	}
	return binary.LittleEndian.Uint32(view)
}

// scope is whose call it is: the effective context, or whose callback runs.
func (vm *VM) scope() scope {
	if vm.effective != nil {
		if alive := vm.contexts[vm.effective.contextID()]; alive == vm.effective {
			return vm.effective
		}
	}
	return vm.current
}

// plugin is the root context of the call, nil in an initializer.
func (vm *VM) plugin() *Plugin {
	if c := vm.scope(); c != nil {
		return c.root()
	}
	return nil
}

// onStream is the HTTP exchange of the call, nil if it comes from elsewhere.
func (vm *VM) onStream() *Stream {
	if c := vm.scope(); c != nil {
		return c.stream()
	}
	return nil
}

// onHost is the host of the exchange or connection of the call, nil if it comes from elsewhere.
func (vm *VM) onHost() StreamHost {
	c := vm.scope()
	switch {
	case c == nil:
		return nil
	case c.stream() != nil:
		return c.stream().host
	case c.conn() != nil:
		return c.conn().s.host
	}
	return nil
}

// log writes a line in the name of whose call it is.
func (vm *VM) log(level Level, message string) {
	record := Record{Level: level, VMID: vm.config.ID, Message: message}
	if p := vm.plugin(); p != nil {
		record.Plugin, record.RootID = p.config.Name, p.config.RootID
	}
	vm.config.Host.Logger.Log(record)
}
