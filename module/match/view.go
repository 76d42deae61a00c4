package match

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A view is a text as one form has it. It knows where each of its characters stood.
type view struct {
	text   string
	digits bool // there may be some
	// from is where what is looked at begins, and own where that is in the text as it is. Ahead of it stands a character that has
	// been looked at.
	from, own int
	// source is the text as it is from own on, to the form that it has here, and moves what respell says of these. They are looked up
	// when something has been found; which is rarely.
	source string
	to     form
	moves  []move
}

// A move is where a view and its text go apart: what comes before at ends at end in the text, and what follows begins at start.
type move struct{ at, end, start int }

// start is where the character that begins at i begins in the text.
func (v *view) start(i int) int {
	i, m := v.moved(i)
	return v.own + m.start + i - m.at
}

// end is where the character that ends at i ends in the text: ahead of what was left out behind it.
func (v *view) end(i int) int {
	i, m := v.moved(i)
	if i == m.at {
		return v.own + m.end
	}
	return v.own + m.start + i - m.at
}

// moved is a place behind from and the last move that is not behind it.
func (v *view) moved(i int) (int, move) {
	if v.moves == nil && v.to != nil {
		_, v.moves = respell(v.source, v.to, true)
	}
	i = max(i-v.from, 0)
	next, _ := slices.BinarySearchFunc(v.moves, i+1, func(m move, at int) int { return m.at - at })
	if next == 0 {
		return i, move{}
	}
	return i, v.moves[next-1]
}

// A reading is a text in all views in which a Set looks for something.
type reading struct {
	own, words, plain view // as it is, for keywords, and for expressions once more
	hasPlain          bool // and it is not the text as it is
}

// ahead is the last character of what has been looked at already: in the text as it is, and the last in the plain one.
type ahead struct{ own, plain string }

// read takes what comes behind.
func (s *Set) read(before ahead, text string) reading {
	from := len(before.own)
	ordinary, digits := survey(text)
	r := reading{own: view{text: before.own + text, digits: digits || from > 0 && isASCIIDigit(before.own[0]), from: from, own: from}}
	r.words = r.own
	if !ordinary && s.words.used {
		folded, _ := respell(text, foldRune, false)
		r.words = view{text: folded, own: from, source: text, to: foldRune}
	}
	if len(s.exprs) > 0 && (!ordinary || before.plain != before.own) {
		plain := text
		if !ordinary {
			plain, _ = respell(text, plainRune, false)
		}
		r.hasPlain = plain != text || before.plain != before.own
		if r.hasPlain {
			r.plain = view{text: before.plain + plain, digits: true, from: len(before.plain), own: from, source: text, to: plainRune}
		}
	}
	return r
}

// aheadOf is what stands ahead of what follows a text.
func aheadOf(before ahead, text string) ahead {
	_, size := utf8.DecodeLastRuneInString(text)
	next := ahead{own: text[len(text)-size:]}
	next.plain = next.own
	if size > 0 && !isOrdinary(next.own[0]) {
		next.plain = before.plain
		if plain, _ := respell(text, plainRune, false); plain != "" {
			_, size = utf8.DecodeLastRuneInString(plain)
			next.plain = plain[len(plain)-size:]
		}
	}
	return next
}

// respell is a text as a form has it, and if that is asked for, where its characters have moved. ASCII that can be seen stays as it
// is. Without a difference it is the text itself.
func respell(text string, to form, locate bool) (string, []move) {
	var out strings.Builder
	var moves []move
	done := 0
	for i := 0; i < len(text); {
		if isOrdinary(text[i]) {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		plain, letters := to(r), ligature(r)
		if plain == r && letters == "" && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		if out.Cap() == 0 {
			out.Grow(len(text))
		}
		out.WriteString(text[done:i])
		at := out.Len()
		done = i + size
		switch {
		case letters != "":
			out.WriteString(letters)
		case plain >= 0:
			// A byte that is no UTF-8 becomes U+FFFD, which is what expressions take it for: it must not become a part of another
			// character when what is between is left out.
			out.WriteRune(plain)
		}
		if locate {
			moves = appendMoves(moves, at, out.Len(), i, done)
		}
		i = done
	}
	if done == 0 {
		return text, nil
	}
	out.WriteString(text[done:])
	return out.String(), moves
}

// appendMoves appends how the character of a text from start to end stands in a view, from at to next.
func appendMoves(moves []move, at, next, start, end int) []move {
	switch last := len(moves) - 1; {
	case next > at:
		for i := at + 1; i < next; i++ { // each of a ligature's letters is the whole
			moves = append(moves, move{i, end, start})
		}
		return append(moves, move{next, end, end})
	case last >= 0 && moves[last].at == at:
		moves[last].start = end
		return moves
	}
	return append(moves, move{at, start, end})
}

// isOrdinary tells the characters that all forms have as they are.
func isOrdinary(c byte) bool { return c >= ' ' && c < 0x7F || c >= '\t' && c <= '\r' }

// survey tells whether all characters of a text are ordinary, and whether any is a digit. It takes eight bytes at a time: it is on the way of
// every text.
func survey(text string) (ordinary, digits bool) {
	ordinary = true
	var less uint64
	for len(text) >= 8 {
		eight := eightOf(text)
		// https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord, and a byte of 0x7F becomes one of 0x80
		if (eight|(eight-' '*ones)|(eight+ones))&highs != 0 {
			for i := range 8 {
				ordinary = ordinary && isOrdinary(text[i])
			}
		}
		digit := eight ^ '0'*ones // is less than ten
		less |= (digit - 10*ones) &^ digit
		text = text[8:]
	}
	digits = less&highs != 0
	for i := range len(text) {
		ordinary = ordinary && isOrdinary(text[i])
		digits = digits || isASCIIDigit(text[i])
	}
	return ordinary, digits
}

// A byte of 1 in each of eight, and the highest bit of each.
const ones, highs = 0x0101010101010101, 0x8080808080808080

// eightOf are the first eight bytes of a text, which is one load.
func eightOf(text string) uint64 {
	return uint64(text[0]) | uint64(text[1])<<8 | uint64(text[2])<<16 | uint64(text[3])<<24 |
		uint64(text[4])<<32 | uint64(text[5])<<40 | uint64(text[6])<<48 | uint64(text[7])<<56
}
