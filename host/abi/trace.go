package abi

import "encoding/binary"

// traced is the call with the Tracer told of it.
func (c *hostcall) traced(vm *VM, stack []uint64) {
	p := append([]uint64(nil), stack...)
	call := HostCall{Callback: vm.callback, Name: c.name, WASI: c.wasi, In: c.arguments(vm, p, false)}
	if scope := vm.scope(); scope != nil {
		call.Plugin, call.Context = scope.root().config.Name, scope.contextID()
	}
	result := c.run(vm, stack)
	if len(stack) > 0 {
		stack[0] = uint64(result)
	}
	if c.wasi {
		call.Errno = uint32(result)
	} else if call.Status = result; result == OK {
		call.Out = c.arguments(vm, p, true)
	}
	vm.config.Host.Tracer.HostCall(call)
}

// arguments decodes parameters, or the results that were written where they point.
func (c *hostcall) arguments(vm *VM, p args, results bool) (list []Argument) {
	for _, one := range c.params {
		if isResult := one.kind >= out; isResult == results {
			list = append(list, Argument{one.name, vm.decode(one.kind, p)})
		}
		p = p[one.kind.values():]
	}
	return list
}

func (vm *VM) decode(k kind, p args) any {
	short := p.word(0)
	switch k {
	case long:
		return int64(p[0]) //nolint:gosec // an i64
	case mapWord:
		return MapType(short)
	case bufWord:
		return BufferType(short)
	case dirWord:
		return StreamType(short)
	case lvlWord:
		return Level(short)
	case in:
		text, _ := vm.string(p.word(0), p.word(1))
		return text
	case inPairs:
		data, _ := vm.bytes(p.word(0), p.word(1))
		return fromPairs(parsePairs(data))
	case out:
		text, _ := vm.string(vm.word(p.word(0)), vm.word(p.word(1)))
		return text
	case outPairs:
		data, _ := vm.bytes(vm.word(p.word(0)), vm.word(p.word(1)))
		return fromPairs(parsePairs(data))
	case outWord:
		return vm.word(p.word(0))
	case outLong:
		if data, ok := vm.bytes(p.word(0), 8); ok {
			return binary.LittleEndian.Uint64(data)
		}
		return uint64(0)
	default:
		return short
	}
}
