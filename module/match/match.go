// Package match finds keywords and regular expressions in text, whole and in streams.
//
// Keywords are found in any case, and both keywords and regular expressions (RE2 syntax) in letters and digits of other
// widths and styles and with invisible characters between them, all of which people use to get around filters. Expressions
// run only where a text holds what they cannot match without, so clean text costs little.
//
// In a [Stream] a text comes in pieces. What could still become a match is held back until it is certain, so that not
// even the beginning of a match leaves too early.
package match

import (
	"cmp"
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/leash-gateway/leash/module/printf"
)

// A Pattern is one thing to look for: a keyword or a regular expression.
type Pattern struct {
	Name string
	// Keyword is found in any case, unless CaseSensitive is set; Whole finds it only between word boundaries.
	Keyword              string
	Whole, CaseSensitive bool
	// Regexp is an expression in RE2 syntax. It is looked for in the text as it is, and where some of it is a spelling of plain letters,
	// digits, spaces or hyphens, once more in these.
	Regexp string
	// Check, where it is set, has the last word on what the expression found, in the form in which it did.
	Check func(found string) bool
	// Begins, where it is set, takes the expression's place in what is found: it says how long the longest match is that a text begins
	// with, 0 for none, and is asked at word boundaries, or where Anywhere is set at all places. What it finds the expression finds too, but
	// not the other way round: of "4111 1111 1111 1111 123" an expression takes all, and a check digit that is not right then hides the
	// card in it. It also is a hundred times as fast as an expression that counts, in a text that has many beginnings.
	Begins   func(text string) int
	Anywhere bool
}

// A Match is a place in a text, and the index of the pattern that was found there.
type Match struct{ Start, End, Pattern int }

// A Set is patterns that are looked for together. It is safe for concurrent use.
type Set struct {
	patterns []Pattern
	lengths  []int // of the folded keywords, by pattern
	words    *automaton
	exprs    []expression
}

// Compile makes a Set. An error names the pattern that is wrong.
func Compile(patterns []Pattern) (*Set, error) {
	s := &Set{patterns: patterns, lengths: make([]int, len(patterns))}
	var words [][]byte
	var owners []int
	for i, p := range patterns {
		switch {
		case p.Keyword == "" && p.Regexp == "":
			return nil, printf.Errorf("pattern %d (%s): is empty", i, p.Name)
		case p.Keyword != "" && p.Regexp != "":
			return nil, printf.Errorf("pattern %d (%s): must be either a keyword or a regular expression", i, p.Name)
		case p.Keyword != "":
			if !utf8.ValidString(p.Keyword) {
				return nil, printf.Errorf("pattern %d (%s): the keyword is not valid UTF-8", i, p.Name)
			}
			folded, _ := respell(p.Keyword, foldRune, false)
			word := []byte(strings.Map(foldRune, folded)) // respell leaves ASCII as it is
			word = slices.CompactFunc(word, func(a, b byte) bool { return a == ' ' && b == ' ' })
			if len(word) == 0 {
				return nil, printf.Errorf("pattern %d (%s): the keyword has no visible characters", i, p.Name)
			}
			s.lengths[i] = len(word)
			words, owners = append(words, word), append(owners, i)
		default:
			e, err := compileExpression(p.Regexp, i)
			if err != nil {
				return nil, printf.Errorf("pattern %d (%s): %w", i, p.Name, err)
			}
			s.exprs = append(s.exprs, e)
		}
	}
	s.words = newAutomaton(words, owners)
	return s, nil
}

// Find returns the matches in a text, from left to right and without overlaps: the leftmost wins, then the longest, then
// the pattern that stands first. It returns nil when there is none.
func (s *Set) Find(text string) []Match {
	r := s.read(ahead{}, text)
	return choose(s.candidates(&r))
}

// Contains says whether any pattern is found, and which.
func (s *Set) Contains(text string) (pattern int, ok bool) {
	if found := s.Find(text); found != nil {
		return found[0].Pattern, true
	}
	return 0, false
}

// Redact puts replacements in the place of matches, and says whether there were any.
func (s *Set) Redact(text string, replacement func(Match) string) (string, bool) {
	found := s.Find(text)
	if found == nil {
		return text, false
	}
	var b strings.Builder
	from := 0
	for _, m := range found {
		b.WriteString(text[from:m.Start])
		b.WriteString(replacement(m))
		from = m.End
	}
	b.WriteString(text[from:])
	return b.String(), true
}

// candidates are all matches, in order: by beginning, the longest first, and by pattern. They may overlap.
func (s *Set) candidates(r *reading) []Match {
	all := s.findExpressions(&r.own, s.findWords(r, nil))
	if r.hasPlain {
		all = s.findExpressions(&r.plain, all)
	}
	if len(all) > 1 {
		slices.SortFunc(all, func(a, b Match) int {
			return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.Pattern, b.Pattern))
		})
	}
	return all
}

// choose takes out of candidates those that overlap an earlier one.
func choose(all []Match) []Match {
	kept := all[:0]
	for _, m := range all {
		if len(kept) == 0 || m.Start >= kept[len(kept)-1].End {
			kept = append(kept, m)
		}
	}
	return kept
}

// findWords appends the places of keywords.
func (s *Set) findWords(r *reading, all []Match) []Match {
	v := &r.words
	for state, at := int32(0), v.from; at < len(v.text) && s.words.used; {
		var ends []int32
		state, at, ends = s.words.scan(v.text, state, at)
		if at > v.from+1 && isBlank(v.text[at-1]) && isBlank(v.text[at-2]) {
			continue // found with the first of them; going back from each would take the square of their number
		}
		for _, pattern := range ends {
			if m := (Match{v.start(back(v.text, v.from, at, s.lengths[pattern])), v.end(at), int(pattern)}); s.accepts(r.own.text, m) {
				all = append(all, m)
			}
		}
	}
	return all
}

// accepts checks what the automaton does not know of.
func (s *Set) accepts(text string, m Match) bool {
	p := &s.patterns[m.Pattern]
	if p.CaseSensitive && text[m.Start:m.End] != p.Keyword {
		return false
	}
	if !p.Whole {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(text[:m.Start])
	after, _ := utf8.DecodeRuneInString(text[m.End:])
	return !isWord(before) && !isWord(after)
}

func isWord(r rune) bool {
	return r != utf8.RuneError && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)) && plainRune(r) >= 0 // fillers are letters that nobody sees
}

// findExpressions appends what expressions match in a view.
func (s *Set) findExpressions(v *view, all []Match) []Match {
	for i := range s.exprs {
		e := &s.exprs[i]
		if !e.need.in(v) || !e.head.in(v.text) {
			continue
		}
		for _, at := range s.findAll(e, v.text, v.from) {
			if at[0] < at[1] && s.verified(v.text[at[0]:at[1]], e.pattern) {
				all = append(all, Match{v.start(at[0]), v.end(at[1]), e.pattern})
			}
		}
	}
	return all
}

// findAll is where an expression matches from a place on, from left to right and without overlaps.
func (s *Set) findAll(e *expression, text string, from int) [][]int {
	p := &s.patterns[e.pattern]
	if p.Begins == nil {
		all := e.regexp.FindAllStringIndex(text, -1)
		if len(all) > 0 && all[0][0] < from {
			return e.findBehind(text, from)
		}
		return all
	}
	var all [][]int
	needed := 0 // where the next of what every match holds is, if that is known
	for at := from; at < len(text); at++ {
		if len(e.need.literals) == 1 && e.longest >= 0 {
			if needed <= at {
				n := strings.Index(text[at:], e.need.literals[0])
				if n < 0 {
					break
				}
				needed = at + n
			}
			at = max(at, needed-e.longest)
		}
		if !e.head[0][text[at]] || at > 0 && !p.Anywhere && isWordByte(text[at-1]) {
			continue
		}
		if n := p.Begins(text[at:]); n > 0 {
			all = append(all, []int{at, at + n})
			at += n - 1
		}
	}
	return all
}

// findBehind is findAll where a match seems to begin in the character ahead of a place: what stands ahead of that is not known, so there is none, but it
// hides others.
func (e *expression) findBehind(text string, from int) (all [][]int) {
	next, whole := e.behind()
	for at := from; at < len(text); {
		_, ahead := utf8.DecodeLastRuneInString(text[:at])
		m := next.FindStringSubmatchIndex(text[at-ahead:])
		if m == nil {
			break
		}
		begin := at - ahead + m[2]
		_, ahead = utf8.DecodeLastRuneInString(text[:begin])
		end := begin
		if m = whole.FindStringIndex(text[begin-ahead:]); m != nil {
			end += m[1] - ahead
		}
		if begin < end {
			all, at = append(all, []int{begin, end}), end
			continue
		}
		_, size := utf8.DecodeRuneInString(text[end:])
		at = end + max(size, 1)
	}
	return all
}

// behindOne finds where an expression matches for the first time behind the first character of a text, and, right behind it, the longest match: who
// searches for that from each place on takes the square of a text's length.
func behindOne(expression string) (next, whole *regexp.Regexp) {
	next, whole = regexp.MustCompile(`(?s:\A..*?)(`+expression+`)`), regexp.MustCompile(`(?s:\A.)(?:`+expression+`)`)
	whole.Longest()
	return next, whole
}

// isWordByte tells what a word boundary of expressions has on one of its sides.
func isWordByte(c byte) bool {
	return c == '_' || isASCIIDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func (s *Set) verified(found string, pattern int) bool {
	check := s.patterns[pattern].Check
	return check == nil || check(found)
}

// expression is a regular expression with what is needed to skip it and to follow it through a stream.
type expression struct {
	pattern int
	regexp  *regexp.Regexp
	behind  func() (next, whole *regexp.Regexp)
	prog    *syntax.Prog
	need    need
	head    head
	letters alphabet
	longest int // bytes of a match; -1 where any number may be
}

var errEmpty = errors.New("matches the empty text")

func compileExpression(text string, pattern int) (e expression, err error) {
	e.pattern = pattern
	if e.regexp, err = regexp.Compile(text); err != nil {
		return e, err
	}
	if e.regexp.MatchString("") {
		return e, errEmpty
	}
	e.regexp.Longest()
	e.behind = sync.OnceValues(func() (next, whole *regexp.Regexp) { return behindOne(text) })
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return e, err
	}
	parsed = parsed.Simplify()
	e.need, e.longest = needOf(parsed), longestOf(parsed)
	if e.prog, err = syntax.Compile(parsed); err == nil {
		e.head, e.letters = headOf(e.prog), alphabetOf(e.prog)
	}
	return e, err
}
