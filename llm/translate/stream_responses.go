package translate

import (
	"bytes"
	"strconv"
)

type responsesSink struct {
	*Stream
	items [][]part // that are complete, and the open one
	open  int      // index into items; -1 for none
	why   finish
	said  []byte // of the open part, between quotes
}

// event begins an event, which its caller ends.
func (k *responsesSink) event(name string) *writer {
	w := &writer{b: make([]byte, 0, 256)}
	w.open()
	w.str("type", name)
	w.number("sequence_number", k.events.Sequence)
	k.events.Sequence++
	return w
}

func (k *responsesSink) send(name string, w *writer) {
	w.close('}')
	k.write(name, w)
}

func (k *responsesSink) begin() {
	for _, name := range [...]string{"response.created", "response.in_progress"} {
		w := k.event(name)
		w.key("response")
		k.x.appendResponse(w, prefixed("resp_", k.id), "in_progress", "", func() {}, nil)
		k.send(name, w)
	}
}

// openID is the id of the open item.
func (k *responsesSink) openID() string { return k.x.itemID(&k.items[k.open][0], k.id, k.open) }

// where writes which part an event is about.
func (k *responsesSink) where(w *writer) {
	w.text("item_id", k.openID())
	w.number("output_index", int64(k.open))
	switch k.items[k.open][0].kind {
	case callPart:
	case thoughtPart:
		w.number("summary_index", 0)
	default:
		w.number("content_index", 0)
	}
}

// item sends an event about the whole of the open item.
func (k *responsesSink) item(name string, complete bool) {
	w := k.event(name)
	w.number("output_index", int64(k.open))
	w.object("item")
	if complete {
		k.x.item(w, k.items[k.open], k.openID(), itemStatus(k.open, k.open, k.why))
	} else {
		k.emptyItem(w, &k.items[k.open][0], k.openID())
	}
	w.close('}')
	k.send(name, w)
}

func (k *responsesSink) emptyItem(w *writer, p *part, id string) {
	w.text("id", id)
	if p.kind == callPart {
		if k.x.called(w, p, "in_progress").custom {
			w.str("input", "")
		} else {
			w.str("arguments", "")
		}
		return
	}
	w.str("type", itemKind(p.kind))
	if p.kind == thoughtPart {
		w.literal("summary", []byte("[]"))
		return
	}
	w.str("status", "in_progress")
	w.str("role", "assistant")
	w.literal("content", []byte("[]"))
}

// part sends an event about the open part.
func (k *responsesSink) part(name string, p *part) {
	w := k.event(name)
	k.where(w)
	w.object("part")
	if p.kind == thoughtPart {
		w.str("type", "summary_text")
		w.literal("text", p.text)
	} else {
		w.outputPart(p)
	}
	w.close('}')
	k.send(name, w)
}

// names of the events of a kind of part.
func partEvents(kind partKind) (part, text, field string) {
	switch kind {
	case thoughtPart:
		return "response.reasoning_summary_part.", "response.reasoning_summary_text.", "text"
	case refusalPart:
		return "response.content_part.", "response.refusal.", "refusal"
	case callPart:
		return "", "response.function_call_arguments.", "arguments"
	default:
		return "response.content_part.", "response.output_text.", "text"
	}
}

func (k *responsesSink) begins(p part) {
	k.shut()
	k.items = append(k.items, []part{p})
	k.open = len(k.items) - 1
	k.said = k.said[:0]
	if k.item("response.output_item.added", false); p.kind == callPart {
		return
	}
	name, _, _ := partEvents(p.kind)
	k.part(name+"added", &part{kind: p.kind, text: []byte(`""`)})
}

func (k *responsesSink) delta(literal []byte) {
	k.said = append(k.said, inner(literal)...)
	if p := &k.items[k.open][0]; p.kind != callPart || !k.x.own(p.name).custom { // whose text is known once its arguments are complete
		_, name, _ := partEvents(p.kind)
		k.piece(name, literal)
	}
}

func (k *responsesSink) piece(name string, literal []byte) {
	w := k.event(name + "delta")
	k.where(w)
	w.literal("delta", literal)
	k.logprobs(w)
	k.send(name+"delta", w)
}

// logprobs writes none, in the events that have some at OpenAI: those of texts.
func (k *responsesSink) logprobs(w *writer) {
	if k.items[k.open][0].kind == textPart {
		w.literal("logprobs", []byte("[]"))
	}
}

// shut ends the open item.
func (k *responsesSink) shut() {
	if k.open < 0 {
		return
	}
	p := &k.items[k.open][0]
	literal := make([]byte, 0, len(k.said)+2)
	literal = append(append(append(literal, '"'), k.said...), '"')
	if p.kind == callPart {
		p.args, p.quoted = literal, true
		if len(k.said) == 0 {
			literal = []byte(`"{}"`)
		}
	} else {
		p.text = literal
	}
	name, text, field := partEvents(p.kind)
	if p.kind == callPart && k.x.own(p.name).custom {
		text, field, literal = "response.custom_tool_call_input.", "input", p.customInput()
		k.piece(text, literal)
	}
	w := k.event(text + "done")
	k.where(w)
	w.literal(field, literal)
	k.logprobs(w)
	k.send(text+"done", w)
	if name != "" {
		k.part(name+"done", p)
	}
	k.item("response.output_item.done", true)
	k.open = -1
}

func (k *responsesSink) text(_ int, kind partKind, literal []byte) {
	if k.open < 0 || k.items[k.open][0].kind != kind {
		if k.full() {
			return
		}
		k.begins(part{kind: kind})
	}
	k.delta(literal)
}

// full ends a stream of more items than an answer can have reason for.
func (k *responsesSink) full() bool {
	if len(k.items) < maxItems {
		return false
	}
	k.dst = k.Fail(k.dst, 502, "answer_too_large", "the provider's answer has more than "+strconv.Itoa(maxItems)+" items")
	return true
}

const maxItems = 4096

func (k *responsesSink) call(_, _ int, p *part) {
	if !k.full() {
		k.begins(part{kind: callPart, id: bytes.Clone(p.id), name: bytes.Clone(p.name), quoted: true})
	}
}

func (k *responsesSink) arguments(_, _ int, literal []byte) {
	if !k.ended { // by an item too many
		k.delta(literal)
	}
}

func (k *responsesSink) finish(_ int, why finish, _ []byte) { k.why = why }

func (k *responsesSink) end() {
	k.shut()
	status, reason := statusOf(k.why)
	name := "response." + status
	w := k.event(name)
	w.key("response")
	k.x.appendResponse(w, prefixed("resp_", k.id), status, reason, func() {
		for i, item := range k.items {
			w.open()
			k.x.item(w, item, k.x.itemID(&item[0], k.id, i), itemStatus(i, len(k.items)-1, k.why))
			w.close('}')
		}
	}, &k.usage)
	k.send(name, w)
}
