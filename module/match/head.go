package match

import (
	"regexp/syntax"
	"unicode/utf8"
)

// head is the bytes that a match can have at its first places. It tells most texts from those with a match, at a few
// instructions a byte, where an expression has no literal that is rare enough.
type head [3][256]bool

// headOf reads the head off a program.
func headOf(prog *syntax.Prog) (h head) {
	at := map[uint32]bool{}
	closure(prog, uint32(prog.Start), at) //nolint:gosec // an index of an instruction
	over := false                         // a match may have ended
	for place := range h {
		wide := false
		next := map[uint32]bool{}
		for pc := range at {
			inst := &prog.Inst[pc]
			if inst.Op == syntax.InstMatch {
				over = true
				continue
			}
			for r := range rune(utf8.RuneSelf) {
				if inst.MatchRune(r) {
					h[place][r] = true
				}
			}
			wide = wide || readsWide(inst)
			closure(prog, inst.Out, next)
		}
		for b := range h[place] {
			h[place][b] = h[place][b] || over || wide && b >= utf8.RuneSelf
		}
		at = next
	}
	return h
}

// alphabet is the bytes that a match can have anywhere.
type alphabet [256]bool

func alphabetOf(prog *syntax.Prog) (a alphabet) {
	for i := range prog.Inst {
		switch inst := &prog.Inst[i]; inst.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			for r := range rune(utf8.RuneSelf) {
				a[r] = a[r] || inst.MatchRune(r)
			}
			for b := utf8.RuneSelf; b < len(a) && readsWide(inst); b++ {
				a[b] = true
			}
		}
	}
	return a
}

// readsWide says whether an instruction can read a character beyond ASCII.
func readsWide(inst *syntax.Inst) bool {
	switch inst.Op {
	case syntax.InstRune, syntax.InstRune1:
		if last := inst.Rune[len(inst.Rune)-1]; last >= utf8.RuneSelf { // of the last range
			return true
		}
		// The only ones that are the same as a letter of ASCII when case does not count.
		return len(inst.Rune) == 1 && (inst.MatchRune('ſ') || inst.MatchRune('\u212A'))
	}
	return true
}

// tail is where the longest end of a text begins that a match could be made of.
func (a *alphabet) tail(text string) int {
	at := len(text)
	for at > 0 && a[text[at-1]] {
		at--
	}
	return at
}

// closure collects the instructions that read a character, and the end, that are reached from one without reading.
func closure(prog *syntax.Prog, pc uint32, at map[uint32]bool) {
	seen := map[uint32]bool{}
	var visit func(pc uint32)
	visit = func(pc uint32) {
		if seen[pc] {
			return
		}
		seen[pc] = true
		switch inst := &prog.Inst[pc]; inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			visit(inst.Out)
			visit(inst.Arg)
		case syntax.InstCapture, syntax.InstNop, syntax.InstEmptyWidth:
			visit(inst.Out)
		case syntax.InstFail:
		default:
			at[pc] = true
		}
	}
	visit(pc)
}

// in says whether a match can begin anywhere in a text.
func (h *head) in(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !h[0][c] {
			continue
		}
		if c >= utf8.RuneSelf || i+2 >= len(text) {
			return true
		}
		c = text[i+1]
		if h[1][c] && (c >= utf8.RuneSelf || h[2][text[i+2]]) {
			return true
		}
	}
	return false
}
