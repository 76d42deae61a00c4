package provider

import "testing"

func TestTheModelOfARequestIsFound(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"gpt-4o-mini","messages":[]}`:                "gpt-4o-mini",
		`{"messages":[{"model":"within"}],"model":"g\u0070t"}`: "gpt",
		`{"messages":[]}`: "",
		`{"model":7}`:     "",
		`[`:               "",
		``:                "",
	} {
		if got := modelOf([]byte(body)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

func TestAnErrorInPlaceOfAnAnswerIsFound(t *testing.T) {
	for body, want := range map[string]struct {
		message string
		failed  bool
	}{
		`{"error":{"code":500,"message":"out of \u0068ours"}}`: {"out of hours", true},
		`{"id":"1","error":{"type":"overloaded"}}`:             {"", true},
		`{"id":"1","error":null,"choices":[]}`:                 {"", false},
		`{"id":"1","error":"no object"}`:                       {"", false},
		`{"choices":[{"error":{"message":"within"}}]}`:         {"", false},
		`{"error":{"type":`:                                    {"", true},
		`garbage`:                                              {"", false},
	} {
		if message, failed := failureIn([]byte(body)); message != want.message || failed != want.failed {
			t.Errorf("%s: got %q %v, want %+v", body, message, failed, want)
		}
	}
}
