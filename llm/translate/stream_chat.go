package translate

import (
	"strconv"

	"github.com/leash-gateway/leash/llm"
)

type chatSink struct {
	*Stream
	head    []byte // of every event, up to the number of its choice
	choices []chatState
}

// chatState is what a choice has come to.
type chatState struct {
	spoken bool       // its first event, which has the role, is out
	calls  []chatCall // in the order of their indices
	closed bool
	why    finish
}

type chatCall struct {
	number int
	argued bool // some of its arguments are out
}

func (k *chatSink) begin() {
	w := &writer{}
	w.open()
	w.text("id", k.id)
	if k.x.older {
		w.str("object", "text_completion")
	} else {
		w.str("object", "chat.completion.chunk")
	}
	w.number("created", k.x.created())
	w.text("model", k.x.model)
	k.head = w.b
}

func (k *chatSink) state(choice int) *chatState {
	for choice >= len(k.choices) && len(k.choices) < maxChoices {
		k.choices = append(k.choices, chatState{})
	}
	return &k.choices[min(choice, maxChoices-1)]
}

// maxChoices bounds what a provider can make a client's gateway remember.
const maxChoices = 128

// event writes an event with one choice.
func (k *chatSink) event(choice int, why string, delta func(w *writer)) {
	w := &writer{b: append(make([]byte, 0, len(k.head)+256), k.head...), next: true}
	w.array("choices")
	w.open()
	w.number("index", int64(choice))
	st := k.state(choice)
	if k.x.older {
		if delta != nil {
			delta(w)
		} else {
			w.str("text", "")
		}
	} else {
		w.object("delta")
		if !st.spoken {
			st.spoken = true
			w.str("role", "assistant")
		}
		if delta != nil {
			delta(w)
		}
		w.close('}')
	}
	w.literal("logprobs", []byte("null"))
	if why == "" {
		w.literal("finish_reason", []byte("null"))
	} else {
		w.str("finish_reason", why)
	}
	w.close('}')
	w.close(']')
	if k.x.wantUsage {
		w.literal("usage", []byte("null"))
	}
	w.close('}')
	k.write("", w)
}

func (k *chatSink) text(choice int, kind partKind, literal []byte) {
	name := "content"
	switch {
	case k.x.older && kind != textPart:
		return
	case k.x.older:
		name = "text"
	case kind == refusalPart:
		name = "refusal"
	case kind == thoughtPart:
		name = "reasoning_content"
	}
	k.event(choice, "", func(w *writer) { w.literal(name, literal) })
}

func (k *chatSink) call(choice, number int, p *part) {
	st := k.state(choice)
	if len(st.calls) >= maxItems {
		k.dst = k.Fail(k.dst, 502, "answer_too_large", "the provider's answer calls more than "+strconv.Itoa(maxItems)+" tools")
		return
	}
	st.calls = append(st.calls, chatCall{number: number})
	k.piece(choice, len(st.calls)-1, func(w *writer) {
		w.literal("id", p.id)
		w.str("type", "function")
		w.object("function")
		w.literal("name", k.x.own(p.name).name)
		w.str("arguments", "")
		w.close('}')
		w.signature(p.sign)
	})
}

func (k *chatSink) arguments(choice, number int, literal []byte) {
	st := k.state(choice)
	for i := len(st.calls) - 1; i >= 0; i-- {
		if st.calls[i].number == number {
			st.calls[i].argued = true
			k.argue(choice, i, literal)
			return
		}
	}
}

func (k *chatSink) argue(choice, index int, literal []byte) {
	k.piece(choice, index, func(w *writer) {
		w.object("function")
		w.literal("arguments", literal)
		w.close('}')
	})
}

func (k *chatSink) piece(choice, index int, write func(w *writer)) {
	k.event(choice, "", func(w *writer) {
		w.array("tool_calls")
		w.open()
		w.number("index", int64(index))
		write(w)
		w.close('}')
		w.close(']')
	})
}

// finish waits for the end: some providers say with each piece why the answer ends.
func (k *chatSink) finish(choice int, why finish, _ []byte) {
	st := k.state(choice)
	st.closed, st.why = true, why
}

// close ends a choice.
func (k *chatSink) close(choice int, st *chatState) {
	why := st.why
	if why == finishStop && len(st.calls) > 0 {
		why = finishCalls
	}
	for i := range st.calls {
		if !st.calls[i].argued && why != finishLength { // a call without arguments, which clients read as JSON
			k.argue(choice, i, []byte(`"{}"`))
		}
	}
	k.event(choice, chatFinish[why], nil)
}

func (k *chatSink) end() {
	for choice := range k.choices {
		if st := &k.choices[choice]; st.closed {
			k.close(choice, st)
		}
	}
	if k.x.wantUsage {
		w := &writer{b: append([]byte(nil), k.head...), next: true}
		w.literal("choices", []byte("[]"))
		w.chatUsage(k.usage)
		w.close('}')
		k.write("", w)
	}
	k.dst = llm.AppendFrame(k.dst, "", []byte("[DONE]"))
}
