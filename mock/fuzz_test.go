package mock

import (
	"testing"

	"github.com/tidwall/gjson"
)

// Whatever comes, the answer is JSON (or a stream), and never a crash.
func FuzzChat(f *testing.F) {
	f.Add(message("say: x", ""))
	f.Add(message("call: f {\"a\":1}", `,"tools":[{"type":"function","function":{"name":"f"}}],"n":3`))
	f.Add(message("lorem: 9", `,"stream":true,"stream_options":{"include_usage":true},"stop":["a","b"],"max_tokens":3`))
	f.Add(`{"model":"m?chunk=1&escape=true","messages":[{"role":"user","content":[{"type":"text","text":"\ud800"}]}]}`)
	f.Add(`{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[1],"tool_choice":"required"}`)
	p := New(Options{})
	f.Fuzz(func(t *testing.T, body string) {
		req, fault := parseChat([]byte(body))
		if fault != nil {
			if !gjson.ValidBytes(openAI.errorBody(fault)) {
				t.Errorf("%s is not JSON", openAI.errorBody(fault))
			}
			return
		}
		var ignored Behavior
		if _, err := cutModel(req.model, &ignored); err != nil || req.n > 4 || ignored != (Behavior{}) {
			return // its time and its memory are as wanted
		}
		w := chat(t, p, body)
		if !req.stream && !gjson.Valid(w.Body.String()) {
			t.Errorf("%s is not JSON", w.Body)
		}
	})
}

func FuzzParseBehavior(f *testing.F) {
	f.Add("status=429&retry_after=2s&drop=true&gzip=always")
	f.Add("times=3&delay=-1s")
	f.Fuzz(func(t *testing.T, query string) {
		b, err := ParseBehavior(query)
		if err != nil {
			return
		}
		raw, err := b.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var again Behavior
		if err := again.UnmarshalJSON(raw); err != nil || again != b {
			t.Errorf("%q reads as %+v, and written and read again as %+v (%v)", query, b, again, err)
		}
	})
}
