package llm

import "errors"

// A Request is a view on the body of a request. Its fields are what was parsed; they are changed by the methods only.
type Request struct {
	Model      string
	Stream     bool
	WantsUsage bool   // stream_options.include_usage as the client sent it
	MaxTokens  int64  // the greater of max_completion_tokens and max_tokens; 0 when unset or not positive
	N          int64  // choices asked for, of all prompts and whether they are given or not; 1 by default
	Background bool   // the answer is made whether somebody waits for it or not
	User       string // the end user that the client names
	Tools      int    // tools that the model may call
	Media      int    // images, sounds and files
	Texts      []Text
	Calls      []Call

	body     []byte
	edits    edits
	dialect  dialect // of the provider
	messages int
	top      uint32  // behind the brace that opens the body
	model    span    // of its value
	slot     int     // of its edit
	usage    include // where AskUsage writes
	few      [4]Text // what Texts is made of when they are few
	beside   []span  // the values that Others reads
	others   []Text
	read     bool // others are what there is

	format      Format
	path, query string      // where it goes; of Google's, the path up to the model
	models      []modelName // other places that name the model
	tokens      int64       // of input that is not text
}

// An include is the place of stream_options.include_usage in a body.
type include struct {
	options span // the value of stream_options; empty when there is none
	object  bool // it is an object
	bare    bool // with nothing in it
	value   span // of include_usage; empty when there is none
	slot    int  // of its edit
}

// errFormat means that the caller asked for a body that its format does not have.
var errFormat = errors.New("parse body: its format has none that can be read")

// ParseRequest checks a body like Check and reads it, in one pass. The error is a *SyntaxError, or a *FieldError when a
// field that we read has a value that no server could take: "model" must be a non-empty string and "messages" a
// non-empty array of objects. A format without a body, such as OpenAIModels, is an error. Google's formats have their
// model in the path, which ParseRequestAt reads.
//
// Texts are the contents of messages (strings, and the parts that hold text or a refusal), what assistants refused,
// thought and called tools with, and what tools answered. There may be 65,536. The descriptions of tools are none of them: Others has these.
//
// "model" and "messages" must be spelled exactly. All other fields are read in any case of their letters, as some
// servers do; an object with two keys that differ only in case is a *SyntaxError, as far as we read its fields.
//
// The caller must not change body while it uses the request. BenchmarkParseRequest measures it.
func ParseRequest(f Format, body []byte) (*Request, error) {
	if f != OpenAIChat {
		return parseRequest(f, body)
	}
	r := &Request{N: 1, body: body, format: f}
	p := requestReader{reader: reader{whole: shared(body), list: "messages", texts: r.few[:0]}, to: r}
	p.start(body)
	p.read()
	if err := p.outcome(); err != nil {
		return nil, err
	}
	r.Texts, r.Calls, r.Media = p.texts, p.calls, p.media
	return r, nil
}

// SetModel replaces the model.
func (r *Request) SetModel(model string) {
	if model == r.Model {
		return
	}
	r.Model = model
	if r.setModels(model); r.format.Family() == Google {
		return // it stands in the path
	}
	r.edits.set(&r.slot, r.model, appendString(nil, model))
}

// SetText replaces the value of Texts[i].
func (r *Request) SetText(i int, s string) { r.edits.setText(&r.Texts[i], s) }

// AskUsage makes the provider send an event with the usage at the end of the stream: it sets
// stream_options.include_usage and keeps other stream options. WantsUsage stays what the client sent. It does nothing
// when usage is asked for already, or when the request is not for a stream, where the field would be an error.
func (r *Request) AskUsage() {
	u := &r.usage
	if !r.Stream || r.WantsUsage || u.slot != 0 {
		return
	}
	at, json := span{r.top, r.top}, `"stream_options":{"include_usage":true},`
	switch {
	case !u.value.empty():
		at, json = u.value, `true`
	case u.object && u.bare:
		at, json = u.options, `{"include_usage":true}`
	case u.object:
		at, json = span{u.options.start + 1, u.options.start + 1}, `"include_usage":true,`
	case !u.options.empty():
		at, json = u.options, `{"include_usage":true}`
	}
	r.edits.set(&u.slot, at, []byte(json))
}

// Edited tells whether Bytes differs from the body that was parsed, or may by a provider's dialect.
func (r *Request) Edited() bool { return len(r.edits) > 0 || r.dialect != 0 }

// Bytes returns the body with all edits: the very slice that was parsed when there are none, else a new one.
func (r *Request) Bytes() []byte {
	if !r.Edited() {
		return r.body
	}
	body := r.body
	if len(r.edits) > 0 {
		body = splice(r.body, r.edits)
	}
	return r.dialect.apply(body)
}

// EstimateTokens estimates what the provider will count as input: the tokens of all texts and of what Others reads, as it stands in the body, and 4
// for each message. It knows neither the model's tokenizer nor images and audio; English prose comes close.
func (r *Request) EstimateTokens() int64 {
	size := 0
	for i := range r.Texts {
		size += len(r.Texts[i].Value)
	}
	for _, at := range r.beside {
		size += int(at.end - at.start)
	}
	return EstimateTokens(int64(size)) + 4*int64(r.messages) + r.tokens
}

// A requestReader fills in a Request.
type requestReader struct {
	reader
	to                       *Request
	maxTokens, maxCompletion int64
}

func (p *requestReader) read() {
	if p.peek() != '{' {
		p.value()
		p.refuse("", "must be an object")
		return
	}
	o, ok := p.object(anyCase)
	p.to.top = uint32(p.pos) //nolint:gosec // start bounds it
	for ok && p.member(&o) {
		p.readMember()
	}
	switch {
	case p.to.model.empty():
		p.refuse("model", "is missing")
	case p.to.messages == 0:
		p.refuse("messages", "is missing")
	}
	p.to.MaxTokens = max(p.maxTokens, p.maxCompletion) // not every server knows both
}

func (p *requestReader) readMember() {
	switch string(p.known()) {
	case "model":
		p.readModel(p.to)
	case "messages":
		if string(p.last()) != "messages" {
			p.value()
			return
		}
		p.readMessages()
	case "stream":
		p.to.Stream = p.flag("stream")
	case "stream_options":
		p.streamOptions(p.to)
	case "max_tokens":
		p.maxTokens = p.limit("max_tokens")
	case "tools":
		p.tools(p.to)
	case "max_completion_tokens":
		p.maxCompletion = p.limit("max_completion_tokens")
	case "n":
		p.to.N = max(1, p.limit("n"))
	case "user":
		p.to.User = p.word("user")
	case "prediction": // of the answer, which the model is given
		first := len(p.texts)
		p.otherStrings(0)
		for i := first; i < len(p.texts); i++ {
			p.texts[i].Role, p.texts[i].Message = User, Outside
		}
	default:
		p.besides(p.to)
	}
}

func (p *requestReader) readMessages() {
	if p.peek() != '[' {
		p.value()
		p.refuse("messages", "must be an array")
		return
	}
	var a array
	ok := p.enter()
	for ok && p.element(&a) {
		p.message = a.n - 1
		p.readMessage(OtherRole)
	}
	if p.to.messages = a.n; a.n == 0 {
		p.refuse("messages", "must not be empty")
	}
}

// readModel reads "model", which must be spelled exactly.
func (r *reader) readModel(to *Request) {
	if string(r.last()) != "model" {
		r.value()
		return
	}
	q, found := r.readString()
	if found == right {
		to.Model, to.model = r.text(q), q.outer()
	}
	if to.Model == "" {
		r.refuse("model", "must be a non-empty string")
	}
}

// streamOptions reads where AskUsage writes.
func (r *reader) streamOptions(to *Request) {
	r.peek()
	start := r.pos
	u := &to.usage
	if r.peek() == '{' {
		o, ok := r.object(anyCase)
		for ok && r.member(&o) {
			if string(r.known()) != "include_usage" {
				r.value()
				continue
			}
			r.peek()
			start := r.pos
			to.WantsUsage = r.flag("stream_options.include_usage")
			u.value = spanOf(start, r.pos)
		}
		u.object, u.bare = true, o.n == 0
	} else if r.null() == wrong {
		r.refuse("stream_options", "must be an object")
	}
	u.options = spanOf(start, r.pos)
}

// flag reads true or false.
func (r *reader) flag(name string) bool {
	b, found := r.readBool()
	if found == wrong {
		r.refuse(name, "must be true or false")
	}
	return b
}

// limit reads a whole number; it is 0 when it is null or negative.
func (r *reader) limit(name string) int64 {
	n, found := r.readCount()
	switch {
	case found == wrong:
		r.refuse(name, "must be a whole number")
	case n >= MaxCount:
		r.refuse(name, "must be less than 2^53")
	}
	return max(0, n)
}

// word reads a string that is not a text.
func (r *reader) word(name string) string {
	q, found := r.readString()
	switch found {
	case right:
		return r.text(q)
	case wrong:
		r.refuse(name, "must be a string")
	}
	return ""
}
