// Package bounds rewrites functions so that wazero asks less often whether an address is within the memory.
//
// wazero asks at each load and store, and the code for a trap stands behind each question. It leaves it out where it knows that the same value with as large an
// offset was within. But compilers write fields of a struct in the order of their offsets, each of which is larger than the one before, and
// Go's narrows the address anew each time (i32.wrap_i64), which is another value for wazero. So ahead of the first of several the farthest is loaded, for nothing, and
// the narrowed address is kept in a local variable of its own:
//
//	local.get p; i32.wrap_i64; i64.load; …; local.get p; i32.wrap_i64; i64.load offset=8
//	→ local.get p; i32.wrap_i64; local.tee n; i32.load8_u offset=15; drop; local.get n; i64.load; …; local.get n; i64.load offset=8
//
// What is loaded for nothing leaves the question and nothing else behind. All of that is between two jumps, calls or targets of jumps: so a function traps where it
// did before, if maybe some instructions sooner. Our modules take a fifth less time (docs/decisions/134-wazero-asks-less-often.md).
package bounds

import (
	"slices"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

const (
	i32       = 0x7f // a type
	load8     = 0x2d // i32.load8_u
	unaligned = 0    // how a byte is
	maxOffset = 1<<32 - 1
)

const (
	// longest is how many bytes a body may have: it is taken apart in memory, some sixty bytes for each of its own.
	longest = 1 << 20
	// mostLocals leaves the two that the meter needs.
	mostLocals = code.MostLocals - 2
	// mostSeen bounds how many addresses are looked through at each access.
	mostSeen = 32
)

// Function returns the body of a function that has so many parameters, as the code section has it, as it is faster. One that cannot be read, or is too
// long, stays as it is.
func Function(body []byte, parameters uint32) []byte {
	if len(body) > longest {
		return body
	}
	f := function{next: uint64(parameters), narrowed: map[uint32]uint32{}}
	if !f.read(body) {
		return body
	}
	f.rewrite()
	return f.text()
}

// A function is one on its way through the rewriting.
type function struct {
	groups uint32 // of local variables
	locals []byte // as they are written
	next   uint64 // the number of the first that is not there yet
	added  uint32 // how many are
	code   []instruction

	narrowed map[uint32]uint32 // by the local variable with the address: the one that it is kept in, narrowed
	seen     []accesses        // since the last jump
}

// An instruction is one with what follows it.
type instruction struct {
	op    byte
	bytes []byte
	ahead []byte // what is put ahead of it
}

// accesses are the loads and stores at one address.
type accesses struct {
	address
	places []int  // where the local variable is got
	end    uint64 // the farthest byte that they touch, of the address
	grows  int    // how often one goes farther than those before it
}

// An address is what a local variable holds.
type address struct {
	local   uint32
	set     int  // how often the variable has been set before it is got
	narrows bool // it has 64 bits, of which the lower 32 are meant
}

// A value is one on the stack of operands.
type value struct {
	address
	place int // where its local variable is got; -1 if it is no address that is known
}

func (f *function) read(body []byte) bool {
	r := code.Reader{Data: body}
	var n uint64
	f.groups, f.locals, n = r.Locals()
	f.next += n
	if r.Bad || f.next > mostLocals {
		return false
	}
	w := code.Walker{Reader: r}
	for last := false; !last; {
		var op byte
		if op, last = w.Next(); !last {
			w.Skip(op)
		}
		if w.Bad {
			return false
		}
		f.code = append(f.code, instruction{op: op, bytes: w.Instruction()})
	}
	return w.Empty()
}

func (f *function) text() []byte {
	out := code.U32(nil, f.groups)
	if f.added > 0 {
		out = code.U32(nil, f.groups+1)
	}
	out = append(out, f.locals...)
	if f.added > 0 {
		out = append(code.U32(out, f.added), i32)
	}
	for _, in := range f.code {
		out = append(append(out, in.ahead...), in.bytes...)
	}
	return out
}

// rewrite goes through the instructions with the operands that are known.
func (f *function) rewrite() {
	var stack []value
	sets := map[uint32]int{} // how often a local variable has been
	for i := range f.code {
		in := &f.code[i]
		if in.op == code.Block && in.bytes[1] == code.NoResult {
			continue
		}
		pops, pushes, known := code.Effect(in.op)
		if !known || in.op == code.MemoryGrow {
			stack = stack[:0]
			f.flush()
			continue
		}
		last := value{place: -1}
		for range pops {
			last = value{place: -1}
			if n := len(stack) - 1; n >= 0 {
				last, stack = stack[n], stack[:n]
			}
		}
		pushed := value{place: -1}
		switch {
		case code.Width(in.op) > 0 && last.place >= 0:
			f.access(last, in)
		case in.op == code.LocalGet:
			local := in.operand()
			pushed = value{address{local: local, set: sets[local]}, i}
		case in.op == code.I32WrapI64 && last.place == i-1 && !last.narrows:
			pushed = last
			pushed.narrows = true
		case in.op == code.LocalSet || in.op == code.LocalTee:
			sets[in.operand()]++
		}
		for range pushes {
			stack = append(stack, pushed)
		}
	}
}

// operand is the first of them.
func (in *instruction) operand() uint32 {
	r := code.Reader{Data: in.bytes[1:]}
	return r.U32()
}

// access notes a load or store at an address.
func (f *function) access(at value, in *instruction) {
	r := code.Reader{Data: in.bytes[1:]}
	r.U32() // the alignment
	end := uint64(r.U32()) + code.Width(in.op)
	i := slices.IndexFunc(f.seen, func(a accesses) bool { return a.address == at.address })
	if i < 0 {
		if len(f.seen) == mostSeen {
			f.flush()
		}
		i = len(f.seen)
		f.seen = append(f.seen, accesses{address: at.address})
	}
	a := &f.seen[i]
	a.places = append(a.places, at.place)
	if end > a.end {
		a.end = end
		a.grows++
	}
}

// flush rewrites what has been noted.
func (f *function) flush() {
	for _, a := range f.seen {
		if len(a.places) > 1 && (a.narrows || a.grows > 1) && a.end <= maxOffset {
			f.once(a)
		}
	}
	f.seen = f.seen[:0]
}

// once asks for all of them at the first.
func (f *function) once(a accesses) {
	first := &f.code[slices.Min(a.places)]
	ahead := code.U32(append(first.ahead, code.LocalGet), a.local)
	if a.narrows {
		local, ok := f.narrowed[a.local]
		if !ok && f.next+uint64(f.added) >= mostLocals {
			return
		}
		if !ok {
			local = uint32(f.next) + f.added //nolint:gosec // a function has not that many
			f.narrowed[a.local] = local
			f.added++
		}
		ahead = code.U32(append(ahead, code.I32WrapI64, code.LocalTee), local)
		for _, i := range a.places {
			f.code[i].bytes = code.U32([]byte{code.LocalGet}, local)
			f.code[i+1].bytes = nil
		}
	}
	ahead = code.U32(append(ahead, load8, unaligned), uint32(a.end-1)) //nolint:gosec // less than maxOffset
	first.ahead = append(ahead, code.Drop)
}
