package tracer

import (
	"cmp"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module/match"
	"github.com/leash-gateway/leash/module/record"
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
	id, name      string // of a tool's call
	value         []byte
}

// slack is how much more is kept than is told, so that what is cut off is not the half of something that is to be redacted.
const slack = 1024

// add takes down what a body says.
func (t *texts) add(came []llm.Text, calls []llm.Call, most int) {
	t.say(came, most, len(t.all), false)
	for i := range calls {
		t.call(&calls[i], most, false)
	}
}

// addPieces takes down what an event says, whose texts may go on with those of events before.
func (t *texts) addPieces(came []llm.Text, calls []llm.Call, most int) {
	before := len(t.all)
	for i := range calls {
		t.call(&calls[i], most, len(came) == 0 || came[0].Whole)
	}
	t.say(came, most, before, true)
}

// say adds texts to those there are, of which the first are from events before.
func (t *texts) say(came []llm.Text, most, before int, pieces bool) {
	for i := range came {
		one := &came[i]
		if t.size >= most+slack {
			return
		}
		at := t.of(one.Message, one.Part, one.Kind)
		switch {
		case at < 0:
			t.all = append(t.all, text{role: one.Role, kind: one.Kind, message: one.Message, part: one.Part, value: []byte(one.Value)})
		case pieces && one.Whole && at < before: // all of what came in pieces
			continue
		default:
			to := &t.all[at]
			if (!pieces || one.Whole) && len(to.value) > 0 { // two of one part, such as the name of an argument and its value
				to.value = append(to.value, ' ')
			}
			to.value = append(to.value, one.Value...)
		}
		t.size += len(one.Value)
	}
}

// call adds which tool is called or answers. In a stream it comes ahead of what the tool is called with, and where all of that is here, another
// call that goes by no id is not the one before, though Google's have the same place.
func (t *texts) call(c *llm.Call, most int, whole bool) {
	role, kind := llm.Assistant, llm.ToolArguments
	if c.Answers {
		role, kind = llm.Tool, llm.Content
	}
	at := t.of(c.Message, c.Part, kind)
	if at >= 0 && whole && t.all[at].name != "" && (c.ID == "" || c.ID != t.all[at].id) {
		at = -1
	}
	if at < 0 {
		if t.size >= most+slack {
			return
		}
		at = len(t.all)
		t.all = append(t.all, text{role: role, kind: kind, message: c.Message, part: c.Part})
	}
	if to := &t.all[at]; to.id == "" && to.name == "" {
		to.id, to.name = strings.Clone(record.Cut(c.ID)), strings.Clone(record.Cut(c.Name))
		t.size += len(to.id) + len(to.name)
	}
}

// of is the last text at a place; -1 if there is none.
func (t *texts) of(message, part int, kind llm.Kind) int {
	for i := len(t.all) - 1; i >= 0; i-- {
		if at := &t.all[i]; at.message == message && at.part == part && at.kind == kind {
			return i
		}
	}
	return -1
}

// appendOpening begins the part of a message that the text is, up to its value.
func (t *text) appendOpening(b []byte) []byte {
	content := `,"content":`
	b = append(b, `{"type":"`...)
	switch {
	case t.role == llm.Tool:
		b, content = append(b, `tool_call_response"`...), `,"response":`
	case t.kind == llm.ToolArguments:
		b, content = append(b, `tool_call"`...), `,"arguments":`
	case t.kind == llm.Reasoning:
		b = append(b, `reasoning"`...)
	default:
		b = append(b, `text"`...)
	}
	if t.id != "" {
		b = append(b, `,"id":`...)
		b = llm.AppendString(b, t.id)
	}
	if t.kind == llm.ToolArguments && t.role != llm.Tool { // the name is demanded
		b = append(b, `,"name":`...)
		b = llm.AppendString(b, t.name)
	}
	return append(b, content...)
}

// messages are the texts as OpenTelemetry has them: https://github.com/open-telemetry/semantic-conventions-genai, gen_ai.input.messages, and where ending says why each
// ended, gen_ai.output.messages.
func (t *texts) messages(redact *match.Set, most int, ending func(message int) string) string {
	slices.SortStableFunc(t.all, func(a, b text) int { return cmp.Compare(a.message, b.message) }) // pieces of choices come one between the other
	b := []byte{'['}
	for i := range t.all {
		one := &t.all[i]
		if most <= 0 {
			break
		}
		if i > 0 && t.all[i-1].message == one.message && t.all[i-1].role == one.role {
			b = append(b, ',')
		} else {
			if i > 0 {
				b = t.end(b, i-1, ending)
				b = append(b, ',')
			}
			b = append(b, `{"role":`...)
			b = llm.AppendString(b, one.role.String())
			b = append(b, `,"parts":[`...)
		}
		b = one.appendOpening(b)
		b = llm.AppendString(b, redact.Redacted(string(one.value), most))
		b = append(b, '}')
		most -= len(one.value)
		if i+1 == len(t.all) || most <= 0 {
			b = t.end(b, i, ending)
		}
	}
	return string(append(b, ']'))
}

// end closes the message whose last part is the text i.
func (t *texts) end(b []byte, i int, ending func(message int) string) []byte {
	b = append(b, ']')
	if ending != nil {
		b = append(b, `,"finish_reason":`...)
		b = llm.AppendString(b, ending(t.all[i].message))
	}
	return append(b, '}')
}
