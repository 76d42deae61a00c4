package module

import (
	"bytes"

	"github.com/leash-gateway/leash/llm"
)

// stream is the part of a Flow that takes a streamed answer through the modules.
type stream struct {
	decoder   llm.Decoder
	encoder   llm.Encoder
	out       []byte
	tee       bool // nobody changes events: the bytes pass as they are
	blind     bool // an inspector's stream that cannot be read passes unread
	hideUsage bool // the client did not ask for the usage event that we asked for
	cutOff    bool
	sawDone   bool
	rest      []byte // for inspectors: the bytes that the decoder holds, should the stream turn out unreadable
	emitted   int    // bytes of the frames that the decoder has given out for this piece
	held      bool   // the host has a piece, and what is put in its place goes on with it
	kept      int    // bytes of that which have been through the modules
	lost      bool   // something of its end could not be sent
}

func (s *stream) start(f *Flow) {
	s.tee = f.p.needs&PhaseEvent == 0 && !s.hideUsage
}

// frames says how the events of the stream stand one behind the other, where they are not server-sent events.
func (s *stream) frames(framing llm.Framing) {
	s.decoder.Framing, s.encoder.Framing = framing, framing
}

// feedPiece takes a piece of a stream. It is held back where nothing of it goes on, or nothing can follow: trailers, should the stream end
// with them, let go what is held then, and nothing can be added to it otherwise.
func (f *Flow) feedPiece(end bool) Action {
	f.held = true
	f.feed(end)
	if !end && !f.tee && !f.blind && !f.cutOff && (len(f.out) == 0 || f.decoder.Over()) {
		f.kept = len(f.out)
		return Pause
	}
	f.held, f.kept = false, 0
	return Continue
}

// feed takes the next bytes of a stream, from any place in it.
func (f *Flow) feed(end bool) {
	if f.blind {
		return
	}
	whole := f.s.Body(Responses)
	in := whole[min(f.kept, len(whole)):]
	if f.cutOff {
		if len(in) > 0 {
			f.s.SetBody(Responses, nil)
		}
		if err := f.decoder.Feed(in, f.frame); err == nil && end {
			_ = f.decoder.Flush(f.frame) // the client has read an error already
		}
		return
	}
	f.phase = PhaseEvent
	f.out, f.emitted = append(f.out[:0], whole[:len(whole)-len(in)]...), 0
	err := f.decoder.Feed(in, f.frame)
	if err == nil && end {
		if err = f.decoder.Flush(f.frame); err == nil && !f.cutOff {
			f.endStream()
			f.out = f.encoder.End(f.out)
		}
	}
	if err != nil && !f.cutOff {
		if f.border(502, "unreadable_answer", "the provider's stream cannot be read: %s", err.Error()); !f.cutOff {
			f.rest = append(f.rest, in...)
			f.out, f.blind = append(f.encoder.End(f.out), f.rest[f.emitted:]...), true
		}
	}
	switch changed := (!f.tee || f.cutOff) && !bytes.Equal(f.out, whole); {
	case changed && f.held:
		f.s.SetBody(Responses, f.out)
	case changed: // the piece that it came in has gone on with what was complete, and trailers have nothing else to let go
		f.lost = true
	}
	if !f.p.policy && !f.blind {
		f.rest = append(f.rest, in...)
		f.rest = append(f.rest[:0], f.rest[f.emitted:]...)
	}
}

// frame takes one event of the stream through the modules.
func (f *Flow) frame(frame llm.Frame) error {
	f.emitted += len(frame.Raw)
	if f.cutOff {
		f.noteDropped(frame)
		return nil
	}
	frame.Foreign = frame.Foreign && f.p.policy
	if frame.Data == nil && frame.Foreign {
		return nil
	}
	if frame.Data == nil {
		f.out = f.encoder.Frame(f.out, frame)
		return nil
	}
	event, err := llm.ParseEvent(f.x.Format, frame.Data)
	if err != nil {
		if f.border(502, "unreadable_answer", "the provider's stream cannot be read: %s", err.Error()); !f.cutOff {
			f.out = f.encoder.Frame(f.out, frame)
		}
		return nil
	}
	f.note(event)
	if event.UsageOnly && f.hideUsage {
		return nil
	}
	f.sawDone = f.sawDone || event.Done
	f.pass(&Event{Event: event}, len(f.p.slots)-1, frame)
	return nil
}

// note keeps what Finish and the clock want to know of an event.
func (f *Flow) note(event *llm.Event) {
	if event.Error {
		f.x.AnswerError = llm.StreamError
	}
	if event.HasUsage || event.UsageSoFar {
		f.x.Usage = f.x.Usage.Joined(event.Usage)
		f.usageKnown = f.usageKnown || event.HasUsage
	}
	for i := range event.Texts {
		if event.Texts[i].Whole && f.x.Format == llm.OpenAIResponses {
			continue // it has come in pieces
		}
		f.textBytes += int64(len(event.Texts[i].Value))
	}
	if f.x.firstToken == (moment{}) && f.textBytes > 0 {
		f.x.firstToken = f.p.now()
	}
}

// noteDropped looks for the usage in what comes behind the end of a stream that was cut off: the provider goes on, and is paid for it.
func (f *Flow) noteDropped(frame llm.Frame) {
	if frame.Data == nil || f.x.Request == nil {
		return
	}
	if event, err := llm.ParseEvent(f.x.Format, frame.Data); err == nil && event.HasUsage {
		f.note(event)
		f.handUsage()
	}
}

// pass takes an event through the modules from slot on down, and writes what they leave of it.
func (f *Flow) pass(e *Event, slot int, frame llm.Frame) {
	for i := slot; i >= 0; i-- {
		in := f.p.slots[i].of(&f.x)
		if in.needs&PhaseEvent == 0 {
			continue
		}
		if err := f.call(i, func() error { return in.event.Event(&f.x, e) }); err != nil && f.fail(i, err) {
			return
		}
		for len(e.before) > 0 && !f.cutOff {
			first := e.before[0]
			e.before = e.before[1:]
			f.pass(&Event{Event: first}, i-1, llm.Frame{})
		}
		if e.dropped || f.cutOff {
			return
		}
	}
	if e.synthetic {
		return
	}
	if frame.Raw != nil && !frame.Foreign && !e.Edited() {
		f.out = f.encoder.Frame(f.out, frame)
		return
	}
	name := frame.Name
	if name == "" {
		name = e.Name
	}
	f.out = f.encoder.Event(f.out, name, e.Data())
}

// endStream gives modules that hold text back a last event where the provider's stream had none.
func (f *Flow) endStream() {
	if f.sawDone || f.p.needs&PhaseEvent == 0 {
		return
	}
	last := &Event{Event: &llm.Event{Done: true}, synthetic: true}
	f.pass(last, len(f.p.slots)-1, llm.Frame{})
}

// cut ends the stream towards the client with an error. What the provider still sends is taken in and dropped: a Wasm
// filter cannot end an answer in Envoy before its provider does.
func (f *Flow) cut(r *Refusal) {
	f.cutOff = true
	if f.tee { // the bytes so far have left as they came, perhaps in the middle of an event
		f.out = f.out[:0]
		if f.encoder.Framing == llm.ServerSentEvents {
			f.out = append(f.out, "\n\n"...)
		}
	}
	f.out = f.encoder.Error(f.out, f.x.Format, r.Status, r.Code, r.Message)
}
