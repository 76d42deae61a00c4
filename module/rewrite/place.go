package rewrite

import (
	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
)

// A Place tells the texts of a stream apart that come in pieces: of a choice, a kind and a part.
type Place struct {
	Choice, Part int
	Kind         llm.Kind
	// Again counts the texts of a place in one event: some servers send what the model thought twice, as reasoning and as reasoning_content.
	Again int
}

// PlaceOf is that of one of an event's texts.
func PlaceOf(texts []llm.Text, i int) Place {
	t := &texts[i]
	p := Place{Choice: t.Message, Part: t.Part, Kind: t.Kind}
	if t.Kind == llm.Reasoning {
		for j := range texts[:i] {
			if before := &texts[j]; before.Kind == t.Kind && before.Message == t.Message {
				p.Again++
			}
		}
	}
	return p
}

// EndsWith says whether an event ends the text.
func (p *Place) EndsWith(e *llm.Event) bool {
	for _, closed := range e.Closed {
		if closed.Message == p.Choice && closed.Part == p.Part {
			return true
		}
	}
	for _, finish := range e.Finish {
		if finish.Choice == p.Choice {
			return true
		}
	}
	return e.Done
}

// Last is the event that a text came with last, and what left with it: what is held back of the text until its end is sent in its form.
type Last struct {
	event *llm.Event
	index int
	out   string
}

// Sent says that out leaves in place of the i-th text of an event.
func (l *Last) Sent(e *llm.Event, i int, out string) {
	l.event, l.index, l.out = e, i, out
	if e.Texts[i].Value != out {
		e.SetText(i, out)
	}
}

// Release lets go what is left of a text, ahead of the event that ends it or in that, where it is the text's own.
func (l *Last) Release(e *module.Event, rest string) {
	switch {
	case rest == "":
	case l.event == e.Event:
		e.SetText(l.index, l.out+rest)
	default:
		e.InsertBefore(l.event.WithText(l.index, rest))
	}
}
