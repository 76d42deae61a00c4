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

// running is a text that comes in pieces.
type running struct {
	Place
	Last
	rewriter Rewriter // nil where it is left as it is
	over     bool
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
				if out := r.Feed(text.Value) + r.Flush(); out != text.Value {
					e.SetText(i, out)
				}
			}
			continue
		}
		one := s.of(e.Texts, i, begin)
		if one == nil {
			return module.Refuse(502, "unreadable_answer", "the provider's stream has more than %d texts side by side", maxTexts)
		}
		if one.rewriter != nil {
			one.Sent(e.Event, i, one.rewriter.Feed(text.Value))
		}
	}
	for _, p := range e.Logprobs() {
		if s.rewrites(p.Choice) {
			e.DropLogprobs(p)
		}
	}
	for i := range s.texts {
		if one := &s.texts[i]; one.rewriter != nil && !one.over && one.EndsWith(e.Event) {
			one.over = true
			one.Release(e, one.rewriter.Flush())
		}
	}
	return nil
}

// of finds the text that the i-th of an event goes on with; nil where there are too many.
func (s *Stream) of(texts []llm.Text, i int, begin Begin) *running {
	place := PlaceOf(texts, i)
	for j := range s.texts {
		if one := &s.texts[j]; one.Place == place {
			if one.over { // a server that ends a text twice
				one.rewriter, one.over = begin(texts[i]), false
			}
			return one
		}
	}
	if len(s.texts) == maxTexts {
		return nil
	}
	s.texts = append(s.texts, running{Place: place, rewriter: begin(texts[i])})
	return &s.texts[len(s.texts)-1]
}

func (s *Stream) rewrites(choice int) bool {
	for i := range s.texts {
		if one := &s.texts[i]; one.Choice == choice && one.rewriter != nil {
			return true
		}
	}
	return false
}
