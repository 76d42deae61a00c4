package code

// Instructions. https://webassembly.github.io/spec/core/binary/instructions.html
const (
	Unreachable  = 0x00
	Nop          = 0x01
	Block        = 0x02
	Loop         = 0x03
	If           = 0x04
	Else         = 0x05
	End          = 0x0b
	Br           = 0x0c
	BrIf         = 0x0d
	BrTable      = 0x0e
	Return       = 0x0f
	Call         = 0x10
	CallIndirect = 0x11
	Drop         = 0x1a
	Select       = 0x1b
	LocalGet     = 0x20
	LocalSet     = 0x21
	LocalTee     = 0x22
	GlobalGet    = 0x23
	GlobalSet    = 0x24
	MemoryGrow   = 0x40
	I32Const     = 0x41
	I64Const     = 0x42
	I32Eqz       = 0x45
	I64Add       = 0x7c
	I32WrapI64   = 0xa7
	I64ExtendI32 = 0xad // i64.extend_i32_u
	RefFunc      = 0xd2
	Bulk         = 0xfc // and a number that says which
	Vector       = 0xfd // likewise

	// NoResult is the type of a block without parameters and results.
	NoResult = 0x40
)

// A Walker goes through the instructions of one body: Next reads an instruction, Skip what follows it.
//
// It knows how Go's compiler jumps: the body is a loop that begins with blocks, and in the innermost of them local.get and br_table lead to the end
// of the block behind which the local variable says that it is to go on. A jump sets the variable and goes back to the head of the loop, also
// where it means to go forward.
type Walker struct {
	Reader
	open  []construct
	began []byte

	dispatched uint32 // how many of the blocks that a loop begins with are still to come
	owner      int    // whose they are: its place in open
	head       head   // how far the instructions behind them are those of a jump

	// i32.const next; local.set variable: constant is after the first of them, set after both, and ready before the instruction that follows.
	constant, set, ready bool
	next, variable       uint32
}

// head is what has been read at the head of a loop of Go's.
type head uint8

const (
	noHead     head = iota
	headBlocks      // all of its blocks
	headGet         // and local.get
)

// A construct is a block, loop or if that is open.
type construct struct {
	loop bool
	// owner is the place in open of the loop that begins with this block (and maybe others); -1 for all other constructs.
	owner int

	// A loop that begins with blocks, local.get variable and br_table: targets are the blocks at whose end the table goes on, 1 being the
	// outermost and 0 none of them, by the value of the variable; the last is for all other values. blocks is how many of the blocks are
	// still open.
	variable, blocks uint32
	targets          []uint32
}

// Next reads an instruction without what follows it, and says whether it is the end of the body.
func (w *Walker) Next() (op byte, last bool) {
	w.began = w.Data
	op = w.Byte()
	w.constant, w.set, w.ready = false, w.constant && op == LocalSet, w.set
	if op == LocalGet && w.head == headBlocks {
		w.head = headGet
	} else if op != BrTable {
		w.head = noHead
	}
	switch op {
	case Block, If:
		c := construct{owner: -1}
		if w.dispatched > 0 {
			c.owner = w.owner
			if w.dispatched--; w.dispatched == 0 {
				w.head = headBlocks
			}
		}
		w.open = append(w.open, c)
	case Loop:
		c := w.dispatch()
		w.dispatched, w.owner = c.blocks, len(w.open)
		w.open = append(w.open, c)
	case End:
		if len(w.open) == 0 {
			return op, true
		}
		top := len(w.open) - 1
		if owner := w.open[top].owner; owner >= 0 {
			w.open[owner].blocks--
		}
		w.open = w.open[:top]
	case I32Const:
		w.next, w.constant = w.natural()
	case LocalSet:
		w.variable = w.Peek()
	}
	return op, false
}

// Skip skips what follows an instruction.
func (w *Walker) Skip(op byte) {
	switch {
	case op == Block || op == Loop || op == If:
		w.SkipLEB()
	case op == Br || op == BrIf || op == Call || 0x20 <= op && op <= 0x26 || op == RefFunc || op == 0xd0 || op == 0x3f || op == 0x40:
		w.SkipLEB()
	case op == BrTable:
		for n := w.U32(); n > 0 && !w.Empty(); n-- {
			w.SkipLEB()
		}
		w.SkipLEB()
	case op == CallIndirect || 0x28 <= op && op <= 0x3e:
		w.SkipLEB()
		w.SkipLEB()
	case op == 0x1c: // select with types
		w.Take(w.U32())
	case op == I32Const || op == I64Const:
		w.SkipLEB()
	case op == 0x43:
		w.Take(4)
	case op == 0x44:
		w.Take(8)
	case op == Bulk:
		w.skipBulk()
	case op == Vector:
		w.skipVector()
	case op <= Nop || op == Else || op == End || op == Return || op == Drop || op == Select || 0x45 <= op && op <= 0xc4 || op == 0xd1:
	default:
		w.Bad = true
	}
}

func (w *Walker) skipBulk() {
	switch op := w.U32(); {
	case op <= 7: // conversions
	case op == 8 || op == 10 || op == 12 || op == 14:
		w.SkipLEB()
		w.SkipLEB()
	case op <= 17:
		w.SkipLEB()
	default:
		w.Bad = true
	}
}

func (w *Walker) skipVector() {
	switch op := w.U32(); {
	case op <= 11 || op == 92 || op == 93: // loads and stores
		w.SkipLEB()
		w.SkipLEB()
	case op == 12 || op == 13: // v128.const, i8x16.shuffle
		w.Take(16)
	case 21 <= op && op <= 34: // lanes
		w.Byte()
	case 84 <= op && op <= 91: // loads and stores of lanes
		w.SkipLEB()
		w.SkipLEB()
		w.Byte()
	case op > 255:
		w.Bad = true
	}
}

// Instruction is what has been read since Next.
func (w *Walker) Instruction() []byte { return w.Since(w.began) }

// Depth is how many blocks, loops and ifs are open.
func (w *Walker) Depth() uint32 { return uint32(len(w.open)) } //nolint:gosec // part of a module

// Peek looks ahead at an unsigned number.
func (w *Walker) Peek() uint32 {
	ahead := Reader{Data: w.Data}
	return ahead.U32()
}

// natural looks ahead at a signed number, and tells whether it is not negative.
func (w *Walker) natural() (n uint32, ok bool) {
	const sign, more = 0x40, 0x80
	ahead := Reader{Data: w.Data}
	n = ahead.U32()
	number := ahead.Since(w.Data)
	return n, len(number) > 0 && number[len(number)-1]&(sign|more) == 0
}

// at is the open construct that a label means, nil if it is the function.
func (w *Walker) at(label uint32) *construct {
	if uint64(label) >= uint64(len(w.open)) {
		return nil
	}
	return &w.open[len(w.open)-1-int(label)]
}

// IsLoop says whether a label leads to the head of a loop.
func (w *Walker) IsLoop(label uint32) bool {
	c := w.at(label)
	return c != nil && c.loop
}

// MayLoop looks ahead at whether one of the labels of a br_table does.
func (w *Walker) MayLoop() bool {
	ahead := Reader{Data: w.Data}
	for n := uint64(ahead.U32()) + 1; n > 0 && !ahead.Empty(); n-- {
		if w.IsLoop(ahead.U32()) {
			return true
		}
	}
	return false
}

// dispatch looks ahead at how a loop begins.
func (w *Walker) dispatch() construct {
	loop := construct{loop: true, owner: -1}
	ahead := Reader{Data: w.Data}
	plain := ahead.isPlain()
	blocks := uint32(0)
	op := ahead.Byte()
	for ; op == Block; op = ahead.Byte() {
		plain = ahead.isPlain() && plain
		blocks++
	}
	if op != LocalGet || blocks == 0 || !plain {
		return loop
	}
	loop.variable = ahead.U32()
	if ahead.Byte() != BrTable {
		return loop
	}
	loop.blocks = blocks
	for n := uint64(ahead.U32()) + 1; n > 0 && !ahead.Empty(); n-- {
		loop.targets = append(loop.targets, blocks-min(ahead.U32(), blocks))
	}
	return loop
}

// isPlain skips a block's type and says whether it has neither parameters nor results.
func (r *Reader) isPlain() bool {
	before := r.Data
	r.SkipLEB()
	typ := r.Since(before)
	return len(typ) == 1 && typ[0] == NoResult
}

// Forward says where a br to the head of a loop goes on, if that is only further on: the instructions ahead of it have set the loop's
// variable so that the head goes on at the end of a block that is still open. A br to that block, whose label it returns, does the same.
func (w *Walker) Forward(label uint32) (block uint32, ok bool) {
	loop := w.at(label)
	if loop == nil || !w.ready || len(loop.targets) == 0 || loop.variable != w.variable {
		return 0, false
	}
	target := loop.targets[min(int(w.next), len(loop.targets)-1)]
	if target == 0 || target > loop.blocks {
		return 0, false
	}
	return label - target, true
}

// Dispatch says, of a br_table, whether it is the one that a loop of Go's begins with, and looks ahead at where it leads when its
// variable is 0, which it is when the function is called.
func (w *Walker) Dispatch() (variable, first uint32, ok bool) {
	if w.head != headGet {
		return 0, 0, false
	}
	ahead := Reader{Data: w.Data}
	ahead.U32()
	return w.open[w.owner].variable, ahead.U32(), true
}
