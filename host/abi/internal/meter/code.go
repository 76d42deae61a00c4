package meter

// The instructions that matter here. https://webassembly.github.io/spec/core/binary/instructions.html
const (
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opRefFunc      = 0xd2
	opBulk         = 0xfc
	opVector       = 0xfd

	opDrop     = 0x1a
	opLocalGet = 0x20
	opLocalSet = 0x21
	opI32Const = 0x41
	opLocalTee = 0x22

	i32LtS    = 0x48
	i32Eqz    = 0x45
	i64Ne     = 0x52
	i64LtS    = 0x53
	i32Add    = 0x6a
	i32And    = 0x71
	i32ShU    = 0x76
	i64Add    = 0x7c
	i64Sub    = 0x7d
	i64And    = 0x83
	i32Wrap   = 0xa7
	i64Signed = 0xac // of an i32
	i64Of     = 0xad // of an i32 without sign

	i32, i64, empty = 0x7f, 0x7e, 0x40 // types
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

// code rewrites the bodies of functions and adds those of charge and settle.
func (m *module) code(r *reader) []byte {
	n := r.u32()
	if n != uint32(len(m.functionTypes)) { //nolint:gosec // a module has not that many
		r.bad = true
		return nil
	}
	out := u32(make([]byte, 0, len(r.data)+len(r.data)/4), n+2)
	for i := uint32(0); i < n && !r.bad; i++ {
		f := reader{data: r.take(r.u32())}
		body := m.function(&f, m.functionTypes[i])
		if f.bad {
			r.bad = true
			return nil
		}
		out = append(u32(out, uint32(len(body))), body...) //nolint:gosec // part of the module
	}
	for _, body := range [][]byte{m.chargeBody(), m.settleBody()} {
		out = append(u32(out, uint32(len(body))), body...) //nolint:gosec // a few bytes
	}
	return out
}

// chargeBody is (func (param $n i32) (result i32) left -= n>>6; if left is exhausted { settle }; return n).
func (m *module) chargeBody() []byte {
	const noLocals, n = 0, 0
	out := u32(append([]byte{noLocals}, opGlobalGet), m.left)
	out = append(i32Const(append(out, opLocalGet, n), bytesPerUnit), i32ShU, i64Of, i64Sub)
	out = u32(append(out, opGlobalSet), m.left)
	out = m.settleIfExhausted(u32(append(out, opGlobalGet), m.left))
	return append(out, opLocalGet, n, opEnd)
}

// settleBody is (func if fuel < 0 { ask; fuel = Step }; if depth < 0 { ask }).
func (m *module) settleBody() []byte {
	const noLocals = 0
	left := func(out []byte) []byte { return u32(append(out, opGlobalGet), m.left) }
	ask := func(out []byte, why int32) []byte { return u32(append(i32Const(out, why), opCall), m.importedFuncs) }
	out := append(i32Const(append(left([]byte{noLocals}), i32Wrap), 0), i32LtS, opIf, empty)
	out = ask(out, OutOfFuel)
	out = append(left(left(out)), i32Wrap, i64Signed, i64Sub)
	out = append(i64Const(out, Step), i64Add)
	out = append(u32(append(out, opGlobalSet), m.left), opEnd)
	out = append(i64Const(left(out), 0), i64LtS, opIf, empty)
	return append(ask(out, TooDeep), opEnd, opEnd)
}

// settleIfExhausted takes what is left from the stack.
func (m *module) settleIfExhausted(out []byte) []byte {
	out = append(i64Const(out, exhausted), i64And)
	out = append(i64Const(out, 0), i64Ne, opIf, empty)
	return append(u32(append(out, opCall), m.charge+1), opEnd)
}

// deeper is left -= one call and one unit; if left is exhausted { settle }. local is one that it may use.
func (m *module) deeper(out []byte, local uint32) []byte {
	out = append(i64Const(u32(append(out, opGlobalGet), m.left), counted), i64Sub)
	out = u32(append(out, opLocalTee), local)
	out = u32(append(out, opGlobalSet), m.left)
	return m.settleIfExhausted(u32(append(out, opLocalGet), local))
}

// shallower is left += one call.
func (m *module) shallower(out []byte) []byte {
	out = append(i64Const(u32(append(out, opGlobalGet), m.left), oneDeeper), i64Add)
	return u32(append(out, opGlobalSet), m.left)
}

// count is local += 1; if local % rounds == 0 { charge as many }.
func (m *module) count(out []byte, local uint32) []byte {
	out = append(i32Const(u32(append(out, opLocalGet), local), 1), i32Add)
	out = u32(append(out, opLocalTee), local)
	out = append(i32Const(out, rounds-1), i32And, i32Eqz, opIf, empty)
	out = u32(append(i32Const(out, rounds<<bytesPerUnit), opCall), m.charge)
	return append(out, opDrop, opEnd)
}

// function rewrites one. What calls others becomes
//
//	deeper; block BODY end; shallower
//
// in which a return is a branch to the end of the block. What calls nothing only has its loops counted.
func (m *module) function(f *reader, typ uint32) []byte {
	if int(typ) >= len(m.types) {
		f.bad = true
		return nil
	}
	params := reader{data: m.types[typ][1:]}
	next := uint64(params.u32()) // the index of the first local that is not there yet
	groups := f.u32()
	before := f.data
	for n := groups; n > 0 && !f.empty(); n-- {
		next += uint64(f.u32())
		f.byte() // of which type
	}
	const most = 50000 // as in https://webassembly.github.io/spec/js-api/#limits
	if next > most {
		f.bad = true
		return nil
	}
	calls, loops := m.kind(*f)
	w := walker{m: m, reader: f, calls: calls, round: uint32(next)}
	locals := f.since(before)
	if loops {
		groups, next = groups+1, next+1
	}
	if calls {
		groups++
	}
	out := append(u32(nil, groups), locals...)
	if loops {
		out = append(out, 1, i32)
	}
	if !calls {
		return w.walk(out)
	}
	out = m.deeper(append(out, 1, i64), uint32(next))
	out = append(out, opBlock)
	out = m.resultBlock(out, typ)
	out = w.walk(out)
	return append(m.shallower(out), opEnd)
}

// resultBlock appends the type of a block with the results of a function type.
func (m *module) resultBlock(out []byte, typ uint32) []byte {
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

// kind tells whether there are calls in a body, and loops. It reads a copy.
func (m *module) kind(f reader) (calls, loops bool) {
	w := walker{m: m, reader: &f}
	for !f.empty() {
		op := f.byte()
		calls = calls || op == opCall || op == opCallIndirect
		loops = loops || op == opLoop
		w.immediates(op)
	}
	return calls, loops
}

// expression copies a constant expression.
func (m *module) expression(out []byte, r *reader) []byte {
	w := walker{m: m, reader: r}
	return w.walk(out)
}

// walker goes through instructions.
type walker struct {
	m     *module
	calls bool   // the function is wrapped into a block
	round uint32 // the local variable that counts the rounds of loops
	open  []construct
	*reader

	dispatched uint32 // how many of the blocks that a loop begins with are still to come
	owner      int    // whose they are: its place in open

	// The two instructions before the current one: i32.const next; local.set variable.
	constant, set  bool
	next, variable uint32
}

// A construct is a block, loop or if that is open.
type construct struct {
	loop bool
	// owner is the place in open of the loop that begins with this block (and maybe others); -1 for all other constructs.
	owner int

	// A loop that begins with blocks and in the innermost of them with local.get variable; br_table is how what Go compiles gets to where
	// it was. targets are the blocks at whose end the table goes on, 1 being the outermost and 0 none of them, by the
	// value of the variable; the last is for all other values. blocks is how many of the blocks are still open.
	variable, blocks uint32
	targets          []uint32
}

// walk copies instructions up to the end that closes what they are in, with everything that is to be counted.
func (w *walker) walk(out []byte) []byte {
	for !w.bad {
		before := w.data
		op := w.byte()
		constant, set := w.constant, w.set
		w.constant, w.set = false, false
		switch op {
		case opBlock, opIf:
			c := construct{owner: -1}
			if w.dispatched > 0 {
				w.dispatched--
				c.owner = w.owner
			}
			w.open = append(w.open, c)
		case opLoop:
			c := w.dispatch()
			w.dispatched, w.owner = c.blocks, len(w.open)
			w.open = append(w.open, c)
		case opEnd:
			if out = append(out, op); len(w.open) == 0 {
				return out
			}
			last := len(w.open) - 1
			if owner := w.open[last].owner; owner >= 0 {
				w.open[owner].blocks--
			}
			w.open = w.open[:last]
			continue
		case opI32Const:
			w.next, w.constant = w.natural()
		case opLocalSet:
			ahead := reader{data: w.data}
			w.variable, w.set = ahead.u32(), constant
		case opBr, opBrIf:
			ahead := reader{data: w.data}
			if label := ahead.u32(); w.isLoop(label) && (op == opBrIf || !set || !w.isForward(label)) {
				out = w.m.count(out, w.round)
			}
		case opBrTable:
			if w.mayLoop() {
				out = w.m.count(out, w.round)
			}
		case opReturn:
			if w.calls {
				out = u32(append(out, opBr), uint32(len(w.open))) //nolint:gosec // part of the module
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

// at is the open construct that a label means, nil if it is the function.
func (w *walker) at(label uint32) *construct {
	if uint64(label) >= uint64(len(w.open)) {
		return nil
	}
	return &w.open[len(w.open)-1-int(label)]
}

func (w *walker) isLoop(label uint32) bool {
	c := w.at(label)
	return c != nil && c.loop
}

// mayLoop looks ahead at whether one of the labels of a br_table is a loop.
func (w *walker) mayLoop() bool {
	ahead := reader{data: w.data}
	for n := uint64(ahead.u32()) + 1; n > 0 && !ahead.empty(); n-- {
		if w.isLoop(ahead.u32()) {
			return true
		}
	}
	return false
}

// natural looks ahead at a signed number, and tells whether it is not negative.
func (w *walker) natural() (n uint32, ok bool) {
	const sign, more = 0x40, 0x80
	ahead := reader{data: w.data}
	n = ahead.u32()
	number := ahead.since(w.data)
	return n, len(number) > 0 && number[len(number)-1]&(sign|more) == 0
}

// dispatch looks ahead at how a loop begins.
func (w *walker) dispatch() construct {
	loop := construct{loop: true, owner: -1}
	ahead := reader{data: w.data}
	ahead.skipLEB()
	blocks := uint32(0)
	op := ahead.byte()
	for ; op == opBlock; op = ahead.byte() {
		ahead.skipLEB()
		blocks++
	}
	if op != opLocalGet {
		return loop
	}
	loop.variable = ahead.u32()
	if ahead.byte() != opBrTable {
		return loop
	}
	loop.blocks = blocks
	for n := uint64(ahead.u32()) + 1; n > 0 && !ahead.empty(); n-- {
		loop.targets = append(loop.targets, blocks-min(ahead.u32(), blocks))
	}
	return loop
}

// isForward tells whether a jump to the head of a loop only leads to a place further on: the instructions before it have
// set the loop's variable so that the head goes on at the end of a block that is still open. What only goes forward comes to an
// end, and so needs not to be counted.
func (w *walker) isForward(label uint32) bool {
	loop := w.at(label)
	if len(loop.targets) == 0 || loop.variable != w.variable {
		return false
	}
	target := loop.targets[min(int(w.next), len(loop.targets)-1)]
	return target > 0 && target <= loop.blocks
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
	case op == opBr || op == opBrIf || op == opCall || 0x20 <= op && op <= 0x26 || op == opRefFunc || op == 0xd0 || op == 0x3f || op == 0x40:
		w.skipLEB()
	case op == opBrTable:
		for n := w.u32(); n > 0 && !w.empty(); n-- {
			w.skipLEB()
		}
		w.skipLEB()
	case op == opCallIndirect || 0x28 <= op && op <= 0x3e:
		w.skipLEB()
		w.skipLEB()
	case op == 0x1c: // select with types
		w.take(w.u32())
	case op == opI32Const || op == 0x42:
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
