package provider

import (
	"bytes"
	"slices"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/breaker"
)

// Whole events of a stream go on and nothing of one that is not: behind it an error must stand that a client can read. Nothing of a
// stream goes on before an event has come that is no error and, where there is another provider, more than its opening: until then that may be asked.

// stream takes what has come of a stream.
func (p *Provider) stream(x *module.Exchange, attempt *attempt, body []byte, end bool) (out []byte, wait bool, err error) {
	if p.api == translate.Converse {
		return p.amazonStream(x, attempt, body, end)
	}
	a := &attempt.answer
	if a.over {
		return nil, false, nil // nothing can follow
	}
	before := a.failure
	a.out = a.out[:0]
	err = a.decoder.Feed(body, func(f llm.Frame) error { return p.event(x, attempt, f) })
	switch {
	case err != nil && !a.begun:
		if _, ok := err.(*module.Refusal); ok { //nolint:errorlint // event wraps nothing
			return nil, false, err
		}
		return nil, false, p.unreadable(x, attempt, err.Error())
	case err != nil:
		a.fail(x, unreadableAnswer, "the provider's stream cannot be read: "+err.Error())
	case end:
		if err := p.endStream(x, attempt); err != nil {
			return nil, false, err
		}
	}
	if a.told(); a.failure != before {
		p.broken(x, attempt)
	}
	return p.deliver(x, attempt, end)
}

// deliver lets go what the client may have of a stream. Where that has broken off it goes on elsewhere, or ends with an error.
func (p *Provider) deliver(x *module.Exchange, attempt *attempt, end bool) (out []byte, wait bool, err error) {
	a := &attempt.answer
	if a.begun && attempt.rest != nil {
		a.withhold()
		attempt.rest.note(a.out)
	}
	a.held = append(a.held, a.out...)
	if !a.begun {
		return nil, true, nil
	}
	if end && (a.failure == streamCut || len(a.parting) > 0) {
		if p.goOn(x, attempt) {
			return nil, true, nil
		}
		a.cutOff(x)
	}
	out, a.held = a.held, a.held[:0]
	return out, false, nil
}

// event takes one event of a stream.
func (p *Provider) event(x *module.Exchange, attempt *attempt, f llm.Frame) (err error) {
	a := &attempt.answer
	if f.Data != nil && !a.begun {
		if err := p.begin(x, attempt, f.Data); err != nil {
			return err
		}
	}
	switch {
	case a.events == nil:
		if f.Data != nil && !a.ended {
			if err := a.look(x.Format, f.Data); err != nil {
				return err
			}
			a.errorAt = len(a.out) // if it is one: nothing is looked at behind it
		}
		a.out = a.encoder.Frame(a.out, f)
	case f.Data != nil:
		a.out, err = a.events.Event(a.out, f.Data)
	case f.Comment():
		a.out = a.events.KeepAlive(a.out)
	}
	return err
}

// format is that of the provider's answer.
func (a *attempt) format(x *module.Exchange) llm.Format {
	if a.translation != nil {
		return a.translation.Format()
	}
	return x.Format
}

// maxOpenings is how many events are held back because they hold nothing of the answer: Azure's chats have one with what its filter says of the
// prompt, and one with the role; Anthropic's messages have two.
const maxOpenings = 2

// opening tells of an event that begins an answer and holds nothing of it. (Responses begin with two as well, but may then be silent for as long
// as the model thinks. Anthropic sends a ping behind its own.)
func opening(f llm.Format, e *llm.Event, data []byte) bool {
	switch f {
	case llm.AnthropicMessages:
		return e.Name == "message_start" || e.Name == "content_block_start" && len(e.Calls) == 0
	case llm.OpenAIChat:
		empty := len(e.Texts) == 0 || len(e.Texts) == 1 && e.Texts[0].Value == ""
		return empty && len(e.Finish) == 0 && !e.HasUsage && !e.Done && !bytes.Contains(data, toolCalls)
	}
	return false
}

// begin looks at the first events, of which one may be an error: providers that have too much to do say so behind an opening too.
func (p *Provider) begin(x *module.Exchange, attempt *attempt, data []byte) error {
	first, err := llm.ParseEvent(attempt.format(x), data)
	if err != nil {
		return err
	}
	if first.Error && (!attempt.last || attempt.translation != nil) {
		message, _ := failureIn(data)
		return p.notAnAnswer(x, attempt, message)
	}
	a := &attempt.answer
	if !attempt.last && a.openings < maxOpenings && opening(attempt.format(x), first, data) {
		a.openings++
		return nil
	}
	a.begun = true
	if !first.Error {
		p.settle(x, attempt)
	}
	return nil
}

// endStream ends a stream for the client as the provider has ended it, or with an error where that broke off.
func (p *Provider) endStream(x *module.Exchange, attempt *attempt) error {
	a := &attempt.answer
	// What stands last without the blank line behind it may be an event, as clients take it for one, or a part of one.
	last := func(f llm.Frame) error {
		if f.Data == nil {
			return nil
		}
		if _, err := llm.ParseEvent(attempt.format(x), f.Data); err != nil {
			return nil //nolint:nilerr // it was cut
		}
		if a.events == nil && a.decoder.Framing == llm.ServerSentEvents {
			f.Raw = llm.AppendFrame(nil, f.Name, f.Data)
		}
		return p.event(x, attempt, f)
	}
	if err := a.decoder.Flush(last); err != nil && !a.begun {
		return err
	}
	switch {
	case !a.begun:
		return p.unreadable(x, attempt, "its stream ended before it began")
	case a.events != nil:
		if a.told(); a.failure == "" && !a.events.Complete() {
			a.failure = streamCut // nothing is said of it yet
		} else {
			a.out = a.events.End(a.out)
		}
	case !a.ended:
		a.failure = streamCut
	default:
		a.out = a.encoder.End(a.out)
	}
	return nil
}

// withhold keeps the error that the provider has told, and what stands behind it, until it is known whether somebody goes on.
func (a *answer) withhold() {
	if a.failure != llm.ErrorInAnswer {
		return
	}
	at := 0
	switch {
	case a.parting != nil:
	case a.events != nil:
		at = len(a.out) - a.events.FailureSize()
	default:
		at = a.errorAt
	}
	a.parting = append(a.parting, a.out[at:]...)
	a.out = a.out[:at]
}

// cutOff tells the client that nothing follows of a stream that has not ended well: with the provider's own error, if it has told one.
func (a *answer) cutOff(x *module.Exchange) {
	a.out = append(a.out[:0], a.parting...)
	if len(a.parting) == 0 {
		a.fail(x, streamCut, translate.ErrCut)
	}
	a.held = append(a.held, a.out...)
}

// fail ends a stream with an error.
func (a *answer) fail(x *module.Exchange, code, message string) {
	a.over, a.failure = true, code
	if a.events != nil {
		a.out = a.events.Fail(a.out, 502, code, message)
	} else {
		a.out = a.encoder.Error(a.out, x.Format, 502, code, message)
	}
}

// endings are what an event holds, as a name or a value, that ends a stream, or a choice of it, in each format. (In a text these would stand
// between escaped quotes.) Most events hold none, and need not be parsed.
var endings = map[llm.Format][][]byte{
	llm.OpenAIChat:        {[]byte("[DONE]"), []byte(`"finish_reason"`)},
	llm.OpenAICompletions: {[]byte("[DONE]"), []byte(`"finish_reason"`)},
	llm.OpenAIResponses:   {[]byte(`"response.completed"`), []byte(`"response.incomplete"`), []byte(`"response.failed"`)},
	llm.AnthropicMessages: {[]byte(`"message_stop"`)},
	llm.GoogleStream:      {[]byte(`"finishReason"`), []byte(`"blockReason"`)},
}

var blockReason = []byte(`"blockReason"`)

// look finds out whether a stream that ends behind an event is whole. Of several choices one that has ended is enough: some providers send
// no [DONE].
func (a *answer) look(f llm.Format, data []byte) error {
	ends := slices.ContainsFunc(endings[f], func(ending []byte) bool { return bytes.Contains(data, ending) })
	if !ends && !bytes.Contains(data, errorName) {
		return nil
	}
	e, err := llm.ParseEvent(f, data)
	if err != nil {
		return err
	}
	a.ended = e.Done || e.Error || len(e.Finish) > 0 || bytes.Contains(data, blockReason)
	if e.Error {
		a.failure = llm.ErrorInAnswer
	}
	return nil
}

// told notes an error that the provider has told in a stream that is translated.
func (a *answer) told() {
	if a.events != nil && a.failure == "" && a.events.Failure() != "" {
		a.failure = llm.ErrorInAnswer
	}
}

// broken tells of a stream that did not end well.
func (p *Provider) broken(x *module.Exchange, a *attempt) {
	if !a.settled {
		p.fail(x, a, a.answer.failure)
		return
	}
	p.change(x, func(s *breaker.State) { s.Fail(x.Now(), p.breaker) })
	x.Count(errorsOf, 1, p.name, a.label, a.answer.failure)
}
