package match

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// A need is what every match of an expression holds: one of some literals, and so many digits. The zero need is always
// there.
type need struct {
	literals []string
	digits   int
}

func (n need) in(text string) bool { return n.hasLiteral(text) && n.hasDigits(text) }

func (n need) hasLiteral(text string) bool {
	for _, literal := range n.literals {
		if strings.Contains(text, literal) {
			return true
		}
	}
	return len(n.literals) == 0
}

func (n need) hasDigits(text string) bool {
	if n.digits == 0 {
		return true
	}
	seen := 0
	for i := range len(text) {
		if isDigit(text[i]) {
			if seen++; seen >= n.digits {
				return true
			}
		}
	}
	return false
}

// isDigit takes every byte beyond ASCII for one too, as it may be a part of one.
func isDigit(c byte) bool { return c >= '0' && c <= '9' || c >= utf8.RuneSelf }

// weight is how rarely a text holds the need by chance: the length of its shortest literal.
func (n need) weight() int {
	if len(n.literals) == 0 {
		return 0
	}
	least := len(n.literals[0])
	for _, literal := range n.literals[1:] {
		least = min(least, len(literal))
	}
	return least
}

// maxLiterals bounds what is looked for one after the other.
const maxLiterals = 16

// needOf finds the need of a simplified expression.
func needOf(re *syntax.Regexp) need {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return need{literals: []string{string(re.Rune)}, digits: digitsIn(re.Rune)}
		}
	case syntax.OpCharClass:
		if len(re.Rune) == 2 && re.Rune[0] >= '0' && re.Rune[1] <= '9' {
			return need{digits: 1}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return needOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			n := needOf(re.Sub[0])
			n.digits *= re.Min
			return n
		}
	case syntax.OpConcat:
		var all need
		for _, sub := range re.Sub {
			n := needOf(sub)
			all.digits += n.digits
			if n.weight() > all.weight() {
				all.literals = n.literals
			}
		}
		return all
	case syntax.OpAlternate:
		return needOfAny(re.Sub)
	}
	return need{}
}

// needOfAny is what every one of some expressions needs.
func needOfAny(subs []*syntax.Regexp) need {
	all := needOf(subs[0])
	literal := all.literals != nil
	for _, sub := range subs[1:] {
		n := needOf(sub)
		all.digits = min(all.digits, n.digits)
		all.literals = append(all.literals, n.literals...)
		literal = literal && n.literals != nil
	}
	if !literal || len(all.literals) > maxLiterals {
		all.literals = nil
	}
	return all
}

func digitsIn(runes []rune) (n int) {
	for _, r := range runes {
		if r >= '0' && r <= '9' {
			n++
		}
	}
	return n
}
