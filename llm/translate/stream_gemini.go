package translate

import (
	"github.com/leash-gateway/leash/llm"
)

type geminiSink struct {
	*Stream
	calls []heldCall
	why   []finish // by choice
}

func (k *geminiSink) begin() {}

func (k *geminiSink) chunk(choice int, parts []part, more func(w *writer)) {
	w := &writer{}
	w.open()
	w.array("candidates")
	w.open()
	w.object("content")
	k.x.candidateParts(w, parts)
	w.close('}')
	if more != nil {
		more(w)
	}
	w.number("index", int64(choice))
	w.close('}')
	w.close(']')
	if more != nil {
		w.geminiUsage(k.usage)
	}
	w.text("modelVersion", k.x.model)
	w.text("responseId", k.id)
	w.close('}')
	k.write("", w)
}

func (k *geminiSink) text(choice int, kind partKind, literal []byte) {
	if k.flush(choice, false); !k.ended {
		k.chunk(choice, []part{{kind: kind, text: literal}}, nil)
	}
}

func (k *geminiSink) call(choice, number int, p *part) {
	if len(k.calls) >= maxChoices {
		if k.flush(-1, false); k.ended {
			return
		}
	}
	k.calls = append(k.calls, held(choice, number, p))
}

func (k *geminiSink) arguments(choice, number int, literal []byte) {
	for i := len(k.calls) - 1; i >= 0; i-- {
		if c := &k.calls[i]; c.choice == choice && c.number == number {
			c.arguments = append(c.arguments, inner(literal)...)
			return
		}
	}
}

// flush sends the calls of a choice, or of all where that is negative. Where the answer has met its limit, the last one may be cut.
func (k *geminiSink) flush(choice int, limit bool) {
	kept := k.calls[:0]
	for _, call := range k.calls {
		if choice >= 0 && call.choice != choice {
			kept = append(kept, call)
			continue
		}
		literal := append(append([]byte{'"'}, call.arguments...), '"')
		args, ok := asObject(literal)
		if limit && (!ok || len(call.arguments) == 0) {
			continue
		}
		if !ok {
			k.dst = k.Fail(k.dst, 502, "invalid_arguments", "the model calls a tool with arguments that are no JSON object, which "+k.x.from.String()+" cannot say")
			return
		}
		k.chunk(call.choice, []part{{kind: callPart, id: call.call.id, name: call.call.name, args: args, sign: call.call.sign}}, nil)
	}
	k.calls = kept
}

func (k *geminiSink) finish(choice int, why finish, _ []byte) {
	k.flush(choice, why == finishLength)
	for choice >= len(k.why) && len(k.why) < maxChoices {
		k.why = append(k.why, finishOpen)
	}
	k.why[min(choice, maxChoices-1)] = why
}

func (k *geminiSink) end() {
	if k.flush(-1, false); k.ended {
		return
	}
	for choice, why := range k.why {
		k.chunk(choice, nil, func(w *writer) { w.str("finishReason", geminiFinish[why]) })
	}
	if k.events.Framing == llm.JSONArray {
		k.dst = append(k.dst, ']')
	}
}
