package match

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// A need is what every match of an expression holds: one of some literals, and so many digits. The zero need is always
// there.
type need struct {
	literals []string
	digits   int
}

func (n *need) in(v *view) bool {
	return (n.digits == 0 || v.digits && n.hasDigits(v.text)) && n.hasLiteral(v.text)
}

func (n *need) hasLiteral(text string) bool {
	for _, literal := range n.literals {
		if len(literal) == 1 && hasByte(text, literal[0]) || len(literal) > 1 && strings.Contains(text, literal) {
			return true
		}
	}
	return len(n.literals) == 0
}

// hasByte takes eight bytes at a time, as survey does: strings.IndexByte takes them one by one in WebAssembly.
func hasByte(text string, c byte) bool {
	each := uint64(c) * ones
	var zero uint64 // https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord
	for len(text) >= 8 {
		eight := eightOf(text) ^ each
		zero |= (eight - ones) &^ eight
		text = text[8:]
	}
	found := zero&highs != 0
	for i := range len(text) {
		found = found || text[i] == c
	}
	return found
}

func (n *need) hasDigits(text string) bool {
	missing := n.digits
	for i := range len(text) {
		if isASCIIDigit(text[i]) {
			if missing--; missing == 0 {
				return true
			}
		}
	}
	return false
}

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
		if isExact(re) {
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
		for i, sub := range re.Sub {
			n := needOf(sub)
			all.digits += n.digits
			if begun := (need{literals: beginnings(re.Sub[i:])}); begun.weight() > n.weight() {
				n = begun
			}
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

// isExact says whether a literal matches only its own bytes: neither those of another case, nor any that are no UTF-8.
func isExact(literal *syntax.Regexp) bool {
	return literal.Flags&syntax.FoldCase == 0 && !slices.Contains(literal.Rune, utf8.RuneError)
}

// beginnings are some literals one of which stands where a sequence of expressions matches; nil if there are none, or too many.
func beginnings(sequence []*syntax.Regexp) []string {
	all := []string{""}
	for _, re := range sequence {
		next, whole := literalsOf(re)
		if next == nil || len(all)*len(next) > maxLiterals {
			break
		}
		var joined []string
		for _, one := range all {
			for _, other := range next {
				joined = append(joined, one+other)
			}
		}
		all = joined
		if !whole {
			break
		}
	}
	if all[0] == "" {
		return nil
	}
	return all
}

// literalsOf are literals with one of which a match begins, and whether they are whole matches.
func literalsOf(re *syntax.Regexp) (literals []string, whole bool) {
	switch re.Op {
	case syntax.OpLiteral:
		if isExact(re) {
			return []string{string(re.Rune)}, true
		}
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				literals = append(literals, string(r))
				if len(literals) > maxLiterals || r == utf8.RuneError {
					return nil, false
				}
			}
		}
		return literals, true
	case syntax.OpCapture:
		return literalsOf(re.Sub[0])
	case syntax.OpConcat:
		return beginnings(re.Sub), false
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			next, _ := literalsOf(sub)
			if next == nil {
				return nil, false
			}
			literals = append(literals, next...)
		}
		return literals, false
	}
	return nil, false
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
