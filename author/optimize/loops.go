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
