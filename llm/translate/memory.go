package translate

import (
	"slices"

	"github.com/leash-gateway/leash/llm"
)

// A Memory is what exchanges work in, one call after the other: a module that keeps one allocates next to nothing for each
// request, which in Wasm is half of what a translation costs (BenchmarkRequest). The zero value is ready for use. It belongs to
// one goroutine, and may be shared by exchanges that are under way at the same time.
//
// What Exchange.Request and Exchange.Response return is part of it, and valid until the next call of either with the same
// memory.
type Memory struct {
	cursor, inner llm.Cursor
	conversation  conversation
	out           []byte
}

// mostKept bounds what a memory keeps of a large exchange, in bytes and in parts.
const (
	mostKept      = 128 << 10
	mostPartsKept = 1024
)

// memory is the exchange's own where its options have none.
func (x *Exchange) memory() *Memory {
	if x.options.Memory == nil {
		x.options.Memory = &Memory{}
	}
	return x.options.Memory
}

// read is a cursor on a body, for as long as no other body is read.
func (x *Exchange) read(body []byte, isAnswer bool) *llm.Cursor {
	c := &x.memory().cursor
	c.Reset(body, isAnswer)
	return c
}

// readInner is one on a piece of the body that read is on.
func (x *Exchange) readInner(piece []byte, isAnswer bool) *llm.Cursor {
	c := &x.memory().inner
	c.Reset(piece, isAnswer)
	return c
}

// write is where what an exchange returns is written.
func (x *Exchange) write(size int) []byte {
	m := x.memory()
	if cap(m.out) < size {
		if size > mostKept {
			return make([]byte, 0, size)
		}
		m.out = make([]byte, 0, size)
	}
	return m.out[:0]
}

// wrote keeps what was written to, since it may have grown.
func (x *Exchange) wrote(out []byte) []byte {
	if cap(out) <= mostKept {
		x.memory().out = out
	}
	return out
}

// request is an empty conversation.
func (m *Memory) request() *conversation {
	r := &m.conversation
	r.reset()
	return r
}

// grow appends a part, which is empty, and returns it until the next one is appended. Parts are read where they lie: they are
// large, and copying them costs more than reading them.
func grow(parts *[]part) *part {
	s := *parts
	if len(s) == cap(s) { // append would grow a long slice by a quarter, and copy it four times as often
		s = slices.Grow(s, max(1, len(s)))
	}
	s = s[:len(s)+1]
	*parts = s
	return &s[len(s)-1]
}

// cut takes the parts from an index on away.
func cut(parts *[]part, from int) {
	clear((*parts)[from:])
	*parts = (*parts)[:from]
}
