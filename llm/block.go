package llm

// A blockReader reads messages whose content is made of typed blocks: Anthropic's, those of OpenAI's responses, and (by
// its parts) Google's. New types of blocks come every few months, so it does not ask which types there are: every string
// is a text but for what is known to be none (isData), wherever it stands.
type blockReader struct {
	reader
	pieces bool // an event of a stream is read

	// logprobs are those of the block that is read. They spell out its text, and go when that is replaced.
	logprobs span
	// result is that of the block that is read, which its type says whether it is a text; call is which tool it names.
	result quoted
	call   Call
}

// leaf adds the string that is next; what is none is passed over like strings does.
func (r *blockReader) leaf(kind Kind, part int) {
	if r.peek() != '"' {
		r.strings(kind, part)
		return
	}
	if q, ok := r.str(); ok {
		r.keep(Text{Kind: kind, Part: part, Value: r.text(q), at: q.outer()})
	}
}

// strings adds every string of the value that is next, however deep, as long as isData does not know its name.
func (r *blockReader) strings(kind Kind, part int) {
	switch r.peek() {
	case '"':
		r.leaf(kind, part)
	case '{':
		o, ok := r.object(exact)
		for ok && r.member(&o) {
			switch name := r.last(); {
			case isData(name, r.peek()):
				r.data(name, part)
			case scopeOf(name) != inDefinition:
				r.definition(scopeOf(name), kind, part)
			default:
				r.strings(kind, part)
			}
		}
	case '[':
		var a array
		ok := r.enter()
		for ok && r.element(&a) {
			r.strings(kind, part)
		}
	default:
		r.value()
	}
}

// longNumber is from how many characters on a number may be what a policy looks for, such as that of a card.
const longNumber = 7

// arguments adds what a tool is called with, or answers: a string, or a value in which every string, every key of an
// object and every long number is a text.
func (r *blockReader) arguments(kind Kind, part int) {
	switch c := r.peek(); c {
	case '"':
		r.leaf(kind, part)
	case '{':
		o, ok := r.object(exact)
		for ok && r.member(&o) {
			if k := r.open.at(r.open.n - 1); k.start&inNames == 0 {
				q := quoted{span: span{k.start, k.end}}
				r.keep(Text{Kind: kind, Part: part, Value: r.text(q), place: inKey, at: q.outer()})
			} else {
				r.keep(Text{Kind: kind, Part: part, Value: string(r.name(k)), place: inKey, at: r.outerName(k)})
			}
			r.arguments(kind, part)
		}
	case '[':
		var a array
		ok := r.enter()
		for ok && r.element(&a) {
			r.arguments(kind, part)
		}
	default:
		at, ok := r.span()
		if ok && at.end-at.start >= longNumber && (c == '-' || isDigit(c)) {
			r.keep(Text{Kind: kind, Part: part, Value: string(r.src[at.start:at.end]), at: at})
		}
	}
}

// outerName is where a key with escapes stands in the body, with its quotes.
func (r *blockReader) outerName(k key) span {
	at := uint32(0)
	start := k.start &^ inNames
	for _, c := range r.names[start-4 : start] {
		at = at<<8 | uint32(c)
	}
	end := at + 1
	for r.src[end] != '"' {
		if r.src[end] == '\\' {
			end++
		}
		end++
	}
	return span{at, end + 1}
}

// A blockKind is what the type of a block makes of its texts.
type blockKind uint8

const (
	plainBlock blockKind = iota
	thoughtBlock
	callBlock
	resultBlock // what a tool answered
	mediaBlock
	pictureBlock // that the model has made: its result is one
)

func (r *blockReader) blockKind() blockKind {
	q, found := r.readString()
	if found != right {
		return plainBlock
	}
	switch name := r.meant(q); string(name) {
	case "thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text":
		return thoughtBlock
	case "image_generation_call":
		return pictureBlock
	case "image", "document", "input_image", "input_file", "input_audio", "container_upload":
		return mediaBlock
	default:
		if hasSuffix(name, "_result") || hasSuffix(name, "_output") {
			return resultBlock
		}
		if hasSuffix(name, "_call") || hasSuffix(name, "tool_use") {
			return callBlock
		}
		return plainBlock
	}
}

func hasSuffix(b []byte, suffix string) bool {
	return len(b) >= len(suffix) && string(b[len(b)-len(suffix):]) == suffix
}

// block reads a block, or an item of OpenAI's responses that is no message.
func (r *blockReader) block(part int) {
	if r.peek() != '{' {
		if r.peek() != '"' {
			r.refuse(r.in(""), "has content that is neither a string nor an object")
		}
		r.strings(Content, part)
		return
	}
	first, result, call := len(r.texts), r.result, r.call
	r.result, r.call = quoted{}, Call{}
	o, ok := r.object(anyCase)
	var what blockKind
	for ok && r.member(&o) {
		if name := r.known(); string(name) == "type" {
			what = r.blockKind()
		} else {
			r.blockMember(name, part)
		}
	}
	r.keepResult(what, part)
	r.settle(what, first)
	r.settleCall(what, part)
	r.result, r.call = result, call
	if !r.logprobs.empty() {
		for i := first; i < len(r.texts); i++ {
			r.texts[i].logprobs, r.texts[i].logprobList = r.logprobs, true
		}
		r.logprobs = span{}
	}
}

// settle does with the texts of a block what its type says.
func (r *blockReader) settle(what blockKind, first int) {
	switch what {
	case mediaBlock:
		r.media++
	case thoughtBlock, resultBlock:
		for i := first; i < len(r.texts); i++ {
			if t := &r.texts[i]; what == resultBlock {
				t.Role = Tool
			} else if t.Kind == Content {
				t.Kind = Reasoning
			}
		}
	}
}

// settleCall adds which tool a block calls, or answers for.
func (r *blockReader) settleCall(what blockKind, part int) {
	if what == callBlock || what == resultBlock {
		r.call.Part, r.call.Answers = part, what == resultBlock
		r.keepCall(r.call)
	}
}

// keepResult adds the result of a block, unless that is a picture.
func (r *blockReader) keepResult(what blockKind, part int) {
	if q := r.result; !q.empty() && what != pictureBlock {
		r.keep(Text{Kind: Content, Part: part, Value: r.text(q), at: q.outer()})
	}
}

func (r *blockReader) blockMember(name []byte, part int) {
	switch string(name) {
	case "thinking", "summary":
		r.strings(Reasoning, part)
	case "refusal":
		r.leaf(Refusal, part)
	case "input", "arguments":
		r.arguments(ToolArguments, part)
	case "content", "output":
		r.contents(part)
	case "source":
		r.source(part)
	case "result":
		if r.peek() != '"' {
			r.strings(Content, part)
		} else if q, ok := r.str(); ok {
			r.result = q
		}
	case "name":
		r.call.Name = r.label()
	case "id":
		if id := r.label(); r.call.ID == "" { // of OpenAI's items, which call_id is not
			r.call.ID = id
		}
	case "call_id", "tool_use_id":
		r.call.ID = r.label()
	case "logprobs":
		if at, ok := r.span(); ok && r.answer {
			r.logprobs = at
		}
	default:
		if isData(name, r.peek()) {
			r.data(name, part)
		} else {
			r.strings(Content, part)
		}
	}
}

// contents reads the content of a message or of a tool's answer: a string, a block, or several.
func (r *blockReader) contents(part int) {
	switch r.peek() {
	case '"':
		r.leaf(Content, part)
	case '{':
		r.block(part)
	case '[':
		var a array
		ok := r.enter()
		for ok && r.element(&a) {
			r.block(part)
		}
	default:
		if r.null() == wrong {
			r.refuse(r.in(".content"), "must be a string or an array")
		}
	}
}

// blocks reads the content of a message, whose blocks are its parts.
func (r *blockReader) blocks() {
	if r.peek() != '[' {
		r.contents(0)
		return
	}
	var a array
	ok := r.enter()
	for ok && r.element(&a) {
		r.block(a.n - 1)
	}
}

// source reads where an image or a document comes from. A document may be plain text, or blocks.
func (r *blockReader) source(part int) {
	if r.peek() != '{' {
		r.strings(Content, part)
		return
	}
	var data quoted
	has, text, media := false, false, ""
	o, ok := r.object(anyCase)
	for ok && r.member(&o) {
		switch name := r.known(); string(name) {
		case "type":
			q, found := r.readString()
			text = text || found == right && string(r.meant(q)) == "text"
		case "media_type":
			if q, found := r.readString(); found == right {
				media = string(r.meant(q))
			}
		case "data":
			if r.peek() == '"' {
				data, has = r.str()
			} else {
				r.strings(Content, part)
			}
		case "content":
			r.contents(part)
		default:
			if isData(name, r.peek()) {
				r.data(name, part)
			} else {
				r.strings(Content, part)
			}
		}
	}
	switch {
	case has && text:
		r.keep(Text{Kind: Content, Part: part, Value: r.text(data), at: data.outer()})
	case has:
		r.encoded(data, media, true, part)
	}
}

// isData tells the members that nobody reads as text: identifiers, addresses, types, encoded bytes, whose value begins with first. An object of such
// a name may hold anything: in a schema, what is said of a property that is called so.
func isData(name []byte, first byte) bool {
	if first == '{' || first == '[' {
		return string(name) == "cache_control" || string(name) == "logprobs" || string(name) == "caller"
	}
	switch string(name) {
	case "type", "id", "name", "role", "status", "object", "index", "phase", "namespace", "caller", "detail", "format", "language", "outcome",
		"call_id", "tool_use_id", "item_id", "file_id", "container_id", "server_label", "media_type", "mime_type",
		"data", "file_data", "url", "image_url", "document_url", "file_url", "result", "b64_json",
		"signature", "encrypted_content", "encrypted_index", "encrypted_stdout", "cache_control", "logprobs",
		"mimeType", "fileUri", "file_uri", "thoughtSignature", "thought_signature":
		return true
	default:
		return false
	}
}

// spoken gives the texts from first on to a message; those of tools stay the tools'.
func (r *blockReader) spoken(first, message int, role Role) {
	for i := first; i < len(r.texts); i++ {
		t := &r.texts[i]
		t.Message = message
		if t.Role != Tool {
			t.Role = role
		}
	}
}

// elements counts the elements of an array.
func (r *reader) elements() int {
	if r.peek() != '[' {
		r.value()
		return 0
	}
	var a array
	ok := r.enter()
	for ok && r.element(&a) {
		r.value()
	}
	return a.n
}
