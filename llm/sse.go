package llm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
)

// DefaultMaxEvent is the bound of a Decoder whose MaxEvent is zero, in bytes. Some events are as large as a whole request or answer: OpenAI's
// responses begin with what was asked and end with all that was said, and pictures come in one event.
const DefaultMaxEvent = 32 << 20

// ErrEventTooLarge is returned by a Decoder for a frame of more than MaxEvent bytes.
var ErrEventTooLarge = errors.New("decode event: larger than the bound")

// A Frame is one block of a stream: the lines up to a blank one, and that one.
//
// Its slices are valid until emit returns.
type Frame struct {
	Raw  []byte // the exact bytes; those of all frames together are the stream
	Name string // of the field "event", empty when there is none
	Data []byte // the lines of the field "data", joined by line feeds; nil when that is nothing, as in a comment: it is no event then

	// Foreign says that there are fields besides data, event, id and retry. Readers of events pass over them; what takes the whole answer for
	// something else reads them.
	Foreign bool
}

// Comment tells of a frame of server-sent events that it says nothing, as servers have it that keep a connection alive.
func (f *Frame) Comment() bool { return f.Data == nil && len(f.Raw) > 0 && f.Raw[0] == ':' }

// A Decoder splits a stream into frames: a JSON array into its elements, and server-sent events as
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation says: lines end with LF,
// CRLF or CR, and a byte-order mark may stand at the beginning. How the stream is cut into chunks makes no difference to
// the frames. The zero value is ready for use.
//
// A frame is emitted when its last byte has come; only where that is a CR, when the next one has, which may be an LF
// that belongs to it.
type Decoder struct {
	MaxEvent int     // bytes of one frame; DefaultMaxEvent when zero
	Framing  Framing // of the stream

	held    []byte // the beginning of a frame
	scanned int    // bytes of the frame that were looked at
	line    int    // where in the frame the line that they end in begins
	begun   bool   // the first frame is behind us
	joined  []byte // data of several lines
	element element
	err     error
}

// Feed decodes the next bytes of the stream and calls emit for each frame that they complete. It returns
// ErrEventTooLarge, or what emit returned; then the decoder is of no more use, and returns the error again.
func (d *Decoder) Feed(chunk []byte, emit func(Frame) error) error {
	if d.err != nil {
		return d.err
	}
	buf, kept := chunk, false
	if len(d.held) > 0 {
		d.held = append(d.held, chunk...)
		buf, kept = d.held, true
	}
	for {
		size, complete := d.scan(buf)
		switch {
		case d.err != nil:
		case size > d.maxEvent():
			d.err = ErrEventTooLarge
		case !complete:
			if !kept { // else it is there already, and copying it for each small chunk would take more than linear time
				d.held = append(d.held[:0], buf...)
			}
			return nil
		default:
			d.err = emit(d.frame(buf[:size]))
		}
		if d.err != nil {
			d.held = nil
			return d.err
		}
		buf, kept = buf[size:], false
	}
}

// Flush emits what is left at the end of the stream without the blank line that a frame ends with. Browsers drop that;
// other clients read it, so it is a frame like any other.
func (d *Decoder) Flush(emit func(Frame) error) error {
	if d.err == nil && len(d.held) > 0 {
		d.err = emit(d.frame(d.held))
	}
	d.held = nil
	return d.err
}

func (d *Decoder) maxEvent() int {
	if d.MaxEvent == 0 {
		return DefaultMaxEvent
	}
	return d.MaxEvent
}

var bom = []byte("\uFEFF")

// scan looks for the end of the frame that b begins with, from where it was left the last time.
func (d *Decoder) scan(b []byte) (size int, complete bool) {
	if d.Framing == JSONArray {
		return d.scanElement(b)
	}
	for i := lineEnd(b, d.scanned); i < len(b); i = lineEnd(b, d.line) {
		if b[i] == '\r' && i+1 == len(b) {
			d.scanned = i
			return len(b), false
		}
		text := b[d.line:i]
		if !d.begun && d.line == 0 {
			text = bytes.TrimPrefix(text, bom)
		}
		if b[i] == '\r' && b[i+1] == '\n' {
			i++
		}
		if len(text) == 0 {
			return i + 1, true
		}
		d.line = i + 1
	}
	d.scanned = len(b)
	return len(b), false
}

// lineEnd is where a line ends, from a place in it on. It calls nothing, so that its loops are loops in WebAssembly too
// (docs/decisions/132-what-engines-are-told-of-gos-code.md).
//
//go:noinline
func lineEnd(b []byte, i int) int {
	for i+8 <= len(b) {
		eight := binary.LittleEndian.Uint64(b[i:])
		lf, cr := eight^'\n'*each, eight^'\r'*each
		// https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord
		if found := ((lf-each)&^lf | (cr-each)&^cr) & high; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
		i += 8
	}
	for i < len(b) && b[i] != '\n' && b[i] != '\r' {
		i++
	}
	return i
}

// frame reads the fields of a frame, and is ready for the next one.
func (d *Decoder) frame(raw []byte) Frame {
	if d.Framing == JSONArray {
		return d.elementFrame(raw)
	}
	f := Frame{Raw: raw}
	rest := raw
	if !d.begun {
		rest = bytes.TrimPrefix(rest, bom)
	}
	d.begun, d.scanned, d.line = true, 0, 0
	for lines := 0; len(rest) > 0; {
		var text []byte
		text, rest = cutLine(rest)
		name, value, _ := bytes.Cut(text, colon)
		value = bytes.TrimPrefix(value, space)
		switch string(name) {
		case "event":
			f.Name = string(value)
		case "data":
			switch lines++; lines {
			case 1:
				f.Data = value[:len(value):len(value)]
			case 2:
				d.joined = append(d.joined[:0], f.Data...)
				fallthrough
			default:
				d.joined = append(d.joined, '\n')
				d.joined = append(d.joined, value...)
				f.Data = d.joined
			}
		case "", "id", "retry":
		default:
			f.Foreign = true
		}
	}
	if len(f.Data) == 0 {
		f.Data = nil
	}
	return f
}

var colon, space = []byte(":"), []byte(" ")

// cutLine cuts b behind its first line.
func cutLine(b []byte) (line, rest []byte) {
	end := lineEnd(b, 0)
	next := end
	if next < len(b) {
		next++
		if b[end] == '\r' && next < len(b) && b[next] == '\n' {
			next++
		}
	}
	return b[:end], b[next:]
}

// AppendFrame appends one event to dst. An empty name is left out; of another one, all from its first line break is.
// Data of several lines, however they end, becomes several fields, as the format demands.
func AppendFrame(dst []byte, name string, data []byte) []byte {
	if name != "" {
		first, _ := cutLine([]byte(name))
		dst = append(dst, "event: "...)
		dst = append(dst, first...)
		dst = append(dst, '\n')
	}
	for {
		line, rest := cutLine(data)
		dst = append(dst, "data: "...)
		dst = append(dst, line...)
		dst = append(dst, '\n')
		if len(line) == len(data) {
			return append(dst, '\n')
		}
		data = rest
	}
}
