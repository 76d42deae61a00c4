package provider

import (
	"strings"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
	"github.com/leash-gateway/leash/module"
)

// answer is how far an answer has come.
type answer struct {
	failed  bool // the provider says so
	events  *translate.Stream
	decoder llm.Decoder
	out     []byte
}

// CarryAnswer decides what becomes of the answer.
func (p *Provider) CarryAnswer(x *module.Exchange) (module.Manner, error) {
	a := module.Local[attempt](x)
	if a.translation == nil {
		return module.Untouched, nil
	}
	if encoding := x.ResponseHeader("content-encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return 0, module.Refuse(502, "unreadable_answer", "the provider's answer is encoded though it was asked for plain")
	}
	kind, _, _ := strings.Cut(x.ResponseHeader("content-type"), ";")
	switch {
	case x.Status < 200 || x.Status > 299:
		a.answer.failed = true
	case strings.EqualFold(strings.TrimSpace(kind), "text/event-stream"):
		a.answer.events = a.translation.Stream(a.framing)
		if a.framing == llm.JSONArray {
			x.SetResponseHeader("content-type", "application/json")
		}
		return module.Pieces, nil
	}
	x.SetResponseHeader("content-type", "application/json")
	return module.Whole, nil
}

// CarryBody translates the answer.
func (p *Provider) CarryBody(x *module.Exchange, body []byte, end bool) (out []byte, wait bool, err error) {
	a := module.Local[attempt](x)
	switch {
	case a.answer.failed:
		return a.translation.Error(x.Status, body), false, nil
	case a.answer.events != nil:
		return a.answer.stream(body, end)
	}
	out, err = a.translation.Response(body)
	if err != nil {
		return nil, false, module.Refuse(502, "unreadable_answer", "the provider's answer cannot be read: %s", err.Error())
	}
	return out, false, nil
}

// stream translates what has come of a stream.
func (a *answer) stream(body []byte, end bool) (out []byte, wait bool, err error) {
	a.out = a.out[:0]
	event := func(f llm.Frame) (err error) {
		if f.Data != nil {
			a.out, err = a.events.Event(a.out, f.Data)
		}
		return err
	}
	if err = a.decoder.Feed(body, event); err == nil && end {
		err = a.decoder.Flush(event)
	}
	if err != nil {
		a.out = a.events.Fail(a.out, 502, "unreadable_answer", "the provider's stream cannot be read: "+err.Error())
	}
	if end {
		a.out = a.events.End(a.out)
	}
	return a.out, false, nil
}
