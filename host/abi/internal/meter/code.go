package meter

// The instructions that matter here. https://webassembly.github.io/spec/core/binary/instructions.html
const (
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opEnd          = 0x0b
	opBr           = 0x0c
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opRefFunc      = 0xd2
	opBulk         = 0xfc
	opVector       = 0xfd

	i32Eqz = 0x45
	i32LtS = 0x48
	i32Add = 0x6a
	i32Sub = 0x6b
	i32ShU = 0x76
	empty  = 0x40
)

// code rewrites the bodies of functions and adds that of charge.
func (m *module) code(r *reader) []byte {
	n := r.u32()
	if n != uint32(len(m.functionTypes)) { //nolint:gosec // a module has not that many
		r.bad = true
		return nil
	}
	out := u32(make([]byte, 0, len(r.data)+len(r.data)/4), n+1)
	for i := uint32(0); i < n && !r.bad; i++ {
		f := reader{data: r.take(r.u32())}
		body := m.function(&f, m.functionTypes[i])
		if f.bad {
			r.bad = true
			return nil
		}
		out = append(u32(out, uint32(len(body))), body...) //nolint:gosec // part of the module
	}
	charge := m.chargeBody()
	return append(u32(out, uint32(len(charge))), charge...) //nolint:gosec // a few bytes
}

// chargeBody is (func (param $n i32) (result i32) fuel -= n>>6; if fuel < 0 { ask }; return n).
func (m *module) chargeBody() []byte {
	const none, localGet, bytesPerUnit = 0, 0x20, 6
	out := []byte{none}
	out = u32(append(out, opGlobalGet), m.fuel)
	out = append(out, localGet, 0)
	out = append(i32Const(out, bytesPerUnit), i32ShU, i32Sub)
	out = u32(append(out, opGlobalSet), m.fuel)
	out = m.askWhenEmpty(out)
	return append(out, localGet, 0, opEnd)
}

// countOne is fuel -= 1; if fuel < 0 { ask }.
func (m *module) countOne(out []byte) []byte {
	out = u32(append(out, opGlobalGet), m.fuel)
	out = append(i32Const(out, 1), i32Sub)
	out = u32(append(out, opGlobalSet), m.fuel)
	return m.askWhenEmpty(out)
}

func (m *module) askWhenEmpty(out []byte) []byte {
	out = u32(append(out, opGlobalGet), m.fuel)
	out = append(i32Const(out, 0), i32LtS, opIf, empty)
	out = u32(append(i32Const(out, OutOfFuel), opCall), m.importedFuncs)
	out = u32(append(i32Const(out, Step), opGlobalSet), m.fuel)
	return append(out, opEnd)
}

// deeper is depth -= 1; if depth == 0 { ask }.
func (m *module) deeper(out []byte) []byte {
	out = u32(append(out, opGlobalGet), m.depth)
	out = append(i32Const(out, 1), i32Sub)
	out = u32(append(out, opGlobalSet), m.depth)
	out = u32(append(out, opGlobalGet), m.depth)
	out = append(out, i32Eqz, opIf, empty)
	out = u32(append(i32Const(out, TooDeep), opCall), m.importedFuncs)
	return append(out, opEnd)
}

func (m *module) shallower(out []byte) []byte {
	out = u32(append(out, opGlobalGet), m.depth)
	out = append(i32Const(out, 1), i32Add)
	return u32(append(out, opGlobalSet), m.depth)
}

// function rewrites one. What calls others becomes
//
//	count; deeper; block BODY end; shallower
//
// in which a return is a branch to the end of the block. What calls nothing only has its loops counted.
func (m *module) function(f *reader, typ uint32) []byte {
	before := f.data
	for n := f.u32(); n > 0 && !f.empty(); n-- {
		f.skipLEB() // how many
		f.byte()    // of which type
	}
	out := append([]byte(nil), f.since(before)...)
	w := walker{m: m, reader: f, calls: m.callsOthers(*f)}
	if !w.calls {
		return w.walk(out)
	}
	out = m.deeper(m.countOne(out))
	out = append(out, opBlock)
	out = m.resultBlock(out, typ, f)
	out = w.walk(out)
	return append(m.shallower(out), opEnd)
}

// resultBlock appends the type of a block with the results of a function type.
func (m *module) resultBlock(out []byte, typ uint32, f *reader) []byte {
	if int(typ) >= len(m.types) {
		f.bad = true
		return out
	}
	r := reader{data: m.types[typ][1:]}
	r.take(r.u32())
	results := r.data
	switch count := r.u32(); count {
	case 0:
		return append(out, empty)
	case 1:
		return append(out, r.byte())
	}
	index := m.typeIndex("\x60\x00" + string(results))
	// A block's type index is a signed number: where the sixth bit of its last byte is set, one more byte follows.
	for ; index >= 0x40; index >>= 7 {
		out = append(out, byte(index&0x7f)|0x80)
	}
	return append(out, byte(index))
}

// callsOthers tells whether there is a call in a body. It reads a copy.
func (m *module) callsOthers(f reader) bool {
	w := walker{m: m, reader: &f}
	for !f.empty() {
		op := f.byte()
		if op == opCall || op == opCallIndirect {
			return true
		}
		w.immediates(op)
	}
	return false
}

// expression copies a constant expression.
func (m *module) expression(out []byte, r *reader) []byte {
	w := walker{m: m, reader: r}
	return w.walk(out)
}

// walker goes through instructions.
type walker struct {
	m     *module
	calls bool // the function is wrapped into a block
	*reader
}

// walk copies instructions up to the end that closes what they are in, with everything that is to be counted.
func (w *walker) walk(out []byte) []byte {
	nesting := uint32(0)
	for !w.bad {
		before := w.data
		op := w.byte()
		switch op {
		case opBlock, opIf:
			nesting++
		case opLoop:
			nesting++
			w.immediates(op)
			out = w.m.countOne(append(out, w.since(before)...))
			continue
		case opEnd:
			if out = append(out, op); nesting == 0 {
				return out
			}
			nesting--
			continue
		case opReturn:
			if w.calls {
				out = u32(append(out, opBr), nesting)
				continue
			}
		case opCall, opRefFunc:
			out = u32(append(out, op), w.m.shifted(w.u32()))
			continue
		case opBulk:
			if w.isBulk() {
				out = u32(append(out, opCall), w.m.charge)
			}
		}
		w.immediates(op)
		out = append(out, w.since(before)...)
	}
	return out
}

// isBulk tells whether the instruction after the prefix works on as much as its topmost operand says: all of memory and table
// but dropping and asking the size.
func (w *walker) isBulk() bool {
	ahead := reader{data: w.data}
	switch ahead.u32() {
	case 8, 10, 11, 12, 14, 15, 17: // memory.init, .copy, .fill, table.init, .copy, .grow, .fill
		return true
	}
	return false
}

// immediates skips what follows an instruction.
func (w *walker) immediates(op byte) {
	switch {
	case op == opBlock || op == opLoop || op == opIf:
		w.skipLEB()
	case op == opBr || op == 0x0d || op == opCall || 0x20 <= op && op <= 0x26 || op == opRefFunc || op == 0xd0 || op == 0x3f || op == 0x40:
		w.skipLEB()
	case op == 0x0e: // br_table
		for n := w.u32(); n > 0 && !w.empty(); n-- {
			w.skipLEB()
		}
		w.skipLEB()
	case op == opCallIndirect || 0x28 <= op && op <= 0x3e:
		w.skipLEB()
		w.skipLEB()
	case op == 0x1c: // select with types
		w.take(w.u32())
	case op == 0x41 || op == 0x42:
		w.skipLEB()
	case op == 0x43:
		w.take(4)
	case op == 0x44:
		w.take(8)
	case op == opBulk:
		w.bulkImmediates()
	case op == opVector:
		w.vectorImmediates()
	case op <= 0x01 || op == 0x05 || op == opEnd || op == opReturn || op == 0x1a || op == 0x1b || 0x45 <= op && op <= 0xc4 || op == 0xd1:
	default:
		w.bad = true
	}
}

func (w *walker) bulkImmediates() {
	switch op := w.u32(); {
	case op <= 7: // conversions
	case op == 8 || op == 10 || op == 12 || op == 14:
		w.skipLEB()
		w.skipLEB()
	case op <= 17:
		w.skipLEB()
	default:
		w.bad = true
	}
}

func (w *walker) vectorImmediates() {
	switch op := w.u32(); {
	case op <= 11 || op == 92 || op == 93: // loads and stores
		w.skipLEB()
		w.skipLEB()
	case op == 12 || op == 13: // v128.const, i8x16.shuffle
		w.take(16)
	case 21 <= op && op <= 34: // lanes
		w.byte()
	case 84 <= op && op <= 91: // loads and stores of lanes
		w.skipLEB()
		w.skipLEB()
		w.byte()
	case op > 255:
		w.bad = true
	}
}
