package module_test

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// withholds keeps the texts of a stream to itself until its end, as the contentfilter does with what may begin a match.
func withholds(seen *string) script {
	var text string
	return script{usage: true, event: func(_ *module.Exchange, e *module.Event) error {
		if e.Done {
			last, err := llm.ParseEvent(llm.GoogleStream, []byte(`{"candidates":[{"content":{"parts":[{"text":"`+text+`"}]}}]}`))
			e.InsertBefore(last)
			return err
		}
		for i := range e.Texts {
			text += e.Texts[i].Value
			e.Drop()
		}
		return nil
	}, finish: func(*module.Exchange) { *seen = text }}
}

func TestAStreamThatEndsWithTrailersIsWhole(t *testing.T) {
	const one, two = `{"candidates":[{"content":{"parts":[{"text":"one "}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"two"}]}}]}`
	const last = `{"candidates":[{"finishReason":"STOP"}]}`
	const both = `{"candidates":[{"content":{"parts":[{"text":"one two"}]}}]}`
	sse := map[string]string{"content-type": "text/event-stream"}
	tests := map[string]struct {
		header map[string]string
		chunks []string
		want   string
	}{
		"events":                       {sse, []string{"data: " + one + "\n\n", "data: " + two + "\n\n"}, "data: " + both + "\n\n"},
		"the last without its end":     {sse, []string{"data: " + one + "\n\n", "data: " + two + "\n"}, "data: " + both + "\n\n"},
		"the last in pieces":           {sse, []string{"data: " + one + "\n\n", "data: " + two[:9], two[9:]}, "data: " + both + "\n\n"},
		"an array":                     {nil, []string{"[" + one, "," + two + "]"}, "[" + both + "]"},
		"an array and what goes on":    {nil, []string{"[" + one, "," + two + "," + last + "]"}, "[" + last + "," + both + "]"},
		"an array whose end is behind": {nil, []string{"[" + one, "," + last + ",", two, "\n]", "\n"}, "[" + last + "," + both + "\n]\n"},
		"an array, blanks behind it":   {nil, []string{"[" + one + "," + last + "]", "\n", " "}, "[" + last + "," + strings.Replace(both, "one two", "one ", 1) + "]\n "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for _, trailers := range []bool{true, false} {
				seen, completed := "", false
				watching := script{finish: func(x *module.Exchange) { completed = x.Completed }}
				got := run(t, policy(watching), policy(withholds(&seen))).Do(moduletest.Exchange{
					Path: "/v1beta/models/m:streamGenerateContent", Request: `{"contents":[{"parts":[{"text":"hi"}]}]}`,
					AnswerHeader: tc.header, AnswerChunks: tc.chunks, Trailers: trailers,
				})
				body := strings.ReplaceAll(got.Body, ",\r\n", ",")
				if got.Status != 200 || body != tc.want || !completed {
					t.Errorf("with trailers %v: got %d %q, want %q; completed: %v", trailers, got.Status, body, tc.want, completed)
				}
			}
		})
	}
}

// TestModulesAreToldWhatNothingCanBeAddedTo has bytes that have gone on when the trailers come.
func TestModulesAreToldWhatNothingCanBeAddedTo(t *testing.T) {
	seen, completed := "", true
	watching := script{finish: func(x *module.Exchange) { completed = x.Completed }}
	h := run(t, policy(watching), policy(withholds(&seen)))
	const one, two = `{"candidates":[{"finishReason":"STOP"}]}`, `{"candidates":[{"content":{"parts":[{"text":"two"}]}}],"usageMetadata":{"promptTokenCount":9}}`
	got := h.Do(moduletest.Exchange{
		Path: "/v1beta/models/m:streamGenerateContent", Request: `{"contents":[{"parts":[{"text":"hi"}]}]}`, Trailers: true,
		AnswerHeader: map[string]string{"content-type": "text/event-stream"}, AnswerChunks: []string{"data: " + one + "\n\ndata: " + two + "\n"},
	})
	if got.Body != "data: "+one+"\n\n" || seen != "two" || completed {
		t.Errorf("got %q, and the module has seen %q, want two; it is told that the answer was completed: %v", got.Body, seen, completed)
	}
}
