package llm

import "strconv"

// A Cursor reads a body value by value, from front to back and once, as strictly as Check: for what needs more of a body
// than Request, Response and Event show, such as the translation into another API. Each method but Next, Fail and Err
// passes over one value. After the first error all do nothing, and Err tells it.
type Cursor struct {
	r     blockReader
	path  [maxPath]step
	depth int // of where it is in path
}

// maxPath is how much of a path an error tells. What is read by its name is less deep.
const maxPath = 12

// A step is one of the way to a value: the member of an object, or the element of an array.
type step struct {
	key   key
	index int // -1 for a member
}

// NewCursor stands before the first value of a body, which must not change while the cursor or what it returned is used.
// An answer may hold half surrogate pairs, as ParseResponse says.
func NewCursor(body []byte, isAnswer bool) *Cursor {
	c := &Cursor{}
	c.r.lone = isAnswer
	c.r.start(body)
	return c
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
		if s := &c.path[i]; s.index >= 0 {
			b = append(b, '[')
			b = strconv.AppendInt(b, int64(s.index), 10)
			b = append(b, ']')
		} else {
			if len(b) > 0 {
				b = append(b, '.')
			}
			b = append(b, c.r.name(s.key)...)
		}
	}
	if len(b) == 0 && len(below) > 0 {
		below = below[1:]
	}
	return string(append(b, below...))
}

// at notes which member or element is read at a depth.
func (c *Cursor) at(depth int, s step) {
	if depth < maxPath {
		c.path[depth] = s
	}
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

	o     object
	names nameForm
	begun bool
	depth int
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

func (c *Cursor) open(names nameForm) Object {
	o := Object{names: names}
	if c.is('{', "an object") {
		o.o, o.begun = c.r.object(spelling(names != literal))
		o.depth = c.depth
		c.depth++
	}
	return o
}

// Member goes to the value of the next member, which must be passed over. It reports false at the end.
func (c *Cursor) Member(o *Object) bool {
	if !o.begun {
		return false
	}
	if !c.r.member(&o.o) {
		c.depth = o.depth
		return false
	}
	k := c.r.open.at(c.r.open.n - 1)
	c.at(o.depth, step{k, -1})
	switch o.names {
	case lowered:
		o.Name = c.r.known()
	case unbarred:
		o.Name = c.r.field(&o.o)
		return c.r.err == nil
	default:
		at := quoted{span: span{k.start, k.end}}.outer()
		if k.start&inNames != 0 {
			at = c.r.outerName(k)
		}
		o.Name = c.r.src[at.start:at.end]
	}
	return true
}

// An Array is one that is being read: Cursor.Element goes from element to element.
type Array struct {
	Index int // of the element

	a     array
	begun bool
	depth int
}

// Array begins an array: for a := c.Array(); c.Element(&a); {}.
func (c *Cursor) Array() Array {
	var a Array
	if c.is('[', "an array") {
		a.begun = c.r.enter()
		a.depth = c.depth
		c.depth++
	}
	return a
}

// Element goes to the next element, which must be passed over. It reports false at the end.
func (c *Cursor) Element(a *Array) bool {
	if !a.begun {
		return false
	}
	if !c.r.element(&a.a) {
		c.depth = a.depth
		return false
	}
	a.Index = a.a.n - 1
	c.at(a.depth, step{index: a.Index})
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
