package match

import "unicode/utf8"

// DefaultHold is how many bytes a Stream holds back at the most when it is not told otherwise.
const DefaultHold = 1024

// A Stream looks for the patterns of a Set in a text that comes in pieces. It holds back what could still become a
// match, and gives out the rest. Whatever the pieces, what it gives out is what [Set.Find] finds in the whole text.
type Stream struct {
	set     *Set
	maxHold int
	held    string
	// before stands for the character ahead of held, which word boundaries look at: a letter, a space, or nothing.
	before string
	run    simulation
}

// A Segment is a piece of text that is certain.
type Segment struct {
	Text string
	// Pattern is the index of the pattern that the text is a match of, or -1 where it is none.
	Pattern int
	// Undecided says that the text could still have become a match of Pattern, but has grown longer than may be held.
	Undecided bool
}

// NewStream begins a text. maxHold bounds the bytes that are held back; 0 is DefaultHold.
func (s *Set) NewStream(maxHold int) *Stream {
	if maxHold <= 0 {
		maxHold = DefaultHold
	}
	return &Stream{set: s, maxHold: maxHold}
}

// Held is how many bytes are held back.
func (st *Stream) Held() int { return len(st.held) }

// Feed takes the next piece and returns what has become certain. Where more would have to be held than may be, it is
// returned too, Undecided: to be safe, take it for a match.
func (st *Stream) Feed(piece string) []Segment {
	if piece == "" {
		return nil
	}
	st.held += piece
	text := st.before + st.held
	from := len(st.before)
	found := choose(st.set.findExpressions(text, from, st.set.findWords(text, from, nil)))
	hold, pattern := st.set.undecided(text, from, &st.run)
	// A match that reaches into what is undecided is undecided too, as a longer one may take its place.
	for i := len(found) - 1; i >= 0; i-- {
		if found[i].End > hold && found[i].Start < hold {
			hold, pattern = found[i].Start, found[i].Pattern
		}
	}
	segments := st.take(text, from, hold, found)
	if len(st.held) > st.maxHold {
		segments = append(segments, Segment{Text: st.held, Pattern: pattern, Undecided: true})
		st.held, st.before = "", " "
	}
	return segments
}

// Flush ends the text and returns what was held back, decided.
func (st *Stream) Flush() []Segment {
	text, from := st.before+st.held, len(st.before)
	return st.take(text, from, len(text), choose(st.set.findExpressions(text, from, st.set.findWords(text, from, nil))))
}

// take cuts text[from:to] into segments and keeps the rest.
func (st *Stream) take(text string, from, to int, found []Match) []Segment {
	var segments []Segment
	at := from
	for _, m := range found {
		if m.End > to {
			break
		}
		if m.Start > at {
			segments = append(segments, Segment{Text: text[at:m.Start], Pattern: -1})
		}
		segments = append(segments, Segment{Text: text[m.Start:m.End], Pattern: m.Pattern})
		at = m.End
	}
	if to > at {
		segments = append(segments, Segment{Text: text[at:to], Pattern: -1})
	}
	if to > from {
		last, _ := utf8.DecodeLastRuneInString(text[:to])
		switch {
		case !isWord(last):
			st.before = " "
		case last < utf8.RuneSelf:
			st.before = "_"
		default: // a letter to keywords, none to expressions, whose word boundaries know ASCII only
			st.before = "é"
		}
	}
	st.held = text[to:]
	return segments
}

// undecided finds where in a text a match could still begin or grow, and of which pattern; the end of what is whole
// characters and -1 if nowhere.
func (s *Set) undecided(text string, from int, run *simulation) (hold, pattern int) {
	text = text[:len(text)-incomplete(text)] // the rest is held anyway, whatever it will be
	hold, pattern = len(text), -1
	earlier := func(at, of int) {
		if at < hold {
			hold, pattern = at, of
		}
	}
	if at, of := s.undecidedWord(text, from); at >= 0 {
		earlier(at, of)
	}
	for i := range s.exprs {
		if at := s.undecidedExpression(&s.exprs[i], text, from, run); at >= 0 {
			earlier(at, s.exprs[i].pattern)
		}
	}
	return hold, pattern
}

// incomplete is how many bytes at the end begin a character that is not whole.
func incomplete(text string) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if c := text[len(text)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRuneInString(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// undecidedWord is where the longest end of the text begins that is the beginning of a keyword, or a whole keyword that
// has to end at a word boundary.
func (s *Set) undecidedWord(text string, from int) (at, pattern int) {
	if !s.words.used {
		return -1, -1
	}
	state, end, ok := int32(0), 0, true
	for end < len(text) && ok {
		state, end, _, ok = s.words.ascii(text, state, end)
	}
	if ok {
		if state == 0 {
			return -1, -1
		}
		return max(end-int(s.words.depth[state]), from), s.patternAfter(state)
	}
	var f folded
	f.fold(text)
	state = 0
	for _, b := range f.text {
		state = s.words.step(state, b)
	}
	if state == 0 {
		return -1, -1
	}
	at = f.start(len(f.text) - int(s.words.depth[state]))
	return max(at, from), s.patternAfter(state)
}

// patternAfter is a pattern that a state may lead to.
func (s *Set) patternAfter(state int32) int {
	for s.words.found[state] == nil {
		deeper := int32(-1)
		for c := range s.words.width {
			if n := s.words.next[int(state)*s.words.width+c]; s.words.depth[n] > s.words.depth[state] {
				deeper = n
				break
			}
		}
		if deeper < 0 {
			return -1
		}
		state = deeper
	}
	return int(s.words.found[state][0])
}

// undecidedExpression is where the earliest match begins that more text could start, extend or complete; -1 if there is
// none. Matches that nothing can change any more are passed over: the search goes on behind them, as it does in Find.
func (s *Set) undecidedExpression(e *expression, text string, from int, run *simulation) int {
	at, tail := from, e.letters.tail(text) // what goes on behind the end holds nothing else
	if e.need.in(text) && e.head.in(text) {
		for _, m := range s.findAll(e, text) {
			if m[0] < at {
				continue
			}
			if m[0] >= tail {
				if alive := e.alive(text, max(at, tail), m[0], run); alive >= 0 {
					return alive
				}
			}
			at = m[1]
		}
	}
	return e.alive(text, max(at, tail), len(text), run)
}
