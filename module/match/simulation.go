package match

import (
	"regexp/syntax"
	"unicode/utf8"
)

// thread is a place in the program of an expression, and where in the text it set out.
type thread struct {
	pc    uint32
	start int
}

// simulation follows all matches of an expression through a text at once, as Pike's algorithm does
// (https://swtch.com/~rsc/regexp/regexp2.html), to see which of them are not over at its end. It is kept to be used again.
type simulation struct {
	prog       *syntax.Prog
	seen       []int // by instruction, the generation in which it was last added
	generation int
	current    []thread // waiting for the next character
	moved      []thread // past it
	empty      syntax.EmptyOp
	atEnd      bool
	earliest   int
}

func (s *simulation) reset(prog *syntax.Prog) {
	if len(s.seen) < len(prog.Inst) {
		s.seen = make([]int, len(prog.Inst))
	}
	s.prog, s.earliest = prog, -1
	s.current, s.moved = s.current[:0], s.moved[:0]
}

// alive returns the earliest beginning, between from and last, of a match that is not over at the end of the text; -1 if
// all are.
func (e *expression) alive(text string, from, last int, run *simulation) int {
	run.reset(e.prog)
	previous := rune(-1)
	if from > 0 {
		previous, _ = utf8.DecodeLastRuneInString(text[:from])
	}
	for i := from; ; {
		if len(run.moved) == 0 { // nothing is under way: go where something can begin
			skipped := i
			for i < len(text) && i <= last && !e.head[0][text[i]] {
				i++
			}
			if i > skipped {
				previous, _ = utf8.DecodeLastRuneInString(text[:i])
			}
		}
		next, size := rune(-1), 0
		if i < len(text) {
			next, size = utf8.DecodeRuneInString(text[i:])
		}
		run.at(previous, next)
		if i <= last && i < len(text) {
			run.add(uint32(e.prog.Start), i) //nolint:gosec // an index of an instruction
		}
		if size == 0 {
			for _, t := range run.current {
				run.survive(t.start)
			}
			return run.earliest
		}
		run.step(next)
		if len(run.moved) == 0 && i >= last {
			return run.earliest
		}
		previous, i = next, i+size
	}
}

// at sets the simulation between two characters, of which -1 is none, and lets its threads go on to what they read next.
func (s *simulation) at(previous, next rune) {
	s.generation++
	s.empty, s.atEnd = syntax.EmptyOpContext(previous, next), next == -1
	s.current = s.current[:0]
	for _, t := range s.moved {
		s.add(t.pc, t.start)
	}
}

// step lets the threads read a character.
func (s *simulation) step(next rune) {
	s.moved = s.moved[:0]
	for _, t := range s.current {
		if inst := &s.prog.Inst[t.pc]; inst.MatchRune(next) {
			s.moved = append(s.moved, thread{inst.Out, t.start})
		}
	}
}

func (s *simulation) survive(start int) {
	if s.earliest < 0 || start < s.earliest {
		s.earliest = start
	}
}

// add follows a thread to the instructions that read a character. Threads come in the order of their beginnings, so the
// first one at an instruction is the earliest.
func (s *simulation) add(pc uint32, start int) {
	if s.seen[pc] == s.generation {
		return
	}
	s.seen[pc] = s.generation
	switch inst := &s.prog.Inst[pc]; inst.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		s.add(inst.Out, start)
		s.add(inst.Arg, start)
	case syntax.InstCapture, syntax.InstNop:
		s.add(inst.Out, start)
	case syntax.InstEmptyWidth:
		switch want := syntax.EmptyOp(inst.Arg); { //nolint:gosec // of this instruction the argument is an EmptyOp
		case s.atEnd && want&^(syntax.EmptyBeginText|syntax.EmptyBeginLine) != 0:
			s.survive(start) // what comes next decides
		case want&^s.empty == 0:
			s.add(inst.Out, start)
		}
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		s.current = append(s.current, thread{pc, start})
	}
}
