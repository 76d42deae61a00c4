package llm

import (
	"slices"
	"strconv"
)

// An edit replaces a part of a body. Edits never overlap; two of the same span are the same edit.
type edit struct {
	at   span
	json []byte
}

// edits are those of one body.
type edits []edit

// set adds an edit, or changes the one that slot stands for. A slot is an index into e plus one, 0 before the first.
func (e *edits) set(slot *int, at span, json []byte) {
	if *slot == 0 {
		*e = append(*e, edit{at: at})
		*slot = len(*e)
	}
	(*e)[*slot-1].json = json
}

// setText edits a text, and reports whether it is the text's first edit. A value that is set to what it was stays as
// it is.
func (e *edits) setText(t *Text, value string) bool {
	if value == t.Value {
		return false
	}
	first := t.slot == 0
	t.Value = value
	if t.place == inKey { // two keys that were replaced by the same would be one
		value += "#" + strconv.Itoa(int(t.at.start))
	}
	if t.place == inEncoded {
		value = t.encode(value)
	}
	e.set(&t.slot, t.at, appendString(make([]byte, 0, len(value)+2), value))
	return first
}

// setAnswer is setText in an answer. The log probabilities of the choice spell out its tokens, so they go.
func (e *edits) setAnswer(t *Text, value string) {
	if e.setText(t, value) && !t.logprobs.empty() {
		*e = append(*e, edit{at: t.logprobs, json: t.noLogprobs()})
	}
}

// noLogprobs is what stands where log probabilities were: OpenAI's responses have a list of them, and others an object.
func (t *Text) noLogprobs() []byte {
	if t.logprobList {
		return []byte("[]")
	}
	return []byte("null")
}

// splice applies the edits to src, all at once.
func splice[T string | []byte](src T, list edits) []byte {
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b edit) int { return int(a.at.start) - int(b.at.start) })
	size := len(src)
	for _, e := range sorted {
		size += len(e.json) - int(e.at.end-e.at.start)
	}
	out := make([]byte, 0, max(0, size))
	done := uint32(0)
	for _, e := range sorted {
		if e.at.start < done { // the same edit once more
			continue
		}
		out = append(out, src[done:e.at.start]...)
		out = append(out, e.json...)
		done = e.at.end
	}
	return append(out, src[done:]...)
}
