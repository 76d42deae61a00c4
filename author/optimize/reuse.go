package optimize

import (
	"maps"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// reuse keeps what has been read from the stack, or written there, in local variables while nothing can change it. Go's compiler reads an argument anew for each
// use, and engines that compare what is in memory read it twice: once for the comparison, and once because reading might trap.
//
//	local.get stack; i64.load offset=16; …; local.get stack; i64.load offset=16  →  local.get stack; i64.load offset=16; local.tee kept; …; local.get kept
//
// Where a function makes no value of an address on its stack, nobody else knows of what stands there, and what is written elsewhere does not change it. Calls may, and whoever comes
// from elsewhere may have: then it is read again. parameters is how many the function has, sigpanic is a function
// that does not return.
func (f *function) reuse(parameters uint32, sigpanic uint32) {
	r := code.Reader{Data: f.locals}
	groups, written, n := r.Locals()
	first := uint64(parameters) + n
	if first+mostKept > code.MostLocals {
		return
	}
	u := reuser{f: f, stack: f.stack(), sigpanic: sigpanic, hidden: f.hidesStack(), known: map[uint32]*kept{}, first: uint32(first), targets: f.jumpedTo()}
	u.scan()
	if u.most > 0 {
		const i64 = 0x7e
		f.locals = append(code.U32(append(code.U32(nil, groups+1), written...), u.most), i64)
	}
}

// mostKept bounds what is kept at the same time.
const mostKept = 1000

// kept is eight bytes of the stack.
type kept struct {
	at    int // the instruction that has read or written them
	local uint32
	used  bool
}

// reuser is on its way through a function.
type reuser struct {
	f         *function
	stack     uint32 // the local variable with the stack's address
	sigpanic  uint32
	hidden    bool         // no address of the stack is a value
	targets   map[int]bool // the constructs that are jumped to
	first     uint32       // the number of the first local variable that is added
	now, most uint32       // how many are in use, and were at most

	known  map[uint32]*kept // by the offset from the stack's address
	dead   bool             // nothing comes here
	open   []opened
	values []int // for each operand that is known to be there: the instruction that has made it
}

// opened is a construct.
type opened struct {
	at     int
	before map[uint32]*kept // what was known ahead of an if
}

const (
	i64Load  = 0x29
	i64Store = 0x37
)

// hidesStack says that no address of something on the stack is a value.
func (f *function) hidesStack() bool {
	stack, last := f.stack(), 0
	for i := range f.code {
		if len(f.code[i].bytes) == 0 {
			continue
		}
		if f.code[i].op == code.I64ExtendI32 && f.code[last].is(code.LocalGet, stack) {
			return false
		}
		last = i
	}
	return true
}

func (u *reuser) scan() {
	for i := range u.f.code {
		in := &u.f.code[i]
		switch {
		case len(in.bytes) == 0:
			continue
		case in.op == code.Block || in.op == code.Loop || in.op == code.If || in.op == code.Else || in.op == code.End:
			u.structure(i)
			continue
		case u.dead:
			continue
		}
		pops, pushes, effect := code.Effect(in.op)
		if !effect {
			u.leave(in)
			continue
		}
		var operands [3]int // the last one first
		for n := range pops {
			operands[n] = u.pop()
		}
		switch {
		case in.is(code.LocalSet, u.stack) || in.is(code.LocalTee, u.stack):
			u.forget()
		case in.op == code.MemoryGrow:
		case pops == 2 && pushes == 0:
			u.store(i, operands[1])
		case in.op == i64Load && u.isStack(operands[0]):
			u.load(i, operands[0])
		}
		for range pushes {
			u.values = append(u.values, i)
		}
	}
}

func (u *reuser) pop() (value int) {
	if n := len(u.values); n > 0 {
		value = u.values[n-1]
		u.values = u.values[:n-1]
	}
	return value
}

// isStack says whether an instruction has made the stack's address.
func (u *reuser) isStack(value int) bool {
	return value > 0 && u.f.code[value].is(code.LocalGet, u.stack)
}

// structure is at the beginning, else or end of a construct.
func (u *reuser) structure(i int) {
	u.values = nil
	switch op := u.f.code[i].op; op {
	case code.Loop, code.Block, code.If:
		o := opened{at: i}
		switch {
		case op == code.Loop:
			u.forget()
		case op == code.If && !u.dead:
			o.before = maps.Clone(u.known)
		}
		u.open = append(u.open, o)
	case code.Else:
		u.dead = false
		u.known = map[uint32]*kept{}
		if n := len(u.open); n > 0 {
			u.open[n-1].before = nil
		}
	default:
		n := len(u.open)
		if n == 0 {
			return
		}
		o := u.open[n-1]
		u.open = u.open[:n-1]
		switch {
		case u.targets[o.at] || u.f.code[o.at].op == code.If && o.before == nil:
			u.dead = false
			u.forget()
		case u.f.code[o.at].op == code.If && u.dead:
			u.dead, u.known = false, o.before
		case u.f.code[o.at].op == code.If:
			maps.DeleteFunc(u.known, func(offset uint32, k *kept) bool { return o.before[offset] != k })
		}
	}
}

// leave is at an instruction that leads elsewhere, or whose effect is not known from itself.
func (u *reuser) leave(in *instruction) {
	u.values = nil
	switch {
	case in.op == code.BrIf:
	case in.op == code.Br || in.op == code.BrTable || in.op == code.Return || in.op == code.Unreachable || in.op == code.Call && in.operand() == u.sigpanic:
		u.dead = true
	default:
		u.forget()
	}
}

// forget forgets everything. Local variables are free again where no if is open that knows of some.
func (u *reuser) forget() {
	u.known = map[uint32]*kept{}
	for _, o := range u.open {
		if len(o.before) > 0 {
			return
		}
	}
	u.now = 0
}

// store is a store to an address that an instruction has made.
func (u *reuser) store(i, address int) {
	in := &u.f.code[i]
	if !u.isStack(address) {
		if op := u.f.code[address].op; !u.hidden || op != code.I32WrapI64 && op != code.I32Const { // where it leads is not known
			u.forget()
		}
		return
	}
	const size = 8
	begin := uint64(in.offset())
	end := begin + code.Width(in.op)
	maps.DeleteFunc(u.known, func(offset uint32, _ *kept) bool { return uint64(offset) < end && begin < uint64(offset)+size })
	if in.op == i64Store {
		u.known[in.offset()] = &kept{at: i}
	}
}

// load is a load from the stack.
func (u *reuser) load(i, address int) {
	in := &u.f.code[i]
	k := u.known[in.offset()]
	if k == nil {
		u.known[in.offset()] = &kept{at: i}
		return
	}
	if !k.used {
		if u.now >= mostKept {
			return
		}
		k.used, k.local = true, u.first+u.now
		u.now++
		u.most = max(u.most, u.now)
		tee := code.U32([]byte{code.LocalTee}, k.local)
		if from := &u.f.code[k.at]; from.op == i64Load {
			from.bytes = append(from.bytes[:len(from.bytes):len(from.bytes)], tee...)
		} else {
			from.bytes = append(tee, from.bytes...)
		}
	}
	u.f.code[address].bytes = nil
	in.op, in.bytes = code.LocalGet, code.U32([]byte{code.LocalGet}, k.local)
}

// offset is what a load or store adds to its address.
func (in *instruction) offset() uint32 {
	r := code.Reader{Data: in.bytes[1:]}
	r.U32()
	return r.U32()
}
