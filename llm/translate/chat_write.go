package translate

import (
	"bytes"
	"slices"
)

// appendChat writes a request for a chat completion.
func (x *Exchange) appendChat(dst []byte, r *conversation) ([]byte, error) {
	x.askOpenAI(r)
	w := &writer{b: dst}
	w.open()
	w.text("model", x.providerModel())
	w.array("messages")
	if len(r.system) > 0 {
		w.open()
		w.str("role", "system")
		if err := x.chatContent(w, r.system, emptyLine); err != nil {
			return nil, err
		}
		w.close('}')
	}
	for i := range r.messages {
		if err := x.chatMessage(w, &r.messages[i]); err != nil {
			return nil, err
		}
	}
	w.close(']')
	if r.stream {
		w.key("stream")
		w.value([]byte("true"))
		if !x.options.WithoutStreamOptions {
			w.key("stream_options")
			w.value([]byte(`{"include_usage":true}`))
		}
	}
	switch {
	case r.maxTokens == 0:
	case x.options.OldLimit:
		w.number("max_tokens", r.maxTokens)
	default:
		w.number("max_completion_tokens", r.maxTokens)
	}
	if r.n > 1 {
		w.number("n", r.n)
	}
	w.literal("temperature", r.temperature)
	w.literal("top_p", r.topP)
	w.literal("seed", r.seed)
	w.literal("frequency_penalty", r.frequency)
	w.literal("presence_penalty", r.presence)
	w.stops("stop", r.stop)
	w.literal("user", r.user)
	if r.effort != effortUnset {
		w.str("reasoning_effort", effortNames[r.effort])
	}
	w.openAITools(r, true)
	switch r.format.kind {
	case anyObject:
		w.key("response_format")
		w.value([]byte(`{"type":"json_object"}`))
	case schemaOf:
		w.object("response_format")
		w.str("type", "json_schema")
		w.object("json_schema")
		w.schema(&r.format)
		w.close('}')
		w.close('}')
	}
	w.close('}')
	return w.b, nil
}

func (w *writer) stops(name string, stops [][]byte) {
	if len(stops) == 0 {
		return
	}
	w.array(name)
	for _, s := range stops {
		w.value(s)
	}
	w.close(']')
}

// schema writes the members of a JSON schema that OpenAI's APIs want.
func (w *writer) schema(f *format) {
	name := f.name
	if name == nil {
		name = []byte(`"answer"`) // which Anthropic and Google do not ask for
	}
	w.literal("name", name)
	w.literal("schema", f.schema)
	w.literal("strict", f.strict)
}

// openAITools writes tools and the choice of them for OpenAI's two APIs, of which one nests what a function is.
func (w *writer) openAITools(r *conversation, nested bool) {
	if len(r.tools) > 0 {
		w.array("tools")
		for i := range r.tools {
			t := &r.tools[i]
			w.open()
			w.str("type", "function")
			if nested {
				w.object("function")
			}
			w.literal("name", t.name)
			w.literal("description", t.about)
			w.literal("parameters", t.schema)
			w.literal("strict", t.strict)
			if nested {
				w.close('}')
			} else { // where both are demanded, and the latter is true by default
				if t.schema == nil {
					w.literal("parameters", []byte("null"))
				}
				if t.strict == nil {
					w.literal("strict", []byte("false"))
				}
			}
			w.close('}')
		}
		w.close(']')
	}
	switch r.choice.mode {
	case auto:
		w.str("tool_choice", "auto")
	case never:
		w.str("tool_choice", "none")
	case always:
		w.str("tool_choice", "required")
	case one:
		w.object("tool_choice")
		if w.str("type", "function"); nested {
			w.object("function")
			w.literal("name", r.choice.name)
			w.close('}')
		} else {
			w.literal("name", r.choice.name)
		}
		w.close('}')
	}
	if r.sequential {
		w.literal("parallel_tool_calls", []byte("false"))
	}
}

// chatMessage writes a message; what tools answered are messages of their own, ahead of what else the user says. Those are texts only: pictures
// and files that a tool answered are among what the user says.
func (x *Exchange) chatMessage(w *writer, m *message) error {
	if m.assistant {
		return x.chatAssistant(w, m)
	}
	rest := m.parts
	if has(m.parts, resultPart) {
		rest = nil
		for i := range m.parts {
			p := &m.parts[i]
			if p.kind != resultPart {
				rest = append(rest, *p)
				continue
			}
			if err := x.chatResult(w, p); err != nil {
				return err
			}
			for j := range p.parts {
				if p.parts[j].kind != textPart {
					rest = append(rest, p.parts[j])
				}
			}
		}
	}
	for len(rest) > 0 {
		n := sameSpeaker(rest)
		w.open()
		if rest[0].instructs {
			w.str("role", "system")
		} else {
			w.role(m)
		}
		if err := x.chatContent(w, rest[:n], emptyLine); err != nil {
			return err
		}
		w.close('}')
		rest = rest[n:]
	}
	return nil
}

// sameSpeaker is how many of the first parts are all the user's, or all instructions.
func sameSpeaker(parts []part) int {
	n := 1
	for n < len(parts) && parts[n].instructs == parts[0].instructs {
		n++
	}
	return n
}

// chatResult writes the texts that a tool answered.
func (x *Exchange) chatResult(w *writer, p *part) error {
	w.open()
	w.str("role", "tool")
	w.literal("tool_call_id", p.id)
	switch {
	case p.args != nil:
		w.json("content", p.args)
	case p.text != nil:
		w.literal("content", p.text)
	default:
		if err := x.chatContent(w, textsOf(p.parts), emptyLine); err != nil {
			return err
		}
	}
	w.close('}')
	return nil
}

// emptyLine is one in a string.
const emptyLine = `\n\n`

func onlyTexts(parts []part) bool {
	for i := range parts {
		if parts[i].kind != textPart {
			return false
		}
	}
	return true
}

// textsOf are the parts that are texts.
func textsOf(parts []part) (texts []part) {
	for i := range parts {
		if parts[i].kind == textPart {
			texts = append(texts, parts[i])
		}
	}
	return texts
}

func (x *Exchange) chatAssistant(w *writer, m *message) error {
	thoughts := m.parts
	if has(m.parts, thoughtPart) {
		m.parts = slices.DeleteFunc(slices.Clone(m.parts), func(p part) bool { return p.kind == thoughtPart })
	}
	if len(m.parts) == 0 {
		return nil
	}
	w.open()
	w.str("role", "assistant")
	said, calls := m.parts, 0
	for i := range m.parts {
		if m.parts[i].kind == callPart {
			calls++
		} else if calls > 0 { // speech behind a call: chats have it in front
			said = spoken(m.parts)
			break
		}
	}
	if len(said) == len(m.parts) {
		said = m.parts[:len(m.parts)-calls]
	} else {
		calls = len(m.parts) - len(said)
	}
	if len(said) > 0 {
		if err := x.chatContent(w, said, ""); err != nil {
			return err
		}
	} else {
		w.literal("content", []byte("null"))
	}
	switch {
	case len(thoughts) > len(m.parts):
		w.key("reasoning_content")
		w.joined(thoughts, thoughtPart, "")
	case calls > 0 && x.wantsThoughts():
		w.str("reasoning_content", " ") // another model made the call, or the client kept none
	}
	if calls > 0 {
		w.array("tool_calls")
		for i := range m.parts {
			if p := &m.parts[i]; p.kind == callPart {
				w.open()
				w.chatCall(p, p.name)
				w.close('}')
			}
		}
		w.close(']')
	}
	w.close('}')
	return nil
}

// spoken are the parts that are no calls.
func spoken(parts []part) (said []part) {
	for i := range parts {
		if parts[i].kind != callPart {
			said = append(said, parts[i])
		}
	}
	return said
}

func (w *writer) chatCall(p *part, name []byte) {
	w.literal("id", p.id)
	w.str("type", "function")
	w.object("function")
	w.literal("name", name)
	w.textOf("arguments", p)
	w.close('}')
}

// chatContent writes the content of a message: texts as one string, all else as parts. Many servers take no parts but for images: DeepSeek's none at all, and
// Groq's none of a system prompt. What a model said goes on in the next text, and what others say are texts of their own.
func (x *Exchange) chatContent(w *writer, parts []part, between string) error {
	if onlyTexts(parts) {
		w.key("content")
		w.joined(parts, textPart, between)
		return nil
	}
	w.array("content")
	for i := range parts {
		p := &parts[i]
		w.open()
		switch p.kind {
		case textPart:
			w.str("type", "text")
			w.literal("text", p.text)
		case refusalPart:
			w.str("type", "refusal")
			w.literal("refusal", p.text)
		case imagePart:
			w.str("type", "image_url")
			w.object("image_url")
			w.address("url", p)
			w.close('}')
		case audioPart:
			w.str("type", "input_audio")
			w.object("input_audio")
			format := bytes.TrimPrefix(p.mime, []byte("audio/"))
			if string(format) == "mpeg" {
				format = []byte("mp3")
			}
			w.quoted("data", p.data)
			w.quoted("format", format)
			w.close('}')
		case filePart:
			if p.url != nil {
				return &Error{Field: messageFields[x.from], Reason: "a file at an address has no counterpart in " + x.to.String()}
			}
			w.str("type", "file")
			w.object("file")
			w.filename(p)
			w.address("file_data", p)
			w.close('}')
		default:
			return &Error{Field: messageFields[x.from], Reason: "a part has no counterpart in " + x.to.String()}
		}
		w.close('}')
	}
	w.close(']')
	return nil
}

// filename writes the name of a file, which OpenAI's APIs ask for.
func (w *writer) filename(p *part) {
	if p.name != nil {
		w.literal("filename", p.name)
	} else {
		w.str("filename", "file")
	}
}

// address writes where media are: at an address, or in one.
func (w *writer) address(name string, p *part) {
	if p.url != nil {
		w.literal(name, p.url)
		return
	}
	w.quoted(name, []byte("data:"), p.mime, []byte(";base64,"), p.data)
}
