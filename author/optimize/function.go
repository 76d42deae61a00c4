package optimize

import (
	"slices"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// A function is one of the module's, its jumps shortened.
type function struct {
	locals []byte
	code   []instruction
	// dispatches says that it jumps as Go's compiler jumps.
	dispatches bool
}

// An instruction is one with what follows it.
type instruction struct {
	op byte
	// bytes are how it is written; none if it is left out.
	bytes []byte
	// goes is what is known of the condition of an if or br_if.
	goes likelihood
	// end is, of a block, loop or if, where in the function its end stands.
	end int
}

// is says whether it is that one, and its first operand, which is not negative.
func (in *instruction) is(op byte, operand uint32) bool {
	if in.op != op || len(in.bytes) == 0 {
		return false
	}
	r := code.Reader{Data: in.bytes[1:]}
	return r.U32() == operand
}

// operand is the first of them, unsigned.
func (in *instruction) operand() uint32 {
	r := code.Reader{Data: in.bytes[1:]}
	return r.U32()
}

// constant is a signed operand.
func (in *instruction) constant() int64 {
	r := code.Reader{Data: in.bytes[1:]}
	return r.Signed()
}

// read reads the body of a function. Where a jump of Go's only leads further on it goes there directly, and the head asks first whether the function has
// just been called, before it looks into the table.
func read(body []byte) (f function, ok bool) {
	r := code.Reader{Data: body}
	r.Locals()
	f.locals = r.Since(body)
	f.code = make([]instruction, 0, len(body)/2)
	add := func(op byte, bytes []byte) { f.code = append(f.code, instruction{op: op, bytes: bytes}) }
	for w := (code.Walker{Reader: r}); ; {
		op, last := w.Next()
		if last {
			add(op, []byte{op})
			f.pair()
			return f, !w.Bad && w.Empty()
		}
		switch op {
		case code.Br:
			if block, ok := w.Forward(w.Peek()); ok {
				w.Skip(op)
				add(op, code.U32([]byte{op}, block))
				continue
			}
		case code.BrTable:
			// What stands before it is local.get variable.
			if variable, first, ok := w.Dispatch(); ok {
				f.dispatches = true
				add(code.I32Eqz, []byte{code.I32Eqz})
				add(code.BrIf, code.U32([]byte{code.BrIf}, first))
				add(code.LocalGet, code.U32([]byte{code.LocalGet}, variable))
			}
		}
		w.Skip(op)
		if w.Bad {
			return f, false
		}
		add(op, w.Instruction())
	}
}

// walk calls each for each instruction, with the blocks, loops and ifs that are open there, the innermost last; one that begins or ends there is among them.
func (f *function) walk(each func(i int, open []int)) {
	var open []int
	for i := range f.code {
		switch f.code[i].op {
		case code.Block, code.Loop, code.If:
			open = append(open, i)
		}
		each(i, open)
		if f.code[i].op == code.End && len(open) > 0 {
			open = open[:len(open)-1]
		}
	}
}

// whole is the construct that a label means which leads out of all that are open: the function.
const whole = -1

// meant is the construct that a label means.
func meant(label uint32, open []int) int {
	if uint64(label) < uint64(len(open)) {
		return open[len(open)-1-int(label)]
	}
	return whole
}

// targets are the constructs that the labels of a br, br_if or br_table mean; none for other instructions.
func (in *instruction) targets(open []int) (constructs []int) {
	if in.op != code.Br && in.op != code.BrIf && in.op != code.BrTable {
		return nil
	}
	r := code.Reader{Data: in.bytes[1:]}
	n := uint64(1)
	if in.op == code.BrTable {
		n += uint64(r.U32())
	}
	for ; n > 0 && !r.Bad; n-- {
		constructs = append(constructs, meant(r.U32(), open))
	}
	return constructs
}

// pair finds the ends of blocks, loops and ifs.
func (f *function) pair() {
	f.walk(func(i int, open []int) {
		if f.code[i].op == code.End && len(open) > 0 {
			f.code[open[len(open)-1]].end = i
		}
	})
}

// text is the body as it is written, and what is known of the conditions in it.
func (f *function) text() (body []byte, known []hint) {
	body = slices.Clone(f.locals)
	for _, in := range f.code {
		if in.goes != unknown {
			known = append(known, hint{uint32(len(body)), in.goes}) //nolint:gosec // part of a module
		}
		body = append(body, in.bytes...)
	}
	return body, known
}

// unloop makes blocks of loops that nothing goes back to the head of: what is known before a loop is forgotten at its head.
func (f *function) unloop() {
	again := f.jumpedTo()
	for i := range f.code {
		if in := &f.code[i]; in.op == code.Loop && !again[i] {
			in.op, in.bytes = code.Block, append([]byte{code.Block}, in.bytes[1:]...)
		}
	}
}

// jumpedTo are the constructs that something jumps to.
func (f *function) jumpedTo() map[int]bool {
	targets := map[int]bool{}
	f.walk(func(i int, open []int) {
		for _, construct := range f.code[i].targets(open) {
			targets[construct] = true
		}
	})
	return targets
}
