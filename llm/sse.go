package llm

import "errors"

// DefaultMaxEvent is the bound of a Decoder whose MaxEvent is zero, in bytes.
const DefaultMaxEvent = 1 << 20

// ErrEventTooLarge is returned by a Decoder for an event of more than MaxEvent bytes.
var ErrEventTooLarge = errors.New("decode event: larger than the bound")

// A Decoder splits a stream of server-sent events into frames.
type Decoder struct {
	MaxEvent int // bytes of one frame; DefaultMaxEvent when zero
}

// A Frame is one block of a stream, up to and with its blank line.
type Frame struct {
	Raw  []byte // the exact bytes
	Name string // of the field "event", empty when there is none
	Data []byte // nil when there is no field "data"
}

// Feed decodes the next bytes of the stream.
func (d *Decoder) Feed(chunk []byte, emit func(Frame) error) error { return nil }

// Flush emits what is left at the end of the stream.
func (d *Decoder) Flush(emit func(Frame) error) error { return nil }

// AppendFrame appends one event to dst.
func AppendFrame(dst []byte, name string, data []byte) []byte { return dst }
