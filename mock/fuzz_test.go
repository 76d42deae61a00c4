package mock

import (
	"net/http"
	"strings"
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

// The same of all other methods.
func FuzzEveryAPI(f *testing.F) {
	const predict = "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict"
	targets := []string{
		"/v1/responses", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/messages/count_tokens", generatePath, streamPath, conversePath,
		conversePath + "-stream", azureChat + "?api-version=1", vertexModels + "google/models/m:predict", predict, "/token",
		strings.Replace(generatePath, "generateContent", "batchEmbedContents", 1),
	}
	for i, body := range []string{
		responsesOf("think: a\nsay: x", `,"stream":true,"reasoning":{"summary":"auto"}`), `{"model":"m","prompt":["a",[1,2]],"n":2}`, `{"model":"m","input":[[1],"a"]}`,
		messagesOf("call: f {}", messagesTool), messagesOf("a", ""), generateOf("look", `,"generationConfig":{"responseSchema":{"type":"OBJECT"}}`),
		generateOf("a", ""), converseOf("a", ""), converseOf("say: b", `,"toolConfig":{"tools":[]}`), message("refuse: a", ""), `{"instances":[{"content":"a"}]}`,
		`{"anthropic_version":"vertex-2023-10-16","max_tokens":1,"messages":[{"role":"user","content":"a"}]}`, "grant_type=a&assertion=b.c.d",
		`{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}`,
	} {
		f.Add(uint8(i), body) //nolint:gosec // there are few
	}
	p := New(Options{})
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		if strings.Contains(body, "?") || strings.Contains(body, "lorem:") {
			return // its time and its memory are as wanted
		}
		target := targets[int(which)%len(targets)]
		w := ask(t, p, http.MethodPost, target, body, "Authorization", "Bearer any")
		streamed := strings.Contains(w.Header().Get("Content-Type"), "stream")
		if w.Code == 200 && !streamed && !gjson.Valid(w.Body.String()) || w.Code >= 500 {
			t.Errorf("%s of %q: got %d %s", target, body, w.Code, w.Body)
		}
	})
}
