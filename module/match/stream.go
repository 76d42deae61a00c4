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
	before  ahead // of held: word boundaries and the beginnings of lines look at it
	run     simulation
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
	r := st.set.read(st.before, st.held[:len(st.held)-incomplete(st.held)]) // the rest is held anyway, whatever it will be
	all := st.set.candidates(&r)
	hold, pattern := st.set.undecided(&r, &st.run)
	// A match that reaches into what is undecided is undecided too, as a longer one may take its place; and one that does not count for
	// now, as its expression goes on behind it.
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].End > hold && all[i].Start < hold {
			hold, pattern = all[i].Start, all[i].Pattern
		}
	}
	segments := st.take(&r, hold, choose(all))
	if len(st.held) > st.maxHold {
		segments = append(segments, Segment{Text: st.held, Pattern: pattern, Undecided: true})
		st.held, st.before = "", ahead{" ", " "}
	}
	return segments
}

// Flush ends the text and returns what was held back, decided.
func (st *Stream) Flush() []Segment {
	r := st.set.read(st.before, st.held)
	return st.take(&r, len(r.own.text), choose(st.set.candidates(&r)))
}

// take cuts a text into segments up to a place, and keeps the rest.
func (st *Stream) take(r *reading, to int, found []Match) []Segment {
	var segments []Segment
	text, from := r.own.text, r.own.from
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
		st.before = aheadOf(st.before, text[from:to])
		st.held = st.held[to-from:]
	}
	return segments
}

// undecided finds where in a text a match could still begin or grow, and of which pattern; the end and -1 if nowhere.
func (s *Set) undecided(r *reading, run *simulation) (hold, pattern int) {
	hold, pattern = len(r.own.text), -1
	earlier := func(v *view, at, of int) {
		if at >= 0 {
			if at = v.start(at); at < hold {
				hold, pattern = at, of
			}
		}
	}
	at, of := s.undecidedWord(&r.words)
	earlier(&r.words, at, of)
	for i := range s.exprs {
		e := &s.exprs[i]
		earlier(&r.own, s.undecidedExpression(e, &r.own, run), e.pattern)
		if r.hasPlain {
			earlier(&r.plain, s.undecidedExpression(e, &r.plain, run), e.pattern)
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
func (s *Set) undecidedWord(v *view) (at, pattern int) {
	if !s.words.used {
		return -1, -1
	}
	state := int32(0)
	for at = v.from; at < len(v.text); {
		state, at, _ = s.words.scan(v.text, state, at)
	}
	if state == 0 {
		return -1, -1
	}
	return back(v.text, v.from, at, int(s.words.depth[state])), s.patternAfter(state)
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
func (s *Set) undecidedExpression(e *expression, v *view, run *simulation) int {
	text := v.text
	at, tail := v.from, e.letters.tail(text) // what goes on behind the end holds nothing else
	if e.need.in(v) && e.head.in(text) {
		for _, m := range s.findAll(e, text, at) {
			if m[0] >= tail {
				if alive := e.alive(text, e.reach(text, max(at, tail)), m[0], run); alive >= 0 {
					return alive
				}
			}
			at = m[1]
		}
	}
	return e.alive(text, e.reach(text, max(at, tail)), len(text), run)
}
