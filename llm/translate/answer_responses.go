package translate

import (
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/llm"
)

func (x *Exchange) readResponsesAnswer(c *llm.Cursor, a *answer) {
	t := a.turn()
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "id":
			a.id = c.String()
		case "output":
			for list := c.Array(); c.Element(&list); {
				x.readOutputItem(c, &t.parts)
			}
		case "status":
			switch s := c.String(); {
			case s == "incomplete" && t.finish == finishStop:
				t.finish = finishLength
			case s == "failed", s == "cancelled":
				t.finish = x.unusable(s)
			}
		case "incomplete_details":
			for o := c.Object(); named(c, &o, "reason"); {
				if c.String() == "content_filter" {
					t.finish = finishFilter
				}
			}
		default:
			c.Skip()
		}
	}
}

func (x *Exchange) readOutputItem(c *llm.Cursor, parts *[]part) {
	var id, called, args []byte
	kind := ""
	var said, thought []part
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "content":
			for list := c.Array(); c.Element(&list); {
				readOutputPart(c, &said)
			}
		case "summary":
			for list := c.Array(); c.Element(&list); {
				readOutputPart(c, &thought)
			}
		case "call_id":
			id = c.Literal()
		case "name":
			called = c.Literal()
		case "arguments":
			args = readArguments(c)
		default:
			c.Skip()
		}
	}
	switch kind {
	case "message":
		*parts = append(*parts, said...)
	case "function_call":
		p := grow(parts)
		p.kind, p.quoted, p.id, p.name, p.args = callPart, true, id, called, args
	case "reasoning":
		if thought == nil {
			thought = said
		}
		if len(thought) > 0 { // each part has a heading, which is not to follow upon the last sentence
			*parts = append(*parts, part{kind: thoughtPart, text: joinedTexts(thought...)})
		}
	default: // what tools of the provider's own did
	}
}

func readOutputPart(c *llm.Cursor, parts *[]part) {
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "text":
			grow(parts).text = c.Literal()
		case "refusal":
			p := grow(parts)
			p.kind, p.text = refusalPart, c.Literal()
		default:
			c.Skip()
		}
	}
}

func (x *Exchange) appendResponsesAnswer(dst []byte, a *answer) []byte {
	w := &writer{b: dst}
	var t turn
	if len(a.choices) > 0 {
		t = a.choices[0]
	}
	status, reason := statusOf(t.finish)
	x.appendResponse(w, prefixed("resp_", a.id), status, reason, func() {
		items := itemsOf(t.parts)
		for i, item := range items {
			w.open()
			x.item(w, item, x.itemID(&item[0], a.id, i), itemStatus(i, len(items)-1, t.finish))
			w.close('}')
		}
	}, &a.usage)
	return w.b
}

// prefixed is an id with the prefix that an API's ids have.
func prefixed(prefix, id string) string {
	if strings.HasPrefix(id, prefix) {
		return id
	}
	return prefix + id
}

// itemID is the id of an item of a response. What an item is its id begins with: OpenAI refuses others in what a conversation goes on with, which it may
// be asked to do next.
func (x *Exchange) itemID(p *part, response string, i int) string {
	prefix := "msg_"
	switch {
	case p.kind == callPart && x.own(p.name).custom:
		prefix = "ctc_"
	case p.kind == callPart:
		prefix = "fc_"
	case p.kind == thoughtPart:
		prefix = "rs_"
	}
	return prefix + response + "_" + strconv.Itoa(i)
}

// statusOf is the status of a response, and why it is incomplete.
func statusOf(f finish) (status, reason string) {
	switch f {
	case finishLength:
		return "incomplete", "max_output_tokens"
	case finishFilter:
		return "incomplete", "content_filter"
	default:
		return "completed", ""
	}
}

// itemStatus is the status of an item: what the limit, or the provider, has cut is the last one.
func itemStatus(i, last int, f finish) string {
	status, _ := statusOf(f)
	if i < last {
		return "completed"
	}
	return status
}

// appendResponse writes a response with what the SDKs ask for in one.
func (x *Exchange) appendResponse(w *writer, id, status, reason string, output func(), usage *llm.Usage) {
	w.open()
	w.text("id", id)
	w.str("object", "response")
	w.number("created_at", x.created())
	w.str("status", status)
	w.literal("error", []byte("null"))
	if reason == "" {
		w.literal("incomplete_details", []byte("null"))
	} else {
		w.object("incomplete_details")
		w.str("reason", reason)
		w.close('}')
	}
	w.literal("instructions", []byte("null"))
	w.text("model", x.model)
	w.array("output")
	output()
	w.close(']')
	w.literal("parallel_tool_calls", []byte("true"))
	w.str("tool_choice", "auto")
	w.literal("tools", []byte("[]"))
	w.literal("metadata", []byte("{}"))
	if usage == nil {
		w.literal("usage", []byte("null"))
	} else {
		w.responsesUsage(*usage)
	}
	w.close('}')
}

func (w *writer) responsesUsage(u llm.Usage) {
	w.object("usage")
	w.number("input_tokens", u.Input)
	w.object("input_tokens_details")
	w.number("cached_tokens", u.CachedInput)
	w.number("cache_write_tokens", u.CacheWrite+u.CacheWrite1h)
	w.close('}')
	w.number("output_tokens", u.Output)
	w.object("output_tokens_details")
	w.number("reasoning_tokens", u.OutputReasoning)
	w.close('}')
	w.number("total_tokens", u.Total())
	w.close('}')
}

// itemsOf groups parts into the items of a response: thoughts, what is said, and each call.
func itemsOf(parts []part) [][]part {
	var items [][]part
	for i := 0; i < len(parts); {
		end := i + 1
		for end < len(parts) && parts[i].kind != callPart && itemKind(parts[end].kind) == itemKind(parts[i].kind) {
			end++
		}
		items = append(items, parts[i:end])
		i = end
	}
	return items
}

func itemKind(kind partKind) string {
	switch kind {
	case thoughtPart:
		return "reasoning"
	case callPart:
		return "function_call"
	default:
		return "message"
	}
}

// item writes the members of an item.
func (x *Exchange) item(w *writer, parts []part, id, status string) {
	p := &parts[0]
	w.text("id", id)
	switch kind := itemKind(p.kind); kind {
	case "reasoning":
		w.str("type", kind)
		w.array("summary")
		for i := range parts {
			w.open()
			w.str("type", "summary_text")
			w.literal("text", parts[i].text)
			w.close('}')
		}
		w.close(']')
	case "function_call":
		if x.called(w, p, status).custom {
			w.literal("input", p.customInput())
		} else {
			w.textOf("arguments", p)
		}
	default:
		w.str("type", kind)
		w.str("status", status)
		w.str("role", "assistant")
		w.array("content")
		for i := range parts {
			w.open()
			w.outputPart(&parts[i])
			w.close('}')
		}
		w.close(']')
	}
}

// called writes what is called.
func (x *Exchange) called(w *writer, p *part, status string) renamed {
	own := x.own(p.name)
	if own.custom {
		w.str("type", "custom_tool_call")
	} else {
		w.str("type", "function_call")
	}
	w.str("status", status)
	w.literal("call_id", p.id)
	w.literal("name", own.name)
	w.literal("namespace", own.space)
	return own
}

func (w *writer) outputPart(p *part) {
	if p.kind == refusalPart {
		w.str("type", "refusal")
		w.literal("refusal", p.text)
		return
	}
	w.str("type", "output_text")
	w.literal("text", p.text)
	w.literal("annotations", []byte("[]"))
	w.literal("logprobs", []byte("[]")) // which OpenAI's schema demands
}
