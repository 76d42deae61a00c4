package provider

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm/eventstream"
	"github.com/leash-gateway/leash/module/moduletest"
)

// Providers as package config describes those of the kinds in clouds.
const (
	bedrock = `{"name":"bedrock","api":"converse"}`
	vertex  = `{"name":"vertex","api":"gemini","formats":["google-generate","google-stream"],"quirks":["vertex"],
		"paths":{"google-generate":"/v1/projects/p/models/{model}:generateContent","google-stream":"/v1/projects/p/models/{model}:streamGenerateContent"}}`
	vertexClaude = `{"name":"vertex-claude","api":"messages","formats":["anthropic-messages","anthropic-count-tokens"],"quirks":["vertex"],
		"paths":{"anthropic-messages":"/p/{model}:rawPredict","anthropic-count-tokens":"/p/count-tokens:rawPredict"},
		"streams":{"anthropic-messages":"/p/{model}:streamRawPredict"}}`
	deployments = `{"name":"azure","formats":["openai-chat","openai-embeddings"],
		"paths":{"openai-chat":"/openai/deployments/{model}/chat/completions?api-version=1","openai-embeddings":"/openai/deployments/{model}/embeddings?api-version=1"}}`
	mistral = `{"name":"mistral","formats":["openai-chat"],"base_path":"/v1","quirks":["old_limit","without_stream_options"]}`
)

const (
	chatStream     = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	claudeStreamed = `{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	geminiSSE      = "/v1beta/models/m:streamGenerateContent?alt=sse"
	withUsage      = `{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":7,"messages":[{"role":"user","content":"hi"}]}`
)

func TestRequestsGoWhereCloudsHaveThem(t *testing.T) {
	tests := map[string]struct{ config, path, body, model, sentPath, has, hasNot string }{
		"Bedrock":                       {bedrock, "/v1/chat/completions", chatRequest, "us.anthropic.claude-v1:0", "/model/us.anthropic.claude-v1%3A0/converse", `"text":"hi"`, `"model"`},
		"Bedrock, an ARN":               {bedrock, "/v1/messages", claudeRequest, "arn:aws:bedrock:us-east-1:1:inference-profile/x", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse", `"maxTokens":9`, `"model"`},
		"Bedrock, a stream":             {bedrock, "/v1/messages", claudeStreamed, "", "/model/m/converse-stream", `"text":"hi"`, `"stream"`},
		"Bedrock, counting":             {bedrock, "/v1/messages/count_tokens", claudeRequest, "", "/model/m/count-tokens", `"converse":{`, `"model"`},
		"Bedrock, Google's":             {bedrock, geminiSSE, geminiRequest, "", "/model/m/converse-stream", `"text":"hi"`, `"contents"`},
		"Vertex":                        {vertex, "/v1beta/models/m:generateContent", geminiRequest, "", "/v1/projects/p/models/m:generateContent", geminiRequest, "-"},
		"Vertex, another model":         {vertex, "/v1beta/models/m:generateContent", geminiRequest, "flash", "/v1/projects/p/models/flash:generateContent", geminiRequest, "-"},
		"Vertex, a stream of events":    {vertex, geminiSSE, geminiRequest, "", "/v1/projects/p/models/m:streamGenerateContent?alt=sse", geminiRequest, "-"},
		"Vertex, a stream in an array":  {vertex, "/v1beta/models/m:streamGenerateContent?key=k", geminiRequest, "", "/v1/projects/p/models/m:streamGenerateContent", geminiRequest, "-"},
		"Vertex, translated":            {vertex, "/v1/chat/completions", chatRequest, "flash", "/v1/projects/p/models/flash:generateContent", `"contents":[{"role":"user"`, "-"},
		"Vertex, translated, a stream":  {vertex, "/v1/chat/completions", chatStream, "flash", "/v1/projects/p/models/flash:streamGenerateContent?alt=sse", `"contents"`, "-"},
		"Vertex's Claude":               {vertexClaude, "/v1/messages", claudeRequest, "claude@20250929", "/p/claude@20250929:rawPredict", `{"anthropic_version":"vertex-2023-10-16","max_tokens":9,`, `"model"`},
		"Vertex's Claude, a stream":     {vertexClaude, "/v1/messages", claudeStreamed, "", "/p/m:streamRawPredict", `"stream":true`, `"model"`},
		"Vertex's Claude, counting":     {vertexClaude, "/v1/messages/count_tokens", claudeRequest, "claude", "/p/count-tokens:rawPredict", `"model":"claude"`, "-"},
		"Vertex's Claude, translated":   {vertexClaude, "/v1/chat/completions", chatStream, "claude", "/p/claude:streamRawPredict", `"anthropic_version":"vertex-2023-10-16"`, `"model"`},
		"Vertex's Claude, Google's":     {vertexClaude, "/v1beta/models/m:generateContent", geminiRequest, "", "/p/m:rawPredict", `"anthropic_version"`, `"model"`},
		"Azure's deployments":           {deployments, "/v1/chat/completions", chatRequest, "", "/openai/deployments/m/chat/completions?api-version=1", chatRequest, "-"},
		"Azure's deployments, renamed":  {deployments, "/v1/embeddings", `{"model":"m","input":"hi"}`, "emb-3", "/openai/deployments/emb-3/embeddings?api-version=1", `"model":"emb-3"`, "-"},
		"Azure's, translated":           {deployments, "/v1/messages", claudeRequest, "dep", "/openai/deployments/dep/chat/completions?api-version=1", `"model":"dep"`, "-"},
		"an older limit":                {mistral, "/v1/chat/completions", withUsage, "", "/v1/chat/completions", `"max_tokens":7`, "max_completion_tokens"},
		"no options of streams":         {mistral, "/v1/chat/completions", withUsage, "small", "/v1/chat/completions", `"model":"small"`, "stream_options"},
		"an older limit, translated":    {mistral, "/v1/messages", claudeStreamed, "", "/v1/chat/completions", `"max_tokens":9`, "max_completion_tokens"},
		"no options, translated":        {mistral, "/v1/messages", claudeStreamed, "", "/v1/chat/completions", `"stream":true`, "stream_options"},
		"a limit that is the older one": {mistral, "/v1/chat/completions", `{"model":"m","max_tokens":3,"messages":[{"role":"user","content":"hi"}]}`, "", "/v1/chat/completions", `{"model":"m","max_tokens":3,"messages":[{"role":"user","content":"hi"}]}`, "max_completion"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			header := map[string]string{AttemptHeader: "1"}
			if tc.model != "" {
				header[ModelHeader+"1"] = tc.model
			}
			got := newHost(t, tc.config).Do(moduletest.Exchange{Path: tc.path, Request: tc.body, Header: header, Answer: `{}`})
			if !got.Sent || got.SentHeader[":path"] != tc.sentPath || !strings.Contains(got.SentBody, tc.has) || strings.Contains(got.SentBody, tc.hasNot) && tc.hasNot != "-" {
				t.Errorf("got %d %s; sent %s\n%s\nwant %s\nwith %s, without %s", got.Status, got.Body, got.SentHeader[":path"], got.SentBody, tc.sentPath, tc.has, tc.hasNot)
			}
		})
	}
}

func TestWhatACloudDoesNotServeIsLeftToTheNext(t *testing.T) {
	for name, tc := range map[string]struct{ config, path, body string }{
		"embeddings of Vertex":         {vertex, "/v1/embeddings", `{"model":"m","input":"hi"}`},
		"Google's embeddings likewise": {vertex, "/v1beta/models/m:embedContent", `{"content":{"parts":[{"text":"hi"}]}}`},
		"embeddings of Bedrock":        {bedrock, "/v1/embeddings", `{"model":"m","input":"hi"}`},
		"responses of deployments":     {deployments, "/v1/messages/count_tokens", claudeRequest},
	} {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, tc.config).Do(moduletest.Exchange{Path: tc.path, Request: tc.body})
			if got.Sent || got.Status != 400 || got.Header[NextHeader] != "1" || !strings.Contains(got.Body, "not_translatable") && !strings.Contains(got.Body, "INVALID_ARGUMENT") && !strings.Contains(got.Body, "invalid_request_error") {
				t.Errorf("sent %t to %s, got %d %v %s", got.Sent, got.SentHeader[":path"], got.Status, got.Header, got.Body)
			}
		})
	}
}

// amazonsStream is an answer of Bedrock's, whose text is "well".
func amazonsStream(events ...string) string {
	if events == nil {
		events = []string{
			"messageStart", `{"role":"assistant"}`, "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"well"}}`,
			"contentBlockStop", `{"contentBlockIndex":0}`, "messageStop", `{"stopReason":"end_turn"}`,
			"metadata", `{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}`,
		}
	}
	var out []byte
	for i := 0; i < len(events); i += 2 {
		m := eventstream.Message{Type: "event", Event: events[i], Payload: []byte(events[i+1])}
		if strings.HasSuffix(events[i], "Exception") {
			m = eventstream.Message{Type: "exception", Exception: events[i], Payload: m.Payload}
		}
		out = eventstream.Append(out, m)
	}
	return string(out)
}

var amazons = map[string]string{"content-type": "application/vnd.amazon.eventstream"}

func TestStreamsOfAmazonsAreTranslatedHoweverTheyAreCut(t *testing.T) {
	whole := amazonsStream()
	for name, tc := range map[string]struct{ path, request, has, end, kind string }{
		"to a client of chats":          {"/v1/chat/completions", chatStream, `"content":"well"`, "data: [DONE]\n\n", "text/event-stream"},
		"to one of Anthropic's":         {"/v1/messages", claudeStreamed, `"text":"well"`, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", "text/event-stream"},
		"to one of Google's":            {geminiSSE, geminiRequest, `"text":"well"`, "\n\n", "text/event-stream"},
		"to one of Google's, in a list": {"/v1beta/models/m:streamGenerateContent", geminiRequest, `"text":"well"`, "]", "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			want := newHost(t, bedrock).Do(moduletest.Exchange{Path: tc.path, Request: tc.request, AnswerHeader: amazons, AnswerChunks: []string{whole}})
			if want.Status != 200 || !strings.Contains(want.Body, tc.has) || !strings.HasSuffix(want.Body, tc.end) || want.Header["content-type"] != tc.kind {
				t.Fatalf("got %d %v %s", want.Status, want.Header, want.Body)
			}
			for cut := 1; cut < len(whole); cut += 11 {
				got := newHost(t, bedrock).Do(moduletest.Exchange{Path: tc.path, Request: tc.request, AnswerHeader: amazons, AnswerChunks: []string{whole[:cut], whole[cut:]}})
				if got.Body != want.Body {
					t.Fatalf("cut at %d: got %s", cut, got.Body)
				}
			}
		})
	}
}

func TestAnswersOfAmazonsThatAreNone(t *testing.T) {
	const ok = `{"output":{"message":{"content":[{"text":"well"}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}`
	broken := amazonsStream("throttlingException", `{"message":"slow down"}`)
	tests := map[string]struct {
		request  string
		header   map[string]string
		exchange moduletest.Exchange
		status   int
		has      string
		next     bool
	}{
		"an answer":                             {chatRequest, first(), moduletest.Exchange{Answer: ok}, 200, `"content":"well"`, false},
		"an error":                              {chatRequest, first(), moduletest.Exchange{Status: 429, Answer: `{"message":"Too many requests"}`}, 429, "Too many requests", false},
		"garbage":                               {chatRequest, first(), moduletest.Exchange{Answer: `{"outp`}, 502, "unreadable_answer", true},
		"an error that begins a stream":         {chatStream, first(), moduletest.Exchange{AnswerHeader: amazons, AnswerChunks: []string{broken}}, 502, "slow down", true},
		"likewise, and nobody else":             {chatStream, nil, moduletest.Exchange{AnswerHeader: amazons, AnswerChunks: []string{broken}}, 502, "slow down", true},
		"a stream that is none":                 {chatStream, first(), moduletest.Exchange{AnswerHeader: amazons, AnswerChunks: []string{strings.Repeat("no stream ", 9)}}, 502, "unreadable_answer", true},
		"a stream that ends before it begins":   {chatStream, first(), moduletest.Exchange{AnswerHeader: amazons, AnswerChunks: []string{amazonsStream()[:30]}}, 502, "ended before", true},
		"a stream that breaks off in its midst": {chatStream, first(), moduletest.Exchange{AnswerHeader: amazons, AnswerChunks: []string{amazonsStream()[:300]}}, 200, "stream_cut", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := tc.exchange
			e.Request, e.Header = tc.request, tc.header
			got := newHost(t, bedrock).Do(e)
			if _, next := got.Header[NextHeader]; got.Status != tc.status || !strings.Contains(got.Body, tc.has) || next != tc.next {
				t.Errorf("got %d %v %s", got.Status, got.Header, got.Body)
			}
		})
	}
}
