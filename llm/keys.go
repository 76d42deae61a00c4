package llm

import (
	"bytes"
	"hash/maphash"
	"strconv"
	"unicode/utf8"
)

// A spelling says which keys of an object count as the same.
type spelling bool

const (
	exact spelling = false
	// anyCase is for the objects whose members we read. Some parsers match names in any case (Go's encoding/json
	// among them), so an object with "model" and "Model" means different things to different readers.
	anyCase spelling = true
)

// An object is one that is being walked through.
type object struct {
	spelling spelling
	barred   bool // one of its keys has an underscore, as far as somebody looked (blockReader.field)
	n        int  // members so far
	keys     int  // where its keys begin in scanner.open
	names    int  // and in scanner.names
}

// A key of an object that is open. It is three numbers, since a body may be little else than keys.
type key struct {
	start uint32 // of what it means: in scanner.src, or with the bit inNames in scanner.names
	end   uint32 // in the same
	// mark differs where two keys do, whatever the case of their letters, but for chance: most are compared by it alone.
	// It is 0 for a key that is not ASCII.
	mark uint32
}

// inNames marks keys that were escaped. In scanner.names their offset in the body goes before them.
const inNames = 1 << 31

// A keyStack holds the keys of the objects that are open, the innermost object's last. The first ones need no heap.
type keyStack struct {
	n    int
	near [2 * fewKeys]key
	far  []key
}

func (k *keyStack) push(x key) {
	if k.n < len(k.near) {
		k.near[k.n] = x
	} else {
		k.far = append(k.far[:k.n-len(k.near)], x)
	}
	k.n++
}

func (k *keyStack) at(i int) key {
	if i < len(k.near) {
		return k.near[i]
	}
	return k.far[i-len(k.near)]
}

// last is the key that was pushed last.
func (k *keyStack) last() *key {
	if k.n <= len(k.near) {
		return &k.near[k.n-1]
	}
	return &k.far[k.n-1-len(k.near)]
}

// fewKeys is the number up to which keys are compared each with each.
const fewKeys = 16

// object enters the object that is next.
func (s *scanner) object(sp spelling) (object, bool) {
	return object{spelling: sp, keys: s.open.n, names: len(s.names)}, s.enter()
}

// member goes to the value of the next member of o; at the end it leaves the object and reports false.
//
// Half of what a body costs is its keys: BenchmarkCheck, and BenchmarkRequest of package translate.
func (s *scanner) member(o *object) bool {
	i, end, value, mark, kinds := plainKey(s.src, uint(s.pos), o.n > 0) //nolint:gosec // a place in src
	if value == 0 {
		return s.rareMember(o)
	}
	o.n++
	s.lowered, s.barred = kinds&capital == 0, kinds&bar != 0
	s.pos = int(value)                                          //nolint:gosec // as before
	return s.remember(o, key{uint32(i), uint32(end), mark | 1}) //nolint:gosec // start bounds both
}

// plainKey finds the key that is next, as nearly all are: it stands from i to end, and its value begins at value. That is 0 where
// something needs a closer look. It calls nothing (docs/decisions/142-loops-that-call-nothing.md).
//
//go:noinline
func plainKey(src []byte, from uint, comma bool) (i, end, value uint, mark uint32, kinds uint8) {
	size := uint(len(src))
	for i = from; i < size; i++ {
		if c := src[i]; c == ',' && comma {
			comma = false
		} else if !isSpace(c) {
			break
		}
	}
	if comma || i >= size || src[i] != '"' {
		return 0, 0, 0, 0, 0
	}
	i++
	mark = markBasis
	for end = i; end < size; end++ {
		c := src[end]
		kind := keyed[c]
		if kind&rare != 0 {
			break
		}
		kinds |= kind
		mark = (mark ^ uint32(c|0x20)) * markPrime
	}
	if end >= size || src[end] != '"' {
		return 0, 0, 0, 0, 0
	}
	colon := false
	for value = end + 1; value < size; value++ {
		if c := src[value]; c == ':' && !colon {
			colon = true
		} else if !isSpace(c) {
			break
		}
	}
	if !colon {
		return 0, 0, 0, 0, 0
	}
	return i, end, value, mark, kinds
}

// rareMember is member where there is no more, or where plainKey does not know what comes.
func (s *scanner) rareMember(o *object) bool {
	if s.err != nil {
		return false
	}
	c := s.peek()
	if c == '}' {
		s.pos++
		return s.leave(o)
	}
	if o.n > 0 {
		if c != ',' {
			return s.unexpected("a comma or the end of the object")
		}
		s.pos++
		c = s.peek()
	}
	if c != '"' {
		return s.unexpected("a key in quotes")
	}
	o.n++
	if !s.rareKey(o) {
		return false
	}
	if s.peek() != ':' {
		return s.unexpected("a colon")
	}
	s.pos++
	s.peek()
	return true
}

// What a byte of a key may be: one that ends it or needs a closer look, a capital letter, an underscore.
const (
	rare = 1 << iota
	capital
	bar
)

var keyed = func() (kinds [256]uint8) {
	for c := range kinds {
		switch {
		case !plain[c]:
			kinds[c] = rare
		case c >= 'A' && c <= 'Z':
			kinds[c] = capital
		case c == '_':
			kinds[c] = bar
		}
	}
	return kinds
}()

// at is the byte at a place, 0 at the end.
func at(src []byte, i int) byte {
	if i < len(src) {
		return src[i]
	}
	return 0
}

// skipSpace is where the next byte is that is no white space.
func skipSpace(src []byte, i int) int {
	for i < len(src) && isSpace(src[i]) {
		i++
	}
	return i
}

// rareKey reads a key that has escapes, or other than ASCII, or is none.
func (s *scanner) rareKey(o *object) bool {
	q, ok := s.str()
	if !ok {
		return false
	}
	k := key{start: q.start, end: q.end}
	if q.escaped {
		at := q.start - 1
		s.names = append(s.names, byte(at>>24), byte(at>>16), byte(at>>8), byte(at)) //nolint:gosec // its four bytes
		start := len(s.names)
		s.names = appendUnescaped(s.names, s.src[q.start:q.end])
		k = key{start: uint32(start) | inNames, end: uint32(len(s.names))} //nolint:gosec // shorter than the body
	}
	k.mark, s.lowered = markOf(s.name(k))
	s.barred = bytes.IndexByte(s.name(k), '_') >= 0
	return s.remember(o, k)
}

// remember compares a key with those before it in its object, as long as they are few.
func (s *scanner) remember(o *object, k key) bool {
	if n := s.open.n; o.n <= fewKeys && n < len(s.open.near) {
		for i := marked(s.open.near[:n], o.keys, k.mark); i < n; i = marked(s.open.near[:n], i+1, k.mark) {
			if other := &s.open.near[i]; s.same(o, *other, k) {
				return s.twice(*other, k)
			}
		}
		s.open.near[n] = k
		s.open.n++
		return true
	}
	if o.n <= fewKeys {
		for i := o.keys; i < s.open.n; i++ {
			if other := s.open.at(i); (other.mark == k.mark || other.mark == 0 || k.mark == 0) && s.same(o, other, k) {
				return s.twice(other, k)
			}
		}
	}
	s.open.push(k)
	return true
}

// marked is the place, from i on, of the next key that may be the one with this mark, or the end. It calls nothing, as plainKey does.
//
//go:noinline
func marked(keys []key, i int, mark uint32) int {
	for ; i < len(keys); i++ {
		if other := keys[i].mark; other == mark || other == 0 || mark == 0 {
			return i
		}
	}
	return i
}

// The basis and the prime of FNV-1a.
const (
	markBasis uint32 = 2166136261
	markPrime uint32 = 16777619
)

// markOf is a key's mark, and whether its name is ASCII without capitals.
func markOf(name []byte) (mark uint32, lowered bool) {
	mark, seen := markBasis, byte(0)
	lowered = true
	for _, c := range name {
		seen |= c
		lowered = lowered && c-'A' > 'Z'-'A'
		mark = (mark ^ uint32(c|0x20)) * markPrime
	}
	if seen >= utf8.RuneSelf {
		return 0, false
	}
	return mark | 1, lowered
}

// leave ends an object; where its keys were many, they are compared only now, by their hash: in linear time, and in a
// table that all objects of the body share. Like member at the end, it reports false.
func (s *scanner) leave(o *object) bool {
	if o.n > fewKeys && !s.distinct(o) {
		return false
	}
	s.open.n = o.keys
	s.names = s.names[:o.names]
	s.depth--
	return false
}

func (s *scanner) distinct(o *object) bool {
	size := 1
	for size < 2*o.n {
		size *= 2
	}
	if cap(s.slots) < size {
		s.slots = make([]uint32, size)
	}
	slots := s.slots[:size]
	clear(slots)
	mask := uint64(size - 1)   //nolint:gosec // size is positive
	seed := maphash.MakeSeed() // of this object's own, so that no sender can prepare collisions
	for i := o.keys; i < s.open.n; i++ {
		k := s.open.at(i)
		name := s.name(k)
		if o.spelling == anyCase {
			name = s.folded(name)
		}
		at := maphash.Bytes(seed, name) & mask
		for slots[at] != 0 {
			if other := s.open.at(int(slots[at] - 1)); s.same(o, other, k) {
				return s.twice(other, k)
			}
			at = (at + 1) & mask
		}
		slots[at] = uint32(i + 1) //nolint:gosec // there are fewer keys than bytes, which start bounds
	}
	return true
}

func (s *scanner) twice(a, b key) bool {
	at := int(b.start) - 1
	if b.start&inNames != 0 {
		at = 0
		start := b.start &^ inNames
		for _, c := range s.names[start-4 : start] {
			at = at<<8 | int(c)
		}
	}
	first, second := quoteKey(s.name(a)), quoteKey(s.name(b))
	if first == second {
		return s.fail(at, "key "+second+" appears twice")
	}
	return s.fail(at, "keys "+first+" and "+second+" differ only in case")
}

// quoteKey writes a key for a person, cut when it is long.
func quoteKey(name []byte) string {
	const most = 64
	if len(name) > most {
		return strconv.Quote(string(name[:most])) + "..."
	}
	return strconv.Quote(string(name))
}

// name is what k means.
func (s *scanner) name(k key) []byte {
	if k.start&inNames != 0 {
		return s.names[k.start&^inNames : k.end]
	}
	return s.src[k.start:k.end]
}

// last is the key of the member that was gone to last, in an object that is read with its values.
func (s *scanner) last() []byte { return s.name(s.open.at(s.open.n - 1)) }

func (s *scanner) same(o *object, a, b key) bool {
	x, y := s.name(a), s.name(b)
	if o.spelling == exact {
		return bytes.Equal(x, y)
	}
	return equalInAnyCase(x, y)
}

// folded is name in lower case, valid until the next call.
func (s *scanner) folded(name []byte) []byte {
	if isLower(name) {
		return name
	}
	s.lower = s.lower[:0]
	for i, c := range name { // most are ASCII
		if c >= utf8.RuneSelf {
			name = name[i:]
			break
		}
		if c-'A' <= 'Z'-'A' {
			c |= 0x20
		}
		s.lower = append(s.lower, c)
		if i+1 == len(name) {
			return s.lower
		}
	}
	for len(name) > 0 {
		c, n := lowerNext(name)
		s.lower = append(s.lower, c)
		name = name[n:]
	}
	return s.lower
}

func isLower(name []byte) bool {
	for _, c := range name {
		if c-'A' <= 'Z'-'A' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func equalInAnyCase(a, b []byte) bool {
	for len(a) > 0 && len(b) > 0 {
		x, n := lowerNext(a)
		y, m := lowerNext(b)
		if x != y {
			return false
		}
		a, b = a[n:], b[m:]
	}
	return len(a) == len(b)
}

// lowerNext lowers the ASCII letter that b begins with, and the two letters that Unicode's simple folding takes for
// ASCII ones, as encoding/json does: the long s and the Kelvin sign. All other bytes stand for themselves, one by one.
func lowerNext(b []byte) (c byte, n int) {
	switch c = b[0]; {
	case c-'A' <= 'Z'-'A':
		return c + 'a' - 'A', 1
	case c == 0xC5 && len(b) > 1 && b[1] == 0xBF: // U+017F
		return 's', 2
	case c == 0xE2 && len(b) > 2 && b[1] == 0x84 && b[2] == 0xAA: // U+212A
		return 'k', 3
	default:
		return c, 1
	}
}
