package llm

import (
	"bytes"
	"strconv"
)

// An Event is a view on one event of a streamed answer. Its fields are what was parsed; they are changed by the methods
// only.
type Event struct {
	Done      bool // data: [DONE], the end of the stream
	Error     bool // the provider reports an error in mid-stream
	ID        string
	Model     string
	Texts     []Text   // the pieces that it adds to the choices' texts; Message is the choice's index
	Finish    []Finish // the choices that end with it
	Usage     Usage
	HasUsage  bool
	UsageOnly bool // it has usage and no choices: the extra event that stream_options.include_usage asks for

	data    string
	edits   edits
	made    bool // by WithText
	choices span // the value of "choices"
	usage   span // the value of "usage"
	few     [1]Text
}

// A Finish says why a choice ended.
type Finish struct {
	Choice int // its index
	Reason string
}

// ParseEvent reads the data of one server-sent event (Frame.Data). It checks and fails as ParseResponse does. Format
// must be OpenAIChat. It keeps nothing of data. BenchmarkParseEvent measures it.
//
// Arguments of tool calls are texts too; Part is the index that the event gives the call.
func ParseEvent(f Format, data []byte) (*Event, error) {
	if f != OpenAIChat {
		return nil, errFormat
	}
	e := &Event{data: string(data)}
	if string(bytes.TrimSpace(data)) == "[DONE]" {
		e.Done = true
		return e, nil
	}
	a := answer{reader: reader{whole: e.data, texts: e.few[:0]}}
	a.read(data)
	if err := a.outcome(); err != nil {
		return nil, err
	}
	e.Error, e.ID, e.Model, e.Texts, e.Usage, e.HasUsage = a.hasError, a.id, a.model, a.texts, a.usage, a.hasUsage
	e.UsageOnly = e.HasUsage && a.choices == 0
	e.choices, e.usage = a.choicesAt, a.usageAt
	for _, ending := range a.endings {
		e.Finish = append(e.Finish, ending.Finish)
	}
	return e, nil
}

// SetText replaces the value of Texts[i]. The log probabilities of its choice become null, since they spell out what
// was replaced.
func (e *Event) SetText(i int, s string) { e.edits.setAnswer(&e.Texts[i], s) }

// Edited tells whether Data differs from the data of any event that was received.
func (e *Event) Edited() bool { return e.made || len(e.edits) > 0 }

// Data returns the event's data with all edits, in a new slice.
func (e *Event) Data() []byte {
	if len(e.edits) == 0 {
		return []byte(e.data)
	}
	return splice(e.data, e.edits)
}

// WithText returns a copy of e that carries only Texts[i], with the value s, and neither finish reason nor usage. What
// stands outside choices and usage is as in e. Text that was held back goes out with it before its choice ends.
func (e *Event) WithText(i int, s string) *Event {
	t := e.Texts[i]
	opening, closing := t.place.delta(t.Part)
	choices := make([]byte, 0, len(s)+128)
	choices = append(choices, `[{"index":`...)
	choices = strconv.AppendInt(choices, int64(t.Message), 10)
	choices = append(choices, `,"delta":{`...)
	choices = append(choices, opening...)
	start := len(choices)
	choices = appendString(choices, s)
	end := len(choices)
	choices = append(choices, closing...)
	choices = append(choices, `},"finish_reason":null}]`...)

	parts := edits{{at: e.choices, json: choices}}
	at := int(e.choices.start)
	if !e.usage.empty() {
		parts = append(parts, edit{at: e.usage, json: []byte("null")})
		if e.usage.start < e.choices.start {
			at += len("null") - int(e.usage.end-e.usage.start)
		}
	}
	c := &Event{ID: e.ID, Model: e.Model, data: string(splice(e.data, parts)), made: true}
	c.choices = spanOf(at, at+len(choices))
	t.Value, t.at, t.logprobs, t.slot = s, spanOf(at+start, at+end), span{}, 0
	c.few[0] = t
	c.Texts = c.few[:]
	return c
}

// delta is what stands before and after a text in the delta of a choice.
func (p place) delta(part int) (opening, closing string) {
	switch p {
	case inRefusal, inRefusalPart:
		return `"refusal":`, ``
	case inReasoningContent:
		return `"reasoning_content":`, ``
	case inReasoning:
		return `"reasoning":`, ``
	case inToolFunction:
		return `"tool_calls":[{"index":` + strconv.Itoa(part) + `,"function":{"arguments":`, `}}]`
	case inToolCustom:
		return `"tool_calls":[{"index":` + strconv.Itoa(part) + `,"custom":{"input":`, `}}]`
	case inFunctionCall:
		return `"function_call":{"arguments":`, `}`
	default:
		return `"content":`, ``
	}
}
