package translate

import (
	"bytes"
	"strings"
)

// appendGemini writes a request to generate content, or to count its tokens.
func (x *Exchange) appendGemini(dst []byte, r *conversation) ([]byte, error) {
	w := &writer{b: dst}
	w.open()
	if x.op == count && !x.options.Vertex && (len(r.system) > 0 || len(r.tools) > 0) {
		w.object("generateContentRequest")
		w.text("model", "models/"+x.providerModel())
		if err := x.geminiBody(w, r); err != nil {
			return nil, err
		}
		w.close('}')
	} else if err := x.geminiBody(w, r); err != nil {
		return nil, err
	}
	w.close('}')
	return w.b, nil
}

func (x *Exchange) geminiBody(w *writer, r *conversation) error {
	names := namesOfCalls(r)
	if len(r.system) > 0 {
		w.object("systemInstruction")
		if err := x.geminiParts(w, r.system, &names); err != nil {
			return err
		}
		w.close('}')
	}
	w.array("contents")
	for i := range r.messages {
		m := &r.messages[i]
		w.open()
		if m.assistant {
			w.str("role", "model")
		} else {
			w.str("role", "user")
		}
		if err := x.geminiParts(w, m.parts, &names); err != nil {
			return err
		}
		w.close('}')
	}
	w.close(']')
	x.geminiTools(w, r)
	if x.op == generate {
		x.geminiConfig(w, r)
	}
	return nil
}

// A nameList has the names of the functions that were called, by the id of the call: Google asks for them with an answer.
type nameList struct {
	few  []*part // calls, which are most often few
	many map[string][]byte
}

// manyCalls is from how many on calls are looked up in a table.
const manyCalls = 16

func namesOfCalls(r *conversation) (l nameList) {
	for i := range r.parts {
		p := &r.parts[i]
		switch {
		case p.kind != callPart:
		case l.many != nil:
			l.many[string(p.id)] = p.name
		case len(l.few) < manyCalls:
			l.few = append(l.few, p)
		default:
			l.many = map[string][]byte{string(p.id): p.name}
			for _, q := range l.few {
				if !bytes.Equal(q.id, p.id) {
					l.many[string(q.id)] = q.name
				}
			}
		}
	}
	return l
}

func (l *nameList) of(id []byte) ([]byte, bool) {
	if l.many != nil {
		name, ok := l.many[string(id)]
		return name, ok
	}
	for i := len(l.few) - 1; i >= 0; i-- {
		if p := l.few[i]; bytes.Equal(p.id, id) {
			return p.name, true
		}
	}
	return nil, false
}

func (x *Exchange) geminiParts(w *writer, parts []part, names *nameList) error {
	w.array("parts")
	called := versionOf(x.providerModel(), "gemini") < signing
	for i := range parts {
		w.open()
		if err := x.geminiPart(w, &parts[i], names); err != nil {
			return err
		}
		if parts[i].kind == callPart {
			switch {
			case !isEmpty(parts[i].sign):
				w.literal("thoughtSignature", parts[i].sign)
			case !called:
				w.str("thoughtSignature", unsigned)
			}
			called = true
		}
		w.close('}')
		for j := range parts[i].parts { // pictures and files that a tool answered
			if parts[i].parts[j].kind == textPart {
				continue
			}
			w.open()
			if err := x.geminiPart(w, &parts[i].parts[j], names); err != nil {
				return err
			}
			w.close('}')
		}
	}
	w.close(']')
	return nil
}

// unsigned is what Google takes in place of a signature where a client has kept none, or another model has made the call. Of calls beside
// each other the first is signed. https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
const unsigned = "skip_thought_signature_validator"

func (x *Exchange) geminiPart(w *writer, p *part, names *nameList) error {
	switch p.kind {
	case textPart, refusalPart:
		w.literal("text", p.text)
	case callPart:
		w.object("functionCall")
		w.literal("id", p.id)
		w.literal("name", p.name)
		if err := x.objectOf(w, "args", p); err != nil {
			return err
		}
		w.close('}')
	case resultPart:
		name, ok := names.of(p.id)
		if !ok {
			return &Error{Field: messageFields[x.from], Reason: "a tool's answer is to no call of this conversation, whose name " + x.to.String() + " asks for"}
		}
		w.object("functionResponse")
		w.literal("id", p.id)
		w.literal("name", name)
		if err := x.geminiResult(w, p); err != nil {
			return err
		}
		w.close('}')
	case imagePart, filePart, audioPart:
		if p.url != nil {
			w.object("fileData")
			w.quoted("mimeType", mimeOf(p))
			w.literal("fileUri", p.url)
		} else {
			w.object("inlineData")
			mime := p.mime
			if string(mime) == "audio/mp3" {
				mime = []byte("audio/mpeg")
			}
			w.quoted("mimeType", mime)
			w.quoted("data", p.data)
		}
		w.close('}')
	}
	return nil
}

// geminiResult writes what a tool answered: an object as it is, and a text as the only member of one.
func (x *Exchange) geminiResult(w *writer, p *part) error {
	one := [1]part{{text: p.text}}
	texts := one[:]
	if p.text == nil {
		texts = textsOf(p.parts)
	}
	if len(texts) == 1 && !p.failed {
		if text := inner(texts[0].text); len(text) > 0 && text[0] == '{' {
			if object, ok := asObject(texts[0].text); ok {
				w.literal("response", object)
				return nil
			}
		}
	}
	w.object("response")
	if p.failed {
		w.key("error")
	} else {
		w.key("result")
	}
	w.b = append(w.b, '"')
	for i := range texts {
		if i > 0 {
			w.raw(`\n`)
		}
		w.b = append(w.b, inner(texts[i].text)...)
	}
	w.b = append(w.b, '"')
	w.close('}')
	return nil
}

// mimeOf is the type of what is at an address: as it was told, else by the address's end.
func mimeOf(p *part) []byte {
	if p.mime != nil {
		return p.mime
	}
	address, _, _ := bytes.Cut(inner(p.url), []byte("?"))
	switch dot := bytes.LastIndexByte(address, '.'); string(bytes.ToLower(address[dot+1:])) {
	case "png":
		return []byte("image/png")
	case "gif":
		return []byte("image/gif")
	case "webp":
		return []byte("image/webp")
	case "pdf":
		return []byte("application/pdf")
	}
	if p.kind == filePart {
		return []byte("application/pdf")
	}
	return []byte("image/jpeg")
}

func (x *Exchange) geminiTools(w *writer, r *conversation) {
	if len(r.tools) > 0 {
		w.array("tools")
		w.open()
		w.array("functionDeclarations")
		for i := range r.tools {
			t := &r.tools[i]
			w.open()
			w.literal("name", t.name)
			w.literal("description", t.about)
			w.literal("parametersJsonSchema", t.schema)
			w.close('}')
		}
		w.close(']')
		w.close('}')
		w.close(']')
	}
	if r.choice.mode == unset {
		return
	}
	w.object("toolConfig")
	w.object("functionCallingConfig")
	w.str("mode", [...]string{auto: "AUTO", never: "NONE", always: "ANY", one: "ANY"}[r.choice.mode])
	if r.choice.mode == one {
		w.array("allowedFunctionNames")
		w.value(r.choice.name)
		w.close(']')
	}
	w.close('}')
	w.close('}')
}

// leastOfPro are the tokens that Google's large models think at least: they refuse 0. https://ai.google.dev/gemini-api/docs/thinking#set-budget
const leastOfPro = 128

func (x *Exchange) geminiConfig(w *writer, r *conversation) {
	config := w.begin("generationConfig")
	if r.maxTokens > 0 {
		w.number("maxOutputTokens", r.maxTokens)
	}
	if r.n > 1 {
		w.number("candidateCount", r.n)
	}
	w.literal("temperature", r.temperature)
	w.literal("topP", r.topP)
	w.literal("topK", r.topK)
	w.literal("seed", r.seed)
	w.literal("frequencyPenalty", r.frequency)
	w.literal("presencePenalty", r.presence)
	w.stops("stopSequences", r.stop)
	if r.format.kind != freeText {
		w.str("responseMimeType", "application/json")
	}
	if r.format.kind == schemaOf {
		w.literal("responseJsonSchema", r.format.schema)
	}
	if r.effort != effortUnset || r.thoughts {
		w.object("thinkingConfig")
		switch {
		case r.effort == effortUnset:
		case versionOf(x.providerModel(), "gemini") >= signing:
			w.str("thinkingLevel", levels[r.effort])
		case r.effort == effortNone && strings.Contains(x.providerModel(), "-pro"):
			w.number("thinkingBudget", leastOfPro)
		default:
			w.number("thinkingBudget", budgets[r.effort])
		}
		if r.thoughts {
			w.literal("includeThoughts", []byte("true"))
		}
		w.close('}')
	}
	w.end(config)
}
