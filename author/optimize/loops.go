package optimize

import (
	"slices"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// structure makes loops of jumps back that go to the function's head and through its table. A loop begins behind the block whose end is jumped to, and ends behind the
// last of these jumps; blocks that end in it begin in it too. Go's compiler likes to begin a loop with its condition, which stands at the end: such a loop is turned, so that
// it begins with it. What jumps into the midst of others goes to their head, which leads on by the variable. Loops with calls stay as they are: calls take longer than the jump, a goroutine
// may be resumed behind each, and engines make several copies of what is in a loop.
//
// It does nothing where something is not as Go's compiler makes it.
func (f *function) structure() {
	s := structurer{f: f}
	if s.read() && s.jumps() {
		s.nest()
		s.turn()
		f.code = s.write()
		f.pair()
	}
}

// structurer is what is known of a function. What is called a place is one in its code, and where a construct is meant it is that of its beginning.
type structurer struct {
	f        *function
	head     int // the place of the loop
	table    int // and of its br_table
	variable uint32
	blocks   []int           // the places of the blocks that the loop begins with, the outermost first
	numbers  []int           // by the number that the variable holds: the block at whose end it goes on
	targets  map[int][]int   // by the place of a br, br_if or br_table: the constructs that its labels mean
	owner    map[int]*region // by the block: the innermost loop that it ends in; none: the function
	regions  []*region       // that are to be loops, as they begin
}

// A region is a part of the function that is to be a loop.
type region struct {
	block       int // at whose end it begins
	number      int // that the variable holds where it is jumped to
	start, stop int // the places of its first instruction, and of the first behind it
	parent      *region
	entered     bool // something jumps into the midst of it
	// middle is the block at whose end it is to begin instead: what stands ahead of that follows what stands behind it. It is 0 where it begins at its start.
	middle int
	both   bool // something enters it at its start all the same
}

func (r *region) has(place int) bool { return r.start <= place && place < r.stop }

// within says whether the region is another one or in it; each is in the function, nil.
func (r *region) within(outer *region) bool {
	for ; r != outer; r = r.parent {
		if r == nil {
			return false
		}
	}
	return true
}

// read finds the constructs, and what the head of the function is made of.
func (s *structurer) read() bool {
	s.targets = map[int][]int{}
	tables := 0
	s.f.walk(func(i int, open []int) {
		in := &s.f.code[i]
		if targets := in.targets(open); targets != nil {
			s.targets[i] = targets
		}
		if in.op == code.BrTable {
			tables++
		}
	})
	return tables == 1 && s.readHead()
}

// readHead reads what the function begins with.
func (s *structurer) readHead() bool {
	h, ok := s.f.findHead()
	if !ok || h.loop == none {
		return false
	}
	s.head, s.table, s.variable, s.blocks, s.numbers = h.loop, h.table, h.variable, h.blocks, s.targets[h.table]
	for i := range s.f.code { // the variable says where the last jump has led to, and nothing else
		switch in := &s.f.code[i]; {
		case in.is(code.LocalGet, s.variable) && i != s.table-1 && i != s.table-headSize, in.is(code.LocalTee, s.variable),
			in.is(code.LocalSet, s.variable) && s.f.code[i+1].op != code.Br:
			return false
		}
	}
	return len(s.blocks) > 0
}

// isBlock says whether a construct is one of the blocks at the head.
func (s *structurer) isBlock(construct int) bool { return s.head < construct && construct < s.table }

// end is the place behind which a block goes on.
func (s *structurer) end(construct int) int { return s.f.code[construct].end }

// number is what the variable holds at a br, as the instructions ahead of it have set it; -1 if they do not.
func (s *structurer) number(br int) int {
	if n, ok := s.f.setAhead(br, s.variable); ok && 0 <= n && n < int64(len(s.numbers)) {
		return int(n)
	}
	return -1
}

// first is the place of the br_if at the head, which leads to where a function begins that has just been called.
func (s *structurer) first() int { return s.table - 2 }

// jumps finds the jumps back and makes a region of each place that is jumped to.
func (s *structurer) jumps() bool {
	by := map[int]*region{}
	for i := range s.f.code {
		if s.f.code[i].op != code.Br && s.f.code[i].op != code.BrIf || i == s.first() {
			continue
		}
		to := s.targets[i][0]
		if to != s.head && !s.isBlock(to) {
			continue
		}
		n := s.number(i)
		if n < 0 || !s.isBlock(s.numbers[n]) {
			return false
		}
		block := s.numbers[n]
		if to == block {
			continue // it leads further on
		}
		if to != s.head || s.end(block) > i {
			return false
		}
		r := by[block]
		if r == nil {
			r = &region{block: block, number: n, start: s.end(block) + 1}
			by[block] = r
			s.regions = append(s.regions, r)
		}
		r.stop = s.behind(i, r.start)
	}
	s.regions = slices.DeleteFunc(s.regions, s.hasCalls)
	slices.SortFunc(s.regions, func(a, b *region) int { return a.start - b.start })
	return len(s.regions) > 0
}

// hasCalls says whether a region has calls, other than those behind an if, which make the stack larger or panic.
func (s *structurer) hasCalls(r *region) bool {
	for i := r.start; i < r.stop; i++ {
		switch s.f.code[i].op {
		case code.If:
			i = s.end(i)
		case code.Call, code.CallIndirect:
			return true
		}
	}
	return false
}

// behind is the first place behind an instruction that is in no construct which has begun since start.
func (s *structurer) behind(i, start int) int {
	for j := start; j < i; j++ {
		switch s.f.code[j].op {
		case code.Block, code.Loop, code.If:
			if s.end(j) > i {
				return s.end(j) + 1
			}
			j = s.end(j)
		}
	}
	return i + 1
}

// nest puts the regions into each other, and finds whose the blocks are.
func (s *structurer) nest() {
	for again := true; again; {
		again = false
		for i, r := range s.regions {
			for _, inner := range s.regions[i+1:] {
				if inner.start < r.stop && r.stop < inner.stop {
					r.stop, again = inner.stop, true
				}
			}
		}
	}
	for i, r := range s.regions {
		for _, outer := range s.regions[:i] {
			if outer.has(r.start) {
				r.parent = outer // the last is the innermost
			}
		}
	}
	s.owner = map[int]*region{}
	for _, block := range s.blocks {
		s.owner[block] = s.at(s.end(block))
	}
	for i := range s.f.code {
		if to, ok := s.meaning(i); ok {
			for r := s.owner[to]; r != nil && !r.has(i); r = r.parent {
				r.entered = true
			}
		}
	}
}

// meaning is the block at whose end a br or br_if goes on; false if it is another construct.
func (s *structurer) meaning(br int) (block int, ok bool) {
	op := s.f.code[br].op
	if op != code.Br && op != code.BrIf {
		return 0, false
	}
	to := s.targets[br][0]
	if to == s.head {
		to = s.numbers[s.number(br)]
	}
	return to, s.isBlock(to)
}

// turn finds the regions that can begin in their midst: what comes from outside goes on at the end of one block there, or else at the start, and nothing leads from what
// stands ahead of that into what stands behind it but to its beginning, nor from it to its own.
func (s *structurer) turn() {
	for _, r := range s.regions {
		if r.entered {
			r.both = !s.leaves(r.start - 2)
			r.middle = s.middle(r)
		}
	}
}

// leaves says whether nothing goes on behind an instruction.
func (s *structurer) leaves(place int) bool {
	switch s.f.code[place].op {
	case code.Br, code.BrTable, code.Return, code.Unreachable:
		return true
	}
	return false
}

// middle is the block at whose end a region can begin, 0 if there is none.
func (s *structurer) middle(r *region) (middle int) {
	for i := range s.f.code {
		if to, ok := s.meaning(i); ok && !r.has(i) {
			switch {
			case to == r.block:
				r.both = true
			case !s.owner[to].within(r):
			case middle != 0 && middle != to || s.owner[to] != r:
				return 0
			default:
				middle = to
			}
		}
	}
	if middle == 0 {
		return 0
	}
	border := s.end(middle)
	for i := r.start; i < r.stop; i++ {
		to, ok := s.meaning(i)
		if ok && (to == r.block && i < border || to != middle && i < border && border < s.end(to) && s.end(to) < r.stop) {
			return 0
		}
	}
	for _, inner := range s.regions {
		if inner != r && inner.within(r) && inner.start <= border+1 && border < inner.stop {
			return 0
		}
	}
	return middle
}

// at is the innermost region that has a place.
func (s *structurer) at(place int) (innermost *region) {
	for _, r := range s.regions {
		if r.has(place) {
			innermost = r
		}
	}
	return innermost
}

// toward is the block at whose end what is in a region, or the function, goes on that means to go on at the end of another one: that of the region which has it.
func (s *structurer) toward(block int, in *region) int {
	for r := s.owner[block]; r != in; r = r.parent {
		if r == nil {
			return -1 // it is not in there
		}
		block = r.block
	}
	return block
}

// A draft is an instruction that is to be written; what its labels mean is known, but not yet how they are counted.
type draft struct {
	instruction
	construct int   // that begins here
	targets   []int // that its labels mean
}

// write writes the function anew.
func (s *structurer) write() []instruction {
	w := writer{structurer: s}
	w.part(0, len(s.f.code))
	return w.text()
}

// fallsThrough is a label that means to go on here.
const fallsThrough = -2

// The constructs that a region becomes: a loop, and of one that is turned a block behind which its start stands, and one behind which the function goes on.
func (s *structurer) loopOf(r *region) int  { return s.construct(r, 0) }
func (s *structurer) startOf(r *region) int { return s.construct(r, 1) }
func (s *structurer) exitOf(r *region) int  { return s.construct(r, 2) }

func (s *structurer) construct(r *region, which int) int {
	const each = 3
	return fallsThrough - 1 - each*slices.Index(s.regions, r) - which
}

// target is the construct that a br or br_if is to mean.
func (s *structurer) target(br int) int {
	to := s.targets[br][0]
	switch {
	case to == s.head:
		for r := s.at(br); r != nil; r = r.parent {
			switch {
			case r.block != s.numbers[s.number(br)]:
			case r.middle != 0:
				return s.startOf(r)
			default:
				return s.loopOf(r)
			}
		}
		return s.head
	case !s.isBlock(to):
		return to
	}
	in := s.at(br)
	for !s.owner[to].within(in) {
		in = in.parent
	}
	if to = s.toward(to, in); in != nil && to == in.middle {
		return s.loopOf(in)
	}
	return to
}

// led are the labels of the table by the number that the variable holds, in a region or the function.
func (s *structurer) led(in *region) []int {
	labels := slices.Clone(s.numbers)
	for i, construct := range labels {
		if s.isBlock(construct) {
			if labels[i] = s.toward(construct, in); labels[i] < 0 {
				labels[i] = fallsThrough
			}
		} else if in != nil {
			labels[i] = fallsThrough
		}
	}
	return labels
}

// writer collects the drafts.
type writer struct {
	*structurer
	drafts []draft
}

func (w *writer) add(op byte, operands ...byte) {
	w.drafts = append(w.drafts, draft{instruction: instruction{op: op, bytes: append([]byte{op}, operands...)}, construct: fallsThrough})
}

func (w *writer) begin(in instruction, construct int) {
	w.drafts = append(w.drafts, draft{instruction: in, construct: construct})
}

func (w *writer) branch(in instruction, targets []int) {
	w.drafts = append(w.drafts, draft{instruction: in, targets: targets})
}

func (w *writer) operand(op byte, n int64) {
	w.drafts = append(w.drafts, draft{instruction: instruction{op: op, bytes: code.Signed([]byte{op}, n)}})
}

// part writes what stands from start to stop.
func (w *writer) part(start, stop int) {
	for i := start; i < stop; i++ {
		in := w.f.code[i]
		switch {
		case i == w.table:
			w.branch(in, w.led(nil))
		case w.isBlock(i) && in.op == code.Block:
			if w.owner[i] == nil {
				w.begin(in, i)
			}
		case in.op == code.Block || in.op == code.Loop || in.op == code.If:
			w.begin(in, i)
		case in.op == code.Br || in.op == code.BrIf:
			w.branch(in, []int{w.target(i)})
		case in.op == code.End:
			w.add(code.End)
			if r := w.beginsAt(i + 1); r != nil {
				w.region(r)
				i = r.stop - 1
			}
		default:
			w.drafts = append(w.drafts, draft{instruction: in})
		}
	}
}

// beginsAt is the region that begins at a place.
func (s *structurer) beginsAt(place int) *region {
	i := slices.IndexFunc(s.regions, func(r *region) bool { return r.start == place })
	if i < 0 {
		return nil
	}
	return s.regions[i]
}

// region writes one as a loop.
func (w *writer) region(r *region) {
	loop := instruction{op: code.Loop, bytes: []byte{code.Loop, code.NoResult}}
	if r.middle == 0 {
		w.begin(loop, w.loopOf(r))
		w.blocksIn(r, r.start, r.stop)
		if r.entered {
			w.ask(r.number)
			w.add(code.LocalGet, code.U32(nil, w.variable)...)
			w.branch(instruction{op: code.BrTable}, w.led(r))
			w.add(code.End)
		}
		w.part(r.start, r.stop)
		w.add(code.End)
		return
	}
	block := instruction{op: code.Block, bytes: []byte{code.Block, code.NoResult}}
	branch := instruction{op: code.Br}
	border := w.f.code[r.middle].end
	w.begin(block, w.exitOf(r))
	w.begin(loop, w.loopOf(r))
	w.begin(block, w.startOf(r))
	middle := slices.Index(w.numbers, r.middle)
	if r.both {
		w.ask(middle)
		w.branch(branch, []int{w.startOf(r)})
		w.add(code.End)
	}
	w.blocksIn(r, border+1, r.stop)
	w.part(border+1, r.stop)
	w.branch(branch, []int{w.exitOf(r)})
	w.add(code.End)
	w.blocksIn(r, r.start, border)
	w.part(r.start, border)
	if r.both {
		w.operand(code.I32Const, int64(middle))
		w.add(code.LocalSet, code.U32(nil, w.variable)...)
	}
	w.branch(branch, []int{w.loopOf(r)})
	w.add(code.End)
	w.add(code.End)
}

// blocksIn begins the blocks of a region that end from start to stop, as at the head: the last to end is the first to begin.
func (w *writer) blocksIn(r *region, start, stop int) {
	for _, block := range w.blocks {
		if end := w.f.code[block].end; w.owner[block] == r && start <= end && end < stop {
			w.begin(w.f.code[block], block)
		}
	}
}

// ask asks whether the variable says that somebody means to go on elsewhere than at the head of a loop. Who comes from above has jumped to what is above at last, so it means nothing in here.
func (w *writer) ask(number int) {
	const i32Ne = 0x47
	w.add(code.LocalGet, code.U32(nil, w.variable)...)
	w.operand(code.I32Const, int64(number))
	w.add(i32Ne)
	w.begin(instruction{op: code.If, bytes: []byte{code.If, code.NoResult}, goes: unlikely}, fallsThrough)
}

// text counts the labels.
func (w *writer) text() []instruction {
	var open []int
	label := func(construct int) uint32 {
		for i, c := range slices.Backward(open) {
			if c == construct {
				return uint32(len(open) - 1 - i) //nolint:gosec // part of a module
			}
		}
		return uint32(len(open)) //nolint:gosec // the function
	}
	out := make([]instruction, 0, len(w.drafts))
	for _, d := range w.drafts {
		switch d.op {
		case code.Block, code.Loop, code.If:
			open = append(open, d.construct)
		case code.End:
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case code.Br, code.BrIf:
			d.bytes = code.U32([]byte{d.op}, label(d.targets[0]))
		case code.BrTable:
			d.bytes = code.U32([]byte{d.op}, uint32(len(d.targets)-1)) //nolint:gosec // part of a module
			for _, target := range d.targets {
				d.bytes = code.U32(d.bytes, label(target))
			}
		}
		out = append(out, d.instruction)
	}
	return out
}
