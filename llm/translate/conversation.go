package translate

import (
	"slices"
	"strings"

	"github.com/leash-gateway/leash/llm"
)

// A conversation is a request as every API can be written from it. Byte slices are JSON out of the client's body.
type conversation struct {
	stream    bool
	maxTokens int64
	n         int64

	temperature, topP, topK, seed, frequency, presence []byte // numbers
	stop                                               [][]byte
	user                                               []byte
	system                                             []part
	messages                                           []message
	parts                                              []part // of all messages, one behind the other
	calls                                              []part // scratch
	tools                                              []tool
	choice                                             choice
	sequential                                         bool // tools are to be called one at a time
	format                                             format
	effort                                             effort
	thoughts                                           bool // the client wants to see what the model thinks
}

// A message is what one side says in a turn.
type message struct {
	assistant bool
	from, to  int    // in the conversation's parts
	parts     []part // the same, once all is read
}

type partKind uint8

const (
	textPart partKind = iota
	refusalPart
	thoughtPart
	imagePart
	filePart
	audioPart
	callPart
	resultPart
)

// A part is a piece of a message.
type part struct {
	kind   partKind
	text   []byte // literal
	id     []byte // of a call, and in its result
	name   []byte // of a tool, of a file
	args   []byte // of a call, and what a function of Google's answers: an object
	quoted bool   // args is a literal that holds an object
	url    []byte // literal
	mime   []byte // bytes between the quotes
	data   []byte // base64, bytes between the quotes
	parts  []part // of a result, unless it is the one text
	failed bool   // a result that is an error
	sign   []byte // literal; of a call of Google's, the signature of the thought that led to it
	cache  cacheTTL

	instructs bool // it is not the user's, though it stands in a turn of theirs
}

// isBlank tells of a text whether it is nothing but space.
func (p *part) isBlank() bool { return p.kind == textPart && isBlank(p.text) }

// isEmpty tells whether there is nothing in a part that is no call and no result. Anthropic refuses an empty text.
func (p *part) isEmpty() bool { return isEmpty(p.text) && p.url == nil && p.data == nil }

type tool struct {
	name, about, schema []byte
	strict              []byte
	cache               cacheTTL
	space               []byte // the namespace that has it
	custom              bool   // it takes a text
}

// A cacheTTL says for how long what ends with a part is to be cached.
type cacheTTL uint8

const (
	notCached cacheTTL = iota
	cachedMinutes
	cachedHour
)

type mode uint8

const (
	unset mode = iota
	auto
	never
	always
	one
)

// A choice says which tools the model is to call.
type choice struct {
	mode mode
	name []byte
}

type formatKind uint8

const (
	freeText formatKind = iota
	anyObject
	schemaOf
)

// A format says what the answer is to look like.
type format struct {
	kind         formatKind
	name, schema []byte
	strict       []byte
}

// effort is how much the model is to think.
type effort uint8

const (
	effortUnset effort = iota
	effortNone
	effortMinimal
	effortLow
	effortMedium
	effortHigh
	effortMore // what some models have above high
)

var effortNames = [...]string{"", "none", "minimal", "low", "medium", "high", "xhigh"}

// budgets are the tokens of thinking that an effort stands for, in APIs that count them.
var budgets = [...]int64{0, 0, 1024, 2048, 8192, 16384, 24576}

// levels are what Google's newer models call them. All of them think, and not all know more than these.
var levels = [...]string{"", "LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"}

func effortOf(name string) (effort, bool) {
	if name == "max" {
		return effortMore, true
	}
	for i, known := range effortNames {
		if i > 0 && name == known {
			return effort(i), true //nolint:gosec // there are seven
		}
	}
	return effortUnset, false
}

// effortOfBudget is the effort that a number of tokens comes closest to from above.
func effortOfBudget(tokens int64) effort {
	if tokens <= 0 {
		return effortNone
	}
	for e := effortLow; e <= effortHigh; e++ {
		if tokens <= budgets[e] {
			return e
		}
	}
	return effortHigh
}

// stopAt ends the answer at a text; null is none.
func (r *conversation) stopAt(text []byte) {
	if text != nil {
		r.stop = append(r.stop, text)
	}
}

// add makes a text a message.
func (r *conversation) add(assistant bool, text []byte) {
	from := r.next()
	grow(&r.parts).text = text
	r.said(assistant, from)
}

// next is where the parts of the next message begin.
func (r *conversation) next() int {
	if r.parts == nil {
		r.parts = make([]part, 0, 8)
	}
	return len(r.parts)
}

// reset forgets a conversation and keeps its memory, unless that is much. What is behind the end of a slice of parts is empty
// (grow).
func (r *conversation) reset() {
	r.stream, r.maxTokens, r.n, r.sequential, r.thoughts, r.effort = false, 0, 0, false, false, effortUnset
	r.temperature, r.topP, r.topK, r.seed, r.frequency, r.presence, r.user = nil, nil, nil, nil, nil, nil, nil
	r.choice.mode, r.choice.name = unset, nil
	r.format.kind, r.format.name, r.format.schema, r.format.strict = freeText, nil, nil, nil
	if cap(r.parts)+cap(r.messages)+cap(r.system)+cap(r.calls)+cap(r.tools)+cap(r.stop) > mostPartsKept {
		r.parts, r.messages, r.system, r.calls, r.tools, r.stop = nil, nil, nil, nil, nil, nil
		return
	}
	cut(&r.parts, 0)
	cut(&r.system, 0)
	cut(&r.calls, 0)
	clear(r.messages)
	clear(r.tools)
	clear(r.stop)
	r.messages, r.tools, r.stop = r.messages[:0], r.tools[:0], r.stop[:0]
}

// said makes the parts from an index on a message, or a piece of the last one where that is of the same side.
func (r *conversation) said(assistant bool, from int) {
	r.saidUntil(assistant, from, len(r.parts))
}

func (r *conversation) saidUntil(assistant bool, from, to int) {
	if from == to {
		return
	}
	if last := len(r.messages) - 1; last >= 0 && r.messages[last].assistant == assistant {
		r.messages[last].to = to
		return
	}
	if len(r.messages) == cap(r.messages) {
		r.messages = slices.Grow(r.messages, max(8, len(r.messages)))
	}
	r.messages = append(r.messages, message{assistant: assistant, from: from, to: to})
}

// instruct makes the parts from an index on a piece of the system prompt, or of the turn where they stand.
func (r *conversation) instruct(from int) {
	if len(r.messages) == 0 {
		r.system = append(r.system, r.parts[from:]...)
		cut(&r.parts, from)
		return
	}
	for i := from; i < len(r.parts); i++ {
		r.parts[i].instructs = true
	}
	r.said(false, from)
}

// instructFirst puts what instructs within the conversation behind the system prompt.
func (r *conversation) instructFirst() {
	for i := range r.parts {
		if r.parts[i].instructs {
			r.system = append(r.system, r.parts[i])
		}
	}
	r.leaveOut(func(p *part) bool { return p.instructs })
}

// answered makes the parts from an index on what a tool answered.
func (r *conversation) answered(id []byte, from int) {
	var text []byte
	var parts []part
	if said := r.parts[from:]; len(said) == 1 && said[0].kind == textPart {
		text = said[0].text
	} else {
		parts = slices.Clone(said)
	}
	cut(&r.parts, from)
	p := grow(&r.parts)
	p.kind, p.id, p.text, p.parts = resultPart, id, text, parts
	r.said(false, from)
}

// dropBlanks leaves out texts of nothing but space, and the messages that are nothing else: Anthropic and Bedrock refuse them, and models of others say
// such in front of a call.
func (r *conversation) dropBlanks() {
	r.system = slices.DeleteFunc(r.system, func(p part) bool { return p.isBlank() })
	r.leaveOut((*part).isBlank)
}

// leaveOut takes parts out of the conversation, and the messages that are nothing else.
func (r *conversation) leaveOut(unwanted func(*part) bool) {
	found := false
	for i := range r.parts {
		found = found || unwanted(&r.parts[i])
	}
	if !found {
		return
	}
	kept, messages := r.parts[:0], r.messages
	r.messages = r.messages[:0]
	for _, m := range messages {
		from := len(kept)
		for _, p := range r.parts[m.from:m.to] {
			if !unwanted(&p) {
				kept = append(kept, p)
			}
		}
		r.saidUntil(m.assistant, from, len(kept))
	}
	cut(&r.parts, len(kept))
}

// trimPrefill takes the space at the end of what the answer is to begin with, which Anthropic refuses.
func (r *conversation) trimPrefill() {
	if len(r.messages) == 0 {
		return
	}
	parts := r.messages[len(r.messages)-1].parts
	if last := len(parts) - 1; r.messages[len(r.messages)-1].assistant && parts[last].kind == textPart {
		if said := string(llm.AppendMeaning(nil, parts[last].text)); said != strings.TrimRight(said, blanks) {
			parts[last].text = literalOf(strings.TrimRight(said, blanks))
		}
	}
}

const blanks = " \t\r\n"

// isBlank tells of a literal whether it is nothing but space.
func isBlank(literal []byte) bool {
	for i := 1; i < len(literal)-1; i++ {
		switch literal[i] {
		case ' ':
		case '\\':
			if i++; literal[i] != 'n' && literal[i] != 't' && literal[i] != 'r' {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// settle gives the messages their parts.
func (r *conversation) settle() {
	for i := range r.messages {
		m := &r.messages[i]
		m.parts = r.parts[m.from:m.to]
	}
}

// finish is why an answer ended.
type finish uint8

const (
	finishStop finish = iota
	finishLength
	finishCalls
	finishFilter
	finishSequence // a stop sequence was met
	finishFailed   // the model brought about nothing that can be used
	finishOpen     // not yet
)

// An answer is what came back.
type answer struct {
	id      string
	choices []turn
	usage   llm.Usage
}

// turn makes room for one more, and returns it until the next one is made.
func (a *answer) turn() *turn {
	a.choices = append(a.choices, turn{})
	return &a.choices[len(a.choices)-1]
}

// failed tells whether an answer that says nothing is the body of an error, which some providers send with status 200.
func (a *answer) failed(body []byte) bool {
	for i := range a.choices {
		if len(a.choices[i].parts) > 0 {
			return false
		}
	}
	found := false
	c := llm.NewCursor(body, true)
	for o := c.Object(); c.Member(&o); {
		found = found || string(o.Name) == "error" && c.Next() == '{'
		c.Skip()
	}
	return found
}

// A turn is one of the answers to a request.
type turn struct {
	parts  []part
	finish finish
	stop   []byte // the stop sequence that was met
}

// unusable tells whether the model brought about nothing that can be used.
func (a *answer) unusable() bool {
	return slices.ContainsFunc(a.choices, func(t turn) bool { return t.finish == finishFailed })
}

// calls tells whether the model calls tools.
func (t *turn) calls() bool {
	for i := range t.parts {
		if t.parts[i].kind == callPart {
			return true
		}
	}
	return false
}

// forgetCalls leaves no call in an answer but the first.
func (a *answer) forgetCalls() {
	for i := range a.choices {
		t, called := &a.choices[i], false
		t.parts = slices.DeleteFunc(t.parts, func(p part) bool {
			before := called
			called = called || p.kind == callPart
			return before && p.kind == callPart
		})
	}
}

// ended is the finish with what the APIs disagree about settled: an answer that calls tools ends with them.
func (t *turn) ended() finish {
	if t.finish == finishStop && t.calls() {
		return finishCalls
	}
	return t.finish
}
