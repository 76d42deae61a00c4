// Package rewrite changes the texts of answers, whole ones and those that come in pieces, in all APIs.
//
// A module says how one text is rewritten, with what it holds back until it is certain; the package knows where texts begin, go on and end, and which events
// repeat them:
//
//	func (m masker) Response(x *module.Exchange) error {
//		rewrite.Response(x, m.begin)
//		return nil
//	}
//
//	func (m masker) Event(x *module.Exchange, e *module.Event) error {
//		return module.Local[rewrite.Stream](x).Event(e, m.begin)
//	}
package rewrite

import (
	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
)

// A Rewriter rewrites one text, of which the pieces come one behind the other: a whole one is a single piece.
type Rewriter interface {
	// Feed takes the next piece, and returns what has become certain of what came so far.
	Feed(piece string) string
	// Flush returns the rest, when the text is over. It is called once, and nothing is fed any more.
	Flush() string
}

// A Begin says how a text is rewritten that begins: its role, kind and place are known, and of what it says perhaps a piece. nil leaves it as it is. Some
// APIs say at the end again what came in pieces, so it may be asked for the same text several times.
type Begin func(text llm.Text) Rewriter

// Response rewrites the texts of a whole answer, in the response phase.
func Response(x *module.Exchange, begin Begin) {
	for i, text := range x.Response.Texts {
		if r := begin(text); r != nil {
			if out := r.Feed(text.Value) + r.Flush(); out != text.Value {
				x.Response.SetText(i, out)
			}
		}
	}
}

// A Stream is what has come of a streamed answer. Its zero value is ready; it belongs to an exchange (module.Local).
type Stream struct{ texts []running }

// running is a text that comes in pieces: of a choice, a kind and a part. Some servers send what the model thought twice in each event, which again tells apart.
type running struct {
	choice, part int
	kind         llm.Kind
	again        int
	rewriter     Rewriter // nil where it is left as it is
	over         bool
	// last is the event that the text came with last, index its place there, and out what left with it: what is released at the end has its form.
	last  *llm.Event
	index int
	out   string
}

// maxTexts bounds the texts of a stream, each of which is looked for with every piece that comes. Real ones have a few.
const maxTexts = 2048

// Event rewrites the texts of an event. What was held back leaves ahead of the event that ends its text, also where the provider's stream breaks off. Log
// probabilities of an answer that is rewritten spell out what it was, so they become null.
func (s *Stream) Event(e *module.Event, begin Begin) error {
	for i := range e.Texts {
		text := &e.Texts[i]
		if text.Whole {
			if r := begin(*text); r != nil {
				setText(e.Event, i, r.Feed(text.Value)+r.Flush())
			}
			continue
		}
		one := s.of(e.Texts, i, begin)
		if one == nil {
			return module.Refuse(502, "unreadable_answer", "the provider's stream has more than %d texts side by side", maxTexts)
		}
		if one.rewriter != nil {
			one.last, one.index, one.out = e.Event, i, one.rewriter.Feed(text.Value)
			setText(e.Event, i, one.out)
		}
	}
	for _, p := range e.Logprobs() {
		if s.rewrites(p.Choice) {
			e.DropLogprobs(p)
		}
	}
	for i := range s.texts {
		if one := &s.texts[i]; one.rewriter != nil && !one.over && one.endsWith(e.Event) {
			one.end(e)
		}
	}
	return nil
}

func setText(e *llm.Event, i int, value string) {
	if e.Texts[i].Value != value {
		e.SetText(i, value)
	}
}

// of finds the text that the i-th of an event goes on with; nil where there are too many.
func (s *Stream) of(texts []llm.Text, i int, begin Begin) *running {
	t, again := &texts[i], 0
	for j := range texts[:i] {
		if before := &texts[j]; t.Kind == llm.Reasoning && before.Kind == t.Kind && before.Message == t.Message {
			again++
		}
	}
	for j := range s.texts {
		if one := &s.texts[j]; one.choice == t.Message && one.part == t.Part && one.kind == t.Kind && one.again == again {
			if one.over { // a server that ends a text twice
				one.rewriter, one.over = begin(*t), false
			}
			return one
		}
	}
	if len(s.texts) == maxTexts {
		return nil
	}
	s.texts = append(s.texts, running{choice: t.Message, part: t.Part, kind: t.Kind, again: again, rewriter: begin(*t)})
	return &s.texts[len(s.texts)-1]
}

func (s *Stream) rewrites(choice int) bool {
	for i := range s.texts {
		if one := &s.texts[i]; one.choice == choice && one.rewriter != nil {
			return true
		}
	}
	return false
}

func (r *running) endsWith(e *llm.Event) bool {
	for _, closed := range e.Closed {
		if closed.Message == r.choice && closed.Part == r.part {
			return true
		}
	}
	for _, finish := range e.Finish {
		if finish.Choice == r.choice {
			return true
		}
	}
	return e.Done
}

// end lets go what is left of a text, ahead of the event that ends it or in that, where it is the text's own.
func (r *running) end(e *module.Event) {
	rest := r.rewriter.Flush()
	switch r.over = true; {
	case rest == "":
	case r.last == e.Event:
		e.SetText(r.index, r.out+rest)
	default:
		e.InsertBefore(r.last.WithText(r.index, rest))
	}
}
