package provider

import (
	"time"

	"github.com/leash-gateway/leash/module"
)

// limits are the headers in which providers tell what is left of their rate limits, and when these begin anew:
// https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers and https://docs.anthropic.com/en/api/rate-limits#response-headers
var limits = [...]struct{ left, anew string }{
	{"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
	{"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
	{"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
	{"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
	{"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
	{"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
}

// usedUp is how long nothing is left of a rate limit of the provider's; 0 where something is.
func usedUp(x *module.Exchange) (d time.Duration) {
	for _, l := range limits {
		if x.ResponseHeader(l.left) != "0" {
			continue
		}
		value := x.ResponseHeader(l.anew)
		if in, err := time.ParseDuration(value); err == nil {
			d = max(d, in)
		} else if at, err := time.Parse(time.RFC3339, value); err == nil {
			d = max(d, at.Sub(x.Now()))
		}
	}
	return d
}
