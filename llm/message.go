package llm

import (
	"math"
	"strconv"
	"strings"
	"unsafe"
)

// maxTexts bounds the texts of one body, since a text takes more memory than the four bytes that it may be made of.
const maxTexts = 1 << 16

// A reader takes texts out of messages, those of a request and those of an answer, which have the same form.
//
// Members are known in any case of their letters: a server whose parser does not mind would otherwise read a text
// that we did not see. Two that differ only in case are refused by the scanner.
type reader struct {
	scanner
	whole   string // src as a string where texts may share it; empty to copy each of them
	list    string // what the messages are an array of, for error paths
	message int    // index of the message in it
	texts   []Text
	calls   []Call
	refused *FieldError // the first
	media   int         // images, sounds and files
	answer  bool        // values of a wrong type are passed over instead of refused: a provider is no attacker of its client
	scratch []byte

	anyBase64 bool // both alphabets are read
}

// refuse keeps the first error of a field. The scan goes on, since an error of syntax goes before it.
func (r *reader) refuse(path, reason string) {
	if !r.answer {
		r.forbid(path, reason)
	}
}

// forbid is refuse in answers too.
func (r *reader) forbid(path, reason string) {
	if r.refused == nil && r.err == nil {
		r.refused = &FieldError{Path: path, Reason: reason}
	}
}

// outcome is the error of a whole body, once all of it was read.
func (r *reader) outcome() error {
	if !r.end() {
		return r.err
	}
	if r.refused != nil {
		return r.refused
	}
	return nil
}

// in is the path of what is in the message that is being read.
func (r *reader) in(name string) string {
	return r.list + "[" + strconv.Itoa(r.message) + "]" + name
}

// What a value was found to be.
type found uint8

const (
	wrong  found = iota // something else than what was asked for, passed over
	absent              // null
	right
)

// null passes over a value that is not of the type that was asked for.
func (r *reader) null() found {
	was := absent
	if r.peek() != 'n' {
		was = wrong
	}
	r.value()
	if r.err != nil {
		return absent // told by err
	}
	return was
}

func (r *reader) readString() (quoted, found) {
	if r.peek() != '"' {
		return quoted{}, r.null()
	}
	q, ok := r.str()
	if !ok {
		return q, absent
	}
	return q, right
}

func (r *reader) readBool() (bool, found) {
	c := r.peek()
	if c != 't' && c != 'f' {
		return false, r.null()
	}
	if !r.value() {
		return false, absent
	}
	return c == 't', right
}

func (r *reader) readCount() (int64, found) {
	if c := r.peek(); c != '-' && !isDigit(c) {
		return 0, r.null()
	}
	start := r.pos
	if !r.number() {
		return 0, absent
	}
	n, whole := count(r.src[start:r.pos])
	if !whole && !r.answer {
		return 0, wrong
	}
	return n, right
}

// meant is what a string means, valid until the next call.
func (r *reader) meant(q quoted) []byte {
	raw := r.src[q.start:q.end]
	if !q.escaped {
		return raw
	}
	if cap(r.scratch) < len(raw) {
		r.scratch = make([]byte, 0, len(raw))
	}
	return appendUnescaped(r.scratch[:0], raw)
}

// text is what a string means, for good.
func (r *reader) text(q quoted) string {
	if r.whole != "" && !q.escaped {
		return r.whole[q.start:q.end]
	}
	return string(r.meant(q))
}

// shared is a body as a string, of which texts are parts: their memory is the body's.
func shared(body []byte) string {
	return unsafe.String(unsafe.SliceData(body), len(body)) //nolint:gosec // the caller may not change the body
}

// known is the name of the member that was gone to last, as the fields that we know are spelled.
func (r *reader) known() []byte {
	if r.lowered {
		return r.last()
	}
	return r.folded(r.last())
}

// readMessage reads the message that is next. role is what it has when it does not say one.
func (r *reader) readMessage(role Role) {
	if r.peek() != '{' {
		if r.null() == wrong || !r.answer {
			r.refuse(r.in(""), "must be an object")
		}
		return
	}
	first := len(r.texts)
	o, ok := r.object(anyCase)
	for ok && r.member(&o) {
		switch string(r.known()) {
		case "role":
			role = r.role(role, OtherRole)
		case "content":
			r.content()
		case "refusal":
			r.add(inRefusal, 0)
		case "reasoning_content":
			r.add(inReasoningContent, 0)
		case "reasoning":
			r.add(inReasoning, 0)
		case "tool_calls":
			r.toolCalls()
		case "function_call":
			var c Call
			r.call(inFunctionCall, &c)
			r.keepCall(c)
		case "audio":
			r.audio()
		case "reasoning_details":
			r.details()
		case "tool_call_id":
			r.keepCall(Call{ID: r.label(), Answers: true})
		default:
			r.others(aside)
		}
	}
	for i := first; i < len(r.texts); i++ {
		r.texts[i].Role = role
		r.texts[i].Message = r.message
	}
}

// role reads the member "role"; was is the role when it is null. model is what "model" means, which chats do not know.
func (r *reader) role(was, model Role) Role {
	q, found := r.readString()
	switch found {
	case wrong:
		r.refuse(r.in(".role"), "must be a string")
		return OtherRole
	case absent:
		return was
	}
	switch string(r.meant(q)) {
	case "system", "developer":
		return System
	case "user":
		return User
	case "assistant":
		return Assistant
	case "model":
		return model
	case "tool", "function":
		return Tool
	default:
		return OtherRole
	}
}

// aside is the part of texts that stand beside what a message says; those of a sound are of one of their own.
const (
	aside   = math.MaxInt32
	ofSound = aside - 1
)

// others reads what we do not know, the value of the member that was gone to: every string in it is a text, unless its name says that
// nobody reads it.
func (r *reader) others(part int) {
	if name := r.known(); isData(name, r.peek()) {
		r.data(name, part)
		return
	}
	r.otherStrings(part)
}

func (r *reader) otherStrings(part int) {
	switch r.peek() {
	case '"':
		first := len(r.texts)
		if r.add(inOther, part); len(r.texts) > first {
			r.texts[first].Whole = r.answer // each stands for itself
		}
	case '{':
		o, ok := r.object(exact)
		for ok && r.member(&o) {
			r.others(part)
		}
	case '[':
		var a array
		ok := r.enter()
		for ok && r.element(&a) {
			r.otherStrings(part)
		}
	default:
		r.value()
	}
}

// audio reads the member "audio": the sound, and what is said in it.
func (r *reader) audio() {
	if r.peek() != '{' {
		r.value()
		return
	}
	o, ok := r.object(anyCase)
	for ok && r.member(&o) {
		if string(r.known()) == "transcript" && r.peek() == '"' {
			r.add(inTranscript, ofSound)
		} else {
			r.others(aside)
		}
	}
}

// details reads the member "reasoning_details", as https://openrouter.ai/docs/use-cases/reasoning-tokens has it: what was thought, in pieces.
func (r *reader) details() {
	if r.peek() != '[' {
		r.otherStrings(aside)
		return
	}
	var a array
	ok := r.enter()
	for ok && r.element(&a) {
		if r.peek() != '{' {
			r.otherStrings(aside)
			continue
		}
		o, ok := r.object(anyCase)
		for ok && r.member(&o) {
			if name := string(r.known()); (name == "text" || name == "summary") && r.peek() == '"' {
				r.add(inDetails, aside)
			} else {
				r.others(aside)
			}
		}
	}
}

// content reads the member "content": a string, or an array of parts.
func (r *reader) content() {
	switch r.peek() {
	case '"':
		r.add(inContent, 0)
		return
	case '[':
	default:
		if r.null() == wrong {
			r.refuse(r.in(".content"), "must be a string or an array")
		}
		return
	}
	var a array
	ok := r.enter()
	for ok && r.element(&a) {
		part := a.n - 1
		switch r.peek() {
		case '"':
			r.add(inBarePart, part)
		case '{':
			r.part(part)
		default:
			r.value()
			r.refuse(r.in(".content["+strconv.Itoa(part)+"]"), "must be an object")
		}
	}
}

// part reads a content part. Texts are taken whatever its type says, since servers differ in what they ask of it.
func (r *reader) part(part int) {
	o, ok := r.object(anyCase)
	for ok && r.member(&o) {
		switch string(r.known()) {
		case "image_url", "input_audio", "file":
			r.media++
			r.others(part)
		case "text":
			r.add(inTextPart, part)
		case "refusal":
			r.add(inRefusalPart, part)
		case "thinking":
			r.thinking(part)
		default:
			r.others(part)
		}
	}
}

// thinking reads what a model has thought, as Mistral's have it in a content part: https://docs.mistral.ai/capabilities/reasoning/
func (r *reader) thinking(part int) {
	if r.peek() != '[' {
		r.add(inReasoningContent, part)
		return
	}
	var a array
	ok := r.enter()
	for ok && r.element(&a) {
		if r.peek() != '{' {
			r.add(inReasoningContent, part)
			continue
		}
		o, ok := r.object(anyCase)
		for ok && r.member(&o) {
			if string(r.known()) == "text" {
				r.add(inReasoningContent, part)
			} else {
				r.others(part)
			}
		}
	}
}

// toolCalls reads the member "tool_calls". In the events of a stream each call says its index.
func (r *reader) toolCalls() {
	if r.peek() != '[' {
		if r.null() == wrong {
			r.refuse(r.in(".tool_calls"), "must be an array")
		}
		return
	}
	var a array
	ok := r.enter()
	for ok && r.element(&a) {
		part := a.n - 1
		if r.peek() != '{' {
			r.value()
			r.refuse(r.in(".tool_calls["+strconv.Itoa(part)+"]"), "must be an object")
			continue
		}
		first, c := len(r.texts), Call{Part: part}
		o, ok := r.object(anyCase)
		for ok && r.member(&o) {
			switch string(r.known()) {
			case "index":
				if n, found := r.readCount(); r.answer && found == right && n >= 0 {
					c.Part = int(n)
				}
			case "id":
				c.ID = r.label()
			case "function":
				r.call(inToolFunction, &c)
			case "custom":
				r.call(inToolCustom, &c)
			default:
				r.others(c.Part)
			}
		}
		for i := first; i < len(r.texts); i++ {
			r.texts[i].Part = c.Part
		}
		r.keepCall(c)
	}
}

// call reads which function or custom tool is called, and with what.
func (r *reader) call(in place, c *Call) {
	if r.peek() != '{' {
		if r.null() == wrong {
			path := in.path(c.Part)
			r.refuse(r.in(path[:strings.LastIndexByte(path, '.')]), "must be an object")
		}
		return
	}
	text := "arguments"
	if in == inToolCustom {
		text = "input"
	}
	o, ok := r.object(anyCase)
	for ok && r.member(&o) {
		switch string(r.known()) {
		case text:
			r.add(in, c.Part)
		case "name":
			c.Name = r.label()
		default:
			r.others(c.Part)
		}
	}
}

// add reads a string that is a text.
func (r *reader) add(in place, part int) {
	q, found := r.readString()
	switch {
	case found == wrong && in.kind() != Reasoning: // which has no form that all agree on
		r.refuse(r.in(in.path(part)), "must be a string")
	case found == right:
		r.keep(Text{Kind: in.kind(), Part: part, Value: r.text(q), place: in, at: q.outer()})
	}
}

// keep adds a text.
func (r *reader) keep(t Text) {
	if len(r.texts) == maxTexts {
		r.forbid(r.list, "more than "+strconv.Itoa(maxTexts)+" texts")
		return
	}
	r.texts = append(r.texts, t)
}

func (p place) kind() Kind {
	switch p {
	case inRefusal, inRefusalPart:
		return Refusal
	case inReasoningContent, inReasoning, inDetails:
		return Reasoning
	case inToolFunction, inToolCustom, inFunctionCall:
		return ToolArguments
	default:
		return Content
	}
}

// path is where p stands in a message.
func (p place) path(part int) string {
	i := "[" + strconv.Itoa(part) + "]"
	switch p {
	case inTextPart:
		return ".content" + i + ".text"
	case inBarePart:
		return ".content" + i
	case inRefusal:
		return ".refusal"
	case inRefusalPart:
		return ".content" + i + ".refusal"
	case inReasoningContent:
		return ".reasoning_content"
	case inReasoning:
		return ".reasoning"
	case inToolFunction:
		return ".tool_calls" + i + ".function.arguments"
	case inToolCustom:
		return ".tool_calls" + i + ".custom.input"
	case inFunctionCall:
		return ".function_call.arguments"
	case inTranscript:
		return ".audio.transcript"
	case inDetails:
		return ".reasoning_details"
	default:
		return ".content"
	}
}
