package provider

import (
	"net/http"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// midStream are the headers of the first of three attempts of a route whose streams go on.
func midStream() map[string]string {
	return map[string]string{
		AttemptHeader: "1", TargetHeader + "1": "openai", TargetHeader + "2": "second", TargetHeader + "3": "third#2", ModelHeader + "2": "m-2", LabelHeader: "gpt-*",
		MidStreamHeader: "1", "x-own": "yes", ":authority": "gateway.test",
	}
}

// Events of OpenAI's chats and of Anthropic's messages.
const (
	chatThought = "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"

	chatRole  = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
	chatEnd   = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	chatError = "data: {\"error\":{\"message\":\"broken\"}}\n\n"

	messageStart = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n"
	messageError = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
	ping         = "event: ping\ndata: {\"type\":\"ping\"}\n\n"
	blockStart   = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
	toolStart    = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\n"
	blockStop    = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
	messageEnd   = blockStop + "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n" +
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
)

func chatText(text string) string {
	return "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + text + "\"}}]}\n\n"
}

func blockText(text string) string {
	return "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" + text + "\"}}\n\n"
}

func TestAStreamGoesOnAtTheNextTarget(t *testing.T) {
	geminiText := func(text, more string) string {
		return `data: {"candidates":[{"content":{"parts":[{"text":"` + text + `"}],"role":"model"},"index":0` + more + "}]}\n\n"
	}
	tests := map[string]struct {
		config, path, request, begun string
		rest                         []string // by attempt, from the second on; an empty one is no answer
		want                         string
		asked                        string // what the last one was told has been said
	}{
		"chat": {
			openai, "", chatStream, chatRole + chatText("one two "), []string{chatRole + chatText(" three") + chatEnd},
			chatRole + chatText("one two ") + chatText("three") + chatEnd, `{"role":"assistant","content":"one two"}`,
		},
		"chat, nothing said yet": {
			openai, "", chatStream, chatThought, []string{chatRole + chatText("one") + chatEnd}, chatThought + chatText("one") + chatEnd, `{"role":"user","content":"hi"}]`,
		},
		"chat, an error": {
			openai, "", chatStream, chatText("one") + chatError + "data: [DONE]\n\n", []string{chatText(" two") + chatEnd}, chatText("one") + chatText(" two") + chatEnd,
			`{"role":"assistant","content":"one"}`,
		},
		"chat, translated, an error": {
			claude, "", chatStream, messageStart + blockStart + blockText("one") + messageError, []string{chatText(" two") + chatEnd}, "*" + chatText(" two") + chatEnd,
			`{"role":"assistant","content":"one"}`,
		},
		"messages, an error": {
			claude, "/v1/messages", claudeStreamed, messageStart + blockStart + blockText("one") + messageError, []string{messageStart + blockStart + blockText(" two") + messageEnd},
			messageStart + blockStart + blockText("one") + blockText(" two") + messageEnd, `{"role":"assistant","content":"one"}`,
		},
		"Google's, an error": {
			gemini, geminiSSE, geminiRequest, geminiText("one", "") + "data: {\"error\":{\"code\":429,\"message\":\"exhausted\",\"status\":\"RESOURCE_EXHAUSTED\"}}\n\n",
			[]string{geminiText(" two", `,"finishReason":"STOP"`)}, geminiText("one", "") + geminiText(" two", `,"finishReason":"STOP"`), `{"role":"model","parts":[{"text":"one"}]}`,
		},
		"chat, the third one": {
			openai, "", chatStream, chatText("one"), []string{"", chatText(" two") + chatEnd}, chatText("one") + chatText(" two") + chatEnd, `{"role":"assistant","content":"one"}`,
		},
		"chat, the third one after a word of the second": {
			openai, "", chatStream, chatText("one"), []string{chatRole + chatText(" two") + chatError, chatRole + chatText(" three") + chatEnd},
			chatText("one") + chatText(" two") + chatText(" three") + chatEnd, `{"role":"assistant","content":"one two"}`,
		},
		"messages": {
			claude, "/v1/messages", claudeStreamed, messageStart + blockStart + blockText("one"), []string{messageStart + blockStart + blockText(" two") + messageEnd},
			messageStart + blockStart + blockText("one") + blockText(" two") + messageEnd, `{"role":"assistant","content":"one"}`,
		},
		"messages, no block yet": {
			claude, "/v1/messages", claudeStreamed, messageStart + ping, []string{messageStart + blockStart + blockText("one") + messageEnd},
			messageStart + ping + blockStart + blockText("one") + messageEnd, `"messages":[{"role":"user","content":"hi"}]`,
		},
		"messages, then a tool": {
			claude, "/v1/messages", claudeStreamed, messageStart + blockStart + blockText("one"), []string{messageStart + toolStart + messageEnd, messageStart + blockStart + blockText(" two") + messageEnd},
			messageStart + blockStart + blockText("one") + blockText(" two") + messageEnd, `{"role":"assistant","content":"one"}`,
		},
		"Google's": {
			gemini, geminiSSE, geminiRequest, geminiText("one", ""), []string{geminiText(" two", `,"finishReason":"STOP"`)},
			geminiText("one", "") + geminiText(" two", `,"finishReason":"STOP"`), `{"role":"model","parts":[{"text":"one"}]}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, tc.config)
			h.Calls = func(module.Call) module.CallResult {
				rest := tc.rest[len(h.Called)-1]
				if rest == "" {
					return module.CallResult{Status: 503}
				}
				return module.CallResult{Status: 200, Header: [][2]string{{"content-type", "text/event-stream"}}, Body: []byte(rest)}
			}
			got := h.Do(moduletest.Exchange{Path: tc.path, Request: tc.request, Header: midStream(), AnswerHeader: sse, AnswerChunks: []string{tc.begun, "data: {\"half"}})
			want, ours := strings.CutPrefix(tc.want, "*") // what stands before it is in the gateway's words
			if got.Status != 200 || !ours && got.Body != want || !strings.HasSuffix(got.Body, want) || strings.Contains(got.Body, "rror") {
				t.Errorf("got %d %q\nwant %q", got.Status, got.Body, tc.want)
			}
			if len(h.Called) != len(tc.rest) {
				t.Fatalf("got %d calls", len(h.Called))
			}
			last := h.Called[len(h.Called)-1]
			if !strings.Contains(string(last.Body), tc.asked) {
				t.Errorf("the last one was asked with %s", last.Body)
			}
			if series := h.Metrics["leash_resumed_streams_total.[provider=second].[model=m-2]"] + h.Metrics["leash_resumed_streams_total.[provider=third].[model=gpt-*]"]; series != 1 {
				t.Errorf("the stream is not counted: %v", h.Metrics)
			}
		})
	}
}

func TestTheRestIsAskedForByTheWayOfAttempts(t *testing.T) {
	h := newHost(t, openai)
	h.Calls = func(module.Call) module.CallResult { return module.CallResult{} }
	h.Do(moduletest.Exchange{Request: chatStream, Header: midStream(), AnswerHeader: sse, AnswerChunks: []string{chatText("one")}})
	if len(h.Called) != 2 {
		t.Fatalf("got %d calls", len(h.Called))
	}
	got := map[string]string{}
	for _, one := range h.Called[1].Header {
		got[one[0]] = one[1]
	}
	call := h.Called[1]
	if call.Upstream != "carry.third#2" || call.Path != "/v1/chat/completions" || call.Method != http.MethodPost || call.Authority != "gateway.test" {
		t.Errorf("got %+v", call)
	}
	if got[AttemptHeader] != "3" || got["x-own"] != "yes" || got[RestHeader] != "1" || got[TargetHeader+"3"] != "third#2" || got[MidStreamHeader] != "" {
		t.Errorf("got %v", got)
	}
}

func TestAStreamThatNobodyCanGoOnWithEndsWithAnError(t *testing.T) {
	const call = "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n"
	tests := map[string]struct {
		path, request, begun string
		change               func(map[string]string)
		asked                int
	}{
		"not wanted":          {"", chatStream, chatText("one"), func(h map[string]string) { delete(h, MidStreamHeader) }, 0},
		"the last target":     {"", chatStream, chatText("one"), func(h map[string]string) { h[AttemptHeader] = "3" }, 0},
		"all others fail":     {"", chatStream, chatText("one"), nil, 2},
		"a call of a tool":    {"", chatStream, chatText("one") + call, nil, 0},
		"two choices":         {"", chatStream, chatText("one") + strings.ReplaceAll(chatText("two"), `"index":0`, `"index":1`), nil, 0},
		"what it has refused": {"", chatStream, "data: {\"choices\":[{\"index\":0,\"delta\":{\"refusal\":\"no\"}}]}\n\n", nil, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, openai)
			h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: 502} }
			header := midStream()
			if tc.change != nil {
				tc.change(header)
			}
			got := h.Do(moduletest.Exchange{Path: tc.path, Request: tc.request, Header: header, AnswerHeader: sse, AnswerChunks: []string{tc.begun}})
			if got.Status != 200 || !strings.HasPrefix(got.Body, tc.begun) || !strings.Contains(got.Body, "stream_cut") || len(h.Called) != tc.asked {
				t.Errorf("got %d %q after %d calls, want %d", got.Status, got.Body, len(h.Called), tc.asked)
			}
		})
	}
}

// TestAnErrorThatNobodyGoesOnBehindIsTold has the provider's own words, whether others have been asked or not, and the breaker is told.
func TestAnErrorThatNobodyGoesOnBehindIsTold(t *testing.T) {
	tests := map[string]struct{ config, begun, message string }{
		"as it came": {openai, chatText("one") + chatError, "broken"}, "translated": {claude, messageStart + blockStart + blockText("one") + messageError, "Overloaded"},
		"a tool was called": {openai, "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n" + chatError, "broken"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, tc.config)
			h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: 502} }
			got := h.Do(moduletest.Exchange{Request: chatStream, Header: midStream(), AnswerHeader: sse, AnswerChunks: []string{tc.begun, "data: [DONE]\n\n"}})
			if got.Status != 200 || strings.Count(got.Body, tc.message) != 1 || strings.Contains(got.Body, "stream_cut") || !strings.HasSuffix(got.Body, "data: [DONE]\n\n") {
				t.Errorf("got %d %q", got.Status, got.Body)
			}
			if name == "as it came" && h.Metrics["leash_attempt_errors_total.[provider=openai].[model=gpt-*].[class=error_in_answer]"] != 1 {
				t.Errorf("got %v", h.Metrics)
			}
		})
	}
}

// TestTheRestHasASpanOfItsOwn: of the attempt whose answer the client has begun to read, the module tracer tells.
func TestTheRestHasASpanOfItsOwn(t *testing.T) {
	traced := strings.Replace(openai, `{`, `{"trace":true,`, 1)
	header := map[string]string{
		AttemptHeader: "2", TargetHeader + "2": "openai", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
	for name, rest := range map[string]string{"an attempt": "", "the rest": "1"} {
		h := newHost(t, traced)
		header[RestHeader] = rest
		if rest == "" {
			delete(header, RestHeader)
		}
		got := h.Do(moduletest.Exchange{Request: chatStream, Header: header, AnswerHeader: sse, AnswerChunks: []string{chatText("one") + chatEnd}})
		record := strings.Join(h.Logs, "\n")
		if told := strings.Contains(record, `"span.attempt"`) && strings.Contains(record, `"number":2`); told != (rest != "") || strings.Contains(record, "canceled") {
			t.Errorf("%s: got the record %q", name, record)
		}
		if passed := got.Header["x-leash-span"] != ""; passed != (rest == "") {
			t.Errorf("%s: got %v", name, got.Header)
		}
	}
}
