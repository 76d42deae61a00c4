package optimize

import "github.com/leash-gateway/leash/manifest/wasmfile/code"

// usesStack says that the function begins as those of Go's compiler do that use the stack: it copies the stack's address, global 0, into a local variable.
func (f *function) usesStack() bool {
	return len(f.code) > 2 && f.code[0].is(code.GlobalGet, 0) && f.code[1].op == code.LocalSet
}

// stack is the local variable with the stack's address.
func (f *function) stack() uint32 { return f.code[1].operand() }

// maxOffset bounds what is added to the stack's address: together they are no more than 4 GiB, or the module has run out of memory before.
const maxOffset = 1 << 30

// foldAddresses gives loads and stores what is added to the stack's address as their offset. Go's compiler widens the address, adds to it and narrows it again for
// each argument and result, which engines do not see through:
//
//	local.get stack; i64.extend_i32_u; i64.const 16; i64.add; i32.wrap_i64; VALUE; i64.store  →  local.get stack; VALUE; i64.store offset=16
func (f *function) foldAddresses() {
	stack := f.stack()
	var operands []int // for each value that is known to be there: where it is narrowed, if it is such an address; else 0
	pop := func() (narrowed int) {
		if len(operands) > 0 {
			narrowed = operands[len(operands)-1]
			operands = operands[:len(operands)-1]
		}
		return narrowed
	}
	for i := range f.code {
		in := &f.code[i]
		pops, pushes, known := code.Effect(in.op)
		if !known {
			operands = operands[:0]
			continue
		}
		address := 0 // it is the last that is popped
		for range pops {
			address = pop()
		}
		if address > 0 && code.Width(in.op) > 0 {
			f.fold(address, in)
		}
		for range pushes {
			operands = append(operands, 0)
		}
		if f.narrows(i, stack) {
			operands[len(operands)-1] = i
		}
	}
}

// narrows says that an address of the stack is complete with the instruction at i.
func (f *function) narrows(i int, stack uint32) bool {
	if i < 4 || f.code[i].op != code.I32WrapI64 {
		return false
	}
	get, extend, constant, add := &f.code[i-4], &f.code[i-3], &f.code[i-2], &f.code[i-1]
	if !get.is(code.LocalGet, stack) || extend.op != code.I64ExtendI32 || constant.op != code.I64Const || add.op != code.I64Add {
		return false
	}
	offset := constant.constant()
	return 0 <= offset && offset < maxOffset
}

// fold moves what is added to an address into the load or store.
func (f *function) fold(narrowed int, access *instruction) {
	r := code.Reader{Data: access.bytes[1:]}
	r.U32()
	alignment := r.Since(access.bytes[1:])
	offset := int64(r.U32()) + f.code[narrowed-2].constant()
	if offset >= maxOffset {
		return
	}
	access.bytes = code.U32(append([]byte{access.op}, alignment...), uint32(offset)) //nolint:gosec // less than maxOffset
	for i := narrowed - 3; i <= narrowed; i++ {
		f.code[i].bytes = nil
	}
}
