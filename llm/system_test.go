package llm

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestASystemPromptComesAheadOfTheOthers(t *testing.T) {
	tests := map[string]struct {
		format     Format
		body, want string
	}{
		"chat":                        {OpenAIChat, `{"model":"m", "messages" : [ {"role":"user","content":"a"}]}`, `{"model":"m", "messages" : [{"role":"system","content":"be \"brief\""}, {"role":"user","content":"a"}]}`},
		"chat with a system prompt":   {OpenAIChat, `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"}],"model":"m"}`, `{"messages":[{"role":"system","content":"be \"brief\""},{"role":"system","content":"s"},{"role":"user","content":"a"}],"model":"m"}`},
		"chat of a developer":         {OpenAIChat, `{"model":"m","messages":[ {"content":"s","role":"developer"},{"role":"user","content":"a"}]}`, `{"model":"m","messages":[{"role":"developer","content":"be \"brief\""}, {"content":"s","role":"developer"},{"role":"user","content":"a"}]}`},
		"responses":                   {OpenAIResponses, `{"model":"m","input":"a"}`, `{"instructions":"be \"brief\"","model":"m","input":"a"}`},
		"responses with instructions": {OpenAIResponses, `{"model":"m","instructions":"\u0073","input":"a"}`, `{"model":"m","instructions":"be \"brief\"\n\n\u0073","input":"a"}`},
		"responses with none":         {OpenAIResponses, `{"model":"m","input":"a","instructions":null}`, `{"model":"m","input":"a","instructions":"be \"brief\""}`},
		"messages":                    {AnthropicMessages, ` {"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`, ` {"system":"be \"brief\"","model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`},
		"messages with a text":        {AnthropicMessages, `{"system":"s","model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`, `{"system":"be \"brief\"\n\ns","model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`},
		"messages with blocks":        {AnthropicMessages, `{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`, `{"system":[{"type":"text","text":"be \"brief\""},{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}]}`},
		"messages with no blocks":     {AnthropicCountTokens, `{"system":[ ],"model":"m","messages":[{"role":"user","content":"a"}]}`, `{"system":[{"type":"text","text":"be \"brief\""} ],"model":"m","messages":[{"role":"user","content":"a"}]}`},
		"Google's":                    {GoogleGenerate, `{"contents":[{"parts":[{"text":"a"}]}]}`, `{"systemInstruction":{"parts":[{"text":"be \"brief\""}]},"contents":[{"parts":[{"text":"a"}]}]}`},
		"Google's with parts":         {GoogleStream, `{"contents":[{"parts":[{"text":"a"}]}],"system_instruction":{"role":"user","parts":[{"text":"s"}]}}`, `{"contents":[{"parts":[{"text":"a"}]}],"system_instruction":{"role":"user","parts":[{"text":"be \"brief\""},{"text":"s"}]}}`},
		"Google's in another form":    {GoogleStream, `{"contents":[{"parts":[{"text":"a"}]}],"systemInstruction":"s"}`, ""},
		"Google's without parts":      {GoogleStream, `{"contents":[{"parts":[{"text":"a"}]}],"systemInstruction":{}}`, ""},
		"embeddings":                  {OpenAIEmbeddings, `{"model":"m","input":"a"}`, ""},
		"completions":                 {OpenAICompletions, `{"model":"m","prompt":"a"}`, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			body := []byte(tc.body)
			got, ok := WithSystemPrompt(tc.format, body, `be "brief"`)
			if ok != (tc.want != "") || ok && string(got) != tc.want {
				t.Fatalf("got %t %s\nwant %s", ok, got, tc.want)
			}
			if string(body) != tc.body {
				t.Errorf("the body has become %s", body)
			}
			if !ok {
				return
			}
			r, err := ParseRequestAt(tc.format, "/v1beta/models/m:"+tc.format.GoogleMethod(), got)
			if err != nil || !slices.ContainsFunc(r.Texts, func(t Text) bool { return t.Role == System && strings.HasPrefix(t.Value, `be "brief"`) }) {
				t.Errorf("read as %+v, %v", r, err)
			}
		})
	}
}

// FuzzWithSystemPrompt wants of each request that can be read that it can be read with a system prompt too.
func FuzzWithSystemPrompt(f *testing.F) {
	formats := []Format{OpenAIChat, OpenAIResponses, AnthropicMessages, AnthropicCountTokens, GoogleGenerate, GoogleStream}
	for i, body := range []string{
		`{"model":"m","messages":[{"role":"developer","content":"a"}]}`, `{"model":"m","input":"a","instructions":"s"}`,
		`{"model":"m","max_tokens":9,"system":[],"messages":[{"role":"user","content":"a"}]}`, `{"contents":[{"parts":[{"text":"a"}]}],"system_instruction":{"parts":[]}}`,
	} {
		f.Add(uint8(i), []byte(body))
	}
	f.Fuzz(func(t *testing.T, format uint8, body []byte) {
		as := formats[int(format)%len(formats)]
		path := as.Path("m")
		before, err := ParseRequestAt(as, path, body)
		if err != nil {
			return
		}
		longer, ok := WithSystemPrompt(as, body, "be brief")
		if !ok {
			return
		}
		after, err := ParseRequestAt(as, path, longer)
		if err != nil {
			t.Fatalf("%s has become %s: %v", body, longer, err)
		}
		if after.Model != before.Model || len(after.Texts) < len(before.Texts) || !bytes.Contains(longer, []byte("be brief")) {
			t.Errorf("%s has become %s", body, longer)
		}
	})
}
