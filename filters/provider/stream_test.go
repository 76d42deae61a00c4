package provider

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module/moduletest"
)

// wholeStreams are streams as their providers send them, by the format of their clients.
var wholeStreams = map[string]struct {
	config, path, request, stream, failure string
	json                                   bool // the client reads a JSON array
}{
	"chat": {
		openai, "/v1/chat/completions", chatStream,
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"well \"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"done\"}}]}\n\n" +
			"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
		`data: {"error":{"message":"the provider's stream ended before its answer did"`, false,
	},
	"messages":      {claude, "/v1/messages", claudeStreamed, claudeStream, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"", false},
	"Google's":      {gemini, geminiSSE, geminiRequest, "data: " + geminiChunk + "\r\n\r\ndata: " + geminiLast + "\r\n\r\n", `data: {"error":{"code":502`, false},
	"Google's JSON": {gemini, "/v1beta/models/m:streamGenerateContent", geminiRequest, "[" + geminiChunk + "\r\n,\r\n" + geminiLast + "\r\n]", `{"error":{"code":502`, true},
	"translated":    {claude, "/v1/chat/completions", chatStream, claudeStream, `data: {"error":{"message":"the provider's stream ended before its answer did"`, false},
}

const (
	geminiChunk = `{"candidates":[{"content":{"parts":[{"text":"well "}],"role":"model"},"index":0}]}`
	geminiLast  = `{"candidates":[{"content":{"parts":[{"text":"done"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}`
)

// TestAStreamThatBreaksOffEndsWithAnError cuts streams at every byte: what the client reads is whole events, and behind them an error in its own
// form, unless the answer was complete.
func TestAStreamThatBreaksOffEndsWithAnError(t *testing.T) {
	for name, tc := range wholeStreams {
		t.Run(name, func(t *testing.T) {
			header := sse
			if tc.json {
				header = map[string]string{"content-type": "application/json"}
			}
			complete := false
			for cut := 0; cut <= len(tc.stream); cut++ {
				got := newHost(t, tc.config).Do(moduletest.Exchange{
					Path: tc.path, Request: tc.request, AnswerHeader: header, AnswerChunks: []string{tc.stream[:cut/2], tc.stream[cut/2 : cut]},
				})
				switch {
				case got.Status == 502 && !complete:
				case got.Status != 200:
					t.Fatalf("cut at %d: got %d %q", cut, got.Status, got.Body)
				case !strings.Contains(got.Body, tc.failure):
					complete = true
				case complete:
					t.Fatalf("cut at %d: got %q, though it was complete before", cut, got.Body)
				}
				readable(t, tc.json, got.Body)
			}
			if !complete {
				t.Error("the whole stream is taken for one that was cut")
			}
		})
	}
}

// TestAnAnswerInOnePieceIsAStreamForWhoAskedForOne has providers that do not stream though they were asked to.
func TestAnAnswerInOnePieceIsAStreamForWhoAskedForOne(t *testing.T) {
	const chatAnswer = `{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"well"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`
	const geminiArray = "/v1beta/models/m:streamGenerateContent"
	tests := map[string]struct {
		config, path, request, answer string
		kind, begins, ends            string
	}{
		"messages for a chat":         {claude, "/v1/chat/completions", chatStream, claudeAnswer, "text/event-stream", "data: {", "data: [DONE]\n\n"},
		"a chat for messages":         {openai, "/v1/messages", claudeStreamed, chatAnswer, "text/event-stream", "event: message_start\n", "data: {\"type\":\"message_stop\"}\n\n"},
		"messages for Google":         {claude, geminiSSE, geminiRequest, claudeAnswer, "text/event-stream", "data: {", "}\n\n"},
		"messages for Google's array": {claude, geminiArray, geminiRequest, claudeAnswer, "application/json", "[{", "}]"},
		"a chat for itself":           {openai, "/v1/chat/completions", chatStream, chatAnswer, "application/json", chatAnswer, chatAnswer},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := moduletest.Exchange{Path: tc.path, Request: tc.request, Answer: tc.answer}
			got := newHost(t, tc.config).Do(e)
			kind := got.Header["content-type"]
			if got.Status != 200 || kind != tc.kind || !strings.HasPrefix(got.Body, tc.begins) || !strings.HasSuffix(got.Body, tc.ends) || !strings.Contains(got.Body, "well") {
				t.Errorf("got %d %s %s", got.Status, kind, got.Body)
			}
			e.Answer = `{"error":{"message":"broken"}}`
			e.Header = first()
			if got = newHost(t, tc.config).Do(e); got.Status != 502 || got.Header["content-type"] != "application/json" || !strings.Contains(got.Body, "broken") {
				t.Errorf("an error: got %d %v %s", got.Status, got.Header, got.Body)
			}
		})
	}
}

// readable fails where an event of a stream holds no JSON.
func readable(t *testing.T, array bool, stream string) {
	t.Helper()
	var d llm.Decoder
	if array && strings.HasPrefix(stream, "[") {
		d.Framing = llm.JSONArray
	}
	check := func(f llm.Frame) error {
		if f.Data != nil && string(f.Data) != "[DONE]" {
			return llm.Check(f.Data)
		}
		return nil
	}
	err := d.Feed([]byte(stream), check)
	if err == nil {
		err = d.Flush(check)
	}
	if err != nil {
		t.Fatalf("%v in %q", err, stream)
	}
}

// TestAStreamThatCannotBeReadEndsOnce goes on sending behind what cannot be read.
func TestAStreamThatCannotBeReadEndsOnce(t *testing.T) {
	for name, tc := range map[string]struct{ config, event string }{
		"native": {openai, chatText("one")}, "translated": {claude, messageStart + blockStart + blockText("one")},
	} {
		got := newHost(t, tc.config).Do(moduletest.Exchange{
			Request: chatStream, AnswerHeader: sse, AnswerChunks: []string{tc.event, "data: {\"error\"\n\n", tc.event, tc.event},
		})
		if n := strings.Count(got.Body, "unreadable_answer"); got.Status != 200 || n != 1 || strings.Count(got.Body, `"content":"one"`) != 1 || strings.Contains(got.Body, "{\"error\"\n") {
			t.Errorf("%s: got %d %q, want one error and nothing behind it", name, got.Status, got.Body)
		}
	}
}

func TestStreamsThatBreakOffAreCounted(t *testing.T) {
	const began = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"well \"}}]}\n\n"
	for class, rest := range map[string]string{
		"stream_cut": "data: {\"choi", "error_in_answer": "data: {\"error\":{\"message\":\"broken\"}}\n\n", "unreadable_answer": "data: {\"finish_reason\"\n\n",
	} {
		h := newHost(t, openai)
		h.Do(moduletest.Exchange{Request: chatStream, AnswerHeader: sse, AnswerChunks: []string{began, rest}, Header: first(LabelHeader, "gpt-*")})
		if series := "leash_attempt_errors_total.[provider=openai].[model=gpt-*].[class=" + class + "]"; h.Metrics[series] != 1 {
			t.Errorf("%s: got %v", class, h.Metrics)
		}
	}
}

// TestTranslatedStreamsAreKeptAlive: a connection on which nothing comes while the model thinks is cut by those between.
func TestTranslatedStreamsAreKeptAlive(t *testing.T) {
	const began, comment, end = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"well\"}}]}\n\n", ": hold on\n\n", "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	for path, tc := range map[string]struct {
		request, beat string
		beats         int
	}{
		"/v1/messages": {claudeStreamed, "event: ping\ndata: {\"type\":\"ping\"}\n\n", 2}, "/v1/responses": {`{"model":"m","stream":true,"input":"hi"}`, ": keep-alive\n\n", 2},
		geminiSSE: {geminiRequest, "keep-alive", 0},
	} {
		got := newHost(t, openai).Do(moduletest.Exchange{Path: path, Request: tc.request, AnswerHeader: sse, AnswerChunks: []string{comment, began, ": hold", " on\n\n", end}})
		if got.Status != 200 || strings.Count(got.Body, tc.beat) != tc.beats || !strings.Contains(got.Body, "well") {
			t.Errorf("%s: got %d %q", path, got.Status, got.Body)
		}
		broken := moduletest.Exchange{Path: path, Request: tc.request, AnswerHeader: sse, AnswerChunks: []string{comment, "data: {\"error\":{\"message\":\"broken\"}}\n\n"}, Header: first()}
		if got = newHost(t, openai).Do(broken); got.Status != 502 || strings.Contains(got.Body, tc.beat) {
			t.Errorf("%s: got %d %q of an error", path, got.Status, got.Body)
		}
	}
}
