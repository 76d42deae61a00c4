package translate

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/llm"
)

// conversePath is where a request to Amazon Bedrock goes. A model may be named by an ARN, whose colons and slashes are escaped.
func conversePath(model, method string) string {
	const digits = "0123456789ABCDEF"
	path := append(make([]byte, 0, len(model)+32), "/model/"...)
	for i := range len(model) {
		switch c := model[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
			path = append(path, c)
		default:
			path = append(path, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(append(append(path, '/'), method...))
}

// converseMethod is the last part of the path.
func (x *Exchange) converseMethod() string {
	switch {
	case x.op == count:
		return "count-tokens"
	case x.stream:
		return "converse-stream"
	default:
		return "converse"
	}
}

// appendConverse writes a request for https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, or to
// count its tokens. The model stands in the path, and so does whether the answer is to be streamed.
func (x *Exchange) appendConverse(dst []byte, r *conversation) ([]byte, error) {
	w := &writer{b: dst}
	w.open()
	if x.op == count {
		w.object("input")
		w.object("converse")
	}
	if len(r.system) > 0 {
		w.array("system")
		for i := range r.system {
			p := &r.system[i]
			w.open()
			w.literal("text", p.text)
			w.close('}')
			w.cachePoint(p.cache)
		}
		w.close(']')
	}
	documents := 0
	w.array("messages")
	for i := range r.messages {
		m := &r.messages[i]
		w.open()
		w.role(m)
		if err := x.converseContent(w, m.parts, &documents); err != nil {
			return nil, err
		}
		w.close('}')
	}
	w.close(']')
	if err := x.converseTools(w, r); err != nil {
		return nil, err
	}
	if x.op == count {
		w.close('}')
		w.close('}')
		w.close('}')
		return w.b, nil
	}
	if err := x.converseConfig(w, r); err != nil {
		return nil, err
	}
	w.close('}')
	return w.b, nil
}

// cachePoint writes that what stands before it is to be cached.
func (w *writer) cachePoint(ttl cacheTTL) {
	if ttl == notCached {
		return
	}
	w.open()
	w.object("cachePoint")
	w.str("type", "default")
	if ttl == cachedHour {
		w.str("ttl", "1h")
	}
	w.close('}')
	w.close('}')
}

// converseContent writes blocks. What tools answered goes first, as with Anthropic, whose models most of these are.
func (x *Exchange) converseContent(w *writer, parts []part, documents *int) error {
	w.array("content")
	for _, results := range [...]bool{true, false} {
		for i := range parts {
			p := &parts[i]
			if (p.kind == resultPart) != results {
				continue
			}
			w.open()
			if err := x.converseBlock(w, p, documents); err != nil {
				return err
			}
			w.close('}')
			w.cachePoint(p.cache)
		}
	}
	w.close(']')
	return nil
}

func (x *Exchange) converseBlock(w *writer, p *part, documents *int) error {
	switch p.kind {
	case textPart, refusalPart:
		w.literal("text", p.text)
	case callPart:
		w.object("toolUse")
		w.literal("toolUseId", p.id)
		w.literal("name", p.name)
		if err := x.objectOf(w, "input", p); err != nil {
			return err
		}
		w.close('}')
	case resultPart:
		return x.converseResult(w, p, documents)
	case imagePart, filePart, audioPart:
		return x.converseMedia(w, p, documents)
	}
	return nil
}

func (x *Exchange) converseResult(w *writer, p *part, documents *int) error {
	w.object("toolResult")
	w.literal("toolUseId", p.id)
	switch {
	case p.args != nil:
		w.array("content")
		w.open()
		w.literal("json", p.args)
		w.close('}')
		w.close(']')
	case p.text != nil:
		w.array("content")
		w.open()
		w.literal("text", p.text)
		w.close('}')
		w.close(']')
	default:
		if err := x.converseContent(w, p.parts, documents); err != nil {
			return err
		}
	}
	if p.failed {
		w.str("status", "error")
	}
	w.close('}')
	return nil
}

// converseMedia writes an image, a document or a sound. Bedrock fetches nothing from the web.
func (x *Exchange) converseMedia(w *writer, p *part, documents *int) error {
	if p.url != nil {
		return &Error{Field: messageFields[x.from], Reason: "what lies at an address has no counterpart in " + x.to.String()}
	}
	format, ok := converseFormat(p)
	if !ok {
		return &Error{Field: messageFields[x.from], Reason: "a part of the type " + strconv.Quote(string(p.mime)) + " has no counterpart in " + x.to.String()}
	}
	switch p.kind {
	case imagePart:
		w.object("image")
	case audioPart:
		w.object("audio")
	default:
		w.object("document")
		*documents++
		w.text("name", documentName(p, *documents))
	}
	w.str("format", format)
	w.object("source")
	w.quoted("bytes", p.data)
	w.close('}')
	w.close('}')
	return nil
}

// converseFormats are what Bedrock calls the types of media.
var converseFormats = [...]struct {
	kind         partKind
	mime, format string
}{
	{imagePart, "image/png", "png"}, {imagePart, "image/jpeg", "jpeg"}, {imagePart, "image/jpg", "jpeg"}, {imagePart, "image/gif", "gif"}, {imagePart, "image/webp", "webp"},
	{filePart, "application/pdf", "pdf"}, {filePart, "text/plain", "txt"}, {filePart, "text/markdown", "md"}, {filePart, "text/html", "html"}, {filePart, "text/csv", "csv"},
	{filePart, "application/msword", "doc"}, {filePart, "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"},
	{filePart, "application/vnd.ms-excel", "xls"}, {filePart, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"},
	{audioPart, "audio/wav", "wav"}, {audioPart, "audio/mp3", "mp3"}, {audioPart, "audio/mpeg", "mp3"}, {audioPart, "audio/ogg", "ogg"}, {audioPart, "audio/flac", "flac"},
	{audioPart, "audio/aac", "aac"}, {audioPart, "audio/opus", "opus"}, {audioPart, "audio/webm", "webm"}, {audioPart, "audio/m4a", "m4a"}, {audioPart, "audio/mp4", "mp4"},
}

func converseFormat(p *part) (string, bool) {
	mime, _, _ := bytes.Cut(p.mime, []byte(";"))
	for i := range converseFormats {
		if f := &converseFormats[i]; f.kind == p.kind && f.mime == string(mime) {
			return f.format, true
		}
	}
	return "", false
}

// documentName is a name that Bedrock takes, without the ending, and no two of which are the same in a request: of letters, digits, single
// spaces, hyphens, parentheses and brackets.
func documentName(p *part, number int) string {
	const most = 150
	name := string(llm.AppendMeaning(nil, p.name))
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		name = name[:dot]
	}
	b := make([]byte, 0, len(name)+8)
	for _, c := range []byte(name) {
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '-', c == '(', c == ')', c == '[', c == ']':
		case len(b) == 0 || b[len(b)-1] == ' ':
			continue
		default:
			c = ' '
		}
		if b = append(b, c); len(b) == most {
			break
		}
	}
	if b = bytes.TrimRight(b, " "); len(b) == 0 {
		b = append(b, "document"...)
	}
	if number > 1 {
		b = strconv.AppendInt(append(b, ' '), int64(number), 10)
	}
	return string(b)
}

func (x *Exchange) converseTools(w *writer, r *conversation) error {
	if r.choice.mode == never {
		// Bedrock has no such choice. Without tools in the request it comes to the same, unless the conversation has used them.
		for i := range r.messages {
			if has(r.messages[i].parts, callPart) || has(r.messages[i].parts, resultPart) {
				return &Error{Field: choiceFields[x.from], Reason: "that none be called has no counterpart in " + x.to.String() + " once one was"}
			}
		}
		return nil
	}
	if len(r.tools) == 0 {
		r.declareCalled()
	}
	if len(r.tools) == 0 {
		return nil
	}
	w.object("toolConfig")
	w.array("tools")
	for i := range r.tools {
		t := &r.tools[i]
		w.open()
		w.object("toolSpec")
		w.literal("name", t.name)
		if !isEmpty(t.about) {
			w.literal("description", t.about)
		}
		w.object("inputSchema")
		w.literal("json", x.objectSchema(t.schema))
		w.close('}')
		if string(t.strict) == "true" {
			w.literal("strict", t.strict)
		}
		w.close('}')
		w.close('}')
		w.cachePoint(t.cache)
	}
	w.close(']')
	switch r.choice.mode {
	case auto:
		w.literal("toolChoice", []byte(`{"auto":{}}`))
	case always:
		w.literal("toolChoice", []byte(`{"any":{}}`))
	case one:
		w.object("toolChoice")
		w.object("tool")
		w.literal("name", r.choice.name)
		w.close('}')
		w.close('}')
	}
	w.close('}')
	return nil
}

// declareCalled makes tools of those that were called: Bedrock refuses calls in a conversation of which the request has none, as a client has it that wants
// a summary.
func (r *conversation) declareCalled() {
	for i := range r.parts {
		if p := &r.parts[i]; p.kind == callPart && !slices.ContainsFunc(r.tools, func(t tool) bool { return bytes.Equal(t.name, p.name) }) {
			r.tools = append(r.tools, tool{name: p.name})
		}
	}
}

func (x *Exchange) converseConfig(w *writer, r *conversation) error {
	anthropic := strings.Contains(x.providerModel(), "anthropic.") || strings.Contains(x.providerModel(), "claude")
	limit := r.maxTokens
	var think thinking
	if anthropic {
		if limit == 0 {
			limit = x.options.MaxTokens
		}
		if think = x.thinking(r, &limit); think == (thinking{}) {
			limit = r.maxTokens
		}
		if err := x.sampling(r, think); err != nil {
			return err
		}
	} else if r.temperature != nil && above1(r.temperature) {
		return &Error{Field: temperatureNames[x.from], Reason: "above 1 has no counterpart in " + x.to.String()}
	}
	inference := w.begin("inferenceConfig")
	if limit > 0 {
		w.number("maxTokens", limit)
	}
	w.literal("temperature", r.temperature)
	w.literal("topP", r.topP)
	w.stops("stopSequences", r.stop)
	w.end(inference)

	// Models differ in what else they take; of others than Anthropic's it is not known.
	more := w.begin("additionalModelRequestFields")
	if w.thinking(think); think.effort != "" {
		w.object("output_config")
		w.str("effort", think.effort)
		w.close('}')
	}
	if anthropic {
		w.literal("top_k", r.topK)
	} else {
		x.leftOut(r.topK != nil, topKNames[x.from])
		x.leftOut(r.effort > effortNone, effortFields[x.from])
	}
	w.end(more)
	if r.format.kind == schemaOf {
		w.object("outputConfig")
		w.object("textFormat")
		w.str("type", "json_schema")
		w.object("structure")
		w.object("jsonSchema")
		w.json("schema", x.closed(r.format.schema))
		w.literal("name", r.format.name)
		w.close('}')
		w.close('}')
		w.close('}')
		w.close('}')
	}
	return nil
}

// What clients' APIs call what only some models take.
var (
	temperatureNames = [apis]string{"temperature", "temperature", "temperature", "generationConfig.temperature"}
	topPNames        = [apis]string{"top_p", "top_p", "top_p", "generationConfig.topP"}
	topKNames        = [apis]string{Messages: "top_k", Gemini: "generationConfig.topK"}
	effortFields     = [apis]string{Chat: "reasoning_effort", Responses: "reasoning.effort", Messages: "thinking", Gemini: "generationConfig.thinkingConfig"}
)

// What clients' APIs call what is refused where it is written, and no field by itself.
var (
	messageFields = [apis]string{"messages", "input", "messages", "contents"}
	systemFields  = [apis]string{"messages", "input", "system", "systemInstruction"}
	choiceFields  = [apis]string{"tool_choice", "tool_choice", "tool_choice", "toolConfig.functionCallingConfig"}
	numberFields  = [apis]string{Chat: "n", Gemini: "generationConfig.candidateCount"}
)

// leftOut tells of a field that the model has no counterpart for.
func (x *Exchange) leftOut(is bool, field string) {
	if is && !slices.Contains(x.dropped, field) && len(x.dropped) < maxDropped {
		x.dropped = append(x.dropped, field)
	}
}
