package provider

import (
	"strings"

	"github.com/leash-gateway/leash/llm/translate"
	"github.com/leash-gateway/leash/module"
)

// amazons tells of a content type that it is that of Amazon's streams, which have a framing of their own:
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
func (p *Provider) amazons(contentType string) bool {
	return p.api == translate.Converse && strings.EqualFold(strings.TrimSpace(contentType), "application/vnd.amazon.eventstream")
}

// amazonStream is stream for answers in Amazon's framing: what has come in whole messages goes on.
func (p *Provider) amazonStream(x *module.Exchange, attempt *attempt, body []byte, end bool) (out []byte, wait bool, err error) {
	a := &attempt.answer
	before := a.failure
	if a.held, err = a.events.Feed(a.held, body); err != nil {
		a.failure = unreadableAnswer
	}
	a.told()
	if end {
		if a.held = a.events.End(a.held); a.failure == "" && a.events.Failure() != "" {
			a.failure = streamCut
		}
	}
	switch {
	case !a.events.Begun() && a.failure == "":
		return nil, true, nil
	case !a.events.Begun() && err != nil:
		return nil, false, p.unreadable(x, attempt, err.Error())
	case !a.events.Begun() && a.failure == streamCut:
		return nil, false, p.unreadable(x, attempt, "its stream ended before it began")
	case !a.events.Begun():
		return nil, false, p.notAnAnswer(x, attempt, a.events.Failure())
	}
	if a.begun = true; a.failure == "" {
		p.settle(x, attempt)
	} else if a.failure != before {
		p.broken(x, attempt)
	}
	out, a.held = a.held, a.held[:0]
	return out, false, nil
}
