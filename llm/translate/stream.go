package translate

import (
	"bytes"
	"slices"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/eventstream"
)

// A Stream translates the events of a streamed answer as they come. It belongs to one goroutine.
type Stream struct {
	x      *Exchange
	events llm.Encoder
	dst    []byte
	to     sink

	id       string
	usage    llm.Usage
	begun    bool
	ended    bool         // by the provider's end, or by an error
	failure  string       // the error
	parting  int          // bytes that it takes
	finished bool         // a reason for the end has come
	calls    int          // to which the provider has given no id
	told     []byte       // the usage that Google has told last, which grows from event to event
	whole    int          // calls that came in one piece, which have no number of the provider's
	untold   int          // of Anthropic's blocks the last one that the client is not told of, and 1 more
	turn     turn         // what an event adds in parts, while it is read
	items    []outputItem // of a response of OpenAI's
	first    []int        // where one call is told: the number of each choice's first, and 1 more

	frames   llm.Decoder         // of the provider's stream
	messages eventstream.Decoder // in its place, of Bedrock's
	out      []byte              // what Feed appends to
	unread   error               // of a piece of an event that could not be read

	// The client's API has one call after the other, while the provider may send pieces of several in turn: the first is
	// live, the others wait until it is known to be complete.
	inTurn  bool
	live    int    // number of the call that is live; -1 for none
	liveOf  int    // its choice
	liveID  []byte // its id
	waiting []heldCall
}

// A sink writes what an answer is made of, piece by piece, as events of the client's API.
//
// Texts are JSON strings. A call is known by a number that is its own in the stream; its arguments are pieces of JSON, as
// strings, and come behind its beginning.
type sink interface {
	begin()
	text(choice int, kind partKind, literal []byte)
	call(choice, number int, p *part) // of p the id, the name and the signature
	arguments(choice, number int, literal []byte)
	finish(choice int, why finish, stop []byte)
	end()
}

// Stream begins the translation of a streamed answer. Framing is how the client's API has its events one behind the other:
// for Google's without "alt=sse" as a JSON array, else as server-sent events.
func (x *Exchange) Stream(framing llm.Framing) *Stream {
	s := &Stream{x: x, events: llm.Encoder{Framing: framing}, live: -1, inTurn: x.from == Responses || x.from == Messages}
	switch x.from {
	case Chat:
		s.to = &chatSink{Stream: s}
	case Responses:
		s.to = &responsesSink{Stream: s, open: -1}
	case Messages:
		s.to = &messagesSink{Stream: s, index: -1}
	default:
		s.to = &geminiSink{Stream: s}
	}
	return s
}

// Event appends to dst what one of the provider's events (llm.Frame.Data, eventstream.Message.Payload) becomes, which may be nothing or
// several events. Feed does so for whatever it finds.
// The error is a *llm.SyntaxError or an *Error; Fail tells it to the client.
func (s *Stream) Event(dst, data []byte) ([]byte, error) {
	if s.ended {
		return dst, nil
	}
	if s.x.to != Converse && string(bytes.TrimSpace(data)) == "[DONE]" { // which some servers have in other APIs than OpenAI's chats too
		return s.complete(dst), nil
	}
	s.dst = dst
	c := s.x.read(data, true)
	var used bool
	switch s.x.to {
	case Chat:
		used = s.chatEvent(c)
	case Responses:
		used = s.responsesEvent(c, data)
	case Messages:
		used = s.messagesEvent(c)
	case Gemini:
		s.geminiEvent(c)
	default:
		s.converseEvent(c)
	}
	if err := c.Err(); err != nil {
		return s.dst, asError(err)
	}
	if s.unread != nil {
		return s.dst, asError(s.unread)
	}
	if used {
		e, err := llm.ParseEvent(s.x.Format(), data)
		if err != nil {
			return s.dst, err
		}
		s.usage = s.usage.Joined(e.Usage)
	}
	return s.dst, nil
}

// ErrCut is what a client reads of a stream that broke off.
const ErrCut = "the provider's stream ended before its answer did"

// End appends what ends the stream for the client, once the provider's has: after an answer that was not ended an error, so
// that no client takes a part for the whole.
func (s *Stream) End(dst []byte) []byte {
	if s.ended {
		return dst
	}
	if dst = s.flush(dst); s.ended {
		return dst
	}
	return s.complete(dst)
}

// complete ends an answer whose last event has come.
func (s *Stream) complete(dst []byte) []byte {
	if !s.finished {
		return s.Fail(dst, 502, "stream_cut", ErrCut)
	}
	s.dst = dst
	s.start()
	if len(s.told) > 0 {
		if e, err := llm.ParseEvent(llm.GoogleStream, append(append([]byte(`{"usageMetadata":`), s.told...), '}')); err == nil {
			s.usage = e.Usage
		}
	}
	s.to.end()
	s.ended = true
	return s.dst
}

// Complete tells whether the stream may end now: a reason for its end has come, or an error has ended it.
func (s *Stream) Complete() bool { return s.finished || s.ended }

// Begun tells whether the client has been told anything of the answer. Until then another provider can answer instead.
func (s *Stream) Begun() bool { return s.begun }

// Failure is the error that the stream has ended with, the provider's own or that it cannot be read; empty while there is none.
func (s *Stream) Failure() string { return s.failure }

// FailureSize is how many bytes that error takes, with which what was appended last ends.
func (s *Stream) FailureSize() int { return s.parting }

// Fail appends an error, which ends the stream.
func (s *Stream) Fail(dst []byte, status int, code, message string) []byte {
	if s.ended {
		return dst
	}
	s.ended, s.failure = true, message
	longer := dst
	if !s.begun && s.x.from == Responses { // OpenAI's client reads no error ahead of the response that it is of
		s.dst = dst
		s.open()
		longer = s.dst
	}
	longer = s.events.Error(longer, s.x.client, status, code, message)
	s.parting = len(longer) - len(dst)
	return longer
}

// fail ends the stream with the provider's own error.
func (s *Stream) fail(data []byte) {
	code, message := readError(data)
	if message == "" {
		message = "the provider reported an error and no message"
	}
	s.dst = s.Fail(s.dst, statusOfError(code), code, message)
}

// Whole appends the stream that an answer becomes which the provider has given in one piece, though a stream was asked for. The error is a
// *llm.SyntaxError, an *Error or a *Failure; then the client has been told nothing.
func (s *Stream) Whole(dst, body []byte) ([]byte, error) {
	a, err := s.x.answer(s.x.read(body, true), body)
	if err != nil {
		return dst, err
	}
	s.dst, s.id, s.usage = dst, a.id, a.usage
	if s.inTurn && len(a.choices) > 1 { // such a client cannot ask for several
		a.choices = a.choices[:1]
	}
	for i := range a.choices {
		t := &a.choices[i]
		s.parts(i, t.parts)
		if t.finish == finishOpen {
			t.finish = finishStop
		}
		s.finish(i, t.finish, t.stop)
	}
	out := s.End(s.dst)
	if s.failure != "" {
		return dst, &Error{Reason: s.failure}
	}
	return out, nil
}

// parts adds to a choice parts that came in one piece.
func (s *Stream) parts(choice int, parts []part) {
	for i := range parts {
		p := &parts[i]
		if p.kind != callPart {
			s.text(choice, p.kind, p.text)
			continue
		}
		s.whole++
		s.call(choice, s.whole, p)
		s.arguments(choice, s.whole, p.string())
	}
}

// KeepAlive appends what tells the client that the model is still at it, as the provider's pings and comments do.
func (s *Stream) KeepAlive(dst []byte) []byte {
	if s.ended {
		return dst
	}
	return s.events.KeepAlive(dst, s.x.client)
}

// start begins the answer before its first piece.
func (s *Stream) start() {
	if !s.begun {
		s.begun = true
		s.open()
	}
}

func (s *Stream) open() {
	if s.id == "" {
		s.id = s.x.options.ID
	}
	s.to.begin()
}

// within reads a piece of an event by itself, as something that stands behind it says what it is of.
func (s *Stream) within(piece []byte, read func(c *llm.Cursor)) {
	c := s.x.readInner(piece, true)
	if read(c); s.unread == nil {
		s.unread = c.Err()
	}
}

func (s *Stream) text(choice int, kind partKind, literal []byte) {
	if isEmpty(literal) || s.ended {
		return
	}
	s.start()
	if s.release(); !s.ended {
		s.to.text(choice, kind, literal)
	}
}

// A heldCall is one whose arguments are still to come.
type heldCall struct {
	choice, number int
	call           part
	arguments      []byte // between quotes
}

// held is a call that lives longer than the event that has begun it.
func held(choice, number int, p *part) heldCall {
	return heldCall{choice, number, part{kind: callPart, id: bytes.Clone(p.id), name: bytes.Clone(p.name), sign: bytes.Clone(p.sign)}, nil}
}

// isFirst tells whether a call is one that the client is told of.
func (s *Stream) isFirst(choice, number int) bool {
	if !s.x.oneCall {
		return true
	}
	for choice >= len(s.first) && len(s.first) < maxChoices {
		s.first = append(s.first, 0)
	}
	first := &s.first[min(choice, maxChoices-1)]
	if *first == 0 {
		*first = number + 1
	}
	return *first == number+1
}

func (s *Stream) call(choice, number int, p *part) {
	if !s.isFirst(choice, number) || s.goesOn(choice, number, p.id) {
		return
	}
	if isEmpty(p.id) {
		s.calls++
		p.id = s.x.callID(s.calls)
	}
	if s.inTurn && s.isOpen(number) && !isEmpty(p.id) && !bytes.Equal(p.id, s.liveID) {
		s.release() // some servers give all calls one number: the one before is complete
	}
	switch {
	case s.ended:
	case s.inTurn && s.live >= 0:
		if len(s.waiting) < maxChoices {
			s.waiting = append(s.waiting, held(choice, number, p))
		}
	default:
		s.start()
		s.live, s.liveOf, s.liveID = number, choice, append(s.liveID[:0], p.id...)
		s.to.call(choice, number, p)
	}
}

// goesOn tells whether a call has begun before: some servers say with each piece of its arguments anew what is called.
func (s *Stream) goesOn(choice, number int, id []byte) bool {
	return !isEmpty(id) && (s.live == number && s.liveOf == choice && bytes.Equal(s.liveID, id) ||
		slices.ContainsFunc(s.waiting, func(w heldCall) bool { return w.number == number && bytes.Equal(w.call.id, id) }))
}

// isOpen tells whether a call has the number and may have arguments to come.
func (s *Stream) isOpen(number int) bool {
	return s.live == number || slices.ContainsFunc(s.waiting, func(w heldCall) bool { return w.number == number })
}

func (s *Stream) arguments(choice, number int, literal []byte) {
	if isEmpty(literal) || s.ended || !s.isFirst(choice, number) {
		return
	}
	s.start()
	if !s.inTurn || s.live == number {
		s.to.arguments(choice, number, literal)
		return
	}
	for i := range s.waiting {
		if w := &s.waiting[i]; w.number == number {
			w.arguments = append(w.arguments, inner(literal)...)
			return
		}
	}
	s.dst = s.Fail(s.dst, 502, "stream_mixed", "the provider goes on with a call of a tool that was complete")
}

// release ends the live call and passes on those that waited for that.
func (s *Stream) release() {
	if s.live = -1; len(s.waiting) == 0 {
		return
	}
	for i := range s.waiting {
		w := &s.waiting[i]
		s.to.call(w.choice, w.number, &w.call)
		if len(w.arguments) > 0 {
			s.to.arguments(w.choice, w.number, append(append([]byte{'"'}, w.arguments...), '"'))
		}
	}
	s.waiting = nil
}

func (s *Stream) finish(choice int, why finish, stop []byte) {
	if why == finishOpen || s.ended {
		return
	}
	s.start()
	switch s.release(); {
	case s.ended:
	case why == finishFailed:
		s.dst = s.Fail(s.dst, 502, "provider_error", s.x.failure.Error())
	default:
		s.finished = true
		s.to.finish(choice, why, stop)
	}
}

// write sends an event that w has made.
func (s *Stream) write(name string, w *writer) { s.dst = s.events.Event(s.dst, name, w.b) }
