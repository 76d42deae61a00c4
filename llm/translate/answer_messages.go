package translate

import (
	"github.com/leash-gateway/leash/llm"
)

func (x *Exchange) readMessagesAnswer(c *llm.Cursor, a *answer) {
	t := a.turn()
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "id":
			a.id = c.String()
		case "content":
			for list := c.Array(); c.Element(&list); {
				if !readAnswerBlock(c, grow(&t.parts)) {
					cut(&t.parts, len(t.parts)-1)
				}
			}
		case "stop_reason":
			t.finish = finishOfMessages(c.String())
		case "stop_sequence":
			t.stop = c.Literal()
		default:
			c.Skip()
		}
	}
}

// readAnswerBlock reads a block, and reports whether the client is told of it.
func readAnswerBlock(c *llm.Cursor, p *part) bool {
	kind := ""
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "text", "thinking":
			p.text = c.Literal()
		case "id":
			p.id = c.Literal()
		case "name":
			p.name = c.Literal()
		case "input":
			p.args = c.Raw()
		default:
			c.Skip()
		}
	}
	switch kind {
	case "text":
		return p.text != nil
	case "thinking":
		p.kind = thoughtPart
		return !isEmpty(p.text)
	case "tool_use":
		p.kind = callPart
		return true
	default: // hidden thoughts, and what tools of the provider's own did
		return false
	}
}

func finishOfMessages(reason string) finish {
	switch reason {
	case "":
		return finishOpen
	case "max_tokens", "model_context_window_exceeded":
		return finishLength
	case "tool_use":
		return finishCalls
	case "refusal":
		return finishFilter
	case "stop_sequence":
		return finishSequence
	default:
		return finishStop
	}
}

var messagesFinish = [...]string{finishStop: "end_turn", finishLength: "max_tokens", finishCalls: "tool_use", finishFilter: "refusal", finishSequence: "stop_sequence", finishOpen: "end_turn"}

func (x *Exchange) appendMessagesAnswer(dst []byte, a *answer) []byte {
	w := &writer{b: dst}
	var t turn
	if len(a.choices) > 0 {
		t = a.choices[0]
	}
	w.open()
	w.text("id", prefixed("msg_", a.id))
	w.str("type", "message")
	w.str("role", "assistant")
	w.text("model", x.model)
	w.array("content")
	for i := range t.parts {
		p := &t.parts[i]
		w.open()
		switch p.kind {
		case thoughtPart:
			w.str("type", "thinking")
			w.literal("thinking", p.text)
			w.str("signature", "")
		case callPart:
			w.str("type", "tool_use")
			w.literal("id", p.id)
			w.literal("name", x.own(p.name).name)
			w.literal("input", p.args)
		default:
			w.str("type", "text")
			w.literal("text", p.text)
		}
		w.close('}')
	}
	w.close(']')
	w.str("stop_reason", messagesFinish[t.ended()])
	if t.stop == nil {
		w.literal("stop_sequence", []byte("null"))
	} else {
		w.literal("stop_sequence", t.stop)
	}
	w.messagesUsage(a.usage)
	w.close('}')
	return w.b
}

func (w *writer) messagesUsage(u llm.Usage) {
	w.object("usage")
	w.number("input_tokens", max(0, u.Input-u.CachedInput-u.CacheWrite-u.CacheWrite1h))
	w.number("cache_creation_input_tokens", u.CacheWrite+u.CacheWrite1h)
	w.number("cache_read_input_tokens", u.CachedInput)
	if u.CacheWrite+u.CacheWrite1h > 0 {
		w.object("cache_creation")
		w.number("ephemeral_5m_input_tokens", u.CacheWrite)
		w.number("ephemeral_1h_input_tokens", u.CacheWrite1h)
		w.close('}')
	}
	w.number("output_tokens", u.Output)
	if u.OutputReasoning > 0 {
		w.object("output_tokens_details")
		w.number("thinking_tokens", u.OutputReasoning)
		w.close('}')
	}
	w.close('}')
}
