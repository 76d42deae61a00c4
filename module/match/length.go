package match

import (
	"regexp/syntax"
	"unicode/utf8"
)

// longestOf is how many bytes a match of a simplified expression has at the most; -1 where there is no such number.
func longestOf(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		n := 0
		for _, r := range re.Rune {
			n += widest(r >= utf8.RuneSelf || re.Flags&syntax.FoldCase != 0)
		}
		return n
	case syntax.OpCharClass:
		return widest(len(re.Rune) > 0 && re.Rune[len(re.Rune)-1] >= utf8.RuneSelf)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return utf8.UTFMax
	case syntax.OpCapture, syntax.OpQuest:
		return longestOf(re.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpRepeat:
		return -1 // a simplified repetition that has an end is spelled out
	case syntax.OpConcat, syntax.OpAlternate:
		all := 0
		for _, sub := range re.Sub {
			n := longestOf(sub)
			switch {
			case n < 0:
				return -1
			case re.Op == syntax.OpConcat:
				all += n
			default:
				all = max(all, n)
			}
		}
		return all
	}
	return 0
}

func widest(beyondASCII bool) int {
	if beyondASCII {
		return utf8.UTFMax
	}
	return 1
}

// reach is where in a text a match may begin that goes on behind its end: no earlier than from.
func (e *expression) reach(text string, from int) int {
	if e.longest < 0 || len(text)-e.longest <= from {
		return from
	}
	at := len(text) - e.longest
	for least := max(from, at-utf8.UTFMax+1); at > least && !utf8.RuneStart(text[at]); {
		at--
	}
	return at
}
