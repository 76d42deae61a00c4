// Package translate turns an exchange in one provider's API into one in another's: the request on its way to the provider,
// and the answer, its events or its error on the way back to the client.
//
// A request is read into a conversation, which every API can be written from. What stands in it are the bytes of the
// body that was read: texts are not unescaped and escaped again, and schemas of tools are copied. What one API can say
// and another cannot is refused or left out as Fields lists it; docs/translation.md is made of that list.
//
// Reading and writing are one pass each, in linear time. Like llm the package does no I/O and uses no reflection.
package translate

import (
	"slices"
	"strconv"
	"time"

	"github.com/leash-gateway/leash/llm"
)

// An API is one of those that are translated from and into.
type API uint8

// The APIs.
const (
	Chat      API = iota // OpenAI's chat completions, which many other servers speak
	Responses            // OpenAI's responses
	Messages             // Anthropic's messages
	Gemini               // Google's generateContent
	Converse             // Amazon Bedrock's Converse and ConverseStream, which providers have and clients do not speak
	apis      = 5
)

var apiNames = [apis]string{"OpenAI chat completions", "OpenAI responses", "Anthropic messages", "Google generateContent", "Amazon Bedrock Converse"}

// String is the API's name for people.
func (a API) String() string { return apiNames[a] }

// An operation is what is asked of a provider.
type operation uint8

const (
	generate operation = iota
	count
	embed
)

// of tells a client's API and what it asks for.
func of(f llm.Format) (API, operation, bool) {
	switch f {
	case llm.OpenAIChat, llm.OpenAICompletions:
		return Chat, generate, true
	case llm.OpenAIResponses:
		return Responses, generate, true
	case llm.AnthropicMessages:
		return Messages, generate, true
	case llm.GoogleGenerate, llm.GoogleStream:
		return Gemini, generate, true
	case llm.AnthropicCountTokens:
		return Messages, count, true
	case llm.GoogleCountTokens:
		return Gemini, count, true
	case llm.OpenAIEmbeddings:
		return Chat, embed, true
	case llm.GoogleEmbed, llm.GoogleBatchEmbed:
		return Gemini, embed, true
	default:
		return 0, 0, false
	}
}

// An Error says what of a request the provider's API cannot say.
type Error struct {
	Field  string // such as logit_bias or messages[2].content[0]
	Reason string
}

// Error is like: logit_bias: has no counterpart in Anthropic messages.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// Options are what a translation needs to know besides the bodies. The zero value is ready for use.
type Options struct {
	// Model is the name that the provider knows the model by; empty for the client's.
	Model string
	// MaxTokens is for APIs that demand a limit of the answer, where the client gives none. 4096 when it is 0.
	MaxTokens int64
	// ID is the answer's, where the provider gives it none.
	ID string
	// Now is when the answer was made, for the APIs that say so; the beginning of 1970 when it is zero.
	Now time.Time
	// Memory is used instead of the exchange's own.
	Memory *Memory

	// Vertex says that the provider has Anthropic's or Google's API on Vertex AI, whose bodies differ a little.
	Vertex bool
	// OldLimit gives the limit of the answer its older name in chats (llm.Request.OldLimit).
	OldLimit bool
	// WithoutStreamOptions leaves them out of chats (llm.Request.WithoutStreamOptions).
	WithoutStreamOptions bool
}

// defaultMaxTokens is a limit that every current model of Anthropic's takes.
const defaultMaxTokens = 4096

// An Exchange is one request and its answer on their way between two APIs. First Request, then one of Response, Error or
// Stream; it belongs to one goroutine.
type Exchange struct {
	client   llm.Format
	from, to API
	op       operation
	options  Options

	model     string // as the client named it, and will be answered
	stream    bool
	wantUsage bool // at the end of a stream, where the client's API asks
	single    bool // one embedding was asked for, not a list
	base64    bool // embeddings are wanted in base64
	older     bool // the client speaks the older completions
	oneCall   bool // the client is told the first call of an answer only
	dropped   []string
	renamed   []renamed
	failure   *Failure // of the model; nil while there is none
}

// New begins an exchange of a client that speaks the format client with a provider that has the API to. The error is an
// *Error: a client's list of models, say, is no exchange that could be translated.
func New(client llm.Format, to API, options Options) (*Exchange, error) {
	from, op, ok := of(client)
	if !ok {
		return nil, &Error{Reason: "format " + client.String() + " has no translation"}
	}
	x := &Exchange{client: client, from: from, to: to, op: op, options: options, older: client == llm.OpenAICompletions}
	if x.options.MaxTokens == 0 {
		x.options.MaxTokens = defaultMaxTokens
	}
	switch {
	case from == to && !x.older:
		return nil, &Error{Reason: to.String() + " is what the client speaks: there is nothing to translate into"}
	case op == count && to != Messages && to != Gemini && to != Converse, op == embed && to != Chat && to != Gemini:
		return nil, &Error{Reason: client.String() + " has no counterpart in " + to.String()}
	}
	return x, nil
}

// A Request is what goes to the provider. Its body is valid as long as the client's is, and Memory says.
type Request struct {
	Format llm.Format // llm.None for Converse
	Path   string     // relative to the provider's base address, with a query where one is needed
	Body   []byte
}

// Request translates the request, whose model the client named in its body or, where that is Google's, in the path. The
// error is an *Error, or what llm.ParseRequest refuses a body with.
func (x *Exchange) Request(model string, body []byte) (Request, error) {
	x.model = model
	var out []byte
	var err error
	switch x.op {
	case embed:
		out, err = x.embedRequest(body)
	default:
		out, err = x.generateRequest(body)
	}
	if err != nil {
		return Request{}, err
	}
	if x.to == Converse {
		return Request{Path: conversePath(x.providerModel(), x.converseMethod()), Body: out}, nil
	}
	format := x.Format()
	return Request{Format: format, Path: format.Path(x.providerModel()), Body: out}, nil
}

// Streams tells whether the answer is to be streamed, known once Request has returned.
func (x *Exchange) Streams() bool { return x.stream }

// Format is what the provider is spoken to in, known once Request has returned; llm.None for Converse.
func (x *Exchange) Format() llm.Format {
	switch x.op {
	case count:
		return [apis]llm.Format{Messages: llm.AnthropicCountTokens, Gemini: llm.GoogleCountTokens}[x.to]
	case embed:
		return [apis]llm.Format{Chat: llm.OpenAIEmbeddings, Gemini: llm.GoogleBatchEmbed}[x.to]
	}
	if x.to == Gemini && x.stream {
		return llm.GoogleStream
	}
	return [apis]llm.Format{llm.OpenAIChat, llm.OpenAIResponses, llm.AnthropicMessages, llm.GoogleGenerate, llm.None}[x.to]
}

func (x *Exchange) providerModel() string {
	if x.options.Model != "" {
		return x.options.Model
	}
	return x.model
}

// Dropped are the fields of the request that had no counterpart and were left out, as Fields allows it.
func (x *Exchange) Dropped() []string { return x.dropped }

// drop does with a field that is not translated what the list says.
func (x *Exchange) drop(c *llm.Cursor, field string) {
	if treatment(x.from, x.to, field) == Refused {
		c.Fail("", "has no counterpart in "+x.to.String())
		return
	}
	if len(x.dropped) < maxDropped && !slices.Contains(x.dropped, field) {
		x.dropped = append(x.dropped, field)
	}
}

// maxDropped bounds what is remembered of a body that has nothing but fields that nobody knows.
const maxDropped = 32

func (x *Exchange) generateRequest(body []byte) ([]byte, error) {
	c, r := x.read(body, false), x.memory().request()
	switch x.from {
	case Chat:
		x.readChat(c, r)
	case Responses:
		x.readResponses(c, r)
	case Messages:
		x.readMessages(c, r)
	case Gemini:
		x.readGemini(c, r)
	}
	if err := c.Err(); err != nil {
		return nil, asError(err)
	}
	if x.client == llm.GoogleStream {
		r.stream = true
	}
	x.stream = r.stream
	// What cannot be asked of the provider can be done for it: the model makes its other calls once it has the answer to the first.
	x.oneCall = r.sequential && (x.to == Gemini || x.to == Converse)
	if !x.instructsAnywhere() {
		r.instructFirst()
	}
	if r.format.kind == anyObject && (x.from == Gemini || x.to == Messages || x.to == Converse) {
		r.system = append(r.system, part{text: []byte(`"Answer with one JSON object and nothing else: no text around it, and no code fence."`)})
	}
	if x.to == Messages || x.to == Converse {
		r.dropBlanks()
	}
	r.settle()
	if x.to == Messages || x.to == Converse {
		r.trimPrefill()
	}
	x.settleIDs(r)
	x.settleNames(r)
	if err := x.check(r); err != nil {
		return nil, err
	}
	var out []byte
	var err error
	switch dst := x.write(len(body) + len(body)/4 + 256); x.to {
	case Chat:
		out, err = x.appendChat(dst, r)
	case Responses:
		out, err = x.appendResponses(dst, r)
	case Messages:
		out, err = x.appendMessages(dst, r)
	case Gemini:
		out, err = x.appendGemini(dst, r)
	default:
		out, err = x.appendConverse(dst, r)
	}
	if err != nil {
		return nil, err
	}
	return x.wrote(out), nil
}

// asError makes what the cursor refused for our reasons an *Error.
func asError(err error) error {
	if f, ok := err.(*llm.FieldError); ok { //nolint:errorlint // Cursor.Err wraps nothing
		return &Error{Field: f.Path, Reason: f.Reason}
	}
	return err
}

// check refuses what no single field shows, and leaves out how tools are to be chosen where there are none: the providers refuse that.
func (x *Exchange) check(r *conversation) error {
	if len(r.tools) == 0 {
		if r.sequential = false; r.choice.mode == auto || r.choice.mode == never {
			r.choice.mode = unset
		}
	}
	if x.to == Messages || x.to == Responses || x.to == Converse {
		if r.n > 1 {
			return &Error{Field: numberFields[x.from], Reason: "more than one answer has no counterpart in " + x.to.String()}
		}
	}
	if len(r.messages) == 0 && x.op == generate {
		if len(r.system) == 0 {
			return &Error{Field: messageFields[x.from], Reason: "there is none"}
		}
		r.messages, r.system = append(r.messages, message{parts: r.system}), nil // which OpenAI answers, and the others only as what a user says
	}
	instructsOtherwise := func(p part) bool { return p.instructs && p.kind != textPart }
	if x.to != Responses && (!onlyTexts(r.system) || slices.ContainsFunc(r.parts, instructsOtherwise)) {
		return &Error{Field: systemFields[x.from], Reason: "a system prompt that is no text has no counterpart in " + x.to.String()}
	}
	for i := range r.messages {
		if m := &r.messages[i]; x.to != Gemini && m.assistant && (has(m.parts, imagePart) || has(m.parts, filePart) || has(m.parts, audioPart)) {
			return &Error{Field: messageFields[x.from], Reason: "pictures, files and sounds of the model's own have no counterpart in " + x.to.String()}
		}
	}
	return nil
}

// Response translates the provider's answer, which must not be streamed. The error is a *llm.SyntaxError, an *Error or a *Failure.
func (x *Exchange) Response(body []byte) ([]byte, error) {
	out, err := x.response(x.write(len(body)+len(body)/4+512), body)
	if err != nil {
		return nil, err
	}
	return x.wrote(out), nil
}

func (x *Exchange) response(dst, body []byte) ([]byte, error) {
	c := x.read(body, true)
	switch x.op {
	case count:
		n := x.readCountAnswer(c)
		if err := c.Err(); err != nil {
			return nil, asError(err)
		}
		if x.from == Gemini {
			return append(strconv.AppendInt(append(dst, `{"totalTokens":`...), n, 10), '}'), nil
		}
		return append(strconv.AppendInt(append(dst, `{"input_tokens":`...), n, 10), '}'), nil
	case embed:
		return x.embedAnswer(c, dst)
	}
	a, err := x.answer(c, body)
	if err != nil {
		return nil, err
	}
	if err := x.settle(a); err != nil {
		return nil, err
	}
	switch x.from {
	case Chat:
		return x.appendChatAnswer(dst, a), nil
	case Responses:
		return x.appendResponsesAnswer(dst, a), nil
	case Messages:
		return x.appendMessagesAnswer(dst, a), nil
	default:
		return x.appendGeminiAnswer(dst, a), nil
	}
}

// A Failure says that the model brought about nothing that can be used, which the client's API has no reason for an end for: it is told an
// error.
type Failure struct {
	Reason string // as the provider says it, such as MALFORMED_FUNCTION_CALL
}

func (f *Failure) Error() string { return "the model's answer cannot be used: " + f.Reason }

// unusable notes that the answer is.
func (x *Exchange) unusable(reason string) finish {
	x.failure = &Failure{reason}
	return finishFailed
}

// answer reads a whole answer.
func (x *Exchange) answer(c *llm.Cursor, body []byte) (*answer, error) {
	a := &answer{}
	switch x.to {
	case Chat:
		x.readChatAnswer(c, a)
	case Responses:
		x.readResponsesAnswer(c, a)
	case Messages:
		x.readMessagesAnswer(c, a)
	case Gemini:
		x.readGeminiAnswer(c, a)
	case Converse:
		x.readConverseAnswer(c, a)
	}
	if err := c.Err(); err != nil {
		return nil, asError(err)
	}
	if x.to != Converse { // which has told it
		r, err := llm.ParseResponse(x.Format(), body)
		if err != nil {
			return nil, err
		}
		a.usage = r.Usage
	}
	if a.failed(body) {
		return nil, &Error{Field: "error", Reason: "the provider answered with an error and the status of an answer"}
	}
	if a.unusable() {
		return nil, x.failure
	}
	if a.id == "" {
		a.id = x.options.ID
	}
	if x.oneCall {
		a.forgetCalls()
	}
	x.identify(a)
	return a, nil
}

// identify gives calls ids where the provider does not: clients tell by them what a tool answers to.
func (x *Exchange) identify(a *answer) {
	calls := 0
	for i := range a.choices {
		for j := range a.choices[i].parts {
			if p := &a.choices[i].parts[j]; p.kind == callPart && isEmpty(p.id) {
				calls++
				p.id = x.callID(calls)
			}
		}
	}
}

// settle makes objects of what tools are called with, where the client's API has them as such. A call that the limit of the answer has cut is
// left out: the answer's end says that it is not all.
func (x *Exchange) settle(a *answer) error {
	if x.from != Messages && x.from != Gemini {
		return nil
	}
	for i := range a.choices {
		if t := &a.choices[i]; t.finish == finishLength {
			t.parts = slices.DeleteFunc(t.parts, func(p part) bool { return p.isCut() })
		}
		for j := range a.choices[i].parts {
			p := &a.choices[i].parts[j]
			if p.kind != callPart {
				continue
			}
			object, ok := p.object()
			if !ok {
				return &Error{Reason: "the model calls a tool with arguments that are no JSON object, which " + x.from.String() + " cannot say"}
			}
			p.args, p.quoted = object, false
		}
	}
	return nil
}

// created is when the answer was made, in seconds.
func (x *Exchange) created() int64 {
	if x.options.Now.IsZero() {
		return 0
	}
	return x.options.Now.Unix()
}

// readCountAnswer reads how many tokens were counted.
func (x *Exchange) readCountAnswer(c *llm.Cursor) (n int64) {
	for o := x.object(c); c.Member(&o); {
		switch string(o.Name) {
		case "input_tokens", "totaltokens", "inputtokens":
			n = c.Count()
		default:
			c.Skip()
		}
	}
	return n
}

// object begins an object of the provider's.
func (x *Exchange) object(c *llm.Cursor) llm.Object {
	if x.to == Gemini {
		return c.Google()
	}
	return c.Object()
}

// named goes to the member of an object that has this name, past the others, as Cursor.Member goes to each: it must be passed over, and at the object's
// end there is none.
func named(c *llm.Cursor, o *llm.Object, name string) bool {
	for c.Member(o) {
		if string(o.Name) == name {
			return true
		}
		c.Skip()
	}
	return false
}
