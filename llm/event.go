package llm

import (
	"bytes"
	"strconv"
)

// An Event is a view on one event of a streamed answer. Its fields are what was parsed; they are changed by the methods
// only.
type Event struct {
	Name       string // of the event itself, where the format names events; the data says the same
	Done       bool   // the end of the stream, such as data: [DONE]. Google's streams have none
	Error      bool   // the provider reports an error in mid-stream
	ID         string
	Model      string
	Texts      []Text     // the pieces that it adds to the choices' texts; Message is the choice's index
	Calls      []Call     // that begin with it
	Closed     []Position // the texts that end with it, in formats that say so
	Finish     []Finish   // the choices that end with it
	Usage      Usage
	HasUsage   bool // it has the usage of the whole exchange (Usage.Joined with what came before)
	UsageSoFar bool // it has a usage that will grow
	UsageOnly  bool // it has usage and no choices: the extra event that stream_options.include_usage asks for

	format  Format
	data    string
	edits   edits
	made    bool // by WithText
	choices span // the value of "choices"
	usage   span // the value of "usage"
	probs   []probabilities
	few     [1]Text
}

// A Finish says why a choice ended.
type Finish struct {
	Choice int // its index
	Reason string
}

// A Position is where a text stands in an answer, in the numbers of Text.
type Position struct{ Message, Part int }

// ParseEvent reads the data of one event of a stream (Frame.Data). It checks and fails as ParseResponse does. It keeps
// nothing of data. BenchmarkParseEvent measures it.
//
// Arguments of tool calls are texts too. Part is the index that the event gives the call, or the part or block that a text
// goes on with; and Message, in OpenAI's responses, is the index of the output item.
func ParseEvent(f Format, data []byte) (*Event, error) {
	if string(bytes.TrimSpace(data)) == "[DONE]" { // with which some servers end streams of Anthropic's API and of responses too, vLLM among them
		return &Event{format: f, data: string(data), Done: true}, nil
	}
	if f != OpenAIChat && f != OpenAICompletions {
		return parseEvent(f, data)
	}
	e := &Event{format: f, data: string(data)}
	a := answer{reader: reader{whole: e.data, texts: e.few[:0]}}
	a.read(data)
	if err := a.outcome(); err != nil {
		return nil, err
	}
	e.Error, e.ID, e.Model, e.Texts, e.Calls, e.Usage, e.HasUsage = a.hasError, a.id, a.model, a.texts, a.calls, a.usage, a.hasUsage
	e.UsageOnly = e.HasUsage && a.choices == 0
	e.choices, e.usage, e.probs = a.choicesAt, a.usageAt, a.probs
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
	if e.format != OpenAIChat && e.format != OpenAICompletions {
		return e.withText(i, s)
	}
	t := e.Texts[i]
	opening, closing := t.place.delta(t.Part)
	choices := make([]byte, 0, len(s)+128)
	choices = append(choices, `[{"index":`...)
	choices = strconv.AppendInt(choices, int64(t.Message), 10)
	choices = append(choices, opening...)
	start := len(choices)
	choices = appendString(choices, s)
	end := len(choices)
	choices = append(choices, closing...)
	choices = append(choices, `,"finish_reason":null}]`...)

	parts := edits{{at: e.choices, json: choices}}
	at := int(e.choices.start)
	if !e.usage.empty() {
		parts = append(parts, edit{at: e.usage, json: []byte("null")})
		if e.usage.start < e.choices.start {
			at += len("null") - int(e.usage.end-e.usage.start)
		}
	}
	c := &Event{format: e.format, ID: e.ID, Model: e.Model, data: string(splice(e.data, parts)), made: true}
	c.choices = spanOf(at, at+len(choices))
	t.Value, t.at, t.logprobs, t.slot = s, spanOf(at+start, at+end), span{}, 0
	c.few[0] = t
	c.Texts = c.few[:]
	return c
}

// delta is what stands before and after a text in a choice.
func (p place) delta(part int) (opening, closing string) {
	const open, end = `,"delta":{`, `}`
	switch p {
	case inRefusal, inRefusalPart:
		return open + `"refusal":`, end
	case inReasoningContent:
		return open + `"reasoning_content":`, end
	case inReasoning:
		return open + `"reasoning":`, end
	case inToolFunction:
		return open + `"tool_calls":[{"index":` + strconv.Itoa(part) + `,"function":{"arguments":`, `}}]` + end
	case inToolCustom:
		return open + `"tool_calls":[{"index":` + strconv.Itoa(part) + `,"custom":{"input":`, `}}]` + end
	case inFunctionCall:
		return open + `"function_call":{"arguments":`, `}` + end
	case inTranscript:
		return open + `"audio":{"transcript":`, `}` + end
	case inDetails:
		return open + `"reasoning_details":[{"type":"reasoning.text","text":`, `}]` + end
	case inChoiceText:
		return `,"text":`, `,"logprobs":null`
	default:
		return open + `"content":`, end
	}
}
