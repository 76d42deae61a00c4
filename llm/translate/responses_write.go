package translate

// appendResponses writes a request for a response. The provider is told not to keep it.
func (x *Exchange) appendResponses(dst []byte, r *conversation) ([]byte, error) {
	x.askOpenAI(r)
	w := &writer{b: dst}
	w.open()
	w.text("model", x.providerModel())
	w.literal("store", []byte("false"))
	w.array("input")
	if len(r.system) > 0 {
		w.open()
		w.str("role", "developer")
		if err := x.itemContent(w, "content", r.system, false); err != nil {
			return nil, err
		}
		w.close('}')
	}
	for i := range r.messages {
		if err := x.items(w, &r.messages[i]); err != nil {
			return nil, err
		}
	}
	w.close(']')
	if r.stream {
		w.literal("stream", []byte("true"))
	}
	if r.maxTokens > 0 {
		w.number("max_output_tokens", max(leastTokens, r.maxTokens))
	}
	w.literal("temperature", r.temperature)
	w.literal("top_p", r.topP)
	w.literal("user", r.user)
	if r.effort != effortUnset || r.thoughts {
		w.object("reasoning")
		if r.effort != effortUnset {
			w.str("effort", effortNames[r.effort])
		}
		if r.thoughts {
			w.str("summary", "auto")
		}
		w.close('}')
	}
	w.openAITools(r, false)
	switch r.format.kind {
	case anyObject:
		w.literal("text", []byte(`{"format":{"type":"json_object"}}`))
	case schemaOf:
		w.object("text")
		w.object("format")
		w.str("type", "json_schema")
		w.schema(&r.format)
		w.close('}')
		w.close('}')
	}
	w.close('}')
	return w.b, nil
}

// leastTokens is the lowest limit of an answer that OpenAI takes. Claude Code asks for a single token to see whether it is answered at all.
const leastTokens = 16

// items writes a message as items: what is said together is one, and calls and what tools answered are each their own.
func (x *Exchange) items(w *writer, m *message) error {
	for i := 0; i < len(m.parts); {
		p := &m.parts[i]
		switch p.kind {
		case callPart:
			w.open()
			w.str("type", "function_call")
			w.literal("call_id", p.id)
			w.literal("name", p.name)
			w.textOf("arguments", p)
			w.close('}')
			i++
		case resultPart:
			w.open()
			w.str("type", "function_call_output")
			w.literal("call_id", p.id)
			switch {
			case p.args != nil:
				w.json("output", p.args)
			case p.text != nil:
				w.literal("output", p.text)
			case len(p.parts) == 0:
				w.str("output", "")
			default:
				if err := x.itemContent(w, "output", p.parts, false); err != nil {
					return err
				}
			}
			w.close('}')
			i++
		case thoughtPart:
			i++
		default:
			end, last := i, i+sameSpeaker(m.parts[i:])
			for end < last && m.parts[end].kind < callPart && m.parts[end].kind != thoughtPart {
				end++
			}
			w.open()
			if p.instructs {
				w.str("role", "developer")
			} else {
				w.role(m)
			}
			if said := m.parts[i:end]; m.assistant && onlyTexts(said) { // of which OpenAI's schema knows parts with the id of an earlier answer only
				w.key("content")
				w.joined(said, textPart, "")
			} else if err := x.itemContent(w, "content", said, m.assistant); err != nil {
				return err
			}
			w.close('}')
			i = end
		}
	}
	return nil
}

func (x *Exchange) itemContent(w *writer, name string, parts []part, assistant bool) error {
	if len(parts) == 1 && parts[0].kind == textPart {
		w.literal(name, parts[0].text)
		return nil
	}
	w.array(name)
	for i := range parts {
		p := &parts[i]
		w.open()
		switch p.kind {
		case textPart:
			if assistant {
				w.str("type", "output_text")
			} else {
				w.str("type", "input_text")
			}
			w.literal("text", p.text)
		case refusalPart:
			w.str("type", "refusal")
			w.literal("refusal", p.text)
		case imagePart:
			w.str("type", "input_image")
			w.str("detail", "auto") // which OpenAI's schema demands
			w.address("image_url", p)
		case filePart:
			w.str("type", "input_file")
			if p.url != nil {
				w.literal("file_url", p.url)
			} else {
				w.filename(p)
				w.address("file_data", p)
			}
		default:
			return &Error{Field: messageFields[x.from], Reason: "a part has no counterpart in " + x.to.String()}
		}
		w.close('}')
	}
	w.close(']')
	return nil
}
