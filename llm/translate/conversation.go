package translate

import "github.com/leash-gateway/leash/llm"

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
	parts     []part
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
	parts  []part // of a result
	failed bool   // a result that is an error
}

type tool struct {
	name, about, schema []byte
	strict              []byte
}

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

// add adds parts to the conversation, to its last message where that is of the same side.
func (r *conversation) add(assistant bool, parts ...part) {
	if len(parts) == 0 {
		return
	}
	if last := len(r.messages) - 1; last >= 0 && r.messages[last].assistant == assistant {
		r.messages[last].parts = append(r.messages[last].parts, parts...)
		return
	}
	if r.messages == nil {
		r.messages = make([]message, 0, 16)
	}
	r.messages = append(r.messages, message{assistant, parts})
}

// finish is why an answer ended.
type finish uint8

const (
	finishStop finish = iota
	finishLength
	finishCalls
	finishFilter
	finishSequence // a stop sequence was met
	finishOpen     // not yet
)

// An answer is what came back.
type answer struct {
	id      string
	choices []turn
	usage   llm.Usage
}

// A turn is one of the answers to a request.
type turn struct {
	parts  []part
	finish finish
	stop   []byte // the stop sequence that was met
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

// ended is the finish with what the APIs disagree about settled: an answer that calls tools ends with them.
func (t *turn) ended() finish {
	if t.finish == finishStop && t.calls() {
		return finishCalls
	}
	return t.finish
}
