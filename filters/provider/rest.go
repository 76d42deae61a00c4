package provider

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
)

// A stream that has broken off after its first words, or ends with an error there, may go on at the next provider of its route. That is asked with what has been said as a
// last turn of the model's, by the way that every attempt takes, and so its answer comes as events of the client's API, which go on behind
// those that the client has. (docs/decisions/106-streams-that-go-on-elsewhere.md)

// rest is what it takes to get the rest of an answer.
type rest struct {
	format  llm.Format
	header  [][2]string // of the request, as the other modules have left it
	body    []byte
	next    int         // the attempt that is made next
	client  llm.Decoder // of what the client has been sent
	text    []byte      // that has been said
	opened  bool        // Anthropic's block of text has
	barred  bool        // the client has something that nobody else can go on with
	started bool        // some event has come of the rest
	blank   bool        // what has been said ends with blanks, which no provider is told: Anthropic refuses such turns
}

// restTime bounds how long the rest of an answer may take; the route's own bounds end it sooner.
const restTime = 10 * time.Minute

// blanks are what text may not end with.
const blanks = " \t\r\n"

// wantsRest prepares for a break, where the route wants the stream to go on and there is another target.
func wantsRest(x *module.Exchange, body []byte, number int) *rest {
	switch x.Format {
	case llm.OpenAIChat, llm.AnthropicMessages:
	case llm.GoogleStream:
		if !strings.Contains(x.RequestHeader(":path"), asEvents) {
			return nil
		}
	default:
		return nil // whose events tell of all that came before, or whose requests have no turns
	}
	return &rest{format: x.Format, header: x.RequestHeaders(), body: body, next: number + 1}
}

// note looks at what the client is sent.
func (r *rest) note(sent []byte) {
	err := r.client.Feed(sent, func(f llm.Frame) error {
		if f.Data == nil {
			return nil
		}
		e, err := llm.ParseEvent(r.format, f.Data)
		if err == nil {
			r.said(e, f.Data)
		}
		return err
	})
	r.barred = r.barred || err != nil
}

var toolCalls = []byte(`"tool_calls"`)

// calls are what events hold of which a part cannot be told to another model.
var calls = [][]byte{toolCalls, []byte(`"function_call"`), []byte(`"functionCall"`)}

var textBlock = []byte(`"type":"text"`)

func (r *rest) said(e *llm.Event, data []byte) {
	for i := range e.Texts {
		switch t := &e.Texts[i]; {
		case t.Value == "":
		case t.Kind == llm.Reasoning && r.format != llm.AnthropicMessages:
		case t.Kind == llm.Content && t.Message == 0 && t.Part == 0:
			r.text = append(r.text, t.Value...)
		default:
			r.barred = true
		}
	}
	for _, call := range calls {
		r.barred = r.barred || bytes.Contains(data, call)
	}
	switch e.Name {
	case "content_block_start":
		r.barred, r.opened = r.barred || r.opened || !bytes.Contains(data, textBlock), true
	case "content_block_stop":
		r.barred = true
	}
	r.barred = r.barred || e.Done || e.Error || len(e.Finish) > 0
}

// goOn asks for the rest of an answer that has broken off. It is false where nobody can be asked.
func (p *Provider) goOn(x *module.Exchange, a *attempt) bool {
	r := a.rest
	if r == nil || r.barred {
		return false
	}
	said := strings.TrimRight(string(r.text), blanks)
	body := r.body
	if said != "" {
		longer, ok := llm.WithTurn(r.format, body, said)
		if !ok {
			return false
		}
		body = longer
	}
	for {
		number := strconv.Itoa(r.next)
		target, model := valueOf(r.header, TargetHeader+number), valueOf(r.header, ModelHeader+number)
		if target == "" {
			return false
		}
		r.next, r.started, r.blank = r.next+1, false, len(said) < len(r.text)
		err := x.Elsewhere(r.call(target, number, body), func(result module.CallResult) ([]byte, bool, error) {
			return p.goesOn(x, a, result, target, model)
		})
		if err == nil {
			return true
		}
	}
}

func valueOf(headers [][2]string, name string) string {
	for _, h := range headers {
		if h[0] == name {
			return h[1]
		}
	}
	return ""
}

// call is the request, as the route's next attempt would be.
func (r *rest) call(target, number string, body []byte) module.Call {
	call := module.Call{Upstream: CarrierUpstream + target, Body: body, Timeout: restTime}
	for _, h := range r.header {
		switch h[0] {
		case ":method":
			call.Method = h[1]
		case ":path":
			call.Path = h[1]
		case ":authority":
			call.Authority = h[1]
		case ":scheme", "content-length", "transfer-encoding", "connection", AttemptHeader, MidStreamHeader:
		default:
			call.Header = append(call.Header, h)
		}
	}
	call.Header = append(call.Header, [2]string{AttemptHeader, number}, [2]string{RestHeader, "1"}, [2]string{"content-length", strconv.Itoa(len(body))})
	return call
}

// goesOn takes the rest of an answer, or asks the one after the next.
func (p *Provider) goesOn(x *module.Exchange, attempt *attempt, result module.CallResult, target, model string) (out []byte, wait bool, err error) {
	a := &attempt.answer
	a.out = a.out[:0]
	whole := false
	if kind, _, _ := strings.Cut(valueOf(result.Header, "content-type"), ";"); result.Status == 200 && kind == "text/event-stream" {
		a.out, whole = attempt.rest.take(a.out, result.Body)
	}
	a.held = append(a.held, a.out...)
	a.out = a.out[:0]
	switch {
	case whole:
		name, _, _ := strings.Cut(target, "#")
		if model == "" {
			model = valueOf(attempt.rest.header, LabelHeader)
		}
		x.Count(resumed, 1, name, model)
	case p.goOn(x, attempt):
		return nil, true, nil
	default:
		a.cutOff(x)
	}
	out, a.held = a.held, nil
	return out, false, nil
}

// errNotRest says that what came cannot stand behind what the client has.
var errNotRest = errors.New("it is not the rest of the answer")

// take appends the events of the rest, and tells whether they are all.
func (r *rest) take(dst, stream []byte) (longer []byte, whole bool) {
	var d llm.Decoder
	event := func(f llm.Frame) error {
		if f.Data == nil {
			return nil
		}
		e, err := llm.ParseEvent(r.format, f.Data)
		switch {
		case err != nil:
			return err
		case e.Error:
			return errNotRest
		}
		whole = whole || e.Done || len(e.Finish) > 0
		if opens, err := r.opens(e, f.Data); opens || err != nil {
			return err
		}
		data := f.Data
		if r.blank && len(e.Texts) > 0 {
			text := strings.TrimLeft(e.Texts[0].Value, blanks) // the client has them
			e.SetText(0, text)
			data, r.blank = e.Data(), text == ""
		}
		dst = llm.AppendFrame(dst, f.Name, data)
		r.said(e, data)
		return nil
	}
	err := d.Feed(stream, event)
	if err == nil {
		err = d.Flush(event)
	}
	return dst, err == nil && whole
}

// opens tells of an event that begins an answer, which the client has had already.
func (r *rest) opens(e *llm.Event, data []byte) (bool, error) {
	first := !r.started
	switch {
	case r.format == llm.AnthropicMessages:
		switch e.Name {
		case "message_start", "ping":
			return true, nil
		case "content_block_start":
			r.started = true
			if first && !bytes.Contains(data, textBlock) {
				return true, errNotRest
			}
			return first && r.opened, nil
		}
		return false, nil
	case r.format == llm.OpenAIChat && first:
		opens := opening(r.format, e, data)
		r.started = !opens
		return opens, nil
	}
	return false, nil
}
