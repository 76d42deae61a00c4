package module_test

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

const (
	messagesRequest = `{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}`
	googleRequest   = `{"contents":[{"parts":[{"text":"Hello"}]}]}`
	googlePath      = "/v1beta/models/gemini-2.5-flash:"
)

// shouting is a module that knows no format: it makes every text that it sees louder and renames the model.
func shouting() script {
	return script{
		request: func(x *module.Exchange) error {
			for i := range x.Request.Texts {
				x.Request.SetText(i, strings.ToUpper(x.Request.Texts[i].Value))
			}
			x.Request.SetModel("other")
			return nil
		},
		response: func(x *module.Exchange) error {
			for i := range x.Response.Texts {
				x.Response.SetText(i, strings.ToUpper(x.Response.Texts[i].Value))
			}
			return nil
		},
		event: func(_ *module.Exchange, e *module.Event) error {
			for i := range e.Texts {
				e.SetText(i, strings.ToUpper(e.Texts[i].Value))
			}
			return nil
		},
	}
}

var exchanges = map[string]struct {
	path, request, sentPath, sent string
	stream                        string // its content type
	answer, got                   string
}{
	"chat": {
		"/v1/chat/completions", chat, "/v1/chat/completions", `{"model":"other","messages":[{"role":"user","content":"HELLO"}]}`,
		"", `{"choices":[{"message":{"content":"hi"}}]}`, `{"choices":[{"message":{"content":"HI"}}]}`,
	},
	"responses": {
		"/v1/responses?x=1", `{"model":"gpt-4o","input":"Hello"}`, "/v1/responses", `{"model":"other","input":"HELLO"}`,
		"", `{"output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}`, `{"output":[{"type":"message","content":[{"type":"output_text","text":"HI"}]}]}`,
	},
	"responses, stream": {
		"/v1/responses", `{"stream":true,"model":"gpt-4o","input":"Hello"}`, "/v1/responses", `{"stream":true,"model":"other","input":"HELLO"}`,
		"text/event-stream",
		"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"hi\"}\n\n",
		"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"HI\"}\n\n",
	},
	"completions": {
		"/v1/completions", `{"model":"gpt-4o","prompt":"Hello"}`, "/v1/completions", `{"model":"other","prompt":"HELLO"}`,
		"", `{"choices":[{"text":"hi"}]}`, `{"choices":[{"text":"HI"}]}`,
	},
	"embeddings": {
		"/v1/embeddings", `{"model":"e","input":["Hello"]}`, "/v1/embeddings", `{"model":"other","input":["HELLO"]}`,
		"", `{"data":[{"embedding":[1]}]}`, `{"data":[{"embedding":[1]}]}`,
	},
	"messages": {
		"/v1/messages?beta=true", messagesRequest, "/v1/messages", `{"model":"other","max_tokens":9,"messages":[{"role":"user","content":"HELLO"}]}`,
		"", `{"type":"message","content":[{"type":"text","text":"hi"}]}`, `{"type":"message","content":[{"type":"text","text":"HI"}]}`,
	},
	"messages, stream": {
		"/v1/messages", strings.Replace(messagesRequest, "{", `{"stream":true,`, 1), "/v1/messages",
		`{"stream":true,"model":"other","max_tokens":9,"messages":[{"role":"user","content":"HELLO"}]}`, "text/event-stream",
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"HI\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
	},
	"count of tokens": {
		"/v1/messages/count_tokens", `{"model":"c","messages":[{"role":"user","content":"Hello"}]}`, "/v1/messages/count_tokens",
		`{"model":"other","messages":[{"role":"user","content":"HELLO"}]}`, "", `{"input_tokens":3}`, `{"input_tokens":3}`,
	},
	"Google": {
		googlePath + "generateContent?key=planted", googleRequest, "/v1beta/models/other:generateContent", `{"contents":[{"parts":[{"text":"HELLO"}]}]}`,
		"", `{"candidates":[{"content":{"parts":[{"text":"hi"}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"HI"}]}}]}`,
	},
	"Google, stream of events": {
		googlePath + "streamGenerateContent?key=planted&alt=sse", googleRequest, "/v1beta/models/other:streamGenerateContent?alt=sse",
		`{"contents":[{"parts":[{"text":"HELLO"}]}]}`, "text/event-stream",
		"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}]}}]}\r\n\r\n", "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"HI\"}]}}]}\n\n",
	},
	"Google, stream of an array": {
		googlePath + "streamGenerateContent", googleRequest, "/v1beta/models/other:streamGenerateContent",
		`{"contents":[{"parts":[{"text":"HELLO"}]}]}`, "application/json; charset=UTF-8",
		"[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}]}}]}\n,\r\n{\"usageMetadata\":{\"promptTokenCount\":2}}\n]\n",
		"[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"HI\"}]}}]}\n,\r\n{\"usageMetadata\":{\"promptTokenCount\":2}}\n]\n",
	},
}

func TestAModuleIsWrittenOnceForAllFormats(t *testing.T) {
	for name, tc := range exchanges {
		t.Run(name, func(t *testing.T) {
			shout := policy(shouting())
			e := moduletest.Exchange{Path: tc.path, Request: tc.request, Answer: tc.answer}
			if tc.stream != "" {
				e.Answer, e.AnswerHeader = "", map[string]string{"content-type": tc.stream}
				e.AnswerChunks = strings.Split(tc.answer, "") // a byte at a time
			}
			got := run(t, shout).Do(e)
			wantPassed(t, got)
			wantText(t, "sent", got.SentBody, tc.sent)
			wantText(t, "path", got.SentHeader[":path"], tc.sentPath)
			wantText(t, "body", strings.ReplaceAll(got.Body, "}\n,\r\n", "},\r\n"), strings.ReplaceAll(tc.got, "}\n,\r\n", "},\r\n"))
		})
	}
}

func TestARefusalIsInTheFormOfTheClientsAPI(t *testing.T) {
	tests := map[string]struct{ path, request, want string }{
		"responses":    {"/v1/responses", `{"model":"m","input":"a"}`, `{"error":{"message":"no","type":"permission_error","param":null,"code":"forbidden"}}`},
		"messages":     {"/v1/messages", messagesRequest, `{"type":"error","error":{"type":"permission_error","message":"no"}}`},
		"Google":       {googlePath + "generateContent", googleRequest, `{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"forbidden","domain":"leash"}]}}`},
		"unknown path": {"/v1/other", `{}`, `{"error":{"message":"this gateway does not serve POST /v1/other: check the method and the exact path","type":"not_found_error","param":null,"code":"unknown_url"}}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			refuse := policy(script{request: func(*module.Exchange) error { return module.Refuse(403, "forbidden", "no") }})
			got := run(t, refuse).Do(moduletest.Exchange{Path: tc.path, Request: tc.request})
			wantText(t, "body", got.Body, tc.want)
			id := "" // which the host adds for all others
			if name == "messages" {
				id = "test-request"
			}
			wantText(t, "request-id", got.Header["request-id"], id)
		})
	}
}

func TestAStreamIsCutInTheFormOfTheClientsAPI(t *testing.T) {
	for name, want := range map[string]string{
		"responses, stream":          "event: error\ndata: {\"type\":\"error\",\"code\":\"enough\",\"message\":\"stop\",\"param\":null,\"sequence_number\":0}\n\n",
		"messages, stream":           "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"stop\"}}\n\n",
		"Google, stream of events":   "data: {\"error\":{\"code\":400,\"message\":\"stop\",\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"enough\",\"domain\":\"leash\"}]}}\n\n",
		"Google, stream of an array": "[{\"error\":{\"code\":400,\"message\":\"stop\",\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"enough\",\"domain\":\"leash\"}]}}]",
	} {
		t.Run(name, func(t *testing.T) {
			tc := exchanges[name]
			cut := policy(script{event: func(*module.Exchange, *module.Event) error { return module.Refuse(400, "enough", "stop") }})
			got := run(t, cut).Do(moduletest.Exchange{
				Path: tc.path, Request: tc.request, AnswerHeader: map[string]string{"content-type": tc.stream}, AnswerChunks: []string{tc.answer},
			})
			wantText(t, "body", got.Body, want)
		})
	}
}

func TestUsageOfAStreamIsKnownInAllFormats(t *testing.T) {
	start := "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":10,\"output_tokens\":1}}}\n\n"
	text := "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"twelve bytes\"}}\n\n"
	end := "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":42}}\n\n"
	tests := map[string]struct {
		name      string // of the exchange
		answer    string
		want      llm.Usage
		estimated bool
	}{
		"messages":               {"messages, stream", start + text + end, llm.Usage{Input: 15, CachedInput: 10, Output: 42}, false},
		"messages, cut":          {"messages, stream", start + text, llm.Usage{Input: 15, CachedInput: 10, Output: 3}, true},
		"Google":                 {"Google, stream of an array", exchanges["Google, stream of an array"].answer, llm.Usage{Input: 2}, false},
		"Google, not ended":      {"Google, stream of events", "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"twelve bytes\"}]}}],\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":1}}\n\n", llm.Usage{Input: 7, Output: 3}, true},
		"responses":              {"responses, stream", "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":4,\"output_tokens\":6}}}\n\n", llm.Usage{Input: 4, Output: 6}, false},
		"responses, not ended":   {"responses, stream", "data: {\"type\":\"response.output_text.delta\",\"delta\":\"twelve bytes\"}\n\ndata: {\"type\":\"response.output_text.done\",\"text\":\"twelve bytes\"}\n\n", llm.Usage{Input: 6, Output: 3}, true},
		"counting costs nothing": {"count of tokens", "", llm.Usage{}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got llm.Usage
			var estimated bool
			meter := inspector(script{usage: true, finish: func(x *module.Exchange) { got, estimated = x.Usage, x.UsageEstimated }})
			x := exchanges[tc.name]
			e := moduletest.Exchange{Path: x.path, Request: x.request, Answer: x.answer}
			if x.stream != "" {
				e.AnswerHeader, e.AnswerChunks = map[string]string{"content-type": x.stream}, []string{tc.answer}
			}
			result := run(t, meter).Do(e)
			if got != tc.want || estimated != tc.estimated {
				t.Errorf("got %+v, estimated %v", got, estimated)
			}
			wantText(t, "sent", result.SentBody, x.request)
		})
	}
}

func TestModelsAreListedInTheFormOfTheClientsAPI(t *testing.T) {
	for name, tc := range map[string]struct {
		path   string
		header map[string]string
		want   llm.Format
	}{
		"OpenAI":                {"/v1/models", nil, llm.OpenAIModels},
		"Google, by its client": {"/v1/models", map[string]string{"x-goog-api-client": "google-genai-sdk/3.4.0"}, llm.GoogleModels},
		"Google, by its key":    {"/v1/models", map[string]string{"x-goog-api-key": "k"}, llm.GoogleModels},
		"Anthropic":             {"/v1/models?limit=1000", map[string]string{"anthropic-version": "2023-06-01"}, llm.AnthropicModels},
		"Google":                {"/v1beta/models?pageSize=50", nil, llm.GoogleModels},
	} {
		t.Run(name, func(t *testing.T) {
			list := policy(script{request: func(x *module.Exchange) error {
				return &module.Answer{Status: 200, ContentType: "application/json", Body: llm.ModelList(x.Format, []string{"a"}, "leash")}
			}})
			got := run(t, list).Do(moduletest.Exchange{Method: "GET", Path: tc.path, Header: tc.header})
			wantText(t, "body", got.Body, string(llm.ModelList(tc.want, []string{"a"}, "leash")))
		})
	}
}

func TestAPathThatTheOperatorLetsThroughIsNotRead(t *testing.T) {
	seen := llm.OpenAIChat
	look := policy(script{requestHeader: func(x *module.Exchange) error { seen = x.Format; return nil }})
	h := moduletest.New(t, pipelineOf([]string{look}, `"passthrough":["/v1/embeddings"]`))
	got := h.Do(moduletest.Exchange{Path: "/v1/embeddings?a=b", Request: "no JSON", Answer: "{}"})
	if wantPassed(t, got); seen != llm.None || got.SentBody != "no JSON" || got.SentHeader[":path"] != "/v1/embeddings?a=b" {
		t.Errorf("format %s, sent %q to %q", seen, got.SentBody, got.SentHeader[":path"])
	}
}
