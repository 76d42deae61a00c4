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
	if a.out, err = a.events.Feed(a.out[:0], body); err != nil {
		a.failure = unreadableAnswer
	}
	switch a.told(); {
	case end && a.failure == "" && !a.events.Complete():
		a.failure = streamCut // nothing is said of it yet
	case end:
		a.out = a.events.End(a.out)
	}
	switch {
	case a.events.Begun() && a.failure == "":
		a.begun = true
		p.settle(x, attempt)
	case a.events.Begun() && a.failure != before:
		a.begun = true
		p.broken(x, attempt)
	case a.events.Begun() || a.failure == "":
	case err != nil:
		return nil, false, p.unreadable(x, attempt, err.Error())
	case a.failure == streamCut:
		return nil, false, p.unreadable(x, attempt, "its stream ended before it began")
	default:
		return nil, false, p.notAnAnswer(x, attempt, a.events.Failure())
	}
	return p.deliver(x, attempt, end)
}
