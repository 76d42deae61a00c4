package translate

import (
	"github.com/leash-gateway/leash/llm"
)

func (x *Exchange) readChatAnswer(c *llm.Cursor, a *answer) {
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "id":
			a.id = c.String()
		case "choices":
			for list := c.Array(); c.Element(&list); {
				x.readChoice(c, a.turn())
			}
		default:
			c.Skip()
		}
	}
}

func (x *Exchange) readChoice(c *llm.Cursor, t *turn) {
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "finish_reason":
			t.finish = x.finishOfChat(c.String())
		case "message":
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "content":
					x.readSaid(c, &t.parts)
				case "refusal":
					if text := c.Literal(); !isEmpty(text) {
						p := grow(&t.parts)
						p.kind, p.text = refusalPart, text
					}
				case "reasoning_content", "reasoning":
					readThought(c, &t.parts)
				case "tool_calls":
					for list := c.Array(); c.Element(&list); {
						x.readChatCall(c, grow(&t.parts))
					}
				default:
					c.Skip()
				}
			}
		default:
			c.Skip()
		}
	}
}

// readSaid reads the content of an answer: a string, or pieces as Mistral's reasoning models have them
// (https://docs.mistral.ai/capabilities/reasoning/).
func (x *Exchange) readSaid(c *llm.Cursor, parts *[]part) {
	if c.Next() == '"' {
		if text := c.Literal(); !isEmpty(text) {
			grow(parts).text = text
		}
		return
	}
	for list := c.Array(); c.Element(&list); {
		kind, from := "", len(*parts)
		for o := c.Object(); c.Member(&o); {
			switch name := o.Name; {
			case string(name) == "type":
				kind = c.String()
			case string(name) == "text", string(name) == "refusal", string(name) == "thinking" && c.Next() == '"':
				grow(parts).text = c.Literal()
			case string(name) == "thinking":
				x.readSaid(c, parts)
			default:
				c.Skip()
			}
		}
		said := textPart
		switch kind {
		case "text", "reference":
		case "refusal":
			said = refusalPart
		case "thinking":
			said = thoughtPart
		default:
			c.Fail(".type", "has no counterpart in "+x.from.String())
		}
		for i := from; i < len(*parts); i++ {
			(*parts)[i].kind = said
		}
	}
}

// readThought reads what the model thought, which goes in front; some servers tell it twice.
func readThought(c *llm.Cursor, parts *[]part) {
	if c.Next() != '"' {
		c.Skip()
		return
	}
	text := c.Literal()
	if isEmpty(text) || len(*parts) > 0 && (*parts)[0].kind == thoughtPart {
		return
	}
	grow(parts)
	copy((*parts)[1:], *parts)
	(*parts)[0] = part{kind: thoughtPart, text: text}
}

func (x *Exchange) finishOfChat(reason string) finish {
	switch reason {
	case "":
		return finishOpen
	case "length", "model_length": // the latter of Mistral's: of the model's context
		return finishLength
	case "tool_calls", "function_call":
		return finishCalls
	case "content_filter":
		return finishFilter
	case "error", "insufficient_system_resource", "abort": // of Mistral's and OpenRouter's, of DeepSeek's, and of vLLM's
		return x.unusable(reason)
	default:
		return finishStop
	}
}

var chatFinish = [...]string{finishStop: "stop", finishLength: "length", finishCalls: "tool_calls", finishFilter: "content_filter", finishSequence: "stop", finishOpen: "stop"}

func (x *Exchange) appendChatAnswer(dst []byte, a *answer) []byte {
	w := &writer{b: dst}
	w.open()
	w.text("id", a.id)
	if x.older {
		w.str("object", "text_completion")
	} else {
		w.str("object", "chat.completion")
	}
	w.number("created", x.created())
	w.text("model", x.model)
	w.array("choices")
	for i := range a.choices {
		t := &a.choices[i]
		w.open()
		w.number("index", int64(i))
		if x.older {
			w.key("text")
			w.joined(t.parts, textPart, "")
		} else {
			w.object("message")
			x.chatTurn(w, t)
			w.close('}')
		}
		w.literal("logprobs", []byte("null"))
		w.str("finish_reason", chatFinish[t.ended()])
		w.close('}')
	}
	w.close(']')
	w.chatUsage(a.usage)
	w.close('}')
	return w.b
}

func (x *Exchange) chatTurn(w *writer, t *turn) {
	w.str("role", "assistant")
	if has(t.parts, textPart) {
		w.key("content")
		w.joined(t.parts, textPart, "")
	} else {
		w.literal("content", []byte("null"))
	}
	if has(t.parts, refusalPart) {
		w.key("refusal")
		w.joined(t.parts, refusalPart, "")
	} else {
		w.literal("refusal", []byte("null"))
	}
	if has(t.parts, thoughtPart) {
		w.key("reasoning_content")
		w.joined(t.parts, thoughtPart, "")
	}
	if t.calls() {
		w.array("tool_calls")
		for i := range t.parts {
			if p := &t.parts[i]; p.kind == callPart {
				w.open()
				w.chatCall(p, x.own(p.name).name)
				w.signature(p.sign)
				w.close('}')
			}
		}
		w.close(']')
	}
}

// signature writes what a client gives back with the call, as Google's own chats have it.
func (w *writer) signature(sign []byte) {
	if isEmpty(sign) {
		return
	}
	w.object("extra_content")
	w.object("google")
	w.literal("thought_signature", sign)
	w.close('}')
	w.close('}')
}

func has(parts []part, kind partKind) bool {
	for i := range parts {
		if parts[i].kind == kind {
			return true
		}
	}
	return false
}

// joined writes all texts of a kind as one string, with what stands between them.
func (w *writer) joined(parts []part, kind partKind, between string) {
	w.comma()
	w.b = append(w.b, '"')
	start := len(w.b)
	for i := range parts {
		if parts[i].kind == kind {
			if len(w.b) > start {
				w.raw(between)
			}
			w.b = append(w.b, inner(parts[i].text)...)
		}
	}
	w.b = append(w.b, '"')
}

func (w *writer) chatUsage(u llm.Usage) {
	w.object("usage")
	w.number("prompt_tokens", u.Input)
	w.number("completion_tokens", u.Output)
	w.number("total_tokens", u.Total())
	w.object("prompt_tokens_details")
	w.number("cached_tokens", u.CachedInput)
	w.number("cache_write_tokens", u.CacheWrite+u.CacheWrite1h)
	w.number("audio_tokens", u.InputAudio)
	w.close('}')
	w.object("completion_tokens_details")
	w.number("reasoning_tokens", u.OutputReasoning)
	w.number("audio_tokens", u.OutputAudio)
	w.close('}')
	w.close('}')
}
