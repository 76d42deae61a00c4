package llm_test

import (
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func TestOnlyTheExactPathsAreInspected(t *testing.T) {
	tests := map[string]struct {
		method, path string
		want         llm.Format
	}{
		"chat":                    {"POST", "/v1/chat/completions", llm.OpenAIChat},
		"chat with a query":       {"POST", "/v1/chat/completions?a=/v1/models", llm.OpenAIChat},
		"models":                  {"GET", "/v1/models", llm.OpenAIModels},
		"a model":                 {"GET", "/v1/models/gpt-4o-mini", llm.OpenAIModels},
		"a model of a maker":      {"GET", "/v1/models/meta-llama/Llama-3.1-8B", llm.OpenAIModels},
		"a model in a cloud":      {"GET", "/v1/models/anthropic.claude-v2:0?a=b", llm.OpenAIModels},
		"a model, dots":           {"GET", "/v1/models/a/../b", llm.None},
		"a model, double slash":   {"GET", "/v1/models//b", llm.None},
		"a model, escaped":        {"GET", "/v1/models/a%2fb", llm.None},
		"a model, nothing":        {"GET", "/v1/models/", llm.None},
		"a model of Google's":     {"GET", "/v1beta/models/gemini-2.5-flash", llm.GoogleModels},
		"responses":               {"POST", "/v1/responses", llm.OpenAIResponses},
		"completions":             {"POST", "/v1/completions", llm.OpenAICompletions},
		"embeddings":              {"POST", "/v1/embeddings", llm.OpenAIEmbeddings},
		"messages":                {"POST", "/v1/messages", llm.AnthropicMessages},
		"messages, beta":          {"POST", "/v1/messages?beta=true", llm.AnthropicMessages},
		"count of tokens":         {"POST", "/v1/messages/count_tokens", llm.AnthropicCountTokens},
		"Google":                  {"POST", "/v1beta/models/gemini-2.5-flash:generateContent", llm.GoogleGenerate},
		"Google, stable":          {"POST", "/v1/models/gemini-2.5-flash:generateContent", llm.GoogleGenerate},
		"Google, stream":          {"POST", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", llm.GoogleStream},
		"Google, tokens":          {"POST", "/v1beta/models/gemini-2.5-flash:countTokens", llm.GoogleCountTokens},
		"Google, embedding":       {"POST", "/v1beta/models/gemini-embedding-001:embedContent", llm.GoogleEmbed},
		"Google, embeddings":      {"POST", "/v1beta/models/gemini-embedding-001:batchEmbedContents", llm.GoogleBatchEmbed},
		"Google, models":          {"GET", "/v1beta/models", llm.GoogleModels},
		"Google by GET":           {"GET", "/v1beta/models/gemini-2.5-flash:generateContent", llm.None},
		"Google, no model":        {"POST", "/v1beta/models/:generateContent", llm.None},
		"Google, escaped model":   {"POST", "/v1beta/models/gemini%2d2.5-flash:generateContent", llm.None},
		"Google, slash in model":  {"POST", "/v1beta/models/a/b:generateContent", llm.GoogleGenerate},
		"Google, dots in model":   {"POST", "/v1beta/models/a/../b:generateContent", llm.None},
		"Google, bare maker":      {"POST", "/v1beta/a/b:streamGenerateContent?alt=sse", llm.GoogleStream},
		"Google, bare name":       {"POST", "/v1beta/a:generateContent", llm.None},
		"Google, bare dots":       {"POST", "/v1beta/a/../models/b:generateContent", llm.None},
		"Google, no maker":        {"POST", "/v1beta/models//b:generateContent", llm.None},
		"Google, method in model": {"POST", "/v1beta/models/a:generateContent/b:countTokens", llm.None},
		"Google, dots":            {"POST", "/v1beta/models/..:generateContent", llm.None},
		"Google, two methods":     {"POST", "/v1beta/models/m:generateContent:countTokens", llm.None},
		"Google, other method":    {"POST", "/v1beta/models/m:generateAnswer", llm.None},
		"Google, empty method":    {"POST", "/v1beta/models/m:", llm.None},
		"Google, no method":       {"POST", "/v1beta/models/m", llm.None},
		"messages by GET":         {"GET", "/v1/messages", llm.None},
		"messages and more":       {"POST", "/v1/messages/batches", llm.None},
		"chat by another method":  {"PUT", "/v1/chat/completions", llm.None},
		"chat in small letters":   {"post", "/v1/chat/completions", llm.None},
		"models by POST":          {"POST", "/v1/models", llm.None},
		"double slash":            {"POST", "/v1//chat/completions", llm.None},
		"double slash in front":   {"POST", "//v1/chat/completions", llm.None},
		"trailing slash":          {"POST", "/v1/chat/completions/", llm.None},
		"escaped slash":           {"POST", "/v1%2fchat/completions", llm.None},
		"escaped letter":          {"POST", "/v1/%63hat/completions", llm.None},
		"dots":                    {"POST", "/v1/x/../chat/completions", llm.None},
		"capitals":                {"POST", "/V1/chat/completions", llm.None},
		"path parameters":         {"POST", "/v1/chat/completions;a=b", llm.None},
		"fragment":                {"POST", "/v1/chat/completions#a", llm.None},
		"whole URL":               {"POST", "http://x/v1/chat/completions", llm.None},
		"other":                   {"POST", "/v1/moderations", llm.None},
		"nothing":                 {"", "", llm.None},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := llm.FormatOf(tc.method, tc.path); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestNamesForLogs(t *testing.T) {
	for name, tc := range map[string]struct{ got, want string }{
		"no format":     {llm.None.String(), "none"},
		"chat":          {llm.OpenAIChat.String(), "openai-chat"},
		"models":        {llm.OpenAIModels.String(), "openai-models"},
		"other role":    {llm.OtherRole.String(), "other"},
		"system":        {llm.System.String(), "system"},
		"user":          {llm.User.String(), "user"},
		"assistant":     {llm.Assistant.String(), "assistant"},
		"tool":          {llm.Tool.String(), "tool"},
		"content":       {llm.Content.String(), "content"},
		"refusal":       {llm.Refusal.String(), "refusal"},
		"reasoning":     {llm.Reasoning.String(), "reasoning"},
		"arguments":     {llm.ToolArguments.String(), "tool_arguments"},
		"no known kind": {llm.Kind(99).String(), "other"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("got %q, want %q", tc.got, tc.want)
			}
		})
	}
}
