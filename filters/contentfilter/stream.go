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
	wholes  []sum // of those that came in one piece
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
	said   sum
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
	one := heldText{Place: place, said: sumOf(&e.Texts[i])}
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

// A sum tells what has been said of a kind in a choice from all else, but for chance. It is FNV-1a's of 64 bits.
type sum uint64

// sumOf is that of nothing, where a text stands.
func sumOf(t *llm.Text) sum {
	const basis, places = 14695981039346656037, 16
	return sum(basis) ^ sum(t.Message)*places ^ sum(t.Kind) //nolint:gosec // the index of a choice
}

// and is the sum with a text behind what has been said. It calls nothing, so that its loop is one in WebAssembly too
// (docs/decisions/142-loops-that-call-nothing.md).
//
//go:noinline
func (s sum) and(text string) sum {
	const prime = 1099511628211
	for i := range len(text) {
		s = (s ^ sum(text[i])) * prime
	}
	return s
}

// has tells whether a text has come, in pieces or whole: some APIs say at the end again what they have said, and what a text quotes comes whole
// in the midst of it.
func (h *held) has(t *llm.Text) bool {
	said := sumOf(t).and(t.Value)
	for j := range h.texts {
		if h.texts[j].said == said {
			return true
		}
	}
	if slices.Contains(h.wholes, said) {
		return true
	}
	if len(h.wholes) < maxHeld {
		h.wholes = append(h.wholes, said)
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
		one.said = one.said.and(text.Value)
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

// whole looks through a text that is complete. What has come before was counted then.
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
