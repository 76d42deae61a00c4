package llm

import "strings"

// Outside is the Message of a text that stands in no message: a system prompt that has a field of its own.
const Outside = -1

// ParseRequestAt is ParseRequest for the request to a path. Google's API has the model there, and "stream" is the name
// of its method. What a query may say of a stream is kept for Path; the rest of it is dropped.
func ParseRequestAt(f Format, path string, body []byte) (*Request, error) {
	r, err := ParseRequest(f, body)
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(path, "?")
	r.path, r.query = path, f.Query(query)
	if f.Family() != Google {
		return r, nil
	}
	prefix, model, method := cutGooglePath(path)
	if method != f {
		return nil, &FieldError{Path: "path", Reason: "is not one of " + f.String()}
	}
	r.path, r.Model = prefix, model
	for i := range r.models {
		if name := r.models[i].name; name != model {
			return nil, &FieldError{Path: "model", Reason: "is not the one of the path"}
		}
	}
	return r, nil
}

// Path is where the request goes, with the model in it as SetModel left it and with what the query says of a stream;
// empty unless the request was parsed by ParseRequestAt.
func (r *Request) Path() string {
	if r.path == "" {
		return ""
	}
	path := r.path
	if r.format.Family() == Google {
		path = googlePath(r.path, r.Model, r.format)
	}
	if r.query != "" {
		path += "?" + r.query
	}
	return path
}

// A modelName is a place in a body that names the model, as "models/NAME", and must agree with the path.
type modelName struct {
	name string
	at   span
	slot int
}

// setModels replaces the names of the model that a body of Google's has besides the path.
func (r *Request) setModels(model string) {
	for i := range r.models {
		m := &r.models[i]
		r.edits.set(&m.slot, m.at, appendString(nil, "models/"+model))
	}
}

// parseRequest reads a request of all formats but OpenAIChat.
func parseRequest(f Format, body []byte) (*Request, error) {
	r := &Request{N: 1, body: body, format: f, WantsUsage: f != OpenAICompletions}
	p := formatReader{blockReader: blockReader{reader: reader{whole: shared(body), list: "messages", texts: r.few[:0]}}, to: r}
	p.start(body)
	switch f {
	case AnthropicMessages, AnthropicCountTokens:
		p.readObject(p.anthropicMember)
		p.demand(true, f == AnthropicMessages)
	case OpenAIResponses:
		p.list = "input"
		p.readObject(p.responsesMember)
		p.demand(false, false)
	case OpenAICompletions:
		p.list = "prompt"
		p.readObject(p.completionsMember)
		p.demand(false, false)
		r.WantsUsage = r.WantsUsage || !r.Stream
		if prompts := int64(max(1, p.messages)); r.N < MaxCount/prompts { // each is answered so often
			r.N *= prompts
		} else {
			r.N = MaxCount
		}
	case OpenAIEmbeddings:
		p.list = "input"
		p.readObject(p.embeddingsMember)
		p.demand(false, false)
	case GoogleGenerate, GoogleStream, GoogleCountTokens, GoogleEmbed, GoogleBatchEmbed:
		p.list, p.anyBase64 = "contents", true
		r.Stream = f == GoogleStream
		p.google(p.googleMember)
		if p.messages == 0 && f != GoogleCountTokens {
			p.refuse(p.list, "is missing")
		}
	default:
		return nil, errFormat
	}
	if err := p.outcome(); err != nil {
		return nil, err
	}
	r.Texts, r.Calls, r.messages, r.Media = p.texts, p.calls, p.messages, p.media
	return r, nil
}

// A formatReader fills in a Request.
type formatReader struct {
	blockReader
	to       *Request
	messages int
	flat     bool // the prompt is a list of tokens, not of prompts
	silent   bool // nothing is to be answered: the prompt is to be cached
}

// readObject reads the body, member by member.
func (p *formatReader) readObject(member func(name []byte)) {
	if p.peek() != '{' {
		p.value()
		p.refuse("", "must be an object")
		return
	}
	o, ok := p.object(anyCase)
	p.to.top = uint32(p.pos) //nolint:gosec // start bounds it
	for ok && p.member(&o) {
		member(p.known())
	}
}

// demand refuses a body without what its API demands.
func (p *formatReader) demand(messages, maxTokens bool) {
	switch {
	case p.to.model.empty():
		p.refuse("model", "is missing")
	case messages && p.messages == 0:
		p.refuse("messages", "is missing")
	case maxTokens && p.to.MaxTokens == 0 && !p.silent:
		p.refuse("max_tokens", "is missing")
	}
}

// outside reads a system prompt that stands in no message.
func (p *formatReader) outside(name string, read func()) {
	first := len(p.texts)
	if c := p.peek(); c != '"' && c != '[' && c != '{' && p.null() == wrong {
		p.refuse(name, "must be a string or an array")
	} else if c == '"' || c == '[' || c == '{' {
		read()
	}
	p.spoken(first, Outside, System)
}

// readList reads an array of messages, each with one call of read.
func (p *formatReader) readList(read func()) {
	if p.peek() != '[' {
		p.value()
		p.refuse(p.list, "must be an array")
		return
	}
	var a array
	ok := p.enter()
	for ok && p.element(&a) {
		p.message = p.messages
		p.messages++
		if p.peek() != '{' {
			p.value()
			p.refuse(p.in(""), "must be an object")
			continue
		}
		first := len(p.texts)
		read()
		for i := first; i < len(p.texts); i++ {
			p.texts[i].Message = p.message
		}
	}
	if a.n == 0 {
		p.refuse(p.list, "must not be empty")
	}
}
