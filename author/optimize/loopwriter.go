package optimize

import (
	"slices"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

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
