package llm

import (
	"bytes"
	"errors"
	"strconv"
)

// A Framing is how the events of a stream stand one behind the other.
type Framing uint8

// The framings.
const (
	ServerSentEvents Framing = iota
	JSONArray                // Google's, without the query "alt=sse": an array whose elements come one by one
)

// errNotArray means that a stream of a JSON array is none.
var errNotArray = errors.New("decode stream: not a JSON array of objects")

// An element is how far an array has been scanned.
type element struct {
	depth   int // of brackets inside the element
	start   int // of the element in the frame
	quoted  bool
	escaped bool
	at      arrayPlace
}

type arrayPlace uint8

const (
	beforeArray arrayPlace = iota
	beforeFirst
	behindElement
	behindComma
	behindArray
)

// scanElement looks for the end of the element that b begins with, from where it was left the last time. Frames are an
// element with what stands before it, and last the end of the array.
func (d *Decoder) scanElement(b []byte) (size int, complete bool) {
	e := &d.element
	for i := d.scanned; i < len(b); i++ {
		c := b[i]
		switch {
		case e.escaped:
			e.escaped = false
		case e.quoted:
			e.escaped = c == '\\'
			e.quoted = c != '"'
		case e.depth > 0:
			switch c {
			case '"':
				e.quoted = true
			case '{', '[':
				e.depth++
			case '}', ']':
				if e.depth--; e.depth == 0 {
					e.at = behindElement
					return i + 1, true
				}
			}
		case c == ' ' || c == '\n' || c == '\r' || c == '\t':
		case c == '[' && e.at == beforeArray:
			e.at = beforeFirst
		case c == '{' && (e.at == beforeFirst || e.at == behindComma):
			e.depth, e.start = 1, i
		case c == ',' && e.at == behindElement:
			e.at = behindComma
		case c == ']' && (e.at == beforeFirst || e.at == behindElement):
			e.at = behindArray
			return i + 1, true
		default:
			d.err = errNotArray
			return i, false
		}
	}
	d.scanned = len(b)
	return len(b), false
}

// elementFrame is the frame that scanElement has found, and makes ready for the next one.
func (d *Decoder) elementFrame(raw []byte) Frame {
	f := Frame{Raw: raw}
	if d.element.start > 0 || d.element.at == behindElement {
		f.Data = raw[d.element.start:]
	}
	d.element.start, d.scanned = 0, 0
	return f
}

// Over tells whether the stream has ended by itself, as an array does. Only blanks may follow.
func (d *Decoder) Over() bool { return d.element.at == behindArray }

// An Encoder writes the events of a stream, in the framing in which they came or in another. The zero value writes
// server-sent events.
type Encoder struct {
	Framing  Framing
	Sequence int64 // the number of the next event, which those of OpenAI's responses have

	begun   bool
	closing []byte // the end of the array, which comes when all is written
}

// Frame writes a frame as it came.
func (e *Encoder) Frame(dst []byte, f Frame) []byte {
	switch {
	case e.Framing == ServerSentEvents:
		return append(dst, f.Raw...)
	case f.Data == nil:
		e.closing = append(e.closing, f.Raw...)
		return dst
	}
	opens := bytes.IndexByte(f.Raw[:len(f.Raw)-len(f.Data)], '[') >= 0
	if opens == e.begun { // others were written or left out before it
		return e.Event(dst, "", f.Data)
	}
	e.begun = true
	return append(dst, f.Raw...)
}

// Event writes an event. The name is for server-sent events only, as AppendFrame writes it.
func (e *Encoder) Event(dst []byte, name string, data []byte) []byte {
	if e.Framing == ServerSentEvents {
		return AppendFrame(dst, name, data)
	}
	if e.begun {
		dst = append(dst, ",\r\n"...)
	} else {
		dst = append(dst, '[')
	}
	e.begun = true
	return append(dst, data...)
}

// KeepAlive writes what says no more than that the stream goes on, which those between a provider and its client cut off where nothing comes for a minute.
// Anthropic's clients know an event for it and OpenAI's read over comments; Google's take every line for a piece of the answer, and are told nothing.
func (e *Encoder) KeepAlive(dst []byte, f Format) []byte {
	switch {
	case e.Framing == JSONArray || f.Family() == Google:
		return dst
	case f.Family() == Anthropic:
		return AppendFrame(dst, "ping", []byte(`{"type":"ping"}`))
	default:
		return append(dst, ": keep-alive\n\n"...)
	}
}

// End ends the stream as it was ended by its frames, if it was.
func (e *Encoder) End(dst []byte) []byte {
	if len(e.closing) == 0 {
		return dst
	}
	closing := e.closing
	if at := bytes.IndexByte(closing, '['); at >= 0 && e.begun {
		closing = closing[at+1:]
	} else if at < 0 && !e.begun {
		dst = append(dst, '[')
	}
	e.closing = nil
	return append(dst, closing...)
}

// Error writes an error that ends a stream before its time, in the form in which its format reports one.
func (e *Encoder) Error(dst []byte, f Format, status int, code, message string) []byte {
	name := ""
	body := ErrorBody(f, status, code, message)
	switch {
	case f == OpenAIResponses:
		name = "error"
		body = append(body[:0], `{"type":"error","code":`...)
		if code == "" {
			body = append(body, "null"...)
		} else {
			body = appendString(body, code)
		}
		body = append(body, `,"message":`...)
		body = appendString(body, message)
		body = append(body, `,"param":null,"sequence_number":`...)
		body = append(strconv.AppendInt(body, e.Sequence, 10), '}')
	case f.Family() == Anthropic:
		name = "error"
	}
	dst = e.Event(dst, name, body)
	switch {
	case e.Framing == JSONArray:
		dst = append(dst, ']')
	case f == OpenAIChat || f == OpenAICompletions || f == None:
		dst = AppendFrame(dst, "", []byte("[DONE]"))
	}
	e.closing = nil
	return dst
}
