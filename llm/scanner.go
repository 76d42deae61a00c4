package llm

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// A scanner walks through JSON once, from front to back, and refuses what Check documents as it goes. Whoever reads a
// body drives it: objects and arrays member by member where their content is wanted, value for everything else. So
// reading and checking are one pass, and what was read is what was checked.
//
// It is written by hand because the JSON libraries that are fast enough here (gjson among them) check neither
// duplicate keys nor UTF-8 nor surrogates, and would need a second pass over the same bytes to find a field.
//
// After the first error err is set, and every further step reports false.
type scanner struct {
	src   []byte
	pos   int
	depth int
	err   *SyntaxError

	// Lone surrogates are let through, and read as U+FFFD: a provider that escapes all that is not ASCII may split a
	// pair over two events.
	lone bool

	open    keyStack
	lowered bool     // the key that was gone to last is ASCII without capitals
	barred  bool     // it has an underscore
	names   []byte   // what those keys mean that have escapes
	slots   []uint32 // distinct's table
	lower   []byte   // folded's result
}

// A span is a part of a body: from start up to end.
type span struct{ start, end uint32 }

func (s span) empty() bool { return s.start == s.end }

// start begins with src. It refuses what spans cannot address.
func (s *scanner) start(src []byte) {
	s.src = src
	if len(src) > math.MaxInt32 {
		s.fail(0, "more than 2 GiB")
	} else if len(src) >= 3 && src[0] == 0xEF && src[1] == 0xBB && src[2] == 0xBF {
		s.fail(0, "begins with a byte-order mark")
	}
}

func (s *scanner) fail(at int, reason string) bool {
	if s.err == nil {
		s.err = &SyntaxError{Offset: at, Reason: reason}
		s.pos = len(s.src)
	}
	return false
}

// unexpected fails at the next byte.
func (s *scanner) unexpected(want string) bool {
	if s.pos >= len(s.src) {
		return s.fail(len(s.src), "ends where "+want+" should be")
	}
	return s.fail(s.pos, "expected "+want+", found "+strconv.QuoteRuneToASCII(rune(s.src[s.pos])))
}

// peek skips white space and returns the byte after it, 0 at the end (and for a NUL, which begins nothing either).
func (s *scanner) peek() byte {
	if at(s.src, s.pos) <= ' ' {
		s.pos = skipSpace(s.src, s.pos)
	}
	return at(s.src, s.pos)
}

// end demands that nothing follows but white space.
func (s *scanner) end() bool {
	if s.peek(); s.err == nil && s.pos < len(s.src) {
		return s.fail(s.pos, "data after the value")
	}
	return s.err == nil
}

// value checks the next value, whatever it is.
func (s *scanner) value() bool {
	switch c := s.peek(); c {
	case '"':
		_, ok := s.str()
		return ok
	case '{':
		o, ok := s.object(exact)
		for ok && s.member(&o) {
			ok = s.value()
		}
		return s.err == nil
	case '[':
		var a array
		ok := s.enter()
		for ok && s.element(&a) {
			ok = s.value()
		}
		return s.err == nil
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		if c == '-' || isDigit(c) {
			return s.number()
		}
		return s.unexpected("a value")
	}
}

// span checks the next value and returns where it lies.
func (s *scanner) span() (span, bool) {
	s.peek()
	start := s.pos
	if !s.value() {
		return span{}, false
	}
	return spanOf(start, s.pos), true
}

func spanOf(start, end int) span {
	return span{uint32(start), uint32(end)} //nolint:gosec // start bounds both
}

func (s *scanner) literal(word string) bool {
	if len(s.src)-s.pos < len(word) || string(s.src[s.pos:s.pos+len(word)]) != word {
		return s.unexpected("a value")
	}
	s.pos += len(word)
	return true
}

// enter goes into the array or object that is next.
func (s *scanner) enter() bool {
	if s.depth++; s.depth > MaxDepth {
		return s.fail(s.pos, "nested more than "+strconv.Itoa(MaxDepth)+" deep")
	}
	s.pos++
	return s.err == nil
}

// An array is one that is being walked through: first scanner.enter, then scanner.element until that reports false.
type array struct{ n int }

// element goes to the next element of a; at the end it leaves the array and reports false.
func (s *scanner) element(a *array) bool {
	c := s.peek()
	switch {
	case s.err != nil:
		return false
	case c == ']':
		s.pos++
		s.depth--
		return false
	case a.n > 0 && c != ',':
		return s.unexpected("a comma or the end of the array")
	case a.n > 0:
		s.pos++
		s.peek()
	}
	a.n++
	return true
}

// number checks a number, RFC 8259 section 6.
func (s *scanner) number() bool {
	if s.src[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.src) && s.src[s.pos] == '0' {
		s.pos++
	} else if !s.digits() {
		return false
	}
	if s.pos < len(s.src) && s.src[s.pos] == '.' {
		s.pos++
		if !s.digits() {
			return false
		}
	}
	if s.pos < len(s.src) && s.src[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.src) && (s.src[s.pos] == '+' || s.src[s.pos] == '-') {
			s.pos++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.src) && isDigit(s.src[s.pos]) {
		s.pos++
	}
	if s.pos == start {
		return s.unexpected("a digit")
	}
	return true
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// A quoted is a string that was checked: the span of what stands between its quotes, and whether that has escapes.
type quoted struct {
	span
	escaped bool
}

// outer is the span with the quotes.
func (q quoted) outer() span { return span{q.start - 1, q.end + 1} }

// plain are the bytes that a string may hold as they are and that need no look at what follows them.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// A byte of 1 in each of eight, and the highest bit of each.
const each, high = 0x0101010101010101, 0x8080808080808080

// plainBytes is how many of eight bytes are plain before the first that is not; the lowest byte is the first.
// https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord
func plainBytes(eight uint64) int {
	quote, backslash := eight^'"'*each, eight^'\\'*each
	other := (eight - ' '*each) &^ eight // below a space
	other |= (quote - each) &^ quote
	other |= (backslash - each) &^ backslash
	return bits.TrailingZeros64((other|eight)&high) / 8
}

// skipPlain is where the first byte from i on stands that is not plain, or the end. It calls nothing, so that its loops are loops in WebAssembly too
// (docs/decisions/132-what-engines-are-told-of-gos-code.md).
//
//go:noinline
func skipPlain(src []byte, i int) int {
	for i+8 <= len(src) {
		n := plainBytes(binary.LittleEndian.Uint64(src[i:]))
		i += n
		if n < 8 {
			return i
		}
	}
	for i < len(src) && plain[src[i]] {
		i++
	}
	return i
}

// str checks the string that is next.
func (s *scanner) str() (quoted, bool) {
	src, i := s.src, s.pos+1
	q := quoted{span: spanOf(i, i)}
	for {
		if i = skipPlain(src, i); i >= len(src) {
			return q, s.fail(len(src), "ends inside a string")
		}
		switch c := src[i]; {
		case c == '"':
			q.end = uint32(i) //nolint:gosec // start bounds it
			s.pos = i + 1
			return q, true
		case c == '\\':
			q.escaped = true
			n, ok := s.escape(i)
			if !ok {
				return q, false
			}
			i += n
		case c < ' ':
			return q, s.fail(i, "control character in a string")
		default:
			r, n := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && n == 1 {
				return q, s.fail(i, "not UTF-8")
			}
			i += n
		}
	}
}

// escape checks the escape that begins at i and returns how long it is, for a surrogate pair with its second half.
func (s *scanner) escape(i int) (int, bool) {
	if i+1 >= len(s.src) {
		return 0, s.fail(len(s.src), "ends inside a string")
	}
	switch s.src[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, true
	case 'u':
		r, n := unescapeUnicode(s.src[i:])
		if n == 0 {
			return 0, s.fail(i, "\\u without four hexadecimal digits")
		}
		if r == loneSurrogate && !s.lone {
			return 0, s.fail(i, "half a surrogate pair")
		}
		return n, true
	default:
		return 0, s.fail(i, "unknown escape")
	}
}
