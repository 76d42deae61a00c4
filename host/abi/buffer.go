package abi

import "slices"

// A Buffer is a body, or the part of it that has come. The zero value is empty.
type Buffer struct{ data []byte }

// NewBuffer is a buffer of data, which belongs to it from now on.
func NewBuffer(data []byte) *Buffer { return &Buffer{data} }

// Bytes are the contents, valid until the next change.
func (b *Buffer) Bytes() []byte {
	if b == nil {
		return nil
	}
	return b.data
}

// Len is how many bytes there are. A nil Buffer has none.
func (b *Buffer) Len() int {
	if b == nil {
		return 0
	}
	return len(b.data)
}

// Append adds a copy of data at the end.
func (b *Buffer) Append(data []byte) { b.data = append(b.data, data...) }

// Take empties the buffer and gives away what was in it.
func (b *Buffer) Take() []byte {
	data := b.data
	b.data = nil
	return data
}

// replace is proxy_set_buffer_bytes. Envoy knows three cases: at the start, length bytes are replaced (0: prepend); at
// or after the end, data is appended; anything between is refused.
func (b *Buffer) replace(start, length uint32, data []byte) Status {
	if len(b.data)+len(data) > maxBufferBytes {
		return InternalFailure
	}
	switch {
	case start == 0 && int(length) >= len(b.data):
		b.data = append(b.data[:0], data...)
	case start == 0:
		b.data = slices.Replace(b.data, 0, int(length), data...)
	case int(start) >= len(b.data):
		b.data = append(b.data, data...)
	default:
		return BadArgument
	}
	return OK
}
