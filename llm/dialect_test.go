package llm_test

import (
	"fmt"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func TestDialectsChangeNothingButWhatTheyMust(t *testing.T) {
	oldLimit, without, vertex := (*llm.Request).OldLimit, (*llm.Request).WithoutStreamOptions, (*llm.Request).ForVertex
	const messages = `"messages":[{"role":"user","content":"hi"}]`
	tests := map[string]struct {
		change func(*llm.Request)
		format llm.Format
		body   string
		want   string
	}{
		"the limit's name":            {oldLimit, llm.OpenAIChat, `{"model":"m", "max_completion_tokens": 7,` + messages + `}`, `{"model":"m", "max_tokens": 7,` + messages + `}`},
		"both limits":                 {oldLimit, llm.OpenAIChat, `{"model":"m","max_tokens":9,` + messages + ` , "max_completion_tokens": 7 }`, `{"model":"m","max_tokens":7,` + messages + `  }`},
		"one of them null":            {oldLimit, llm.OpenAIChat, `{"model":"m","max_completion_tokens":null,"max_tokens":9,` + messages + `}`, `{"model":"m","max_tokens":9,` + messages + `}`},
		"no limit":                    {oldLimit, llm.OpenAIChat, `{"model":"m","max_tokens":9,` + messages + `}`, `{"model":"m","max_tokens":9,` + messages + `}`},
		"a limit in a message":        {oldLimit, llm.OpenAIChat, `{"model":"m","messages":[{"role":"user","content":"\"max_completion_tokens\"","max_completion_tokens":1}]}`, `{"model":"m","messages":[{"role":"user","content":"\"max_completion_tokens\"","max_completion_tokens":1}]}`},
		"a limit of another format":   {oldLimit, llm.AnthropicMessages, `{"model":"m","max_completion_tokens":7,"max_tokens":1,` + messages + `}`, `{"model":"m","max_completion_tokens":7,"max_tokens":1,` + messages + `}`},
		"stream options first":        {without, llm.OpenAIChat, `{ "stream_options": {"include_usage":true} , "stream":true,"model":"m",` + messages + `}`, `{  "stream":true,"model":"m",` + messages + `}`},
		"stream options last":         {without, llm.OpenAIChat, `{"stream":true,"model":"m",` + messages + `, "stream_options":null}`, `{"stream":true,"model":"m",` + messages + `}`},
		"no stream options":           {without, llm.OpenAIChat, `{"stream":true,"model":"m",` + messages + `}`, `{"stream":true,"model":"m",` + messages + `}`},
		"the model":                   {vertex, llm.AnthropicMessages, `{"model": "m","max_tokens":1,` + messages + `}`, `{"anthropic_version":"vertex-2023-10-16","max_tokens":1,` + messages + `}`},
		"the model, last":             {vertex, llm.AnthropicMessages, `{"max_tokens":1,` + messages + `,"model":"m"}`, `{"anthropic_version":"vertex-2023-10-16","max_tokens":1,` + messages + `}`},
		"a version":                   {vertex, llm.AnthropicMessages, `{"model":"m","anthropic_version":"x","max_tokens":1,` + messages + `}`, `{"anthropic_version":"vertex-2023-10-16","max_tokens":1,` + messages + `}`},
		"counting needs its model":    {vertex, llm.AnthropicCountTokens, `{"model":"m",` + messages + `}`, `{"anthropic_version":"vertex-2023-10-16","model":"m",` + messages + `}`},
		"usage is not asked for then": {func(r *llm.Request) { r.WithoutStreamOptions(); r.AskUsage() }, llm.OpenAIChat, `{"stream":true,"model":"m",` + messages + `}`, `{"stream":true,"model":"m",` + messages + `}`},
		"nor if it was before":        {func(r *llm.Request) { r.AskUsage(); r.WithoutStreamOptions() }, llm.OpenAIChat, `{"stream":true,"stream_options":{"include_usage":false},"model":"m",` + messages + `}`, `{"stream":true,"model":"m",` + messages + `}`},
		"escapes in a name":           {func(r *llm.Request) { r.AskUsage(); r.WithoutStreamOptions() }, llm.OpenAIChat, `{"stream":true,"stream\u005foptions":{"include_usage":false},"model":"m",` + messages + `}`, `{"stream":true,"model":"m",` + messages + `}`},
		"two that are neighbours":     {func(r *llm.Request) { r.OldLimit(); r.WithoutStreamOptions() }, llm.OpenAIChat, `{"model":"m","max_tokens":1,` + messages + `,"stream_options":{},"max_completion_tokens":7}`, `{"model":"m","max_tokens":7,` + messages + `}`},
		"beside another model":        {func(r *llm.Request) { r.SetModel("other"); r.OldLimit(); r.WithoutStreamOptions() }, llm.OpenAIChat, `{"model":"m","stream_options":{},"max_completion_tokens":1,` + messages + `}`, `{"model":"other","max_tokens":1,` + messages + `}`},
		"another model, which goes":   {func(r *llm.Request) { r.SetModel("other"); r.ForVertex() }, llm.AnthropicMessages, `{"model":"m","max_tokens":1,` + messages + `}`, `{"anthropic_version":"vertex-2023-10-16","max_tokens":1,` + messages + `}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := llm.ParseRequest(tc.format, []byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			tc.change(r)
			if got := string(r.Bytes()); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

// FuzzDialects looks for bodies that are no JSON, or no request, once they were changed.
func FuzzDialects(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}] , "max_completion_tokens": 7 }`))
	f.Add([]byte(`{"stream":true,"max_tokens":1,"messages":[{}],"model":"m","stream\\u005foptions":{"include_usage":false}, "max_completion_tokens":7}`))
	f.Add([]byte(`{"stream":true,"stream_options":{"include_usage":false},"model":"m","messages":[{}],"max_completion_tokens":7}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, format := range []llm.Format{llm.OpenAIChat, llm.AnthropicMessages} {
			r, err := llm.ParseRequest(format, body)
			if err != nil {
				continue
			}
			r.SetModel("other")
			r.AskUsage()
			r.OldLimit()
			r.WithoutStreamOptions()
			r.ForVertex()
			if err := llm.Check(r.Bytes()); err != nil {
				t.Errorf("%q became %q: %v", body, r.Bytes(), err)
			}
		}
	})
}

// A server that knows neither of OpenAI's newer fields is sent a client's request.
func ExampleRequest_OldLimit() {
	r, err := llm.ParseRequest(llm.OpenAIChat, []byte(`{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":9,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	r.OldLimit()
	r.WithoutStreamOptions()
	fmt.Println(string(r.Bytes()))
	// Output: {"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}
}
