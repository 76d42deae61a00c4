package translate

import (
	"bytes"
)

type messagesSink struct {
	*Stream
	index  int // of the block that was begun last
	opened bool
	kind   partKind
	called bool
	why    finish
	stop   []byte
}

func (k *messagesSink) begin() {
	w := &writer{}
	w.open()
	w.str("type", "message_start")
	w.object("message")
	w.text("id", prefixed("msg_", k.id))
	w.str("type", "message")
	w.str("role", "assistant")
	w.text("model", k.x.model)
	w.literal("content", []byte("[]"))
	w.literal("stop_reason", []byte("null"))
	w.literal("stop_sequence", []byte("null"))
	w.messagesUsage(k.usage)
	w.close('}')
	w.close('}')
	k.write("message_start", w)
}

func (k *messagesSink) open(kind partKind, block func(w *writer)) {
	k.shut()
	k.index++
	k.opened, k.kind = true, kind
	w := &writer{}
	w.open()
	w.str("type", "content_block_start")
	w.number("index", int64(k.index))
	w.object("content_block")
	block(w)
	w.close('}')
	w.close('}')
	k.write("content_block_start", w)
}

func (k *messagesSink) shut() {
	if !k.opened {
		return
	}
	k.opened = false
	w := &writer{}
	w.open()
	w.str("type", "content_block_stop")
	w.number("index", int64(k.index))
	w.close('}')
	k.write("content_block_stop", w)
}

func (k *messagesSink) delta(kind, name string, literal []byte) {
	w := &writer{b: make([]byte, 0, len(literal)+96)}
	w.open()
	w.str("type", "content_block_delta")
	w.number("index", int64(k.index))
	w.object("delta")
	w.str("type", kind)
	w.literal(name, literal)
	w.close('}')
	w.close('}')
	k.write("content_block_delta", w)
}

func (k *messagesSink) text(_ int, kind partKind, literal []byte) {
	if kind == refusalPart {
		kind = textPart
	}
	if !k.opened || k.kind != kind {
		k.open(kind, func(w *writer) {
			if kind == thoughtPart {
				w.str("type", "thinking")
				w.str("thinking", "")
				w.str("signature", "")
			} else {
				w.str("type", "text")
				w.str("text", "")
			}
		})
	}
	if kind == thoughtPart {
		k.delta("thinking_delta", "thinking", literal)
	} else {
		k.delta("text_delta", "text", literal)
	}
}

func (k *messagesSink) call(_, _ int, p *part) {
	k.called = true
	k.open(callPart, func(w *writer) {
		w.str("type", "tool_use")
		w.literal("id", p.id)
		w.literal("name", k.x.own(p.name).name)
		w.literal("input", []byte("{}"))
	})
}

func (k *messagesSink) arguments(_, _ int, literal []byte) {
	k.delta("input_json_delta", "partial_json", literal)
}

func (k *messagesSink) finish(_ int, why finish, stop []byte) {
	k.why, k.stop = why, bytes.Clone(stop)
}

func (k *messagesSink) end() {
	k.shut()
	if k.why == finishStop && k.called {
		k.why = finishCalls
	}
	w := &writer{}
	w.open()
	w.str("type", "message_delta")
	w.object("delta")
	w.str("stop_reason", messagesFinish[k.why])
	if k.stop == nil {
		w.literal("stop_sequence", []byte("null"))
	} else {
		w.literal("stop_sequence", k.stop)
	}
	w.close('}')
	w.messagesUsage(k.usage)
	w.close('}')
	k.write("message_delta", w)
	k.write("message_stop", &writer{b: []byte(`{"type":"message_stop"}`)})
}
