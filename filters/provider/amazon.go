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
	a.held, err = a.events.Feed(a.held, body)
	if end {
		a.held = a.events.End(a.held)
	}
	if !a.begun {
		failure := a.events.Failure()
		switch {
		case !a.events.Begun() && failure == "":
			return nil, true, nil
		case !a.events.Begun() && !attempt.last && err != nil:
			return nil, false, p.unreadable(x, attempt, err.Error())
		case !a.events.Begun() && !attempt.last:
			return nil, false, p.notAnAnswer(x, attempt, failure)
		case !a.events.Begun() && err != nil:
			p.fail(x, attempt, unreadableAnswer)
		case !a.events.Begun():
			p.fail(x, attempt, errorInAnswer)
		}
		a.begun = true
		p.settle(x, attempt)
	}
	out, a.held = a.held, a.held[:0]
	return out, false, nil
}
