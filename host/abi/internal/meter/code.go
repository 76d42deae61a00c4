package meter

import (
	"github.com/leash-gateway/leash/host/abi/internal/bounds"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// The instructions that are written besides those of package code.
const (
	i32LtS    = 0x48
	i64Ne     = 0x52
	i64LtS    = 0x53
	i32Add    = 0x6a
	i32And    = 0x71
	i32ShU    = 0x76
	i64Add    = code.I64Add
	i64Sub    = 0x7d
	i64And    = 0x83
	i32Wrap   = code.I32WrapI64
	i64Signed = 0xac              // of an i32
	i64Of     = code.I64ExtendI32 // of an i32 without sign

	i32, i64, empty = 0x7f, 0x7e, code.NoResult // types
)

// Of the global variable that holds what is left.
const (
	oneDeeper = 1 << 32        // one call in its upper half; in the lower half 1 is a unit of fuel
	exhausted = -1<<63 | 1<<31 // the highest bit of each half
	counted   = oneDeeper + 1  // what a call takes
	// rounds is how many rounds of a loop pass until they are counted as fuel.
	rounds = 64
	// bytesPerUnit is the binary logarithm of the bytes that are a unit of fuel.
	bytesPerUnit = 6
)

// i32Const appends the instruction that pushes n.
func i32Const(to []byte, n int32) []byte { return code.Signed(append(to, code.I32Const), int64(n)) }

// i64Const appends the instruction that pushes n.
func i64Const(to []byte, n int64) []byte { return code.Signed(append(to, code.I64Const), n) }

// code rewrites the bodies of functions and adds those of charge and settle.
func (m *module) code(r *code.Reader) []byte {
	n := r.U32()
	if n != uint32(len(m.functionTypes)) { //nolint:gosec // a module has not that many
		r.Bad = true
		return nil
	}
	out := code.U32(make([]byte, 0, len(r.Data)+len(r.Data)/4), n+2)
	for i := uint32(0); i < n && !r.Bad; i++ {
		f := code.Reader{Data: r.Take(r.U32())}
		body := m.function(&f, m.functionTypes[i])
		if f.Bad {
			r.Bad = true
			return nil
		}
		out = append(code.U32(out, uint32(len(body))), body...) //nolint:gosec // part of the module
	}
	for _, body := range [][]byte{m.chargeBody(), m.settleBody()} {
		out = append(code.U32(out, uint32(len(body))), body...) //nolint:gosec // a few bytes
	}
	return out
}

// chargeBody is (func (param $n i32) (result i32) left -= n>>6; if left is exhausted { settle }; return n).
func (m *module) chargeBody() []byte {
	const noLocals, n = 0, 0
	out := code.U32(append([]byte{noLocals}, code.GlobalGet), m.left)
	out = append(i32Const(append(out, code.LocalGet, n), bytesPerUnit), i32ShU, i64Of, i64Sub)
	out = code.U32(append(out, code.GlobalSet), m.left)
	out = m.settleIfExhausted(code.U32(append(out, code.GlobalGet), m.left))
	return append(out, code.LocalGet, n, code.End)
}

// settleBody is (func if fuel < 0 { ask; fuel = Step }; if depth < 0 { ask }).
func (m *module) settleBody() []byte {
	const noLocals = 0
	left := func(out []byte) []byte { return code.U32(append(out, code.GlobalGet), m.left) }
	ask := func(out []byte, why int32) []byte {
		return code.U32(append(i32Const(out, why), code.Call), m.importedFuncs)
	}
	out := append(i32Const(append(left([]byte{noLocals}), i32Wrap), 0), i32LtS, code.If, empty)
	out = ask(out, OutOfFuel)
	out = append(left(left(out)), i32Wrap, i64Signed, i64Sub)
	out = append(i64Const(out, Step), i64Add)
	out = append(code.U32(append(out, code.GlobalSet), m.left), code.End)
	out = append(i64Const(left(out), 0), i64LtS, code.If, empty)
	return append(ask(out, TooDeep), code.End, code.End)
}

// settleIfExhausted takes what is left from the stack.
func (m *module) settleIfExhausted(out []byte) []byte {
	out = append(i64Const(out, exhausted), i64And)
	out = append(i64Const(out, 0), i64Ne, code.If, empty)
	return append(code.U32(append(out, code.Call), m.charge+1), code.End)
}

// deeper is left -= one call and one unit; if left is exhausted { settle }. local is one that it may use.
func (m *module) deeper(out []byte, local uint32) []byte {
	out = append(i64Const(code.U32(append(out, code.GlobalGet), m.left), counted), i64Sub)
	out = code.U32(append(out, code.LocalTee), local)
	out = code.U32(append(out, code.GlobalSet), m.left)
	return m.settleIfExhausted(code.U32(append(out, code.LocalGet), local))
}

// shallower is left += one call.
func (m *module) shallower(out []byte) []byte {
	out = append(i64Const(code.U32(append(out, code.GlobalGet), m.left), oneDeeper), i64Add)
	return code.U32(append(out, code.GlobalSet), m.left)
}

// count is local += 1; if local % rounds == 0 { charge as many }.
func (m *module) count(out []byte, local uint32) []byte {
	out = append(i32Const(code.U32(append(out, code.LocalGet), local), 1), i32Add)
	out = code.U32(append(out, code.LocalTee), local)
	out = append(i32Const(out, rounds-1), i32And, code.I32Eqz, code.If, empty)
	out = code.U32(append(i32Const(out, rounds<<bytesPerUnit), code.Call), m.charge)
	return append(out, code.Drop, code.End)
}

// function rewrites one. What calls others becomes
//
//	deeper; block BODY end; shallower
//
// in which a return is a branch to the end of the block. What calls nothing only has its loops counted.
func (m *module) function(f *code.Reader, typ uint32) []byte {
	if int(typ) >= len(m.types) {
		f.Bad = true
		return nil
	}
	params := code.Reader{Data: m.types[typ][1:]}
	parameters := params.U32()
	if !m.Conditions {
		f.Data = bounds.Function(f.Data, parameters)
	}
	groups, locals, n := f.Locals()
	next := uint64(parameters) + n // the index of the first local that is not there yet
	if next > code.MostLocals {
		f.Bad = true
		return nil
	}
	calls, loops := kind(*f)
	round := uint32(next)
	if loops {
		groups, next = groups+1, next+1
	}
	if calls {
		groups++
	}
	out := append(code.U32(nil, groups), locals...)
	if loops {
		out = append(out, 1, i32)
	}
	if !calls {
		return m.walk(out, f, calls, round)
	}
	out = m.deeper(append(out, 1, i64), uint32(next))
	out = append(out, code.Block)
	out = m.resultBlock(out, typ)
	out = m.walk(out, f, calls, round)
	return append(m.shallower(out), code.End)
}

// resultBlock appends the type of a block with the results of a function type.
func (m *module) resultBlock(out []byte, typ uint32) []byte {
	r := code.Reader{Data: m.types[typ][1:]}
	r.Take(r.U32())
	results := r.Data
	switch count := r.U32(); count {
	case 0:
		return append(out, empty)
	case 1:
		return append(out, r.Byte())
	}
	index := m.typeIndex("\x60\x00" + string(results))
	// A block's type index is a signed number: where the sixth bit of its last byte is set, one more byte follows.
	for ; index >= 0x40; index >>= 7 {
		out = append(out, byte(index&0x7f)|0x80)
	}
	return append(out, byte(index))
}

// kind tells whether there are calls in a body, and loops. It reads a copy.
func kind(f code.Reader) (calls, loops bool) {
	for w := (code.Walker{Reader: f}); !w.Empty(); {
		op, _ := w.Next()
		calls = calls || op == code.Call || op == code.CallIndirect
		loops = loops || op == code.Loop
		w.Skip(op)
	}
	return calls, loops
}

// expression copies a constant expression.
func (m *module) expression(out []byte, r *code.Reader) []byte { return m.walk(out, r, false, 0) }

// walk copies a body's instructions, with everything that is to be counted. calls says that the function is wrapped into a block, round
// is the local variable that counts the rounds of its loops.
func (m *module) walk(out []byte, r *code.Reader, calls bool, round uint32) []byte {
	w := code.Walker{Reader: *r}
	defer func() { *r = w.Reader }()
	for !w.Bad {
		op, last := w.Next()
		if last {
			return append(out, op)
		}
		if m.Conditions && (op == code.If || op == code.BrIf) {
			out = code.U32(append(i32Const(out, m.conditions), code.Call), m.importedFuncs+1)
			m.conditions++
		}
		switch op {
		case code.Br, code.BrIf:
			if label := w.Peek(); w.IsLoop(label) && (op == code.BrIf || !goesForward(&w, label)) {
				out = m.count(out, round)
			}
		case code.BrTable:
			if w.MayLoop() {
				out = m.count(out, round)
			}
		case code.Return:
			if calls {
				out = code.U32(append(out, code.Br), w.Depth())
				continue
			}
		case code.Call, code.RefFunc:
			out = code.U32(append(out, op), m.shifted(w.U32()))
			continue
		case code.Bulk:
			if isBulk(w.Peek()) {
				out = code.U32(append(out, code.Call), m.charge)
			}
		}
		w.Skip(op)
		out = append(out, w.Instruction()...)
	}
	return out
}

// goesForward tells whether a jump to the head of a loop only leads further on. What only goes forward comes to an end, and so needs not to
// be counted.
func goesForward(w *code.Walker, label uint32) bool {
	_, ok := w.Forward(label)
	return ok
}

// isBulk tells whether the instruction of this number after the prefix works on as much as its topmost operand says: all of memory and
// table but dropping and asking the size.
func isBulk(op uint32) bool {
	switch op {
	case 8, 10, 11, 12, 14, 15, 17: // memory.init, .copy, .fill, table.init, .copy, .grow, .fill
		return true
	}
	return false
}
