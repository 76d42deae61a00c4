package translate_test

import (
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

func TestProvidersOfOtherHabitsAreAskedInTheirs(t *testing.T) {
	for name, c := range map[string]struct {
		from    llm.Format
		to      translate.API
		options translate.Options
		body    string
		want    string
	}{
		"Claude on Vertex AI": {llm.OpenAIChat, translate.Messages, translate.Options{Vertex: true}, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
			`{"anthropic_version":"vertex-2023-10-16","max_tokens":4096,"messages":[{"role":"user","content":"hi"}]}`},
		"counting for Claude on Vertex AI": {llm.GoogleCountTokens, translate.Messages, translate.Options{Vertex: true}, `{"contents":[{"parts":[{"text":"hi"}]}]}`,
			`{"anthropic_version":"vertex-2023-10-16","model":"path","messages":[{"role":"user","content":"hi"}]}`},
		"counting for Gemini on Vertex AI": {llm.AnthropicCountTokens, translate.Gemini, translate.Options{Vertex: true}, `{"model":"m","system":"s","messages":[{"role":"user","content":"hi"}]}`,
			`{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`},
		"a server that knows max_tokens only": {llm.AnthropicMessages, translate.Chat, translate.Options{OldLimit: true, WithoutStreamOptions: true}, `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`,
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":9}`},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := translate.New(c.from, c.to, c.options)
			if err != nil {
				t.Fatal(err)
			}
			got, err := x.Request("path", []byte(c.body))
			if err != nil || string(got.Body) != c.want {
				t.Errorf("got %s, %v\nwant %s", got.Body, err, c.want)
			}
		})
	}
}
