package llm

import "strconv"

// A Cursor reads a body value by value, from front to back and once, as strictly as Check: for what needs more of a body
// than Request, Response and Event show, such as the translation into another API. Each method but Next, Fail and Err
// passes over one value. After the first error all do nothing, and Err tells it.
//
// Objects and arrays that are open are levels of the cursor, and what stands for them in the caller's loop is small: in Wasm a
// structure of more than 32 bytes is cleared and copied by calls that cost more than what is read in between.
type Cursor struct {
	r     blockReader
	depth int // levels that are open
	near  [maxPath]level
	far   []level
}

// maxPath is how much of a path an error tells. What is read by its name is less deep.
const maxPath = 12

// A level is an object or an array that is being read.
type level struct {
	o     object
	array array
	list  bool // it is an array
}

// NewCursor stands before the first value of a body, which must not change while the cursor or what it returned is used.
// An answer may hold half surrogate pairs, as ParseResponse says.
func NewCursor(body []byte, isAnswer bool) *Cursor {
	c := &Cursor{}
	c.Reset(body, isAnswer)
	return c
}

// Reset makes c what NewCursor returns, and keeps its memory as far as that is little.
func (c *Cursor) Reset(body []byte, isAnswer bool) {
	r := &c.r
	r.src, r.pos, r.depth, r.err, r.lone = nil, 0, 0, nil, isAnswer
	r.open.n, r.open.far, r.names, r.slots = 0, nil, r.names[:0], nil
	r.refused, c.depth, c.far = nil, 0, nil
	if cap(r.names)+cap(r.scratch)+cap(r.lower) > 1<<12 {
		r.names, r.scratch, r.lower = nil, nil, nil
	}
	r.start(body)
}

// Next is the first byte of the value that is next: one of {["tfn-0123456789, or 0 where there is none.
func (c *Cursor) Next() byte { return c.r.peek() }

// Err is the first error, and that of data behind the last value once all was read.
func (c *Cursor) Err() error { return c.r.outcome() }

// Fail makes a *FieldError the cursor's error, unless it has one. Its path is that of the value that was read last, or of what
// that stands in, with below behind it.
func (c *Cursor) Fail(below, reason string) {
	if c.r.err == nil && c.r.refused == nil {
		c.r.forbid(c.where(below), reason)
	}
}

// where is the path to where the cursor is.
func (c *Cursor) where(below string) string {
	var b []byte
	for i := range min(c.depth, maxPath) {
		l := &c.near[i]
		if l.list {
			b = append(b, '[')
			b = strconv.AppendInt(b, int64(l.array.n-1), 10)
			b = append(b, ']')
			continue
		}
		keys := c.r.open.n // up to its last: those of the next object begin behind it
		for j := i + 1; j < min(c.depth, maxPath); j++ {
			if !c.near[j].list {
				keys = c.near[j].o.keys
				break
			}
		}
		if keys == l.o.keys { // before its first member
			continue
		}
		if len(b) > 0 {
			b = append(b, '.')
		}
		b = append(b, c.r.name(c.r.open.at(keys-1))...)
	}
	if len(b) == 0 && len(below) > 0 {
		below = below[1:]
	}
	return string(append(b, below...))
}

// level is the level at a depth.
func (c *Cursor) level(depth int) *level {
	if depth < len(c.near) {
		return &c.near[depth]
	}
	return &c.far[depth-len(c.near)]
}

// enter makes room for a level.
func (c *Cursor) enter() *level {
	if c.depth++; c.depth > len(c.near) {
		c.far = append(c.far[:c.depth-1-len(c.near)], level{})
	}
	return c.level(c.depth - 1)
}

// is tells whether what is to come begins with a byte. Null is passed over, and anything else is an error.
func (c *Cursor) is(first byte, what string) bool {
	if c.r.peek() == first {
		return true
	}
	if c.r.null() == wrong {
		c.Fail("", "must be "+what)
	}
	return false
}

// An Object is one that is being read: Cursor.Member goes from member to member.
type Object struct {
	Name []byte // of the member, valid until the next step

	depth int32 // of its level, from 1 on; 0 for none
	names nameForm
}

// A nameForm says how names are told.
type nameForm uint8

const (
	lowered nameForm = iota
	unbarred
	literal
)

// Object begins an object: for o := c.Object(); c.Member(&o); {}. Names come in lower case; two that differ only in case
// are an error.
func (c *Cursor) Object() Object { return c.open(lowered) }

// Google is Object for an object of Google's APIs, whose names may be spelled in two ways: they come in lower case and
// without underscores.
func (c *Cursor) Google() Object { return c.open(unbarred) }

// Members is Object for an object whose names are data: they come as JSON strings, as they are in the body.
func (c *Cursor) Members() Object { return c.open(literal) }

func (c *Cursor) open(names nameForm) (o Object) {
	if !c.is('{', "an object") {
		return o
	}
	l := c.enter()
	l.o, _ = c.r.object(spelling(names != literal))
	l.list = false
	return Object{depth: int32(c.depth), names: names} //nolint:gosec // MaxDepth bounds it
}

// Member goes to the value of the next member, which must be passed over. It reports false at the end.
func (c *Cursor) Member(o *Object) bool {
	if o.depth == 0 {
		return false
	}
	l := c.level(int(o.depth) - 1)
	if !c.r.member(&l.o) {
		c.depth = int(o.depth) - 1
		return false
	}
	k := c.r.open.last()
	switch o.names {
	case lowered:
		if c.r.lowered && k.start&inNames == 0 {
			o.Name = c.r.src[k.start:k.end]
		} else {
			o.Name = c.r.known()
		}
	case unbarred:
		o.Name = c.r.field(&l.o)
		return c.r.err == nil
	default:
		at := quoted{span: span{k.start, k.end}}.outer()
		if k.start&inNames != 0 {
			at = c.r.outerName(*k)
		}
		o.Name = c.r.src[at.start:at.end]
	}
	return true
}

// An Array is one that is being read: Cursor.Element goes from element to element.
type Array struct {
	Index int // of the element

	depth int // of its level, from 1 on; 0 for none
}

// Array begins an array: for a := c.Array(); c.Element(&a); {}.
func (c *Cursor) Array() Array {
	if !c.is('[', "an array") {
		return Array{}
	}
	c.r.enter()
	l := c.enter()
	l.array.n, l.list = 0, true
	return Array{depth: c.depth}
}

// Element goes to the next element, which must be passed over. It reports false at the end.
func (c *Cursor) Element(a *Array) bool {
	if a.depth == 0 {
		return false
	}
	l := c.level(a.depth - 1)
	if !c.r.element(&l.array) {
		c.depth = a.depth - 1
		return false
	}
	a.Index = l.array.n - 1
	return true
}

// Raw returns a value as it is in the body; null as nil.
func (c *Cursor) Raw() []byte {
	null := c.r.peek() == 'n'
	at, ok := c.r.span()
	if !ok || null {
		return nil
	}
	return c.r.src[at.start:at.end:at.end]
}

// Skip passes over a value.
func (c *Cursor) Skip() { c.r.value() }

// Word returns what a string means, valid until the next step; nil for null. It is for what is compared at once.
func (c *Cursor) Word() []byte {
	if !c.is('"', "a string") {
		return nil
	}
	q, ok := c.r.str()
	if !ok {
		return nil
	}
	return c.r.meant(q)
}

// String returns what a string means; "" for null.
func (c *Cursor) String() string {
	word := c.Word()
	if s, ok := common(word); ok {
		return s
	}
	return string(word)
}

// common is a word that bodies are full of, so that no memory is needed for it.
func common(word []byte) (string, bool) {
	switch string(word) {
	case "":
		return "", true
	case "system":
		return "system", true
	case "user":
		return "user", true
	case "assistant":
		return "assistant", true
	case "model":
		return "model", true
	case "tool":
		return "tool", true
	case "function":
		return "function", true
	case "message":
		return "message", true
	case "text":
		return "text", true
	case "input_text":
		return "input_text", true
	case "output_text":
		return "output_text", true
	case "image_url":
		return "image_url", true
	case "image":
		return "image", true
	case "tool_use":
		return "tool_use", true
	case "tool_result":
		return "tool_result", true
	case "function_call":
		return "function_call", true
	case "function_call_output":
		return "function_call_output", true
	case "content_block_delta":
		return "content_block_delta", true
	case "response.output_text.delta":
		return "response.output_text.delta", true
	default:
		return "", false
	}
}

// Literal returns a string as it is in the body, with its quotes; nil for null.
func (c *Cursor) Literal() []byte {
	if !c.is('"', "a string") {
		return nil
	}
	q, ok := c.r.str()
	if !ok {
		return nil
	}
	at := q.outer()
	return c.r.src[at.start:at.end:at.end]
}

// Number returns a number as it is in the body; nil for null. Whole numbers beyond 2^53, which parsers read differently, and
// numbers beyond what a float holds are an error.
func (c *Cursor) Number() []byte {
	if b := c.r.peek(); b != '-' && !isDigit(b) {
		c.is('0', "a number")
		return nil
	}
	at, ok := c.r.span()
	if !ok {
		return nil
	}
	number := c.r.src[at.start:at.end:at.end]
	if f, err := strconv.ParseFloat(string(number), 64); err != nil || f >= float64(MaxCount) || f <= -float64(MaxCount) {
		c.Fail("", "must be between -2^53 and 2^53")
	}
	return number
}

// Count returns a whole number that is not negative; 0 for null.
func (c *Cursor) Count() int64 {
	n, found := c.r.readCount()
	switch {
	case found == wrong:
		c.Fail("", "must be a whole number")
	case n >= MaxCount:
		c.Fail("", "must be less than 2^53")
	}
	return max(0, n)
}

// Bool returns true or false; false for null.
func (c *Cursor) Bool() bool {
	b, found := c.r.readBool()
	if found == wrong {
		c.Fail("", "must be true or false")
	}
	return b
}

// AppendString appends s as a JSON string. What is not UTF-8 in it becomes U+FFFD.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }

// AppendMeaning appends what a JSON string means, given with its quotes as Literal returns it.
func AppendMeaning(dst, literal []byte) []byte {
	if len(literal) < 2 {
		return dst
	}
	return appendUnescaped(dst, literal[1:len(literal)-1])
}
