package mock

import (
	"compress/gzip"
	"io"
)

// stream answers with server-sent events, in OpenAI's order: for each choice the role, the text piece by piece, the reason
// of the end; then, if it was asked for, an event without choices that has the usage; then [DONE].
func (c *completion) stream() {
	s := c.begins()
	s.head = c.appendHead(append(c.buf.text, "data: "...), "chat.completion.chunk")
	s.head = append(s.head, `,"choices":[`...)
	c.buf.text = s.head // kept for the next exchange
	if c.api == azure && !s.send(append(s.buf.out[:0], filteredEvent...)) {
		return
	}
	if s.choices() && s.usage() && s.send(append(s.buf.out[:0], "data: [DONE]\n\n"...)) {
		s.ends()
	}
}

// begins prepares a stream; its header is sent with its first event.
func (c *completion) begins() *eventStream {
	s := &eventStream{completion: c, out: c.output()}
	h := c.w.Header()
	h["Content-Type"] = []string{c.contentType()}
	h["Cache-Control"] = []string{"no-cache"}
	if c.compresses() {
		h["Content-Encoding"] = []string{"gzip"}
		h["Vary"] = []string{"Accept-Encoding"}
		s.zip = gzip.NewWriter(s.out)
		s.out = s.zip
	}
	return s
}

// ends completes a stream of which all events were sent.
func (s *eventStream) ends() {
	if s.zip != nil {
		_ = s.zip.Close() // an error is a client that has left
	}
}

// An eventStream sends the events of one answer. Its methods are false when there is no one to send to any more.
type eventStream struct {
	*completion
	out  io.Writer
	zip  *gzip.Writer // nil without compression
	head []byte       // what every event begins with, up to the choices
	sent int          // events

	event   func(name string, data []byte) bool // sends one, in APIs that are not OpenAI's
	failure func(*apiError) []byte              // the event that reports an error; nil: in the form of the API's errors
}

// choices sends the events of all choices, in turn, as several answers arrive that are written at once.
func (s *eventStream) choices() bool {
	for i := range s.req.n {
		if !s.first(i) {
			return false
		}
	}
	if !s.texts() {
		return false
	}
	for k := range s.answer.calls {
		for i := range s.req.n {
			if !s.call(i, k) {
				return false
			}
		}
	}
	for i := range s.req.n {
		if !s.delta(i, `{}`, s.finish()) {
			return false
		}
	}
	return true
}

func (s *eventStream) first(choice int) bool {
	if len(s.answer.calls) > 0 {
		return s.delta(choice, `{"role":"assistant","content":null,"refusal":null}`, "")
	}
	return s.delta(choice, `{"role":"assistant","content":"","refusal":null}`, "")
}

func (s *eventStream) texts() bool {
	member := "content"
	if s.answer.finish == finishRefuse {
		member = "refusal"
	}
	for rest := s.answer.text; rest != ""; {
		end := pieceEnd(rest, s.behavior.Chunk)
		for i := range s.req.n {
			dst := appendString(append(append(append(s.begin(i), `{"`...), member...), `":`...), rest[:end], s.behavior.Escape)
			if !s.sendChoice(append(dst, '}'), "") {
				return false
			}
		}
		rest = rest[end:]
	}
	return true
}

// call sends one tool call: its name, then its arguments piece by piece.
func (s *eventStream) call(choice, number int) bool {
	call := s.answer.calls[number]
	dst := appendInt(append(s.begin(choice), `{"tool_calls":[{"index":`...), int64(number))
	dst = s.appendCall(append(dst, ','), choice, number, call.name, "")
	if !s.sendChoice(append(dst, `]}`...), "") {
		return false
	}
	for rest := call.arguments; rest != ""; {
		end := pieceEnd(rest, s.behavior.Chunk)
		dst := appendInt(append(s.begin(choice), `{"tool_calls":[{"index":`...), int64(number))
		dst = appendString(append(dst, `,"function":{"arguments":`...), rest[:end], s.behavior.Escape)
		if !s.sendChoice(append(dst, `}}]}`...), "") {
			return false
		}
		rest = rest[end:]
	}
	return true
}

// usage sends the event without choices. The others have a null in its place when there is to be one.
func (s *eventStream) usage() bool {
	if !s.tellsUsage() {
		return true
	}
	dst := append(append(s.buf.out[:0], s.head...), `],"usage":`...)
	return s.send(append(s.appendUsage(dst), "}\n\n"...))
}

func (s *eventStream) tellsUsage() bool { return s.req.includeUsage && !s.behavior.OmitUsage }

// pieces takes a text apart into what an event carries each.
func (s *eventStream) pieces(text string, send func(piece string) bool) bool {
	for text != "" {
		end := pieceEnd(text, s.behavior.Chunk)
		if !send(text[:end]) {
			return false
		}
		text = text[end:]
	}
	return true
}

func (s *eventStream) delta(choice int, delta, finish string) bool {
	return s.sendChoice(append(s.begin(choice), delta...), finish)
}

// begin writes an event up to its delta, into the buffer that send takes.
func (s *eventStream) begin(choice int) []byte {
	dst := append(append(s.buf.out[:0], s.head...), `{"index":`...)
	return append(appendInt(dst, int64(choice)), `,"delta":`...)
}

// sendChoice writes the rest of an event after its delta, and sends it.
func (s *eventStream) sendChoice(event []byte, finish string) bool {
	event = append(event, `,"logprobs":null,"finish_reason":`...)
	event = append(appendOptional(event, finish), `}]`...)
	if s.tellsUsage() {
		event = append(event, `,"usage":null`...)
	}
	return s.send(append(event, "}\n\n"...))
}

// send sends an event, or the fault that is due in its place.
func (s *eventStream) send(event []byte) bool {
	s.buf.out = event // it may have grown
	b := &s.behavior
	switch {
	case s.sent == 0:
	case s.sent == b.CutAfter:
		s.cut()
	case s.sent == b.HangAfter:
		s.hang()
		return false
	case s.sent == b.ErrorAfter:
		_ = s.write(s.errorEvent()) // it is the last in any case
		return false
	case s.sent == 1 && b.InvalidJSON && s.api == bedrock:
		event = event[:len(event)/2] // what follows is read as its rest
	case s.sent == 1 && b.InvalidJSON:
		event = append(event[:len(event)/2], "\n\n"...)
	}
	if s.sent > 0 && !s.wait(b.Pace) {
		return false
	}
	s.sent++
	return s.write(event) == nil
}

// errorEvent is the event that reports an error, in the API's form.
func (s *eventStream) errorEvent() []byte {
	if s.failure != nil {
		return s.failure(faultOf(500))
	}
	data := s.api.errorBody(faultOf(500))
	switch {
	case s.api == anthropic:
		return append(append([]byte("event: error\ndata: "), data...), "\n\n"...)
	case s.api == bedrock:
		return appendMessage(nil, data, ":exception-type", "modelStreamErrorException", ":content-type", "application/json", ":message-type", "exception")
	case (s.api == google || s.api == vertex) && s.w.Header().Get("Content-Type") != "text/event-stream":
		return append(append([]byte("\n,\r\n"), data...), "\n]\n"...)
	default:
		return append(append([]byte("data: "), data...), "\n\n"...)
	}
}

func (s *eventStream) write(event []byte) error {
	if _, err := s.out.Write(event); err != nil {
		return err
	}
	if s.zip != nil {
		if err := s.zip.Flush(); err != nil {
			return err
		}
	}
	s.flush()
	return nil
}
