package translate

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"

	"github.com/leash-gateway/leash/llm"
)

// appendMessages writes a request for a message, or to count its tokens.
func (x *Exchange) appendMessages(dst []byte, r *conversation) ([]byte, error) {
	w := &writer{b: dst}
	w.open()
	if x.options.Vertex {
		w.str("anthropic_version", llm.VertexVersion)
	}
	if !x.options.Vertex || x.op == count {
		w.text("model", x.providerModel())
	}
	limit := r.maxTokens
	if limit == 0 {
		limit = x.options.MaxTokens
	}
	think := x.thinking(r, &limit)
	if x.op == generate {
		w.number("max_tokens", limit)
	}
	if len(r.system) > 0 {
		if err := x.blocks(w, "system", r.system); err != nil {
			return nil, err
		}
	}
	w.array("messages")
	for i := range r.messages {
		m := &r.messages[i]
		w.open()
		w.role(m)
		if err := x.blocks(w, "content", m.parts); err != nil {
			return nil, err
		}
		w.close('}')
	}
	w.close(']')
	if x.op == count {
		x.messagesTools(w, r)
		w.close('}')
		return w.b, nil
	}
	if r.stream {
		w.literal("stream", []byte("true"))
	}
	if err := x.sampling(r, think); err != nil {
		return nil, err
	}
	w.literal("temperature", r.temperature)
	w.literal("top_p", r.topP)
	w.literal("top_k", r.topK)
	w.stops("stop_sequences", r.stop)
	if r.user != nil {
		w.object("metadata")
		w.literal("user_id", r.user)
		w.close('}')
	}
	w.thinking(think)
	output := w.begin("output_config")
	if think.effort != "" {
		w.str("effort", think.effort)
	}
	if r.format.kind == schemaOf {
		w.object("format")
		w.str("type", "json_schema")
		w.literal("schema", x.closed(r.format.schema))
		w.close('}')
	}
	w.end(output)
	x.messagesTools(w, r)
	w.close('}')
	return w.b, nil
}

func above1(number []byte) bool {
	f, err := strconv.ParseFloat(string(number), 64)
	return err != nil || f > 1
}

// thinking is how one of Anthropic's models is to think: up to a number of tokens, or as it sees fit for an effort. The zero value is as it does
// by itself.
type thinking struct {
	budget   int64
	adaptive bool
	effort   string
}

// thinking is what the request asks for. A number of tokens is at least 1024 and less than the limit of the answer, which counts them. Older
// models refuse to think where an earlier call of a tool comes without its thoughts, which no other API has kept, and all of them where they are
// made to call one.
func (x *Exchange) thinking(r *conversation, limit *int64) (t thinking) {
	const least = 1024
	if r.effort <= effortNone || x.op != generate {
		return t
	}
	forced := r.choice.mode == always || r.choice.mode == one
	if v := versionOf(x.providerModel(), "claude"); v >= adaptive {
		if r.maxTokens == 0 {
			*limit += budgets[r.effort]
		}
		t.effort, t.adaptive = efforts[r.effort], !forced
		if r.effort == effortMore && v >= unsampled {
			t.effort = "xhigh"
		}
		return t
	}
	if forced || slices.ContainsFunc(r.parts, func(p part) bool { return p.kind == callPart }) {
		return t
	}
	t.budget = budgets[r.effort]
	switch {
	case r.maxTokens == 0:
		*limit += t.budget
	case r.maxTokens <= least:
		return thinking{}
	}
	t.budget = min(t.budget, *limit-1)
	return t
}

// efforts are those that all of Anthropic's models know which know any.
var efforts = [...]string{"", "", "low", "low", "medium", "high", "high"}

// thinking writes how the model is to think. Of newer ones nobody would see what they thought without being asked for it.
func (w *writer) thinking(t thinking) {
	if !t.adaptive && t.budget == 0 {
		return
	}
	w.object("thinking")
	if t.adaptive {
		w.str("type", "adaptive")
		w.str("display", "summarized")
	} else {
		w.str("type", "enabled")
		w.number("budget_tokens", t.budget)
	}
	w.close('}')
}

// sampling takes away what one of Anthropic's models refuses: all of it of newer ones, a top_p beside a temperature, and of older ones a
// temperature and a top_k while they think.
func (x *Exchange) sampling(r *conversation, t thinking) error {
	v := versionOf(x.providerModel(), "claude")
	bare := v >= unsampled
	if thinks := t.budget > 0 || t.adaptive; bare || thinks {
		x.leftOut(r.temperature != nil, temperatureNames[x.from])
		x.leftOut(r.topK != nil, topKNames[x.from])
		r.temperature, r.topK = nil, nil
	}
	if bare || v >= oneSampler && r.temperature != nil {
		x.leftOut(r.topP != nil, topPNames[x.from])
		r.topP = nil
	}
	if r.temperature != nil && above1(r.temperature) {
		return &Error{Field: temperatureNames[x.from], Reason: "above 1 has no counterpart in " + x.to.String()}
	}
	return nil
}

func (x *Exchange) messagesTools(w *writer, r *conversation) {
	if len(r.tools) > 0 {
		w.array("tools")
		for i := range r.tools {
			t := &r.tools[i]
			w.open()
			w.literal("name", t.name)
			w.literal("description", t.about)
			w.literal("input_schema", x.objectSchema(t.schema))
			if string(t.strict) == "true" {
				w.literal("strict", t.strict)
			}
			w.close('}')
		}
		w.close(']')
	}
	mode := r.choice.mode
	if mode == unset && r.sequential && len(r.tools) > 0 {
		mode = auto
	}
	if mode == unset {
		return
	}
	w.object("tool_choice")
	w.str("type", [...]string{auto: "auto", never: "none", always: "any", one: "tool"}[mode])
	if mode == one {
		w.literal("name", r.choice.name)
	}
	if r.sequential && mode != never {
		w.literal("disable_parallel_tool_use", []byte("true"))
	}
	w.close('}')
}

// blocks writes content: one text as a string, all else as blocks. What tools answered goes first, as Anthropic wants it.
func (x *Exchange) blocks(w *writer, name string, parts []part) error {
	if len(parts) == 1 && parts[0].kind == textPart {
		w.literal(name, parts[0].text)
		return nil
	}
	w.array(name)
	for i := range parts {
		if parts[i].kind == resultPart {
			if err := x.block(w, &parts[i]); err != nil {
				return err
			}
		}
	}
	for i := range parts {
		if parts[i].kind != resultPart {
			if err := x.block(w, &parts[i]); err != nil {
				return err
			}
		}
	}
	w.close(']')
	return nil
}

func (x *Exchange) block(w *writer, p *part) error {
	w.open()
	switch p.kind {
	case textPart, refusalPart:
		w.str("type", "text")
		w.literal("text", p.text)
	case imagePart:
		w.str("type", "image")
		if err := x.source(w, p); err != nil {
			return err
		}
	case filePart:
		w.str("type", "document")
		if err := x.source(w, p); err != nil {
			return err
		}
		w.literal("title", p.name)
	case callPart:
		w.str("type", "tool_use")
		w.literal("id", p.id)
		w.literal("name", p.name)
		if err := x.objectOf(w, "input", p); err != nil {
			return err
		}
	case resultPart:
		w.str("type", "tool_result")
		w.literal("tool_use_id", p.id)
		if p.args != nil {
			w.json("content", p.args)
		} else if p.text != nil {
			w.literal("content", p.text)
		} else if len(p.parts) > 0 {
			if err := x.blocks(w, "content", p.parts); err != nil {
				return err
			}
		}
		if p.failed {
			w.literal("is_error", []byte("true"))
		}
	default:
		return &Error{Field: messageFields[x.from], Reason: "audio has no counterpart in " + x.to.String()}
	}
	w.close('}')
	return nil
}

// source writes where an image or a document comes from. Of documents in base64 Anthropic takes PDF only; a text it takes
// as it is.
func (x *Exchange) source(w *writer, p *part) error {
	w.object("source")
	switch {
	case p.url != nil:
		w.str("type", "url")
		w.literal("url", p.url)
	case p.kind == filePart && bytes.HasPrefix(p.mime, []byte("text/")):
		text, err := base64.StdEncoding.AppendDecode(nil, p.data)
		if err != nil {
			return &Error{Field: messageFields[x.from], Reason: "a file is no base64"}
		}
		w.str("type", "text")
		w.str("media_type", "text/plain")
		w.text("data", string(text))
	default:
		w.str("type", "base64")
		w.quoted("media_type", p.mime)
		w.quoted("data", p.data)
	}
	w.close('}')
	return nil
}
