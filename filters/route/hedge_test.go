package route

import (
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

const hurried = `{"routes":[{"model":"best","hedged":true,"targets":[{"provider":"a","without":["tools"]},{"provider":"b"}]}]}`

func TestOfSeveralAttemptsThatAreUnderWayTheAnswerTellsWhich(t *testing.T) {
	tests := map[string]struct{ answered, provider string }{
		"the first, though there were two": {"1", "a"},
		"the second":                       {"2", "b"},
		"nobody says":                      {"", "b"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, hurried).Do(moduletest.Exchange{
				Request: chat("best"), Answer: `{}`, AnswerHeader: map[string]string{AnsweredHeader: tc.answered},
				Properties: map[string]string{"upstream.request_attempt_count": "\x02\x00\x00\x00\x00\x00\x00\x00"},
			})
			if provider := got.Properties["leash.fact."+module.FactProvider]; provider != tc.provider || got.SentHeader[HedgeHeader] != "1" {
				t.Errorf("got %s, told %v, want %s", provider, got.SentHeader, tc.provider)
			}
			if got.Header[AnsweredHeader] != "" {
				t.Errorf("the client reads %v", got.Header)
			}
		})
	}
}

func TestWhereOneTargetIsLeftNothingIsHedged(t *testing.T) {
	got := newHost(t, hurried).Do(moduletest.Exchange{
		Request: `{"model":"best","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}`,
		Answer:  `{}`, AnswerHeader: map[string]string{AnsweredHeader: "1"},
	})
	if got.SentHeader[HedgeHeader] != "" || sent(got) != "~ 0 b=" || got.Header[AnsweredHeader] != "" {
		t.Errorf("told %v, the client reads %v", got.SentHeader, got.Header)
	}
}
