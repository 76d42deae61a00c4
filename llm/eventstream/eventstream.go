// Package eventstream reads and writes the framing in which Amazon's services stream (application/vnd.amazon.eventstream):
// messages of headers and a payload, with their lengths in front and a checksum of each part, as
// https://smithy.io/2.0/aws/amazon-eventstream.html says.
package eventstream

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// DefaultMaxMessage is the bound of a Decoder whose MaxMessage is zero, in bytes.
const DefaultMaxMessage = 1 << 20

// What a Decoder returns of bytes that are no stream of messages.
var (
	ErrTooLarge = errors.New("decode event stream: a message larger than the bound")
	ErrChecksum = errors.New("decode event stream: a checksum does not match")
	ErrFormat   = errors.New("decode event stream: a message whose lengths or headers do not fit together")
	ErrCut      = errors.New("decode event stream: it ends inside a message")
)

// A Message is one of a stream. Its slices are valid until emit returns.
type Message struct {
	Type      string // :message-type: event, exception or error
	Event     string // :event-type of an event
	Exception string // :exception-type of an exception, :error-code of an error
	Reason    string // :error-message of an error
	Payload   []byte
}

const (
	preludeSize = 12 // two lengths and their checksum
	sumSize     = 4
	leastSize   = preludeSize + sumSize
)

// A Decoder splits a stream into messages. How the stream is cut into chunks makes no difference to them. The zero value is
// ready for use; it keeps no more than one message.
type Decoder struct {
	MaxMessage int // bytes of one message; DefaultMaxMessage when zero

	held []byte // the beginning of a message
	err  error
}

// Feed decodes the next bytes of the stream and calls emit for each message that they complete. After an error, its own or
// one of emit, the decoder is of no more use and returns it again.
func (d *Decoder) Feed(chunk []byte, emit func(Message) error) error {
	if d.err != nil {
		return d.err
	}
	buf, kept := chunk, false
	if len(d.held) > 0 {
		d.held = append(d.held, chunk...)
		buf, kept = d.held, true
	}
	for {
		size := d.size(buf)
		switch {
		case d.err != nil:
		case size == 0 || size > len(buf):
			if !kept { // else it is there already, and copying it for each small chunk would take more than linear time
				d.held = append(d.held[:0], buf...)
			}
			return nil
		default:
			var m Message
			if m, d.err = read(buf[:size]); d.err == nil {
				d.err = emit(m)
			}
		}
		if d.err != nil {
			d.held = nil
			return d.err
		}
		buf, kept = buf[size:], false
	}
}

// End tells whether the stream ended where a message did.
func (d *Decoder) End() error {
	if d.err == nil && len(d.held) > 0 {
		d.err = ErrCut
	}
	d.held = nil
	return d.err
}

// size is how long the message is that b begins with, 0 while that is not known. What it says of itself is believed only
// with its checksum.
func (d *Decoder) size(b []byte) int {
	if len(b) < preludeSize {
		return 0
	}
	if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) {
		d.err = ErrChecksum
		return 0
	}
	size, headers := uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(b[4:]))
	most := d.MaxMessage
	if most == 0 {
		most = DefaultMaxMessage
	}
	switch {
	case size < leastSize || headers > size-leastSize:
		d.err = ErrFormat
	case size > uint64(most): //nolint:gosec // a bound is positive
		d.err = ErrTooLarge
	default:
		return int(size) //nolint:gosec // most bounds it
	}
	return 0
}

// read reads a whole message, whose prelude was looked at.
func read(b []byte) (m Message, err error) {
	body := b[:len(b)-sumSize]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(b[len(body):]) {
		return m, ErrChecksum
	}
	end := preludeSize + int(binary.BigEndian.Uint32(b[4:]))
	for headers := body[preludeSize:end]; len(headers) > 0; {
		var name, value []byte
		if name, value, headers, err = cutHeader(headers); err != nil {
			return m, err
		}
		switch string(name) {
		case ":message-type":
			m.Type = word(value)
		case ":event-type":
			m.Event = word(value)
		case ":exception-type", ":error-code":
			m.Exception = word(value)
		case ":error-message":
			m.Reason = string(value)
		}
	}
	m.Payload = body[end:]
	return m, nil
}

// word is one of those that streams are full of, without memory of its own, or any other.
func word(b []byte) string {
	switch string(b) {
	case "event":
		return "event"
	case "exception":
		return "exception"
	case "contentBlockDelta":
		return "contentBlockDelta"
	default:
		return string(b)
	}
}

// stringType is the type of a header that is a string; sizes are of those types that have one always, by their number.
const stringType = 7

var sizes = [...]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 6: -1, stringType: -1, 8: 8, 9: 16}

// cutHeader cuts off a header. Its value is nil unless it is a string.
func cutHeader(b []byte) (name, value, rest []byte, err error) {
	n := 1 + int(b[0])
	if b[0] == 0 || n >= len(b) || int(b[n]) >= len(sizes) {
		return nil, nil, nil, ErrFormat
	}
	name, kind, rest := b[1:n], b[n], b[n+1:]
	size := sizes[kind]
	if size < 0 {
		if len(rest) < 2 {
			return nil, nil, nil, ErrFormat
		}
		size, rest = int(binary.BigEndian.Uint16(rest)), rest[2:]
	}
	if size > len(rest) {
		return nil, nil, nil, ErrFormat
	}
	if kind == stringType {
		value = rest[:size]
	}
	return name, value, rest[size:], nil
}

// Append appends a message. Of its fields those that are not empty become headers, which must be shorter than 64 KiB.
func Append(dst []byte, m Message) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, preludeSize)...)
	dst = appendHeader(dst, ":message-type", m.Type)
	dst = appendHeader(dst, ":event-type", m.Event)
	if m.Type == "error" {
		dst = appendHeader(dst, ":error-code", m.Exception)
		dst = appendHeader(dst, ":error-message", m.Reason)
	} else {
		dst = appendHeader(dst, ":exception-type", m.Exception)
	}
	if len(m.Payload) > 0 {
		dst = appendHeader(dst, ":content-type", "application/json")
	}
	headers := len(dst) - start - preludeSize
	dst = append(dst, m.Payload...)
	b := dst[start:]
	binary.BigEndian.PutUint32(b, uint32(len(b)+sumSize)) //nolint:gosec // a message is shorter than 4 GiB
	binary.BigEndian.PutUint32(b[4:], uint32(headers))    //nolint:gosec // as its headers are
	binary.BigEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(b))
}

func appendHeader(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, byte(len(name))) //nolint:gosec // names are ours and short
	dst = append(dst, name...)
	dst = append(dst, stringType)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value))) //nolint:gosec // the caller keeps it short
	return append(dst, value...)
}
