package contentfilter

import (
	"slices"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/match"
	"github.com/leash-gateway/leash/module/rewrite"
)

// held is what an exchange's stream holds back, by the place that its texts belong to.
type held struct {
	texts   []heldText
	spelled []spelled
}

// spelled is what log probabilities spell out of a choice.
type spelled struct {
	choice int
	stream *match.Stream
}

// heldText is one running text of a stream.
type heldText struct {
	rewrite.Place
	rewrite.Last
	stream *match.Stream // nil without rules that block or redact
	flags  *match.Stream // nil without rules that flag; what it holds has left
	plain  plain
}

// maxHeld bounds the running texts of a stream, each of which is looked for with every piece that comes. Real ones have a few.
const maxHeld = 2048

func (h *held) of(e *module.Event, i int, d *direction, maxHold int) (*heldText, error) {
	place := rewrite.PlaceOf(e.Texts, i)
	for j := range h.texts {
		if one := &h.texts[j]; one.Place == place {
			return one, nil
		}
	}
	if len(h.texts) == maxHeld {
		return nil, tooManyTexts()
	}
	one := heldText{Place: place}
	if d.acts != nil {
		one.stream = d.acts.set.NewStream(maxHold)
	}
	if d.flags != nil {
		one.flags = d.flags.set.NewStream(maxHold)
	}
	h.texts = append(h.texts, one)
	return &h.texts[len(h.texts)-1], nil
}

func tooManyTexts() error {
	return module.Refuse(502, "unreadable_answer", "the provider's stream has more than %d texts side by side", maxHeld)
}

// has tells whether pieces of a text have come.
func (h *held) has(t *llm.Text) bool {
	for j := range h.texts {
		if one := &h.texts[j]; one.Choice == t.Message && one.Part == t.Part && one.Kind == t.Kind {
			return true
		}
	}
	return false
}

// Event looks through a piece of a streamed answer together with what it has held back, and lets go what is certain.
func (f *Filter) Event(x *module.Exchange, e *module.Event) error {
	h := module.Local[held](x)
	for i := range e.Texts {
		text := &e.Texts[i]
		if text.Whole {
			if err := f.whole(x, e, i, h); err != nil {
				return err
			}
			continue
		}
		one, err := h.of(e, i, &f.response, f.maxHold)
		if err != nil {
			return err
		}
		piece := one.plain.feed(text.Value)
		if one.flags != nil {
			f.response.flags.flag(x, one.flags.Feed(piece))
		}
		if one.stream == nil {
			continue
		}
		out, err := f.response.acts.release(x, one.stream.Feed(piece))
		if err != nil {
			return err
		}
		one.Sent(e.Event, i, out)
	}
	if err := f.logprobs(e, h); err != nil {
		return err
	}
	return f.flush(x, e, h)
}

// logprobs drops log probabilities that spell out what is found, or may become a match. They are looked at by themselves: a server that holds
// text back until it knows that it does not end there sends them ahead of it.
func (f *Filter) logprobs(e *module.Event, h *held) error {
	if f.response.acts == nil {
		return nil
	}
	for _, p := range e.Logprobs() {
		i := slices.IndexFunc(h.spelled, func(s spelled) bool { return s.choice == p.Choice })
		if i < 0 {
			if i = len(h.spelled); i == maxHeld {
				return tooManyTexts()
			}
			h.spelled = append(h.spelled, spelled{p.Choice, f.response.acts.set.NewStream(f.maxHold)})
		}
		segments := h.spelled[i].stream.Feed(p.Tokens)
		if p.Tokens != "" && (len(segments) != 1 || segments[0].Pattern >= 0 || segments[0].Text != p.Tokens) {
			e.DropLogprobs(p)
		}
	}
	return nil
}

// whole looks through a text that is complete. What has come in pieces before was counted then.
func (f *Filter) whole(x *module.Exchange, e *module.Event, i int, h *held) error {
	t := &e.Texts[i]
	var text string
	var changed bool
	var err error
	if h.has(t) {
		text, changed, err = f.response.repeat(t.Value)
	} else {
		text, changed, err = f.response.apply(x, plainOf(t.Value))
	}
	if changed {
		e.SetText(i, text)
	}
	return err
}

// flush lets go what was held back of the texts that the event ends.
func (f *Filter) flush(x *module.Exchange, e *module.Event, h *held) error {
	for i := range h.texts {
		one := &h.texts[i]
		if !one.EndsWith(e.Event) {
			continue
		}
		rest := one.plain.flush()
		if one.flags != nil {
			f.response.flags.flag(x, append(one.flags.Feed(rest), one.flags.Flush()...))
		}
		if one.stream == nil || one.stream.Held() == 0 && rest == "" {
			continue
		}
		out, err := f.response.acts.release(x, append(one.stream.Feed(rest), one.stream.Flush()...))
		if err != nil {
			return err
		}
		one.Release(e, out)
	}
	return nil
}
