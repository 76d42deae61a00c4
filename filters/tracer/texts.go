package tracer

import (
	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module/match"
)

// texts are what was said, in the order in which it came; of a stream, pieces of one text come one behind the other.
type texts struct {
	all  []text
	size int // of all, in bytes
}

type text struct {
	role          llm.Role
	kind          llm.Kind
	message, part int
	value         []byte
}

// slack is how much more is kept than is told, so that what is cut off is not the half of something that is to be redacted.
const slack = 1024

func (t *texts) add(came []llm.Text, most int) {
	for i := range came {
		one := &came[i]
		if t.size >= most+slack {
			return
		}
		if at := t.of(one); at == nil {
			t.all = append(t.all, text{one.Role, one.Kind, one.Message, one.Part, []byte(one.Value)})
			t.size += len(one.Value)
		} else if !one.Whole {
			at.value = append(at.value, one.Value...)
			t.size += len(one.Value)
		}
	}
}

// of is the text that another goes on with.
func (t *texts) of(one *llm.Text) *text {
	for i := range t.all {
		if at := &t.all[i]; at.message == one.Message && at.part == one.Part && at.kind == one.Kind {
			return at
		}
	}
	return nil
}

// opening is how the part of a message with the text begins.
func (t *text) opening() string {
	switch {
	case t.role == llm.Tool:
		return `"tool_call_response","response":`
	case t.kind == llm.ToolArguments:
		return `"tool_call","arguments":`
	case t.kind == llm.Reasoning:
		return `"reasoning","content":`
	default:
		return `"text","content":`
	}
}

// messages are the texts as OpenTelemetry has them: https://github.com/open-telemetry/semantic-conventions-genai, gen_ai.input.messages, and where ending says why each
// ended, gen_ai.output.messages.
func (t *texts) messages(redact *match.Set, most int, ending func(message int) string) string {
	b := []byte{'['}
	for i := range t.all {
		one := &t.all[i]
		if most <= 0 {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"role":`...)
		b = llm.AppendString(b, one.role.String())
		b = append(b, `,"parts":[{"type":`...)
		b = append(b, one.opening()...)
		b = llm.AppendString(b, redact.Redacted(string(one.value), most))
		b = append(b, "}]"...)
		if ending != nil {
			b = append(b, `,"finish_reason":`...)
			b = llm.AppendString(b, ending(one.message))
		}
		b = append(b, '}')
		most -= len(one.value)
	}
	return string(append(b, ']'))
}
