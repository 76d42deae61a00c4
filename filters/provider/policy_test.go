package provider

import (
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/breaker"
	"github.com/leash-gateway/leash/module/budget"
	"github.com/leash-gateway/leash/module/moduletest"
)

const (
	claude = `{"name":"claude","api":"messages","formats":["anthropic-messages"],"base_path":"/base"}`
	gemini = `{"name":"gemini","api":"gemini","formats":["google-generate","google-stream"]}`
	openai = `{"name":"openai","api":"chat","formats":["openai-chat"],"base_path":"/v1","breaker":{"consecutive":1,"open":"1m"}}`
	azure  = `{"name":"azure","formats":["openai-chat"],"base_path":"/x","paths":{"openai-chat":"/deployments/{model}/chat?v=1"}}`
)

const (
	chatRequest   = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	chatAnswer    = `{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"well"},"finish_reason":"stop"}]}`
	claudeRequest = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	claudeAnswer  = `{"id":"1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"well"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}`
	geminiRequest = `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`
)

func newHost(t testing.TB, config string) *moduletest.Host {
	t.Helper()
	return moduletest.New(t, `{"modules":[{"name":"provider","config":`+config+`}]}`)
}

// first are the headers of a first attempt after which another provider may be asked.
func first(more ...string) map[string]string {
	h := map[string]string{AttemptHeader: "1", TargetHeader + "1": "x", TargetHeader + "2": "y"}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

// TestHeadersOfAClientsAPIStayWithIt: Codex's tell paths and ids of the user's machine.
func TestHeadersOfAClientsAPIStayWithIt(t *testing.T) {
	const converse = `{"name":"bedrock","api":"converse"}`
	for _, tc := range []struct{ config, path, body, goes, stays string }{
		{openai, "/v1/messages", claudeRequest, "openai-beta", "x-codex-turn-metadata anthropic-beta anthropic-version x-goog-api-client"},
		{openai, "/v1/responses", `{"model":"m","input":"hi"}`, "openai-beta", "x-codex-turn-metadata"},
		{openai, "/v1/chat/completions", chatRequest, "x-codex-turn-metadata", ""},
		{claude, "/v1/chat/completions", chatRequest, "anthropic-beta anthropic-version", "openai-beta x-codex-turn-metadata x-stainless-os x-goog-api-client"},
		{claude, "/v1/messages", claudeRequest, "anthropic-beta anthropic-version x-stainless-os", ""},
		{converse, "/v1/chat/completions", chatRequest, "", "openai-beta x-codex-turn-metadata x-stainless-os anthropic-beta"},
	} {
		header := map[string]string{"x-own": "1"}
		for _, name := range strings.Fields(tc.goes + " " + tc.stays) {
			header[name] = "a"
		}
		got := newHost(t, tc.config).Do(moduletest.Exchange{Path: tc.path, Request: tc.body, Header: header, Answer: "{}"}).SentHeader
		for _, name := range strings.Fields(tc.goes + " x-own") {
			if got[name] == "" {
				t.Errorf("%s of %s: without %s", tc.config, tc.path, name)
			}
		}
		for _, name := range strings.Fields(tc.stays) {
			if got[name] != "" {
				t.Errorf("%s of %s: with %s", tc.config, tc.path, name)
			}
		}
	}
}

func TestRequestsGoWhereTheProviderHasThem(t *testing.T) {
	tests := map[string]struct{ config, path, body, model, sentPath, has string }{
		"as they are":                    {claude, "/v1/messages", claudeRequest, "", "/base/v1/messages", claudeRequest},
		"another model":                  {claude, "/v1/messages", claudeRequest, "sonnet", "/base/v1/messages", `"model":"sonnet"`},
		"translated":                     {claude, "/v1/chat/completions", chatRequest, "sonnet", "/base/v1/messages", `"model":"sonnet"`},
		"translated, the client's model": {claude, "/v1/chat/completions", chatRequest, "", "/base/v1/messages", `"model":"m"`},
		"OpenAI's version of the API":    {openai, "/v1/chat/completions", chatRequest, "", "/v1/chat/completions", chatRequest},
		"from Google's API":              {openai, "/v1beta/models/m-1:generateContent", geminiRequest, "", "/v1/chat/completions", `"model":"m-1"`},
		"from Google's, with a maker":    {claude, "/v1beta/models/openai/m-1:generateContent", geminiRequest, "", "/base/v1/messages", `"model":"openai/m-1"`},
		"from Google's, a bare maker":    {openai, "/v1beta/a/m-1:generateContent", geminiRequest, "", "/v1/chat/completions", `"model":"a/m-1"`},
		"to Google's API":                {gemini, "/v1/messages", claudeRequest, "flash", "/v1beta/models/flash:generateContent", `"contents"`},
		"Google's with another model":    {gemini, "/v1beta/models/m-1:generateContent", geminiRequest, "flash", "/v1beta/models/flash:generateContent", geminiRequest},
		"another's thoughts":             {claude, "/v1/messages", strings.Replace(claudeRequest, `]`, `,{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]`, 1), "", "/base/v1/messages", `"hi"},{"role":"assistant","content":[{"type":"text","text":"b"}]},{"role"`},
		"Google's streams":               {gemini, "/v1beta/models/m-1:streamGenerateContent?alt=sse", geminiRequest, "", "/v1beta/models/m-1:streamGenerateContent?alt=sse", geminiRequest},
		"a path of its own":              {azure, "/v1/chat/completions", chatRequest, "", "/x/deployments/m/chat?v=1", chatRequest},
		"with a model that needs care":   {azure, "/v1/chat/completions", chatRequest, "a/b c", "/x/deployments/a%2Fb%20c/chat?v=1", `"model":"a/b c"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			header := map[string]string{AttemptHeader: "2", "accept-encoding": "gzip"}
			if tc.model != "" {
				header[ModelHeader+"2"] = tc.model
			}
			got := newHost(t, tc.config).Do(moduletest.Exchange{Path: tc.path, Request: tc.body, Header: header, Answer: `{}`})
			if !got.Sent || got.SentHeader[":path"] != tc.sentPath || !strings.Contains(got.SentBody, tc.has) {
				t.Errorf("got %d; sent %s %s, want %s with %s", got.Status, got.SentHeader[":path"], got.SentBody, tc.sentPath, tc.has)
			}
			if _, there := got.SentHeader["accept-encoding"]; there {
				t.Error("the provider may encode what is to be read")
			}
		})
	}
}

func TestWhatCannotBeSaidIsLeftToTheNext(t *testing.T) {
	for name, body := range map[string]string{
		"a field":  `{"model":"m","logit_bias":{"1":1},"messages":[{"role":"user","content":"hi"}]}`,
		"no model": `{"messages":[{"role":"user","content":"hi"}],"functions":[{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, claude).Do(moduletest.Exchange{Request: body})
			if got.Sent || got.Status != 400 || got.Header[NextHeader] != "1" || !strings.Contains(got.Body, "not_translatable") {
				t.Errorf("sent %t, got %d %v %s", got.Sent, got.Status, got.Header, got.Body)
			}
		})
	}
	got := newHost(t, gemini).Do(moduletest.Exchange{Path: "/v1/embeddings", Request: `{"model":"m","input":`})
	if got.Sent || got.Status != 400 {
		t.Errorf("half a request: sent %t, got %d %s", got.Sent, got.Status, got.Body)
	}
}

func TestAnswersAreTranslatedBack(t *testing.T) {
	tests := map[string]struct {
		path, request string
		exchange      moduletest.Exchange
		status        int
		has           string
	}{
		"a whole answer": {"/v1/chat/completions", chatRequest, moduletest.Exchange{Answer: claudeAnswer}, 200, `"content":"well"`},
		"in pieces": {"/v1/chat/completions", chatRequest,
			moduletest.Exchange{AnswerChunks: []string{claudeAnswer[:20], claudeAnswer[20:]}}, 200, `"content":"well"`},
		"an error": {"/v1/chat/completions", chatRequest,
			moduletest.Exchange{Status: 429, Answer: `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`}, 429, `"message":"slow down"`},
		"an error without a body": {"/v1/chat/completions", chatRequest, moduletest.Exchange{Status: 503, AnswerChunks: []string{}}, 503, `"type":"server_error"`},
		"garbage":                 {"/v1/chat/completions", chatRequest, moduletest.Exchange{Answer: `{"content`}, 502, "unreadable_answer"},
		"an error with 200":       {"/v1/chat/completions", chatRequest, moduletest.Exchange{Answer: `{"type":"error","error":{"type":"api_error","message":"broken"}}`}, 502, "broken"},
		"what is encoded": {"/v1/chat/completions", chatRequest,
			moduletest.Exchange{AnswerHeader: map[string]string{"content-encoding": "gzip"}, Answer: "\x1f"}, 502, "unreadable_answer"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := tc.exchange
			e.Path, e.Request = tc.path, tc.request
			got := newHost(t, claude).Do(e)
			if got.Status != tc.status || !strings.Contains(got.Body, tc.has) || got.Header["content-type"] != "application/json" {
				t.Errorf("got %d %v %s, want %d with %s", got.Status, got.Header, got.Body, tc.status, tc.has)
			}
		})
	}
}

var sse = map[string]string{"content-type": "text/event-stream"}

const claudeStream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n" +
	"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
	"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"well\"}}\n\n" +
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n" +
	"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

// TestClientsAreToldWhatWasLeftOut: the fields, but those whose names are no part of a list in a header.
func TestClientsAreToldWhatWasLeftOut(t *testing.T) {
	const asking = `{"model":"m","max_tokens":9,"top_k":5,"speed":"fast","a, b":1,"\r\nx: y":1,"":1,"messages":[{"role":"user","content":"hi"}]}`
	got := newHost(t, openai).Do(moduletest.Exchange{Path: "/v1/messages", Request: asking, Answer: chatAnswer})
	if dropped, id := got.Header[DroppedHeader], got.Header["request-id"]; dropped != "top_k, speed" || id != "test-request" {
		t.Errorf("got %q and %q: %d %s", dropped, id, got.Status, got.Body)
	}
	got = newHost(t, claude).Do(moduletest.Exchange{Path: "/v1/messages", Request: asking, Answer: claudeAnswer})
	if dropped, told := got.Header[DroppedHeader]; told {
		t.Errorf("of a request that went as it was %q was left out", dropped)
	}
}

func TestStreamsAreTranslatedHoweverTheyAreCut(t *testing.T) {
	stream := `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	want := newHost(t, claude).Do(moduletest.Exchange{Request: stream, AnswerHeader: sse, AnswerChunks: []string{claudeStream}}).Body
	if !strings.Contains(want, `"content":"well"`) || !strings.HasSuffix(want, "data: [DONE]\n\n") {
		t.Fatalf("got %s", want)
	}
	for cut := 1; cut < len(claudeStream); cut += 7 {
		got := newHost(t, claude).Do(moduletest.Exchange{Request: stream, AnswerHeader: sse, AnswerChunks: []string{claudeStream[:cut], claudeStream[cut:]}})
		if got.Status != 200 || got.Body != want {
			t.Fatalf("cut at %d: got %d %s", cut, got.Status, got.Body)
		}
	}
	got := newHost(t, claude).Do(moduletest.Exchange{Path: "/v1beta/models/m:streamGenerateContent", Request: geminiRequest, AnswerHeader: sse, AnswerChunks: []string{claudeStream}})
	if got.Header["content-type"] != "application/json" || !strings.HasPrefix(got.Body, "[") || !strings.HasSuffix(got.Body, "]") {
		t.Errorf("to a client of Google's arrays: got %v %s", got.Header, got.Body)
	}
}

// TestAStreamOfAnthropicsMayEndAsAChat has what vLLM sends.
func TestAStreamOfAnthropicsMayEndAsAChat(t *testing.T) {
	for path, request := range map[string]string{"/v1/messages": claudeStreamed, "/v1/chat/completions": chatStream} {
		got := newHost(t, claude).Do(moduletest.Exchange{Path: path, Request: request, AnswerHeader: sse, AnswerChunks: []string{claudeStream + "data: [DONE]\n\n"}})
		if got.Status != 200 || strings.Contains(got.Body, "error") || !strings.HasSuffix(got.Body, "data: [DONE]\n\n") {
			t.Errorf("%s: got %d %q", path, got.Status, got.Body)
		}
	}
}

func TestNothingOfAStreamGoesOnBeforeItHasBegun(t *testing.T) {
	const ok, failure, done = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"well\"}}]}\n\n", "data: {\"error\":{\"message\":\"broken\"}}\n\n", "data: [DONE]\n\n"
	const filtered, role = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n", "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
	tests := map[string]struct {
		chunks []string
		status int
		has    string
		last   int // the status where nobody else is asked; what its own client can read of it is as it came. 0: it ends with an error
	}{
		"an error first":           {[]string{failure}, 502, "broken", 200},
		"an error after a comment": {[]string{": hold on\n", "\n", failure}, 502, "broken", 200},
		"garbage":                  {[]string{"data: {\"choi\n\n"}, 502, "unreadable_answer", 502},
		"nothing":                  {[]string{": hold on\n\n"}, 502, "unreadable_answer", 502},
		"an error later":           {[]string{ok, failure}, 200, failure, 200},
		"in small pieces":          {[]string{": hold on\n\nda", "ta: {\"choices\":[", "]}\n\n", ok, done}, 200, ": hold on\n\ndata: {\"choices\":[]}\n\n" + ok + done, 200},
		"an error after openings":  {[]string{filtered + role, failure}, 502, "broken", 200},
		"openings, then nothing":   {[]string{filtered, role}, 502, "unreadable_answer", 0},
		"more than openings":       {[]string{role, role, role, failure}, 200, role + failure, 200},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, openai)
			e := moduletest.Exchange{Request: `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`, AnswerHeader: sse, AnswerChunks: tc.chunks}
			e.Header = first()
			got := h.Do(e)
			if got.Status != tc.status || !strings.Contains(got.Body, tc.has) || (got.Header[NextHeader] == "1") != (tc.status == 502) {
				t.Errorf("got %d %v %q, want %d with %q", got.Status, got.Header, got.Body, tc.status, tc.has)
			}
			e.Header = map[string]string{AttemptHeader: "1", TargetHeader + "1": "x"}
			if got = newHost(t, openai).Do(e); tc.last != 0 && got.Status != tc.last || got.Status == 200 && !strings.HasPrefix(got.Body, strings.Join(tc.chunks, "")) {
				t.Errorf("of the last provider: got %d %q, want %d, as it came", got.Status, got.Body, tc.last)
			}
		})
	}
}

func TestOtherJSONIsNoAnswer(t *testing.T) {
	for name, tc := range map[string]struct{ config, path, request string }{
		"native": {openai, "/v1/chat/completions", chatRequest}, "translated": {claude, "/v1/chat/completions", chatRequest},
		"to chats": {openai, "/v1/messages", claudeRequest}, "to Google's": {gemini, "/v1/chat/completions", chatRequest}, "Google's": {gemini, "/v1beta/models/m:generateContent", geminiRequest},
	} {
		for _, body := range []string{`{}`, `{"detail":"Not Found"}`, `{"message":"no \"choices\", no \"content\", no \"candidates\""}`} {
			got := newHost(t, tc.config).Do(moduletest.Exchange{Path: tc.path, Request: tc.request, Header: first(), Answer: body})
			if got.Status != 502 || got.Header[NextHeader] != "1" || !strings.Contains(got.Body, "it holds no answer") {
				t.Errorf("%s, %s: got %d %v %s", name, body, got.Status, got.Header, got.Body)
			}
		}
	}
	e := moduletest.Exchange{Request: chatRequest, Header: map[string]string{AttemptHeader: "1", TargetHeader + "1": "x"}, Answer: `{"detail":"Not Found"}`}
	if got := newHost(t, openai).Do(e); got.Status != 200 || got.Body != e.Answer {
		t.Errorf("of the last, whose own client reads it: got %d %s, want it as it came", got.Status, got.Body)
	}
	e = moduletest.Exchange{Path: "/v1/messages/count_tokens", Request: claudeRequest, Header: first(), Answer: `{"inputTokens":7}`}
	if got := newHost(t, bedrock).Do(e); got.Status != 200 || got.Body != `{"input_tokens":7}` {
		t.Errorf("of Bedrock, a number of tokens: got %d %s", got.Status, got.Body)
	}
}

func TestAProviderThatSendsElsewhereIsOneThatFails(t *testing.T) {
	for name, config := range map[string]string{"native": openai, "translated": claude} {
		for _, status := range []int{301, 304, 307} {
			for which, header := range map[string]map[string]string{"first": first(), "last": {AttemptHeader: "1", TargetHeader + "1": "x"}} {
				got := newHost(t, config).Do(moduletest.Exchange{Request: chatRequest, Header: header, Status: status, AnswerHeader: map[string]string{"location": "http://elsewhere"}})
				if got.Status != 502 || got.Header[NextHeader] != "1" || !strings.Contains(got.Body, "unreadable_answer") {
					t.Errorf("%s, %d of the %s: got %d %v %s", name, status, which, got.Status, got.Header, got.Body)
				}
			}
		}
	}
}

func TestAnswersAreLookedIntoWhileAnotherProviderMayBeAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		answer       string
		status, last int
	}{
		"an answer": {chatAnswer, 200, 200}, "half an answer": {chatAnswer[:30], 502, 502}, "no JSON": {"<html>", 502, 502},
		"an error": {`{"error":{"message":"broken"}}`, 502, 200}, "no error": {`{"error":null,"choices":[]}`, 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, openai).Do(moduletest.Exchange{Request: chatRequest, Answer: tc.answer, Header: first()})
			if got.Status != tc.status || tc.status == 200 && got.Body != tc.answer {
				t.Errorf("got %d %s, want %d", got.Status, got.Body, tc.status)
			}
			if got = newHost(t, openai).Do(moduletest.Exchange{Request: chatRequest, Answer: tc.answer}); got.Status != tc.last || got.Status == 200 && got.Body != tc.answer {
				t.Errorf("of the last provider: got %d %s, want %d, as it came", got.Status, got.Body, tc.last)
			}
		})
	}
}

// state is what the breaker knows after an exchange.
func state(t *testing.T, h *moduletest.Host, e moduletest.Exchange) breaker.State {
	t.Helper()
	e.Request = chatRequest
	h.Do(e)
	return breaker.Of(h.Shared(), "openai")
}

func TestTheBreakerIsToldHowItWent(t *testing.T) {
	tests := map[string]struct {
		exchange moduletest.Exchange
		open     time.Duration // how long the provider is left alone, at least
	}{
		"an answer":                      {moduletest.Exchange{Answer: chatAnswer, Header: first()}, 0},
		"the client's own error":         {moduletest.Exchange{Status: 400, Answer: `{}`, Header: first()}, 0},
		"an error":                       {moduletest.Exchange{Status: 500, Answer: `{}`, Header: first()}, time.Minute},
		"of the last provider too":       {moduletest.Exchange{Status: 500, Answer: `{}`}, time.Minute},
		"a key that is not accepted":     {moduletest.Exchange{Status: 401, Answer: `{}`, Header: first()}, time.Minute},
		"garbage":                        {moduletest.Exchange{Answer: `{`, Header: first()}, time.Minute},
		"overloaded, until when it says": {moduletest.Exchange{Status: 503, Answer: `{}`, AnswerHeader: map[string]string{"retry-after": "100"}}, 100 * time.Second},
		"asked too often":                {moduletest.Exchange{Status: 429, Answer: `{}`}, 5 * time.Second},
		"for how long it says":           {moduletest.Exchange{Status: 429, AnswerHeader: map[string]string{"retry-after": "40"}}, 40 * time.Second},
		"in milliseconds":                {moduletest.Exchange{Status: 429, AnswerHeader: map[string]string{"retry-after-ms": "1500", "retry-after": "2"}}, 1500 * time.Millisecond},
		"until when it says":             {moduletest.Exchange{Status: 429, AnswerHeader: map[string]string{"retry-after": "Sun, 01 Nov 2026 12:00:30 GMT"}}, 30 * time.Second},
		"nothing is left of its limit":   {moduletest.Exchange{Answer: chatAnswer, AnswerHeader: map[string]string{"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}}, 90 * time.Second},
		"and until when":                 {moduletest.Exchange{Answer: chatAnswer, AnswerHeader: map[string]string{"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2026-11-01T12:00:20Z"}}, 20 * time.Second},
		"something is left":              {moduletest.Exchange{Answer: chatAnswer, AnswerHeader: map[string]string{"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1m"}}, 0},
		"the client left":                {moduletest.Exchange{Leaves: moduletest.BeforeAnswer, Header: first(PatienceHeader, "5000")}, 0},
		"Envoy waited as long as it may": {moduletest.Exchange{Leaves: moduletest.BeforeAnswer, Header: first(PatienceHeader, "1")}, time.Minute},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, openai)
			s := state(t, h, tc.exchange)
			if tc.open == 0 && s.Open(h.Clock) {
				t.Errorf("it is open: %+v", s)
			}
			if tc.open > 0 && (!s.Open(h.Clock.Add(tc.open-time.Millisecond)) || s.Open(h.Clock.Add(tc.open))) {
				t.Errorf("it is not open for %s: %+v", tc.open, s)
			}
		})
	}
}

// TestGoogleIsLeftAloneForAsLongAsItsErrorSays: it has no header for that.
func TestGoogleIsLeftAloneForAsLongAsItsErrorSays(t *testing.T) {
	const answer = `{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.4s"}]}}`
	h := newHost(t, gemini)
	got := h.Do(moduletest.Exchange{Request: chatRequest, Status: 429, Answer: answer, Header: first()})
	if got.Status != 429 || got.Header["retry-after"] != "35" {
		t.Errorf("got %d %v", got.Status, got.Header)
	}
	if s := breaker.Of(h.Shared(), "gemini"); !s.Open(h.Clock.Add(34*time.Second)) || s.Open(h.Clock.Add(35*time.Second)) {
		t.Errorf("the breaker is %+v", s)
	}
}

func TestAttemptsAreCounted(t *testing.T) {
	second := func(header ...string) map[string]string {
		h := map[string]string{AttemptHeader: "2", TargetHeader + "2": "openai", LabelHeader: "gpt-*"}
		for i := 0; i+1 < len(header); i += 2 {
			h[header[i]] = header[i+1]
		}
		return h
	}
	series := func(name, label, rest string) string { return name + ".[provider=openai].[model=" + label + "]" + rest }
	tests := map[string]struct {
		exchange moduletest.Exchange
		want     []string
		not      string
	}{
		"one that is answered": {moduletest.Exchange{Answer: chatAnswer, Header: first(LabelHeader, "gpt-*")},
			[]string{series("leash_attempts_total", "gpt-*", ".[status=200]")}, "retries"},
		"under the name of the provider": {moduletest.Exchange{Answer: chatAnswer, Header: second(ModelHeader+"2", "gpt-4o")},
			[]string{series("leash_attempts_total", "gpt-4o", ".[status=200]"), series("leash_retries_total", "gpt-4o", "")}, "errors"},
		"one that is made again": {moduletest.Exchange{Status: 503, Answer: `{}`, Header: second()},
			[]string{series("leash_retries_total", "gpt-*", ""), series("leash_attempt_errors_total", "gpt-*", ".[class=unavailable]")}, "unreadable"},
		"garbage": {moduletest.Exchange{Answer: `{`, Header: first(LabelHeader, "gpt-*")},
			[]string{series("leash_attempt_errors_total", "gpt-*", ".[class=unreadable_answer]")}, "retries"},
		"an error with 200": {moduletest.Exchange{Answer: `{"error":{"message":"broken"}}`, Header: first(LabelHeader, "gpt-*")},
			[]string{series("leash_attempt_errors_total", "gpt-*", ".[class=error_in_answer]")}, "retries"},
		"given up": {moduletest.Exchange{Leaves: moduletest.BeforeAnswer, Header: first(LabelHeader, "gpt-*")},
			[]string{series("leash_attempts_total", "gpt-*", ".[status=0]"), series("leash_attempt_errors_total", "gpt-*", ".[class=canceled]")}, "retries"},
		"garbage of the last one, while another may answer": {moduletest.Exchange{Answer: `{`, Header: second(HedgeHeader, "1")},
			[]string{series("leash_attempt_errors_total", "gpt-*", ".[class=unreadable_answer]")}, "canceled"},
		"none in time": {moduletest.Exchange{Leaves: moduletest.BeforeAnswer, Header: first(PatienceHeader, "1", LabelHeader, "gpt-*")},
			[]string{series("leash_attempts_total", "gpt-*", ".[status=0]"), series("leash_attempt_errors_total", "gpt-*", ".[class=timeout]")}, "retries"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, e := newHost(t, openai), tc.exchange
			e.Request = chatRequest
			h.Do(e)
			for _, series := range tc.want {
				if h.Metrics[series] != 1 {
					t.Errorf("%s is %d, want 1: %v", series, h.Metrics[series], h.Metrics)
				}
			}
			for series := range h.Metrics {
				if strings.Contains(series, tc.not) || strings.HasPrefix(series, "leash_refusals_total") { // the client may be answered by another
					t.Errorf("%s is counted", series)
				}
			}
		})
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	definition, _ := module.Lookup("provider")
	for config, want := range map[string]string{
		`{"api":"soap"}`:              `api: "soap" is not chat, responses, messages, gemini or converse`,
		`{"formats":["x"]}`:           `formats[0]: there is no format "x"`,
		`{"paths":{"x":"/"}}`:         `paths: there is no format "x"`,
		`{"streams":{"x":"/"}}`:       `streams: there is no format "x"`,
		`{"quirks":["slow"]}`:         `quirks[0]: "slow" is not old_limit, without_stream_options or vertex`,
		`{"breaker":{"open":"soon"}}`: `breaker.open: "soon" is not a duration (such as "90s" or "1h")`,
	} {
		if _, err := definition.New([]byte(config)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
}

func TestFurtherAttemptsAreCountedForTheBudgetOfTheirRoute(t *testing.T) {
	tests := map[string]struct {
		attempt, budget string
		want            bool
	}{
		"a first attempt":           {"1", "best", true},
		"a further one":             {"2", "best", false},
		"of a route without budget": {"2", "", true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, openai)
			h.Do(moduletest.Exchange{Request: chatRequest, Answer: chatAnswer, Header: map[string]string{AttemptHeader: tc.attempt, BudgetHeader: tc.budget}})
			if got := budget.Request(h.Shared(), "best", budget.Settings{Percent: 1, Least: 1}, h.Clock); got != tc.want {
				t.Errorf("there may be further attempts: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestAnAnswerOfNoUseIsAskedForElsewhere(t *testing.T) {
	const malformed = `{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","index":0}]}`
	got := newHost(t, gemini).Do(moduletest.Exchange{Request: chatRequest, Header: first(), Answer: malformed})
	if got.Status != 502 || got.Header[NextHeader] != "1" || !strings.Contains(got.Body, `"code":"provider_error"`) || !strings.Contains(got.Body, "MALFORMED_FUNCTION_CALL") {
		t.Errorf("got %d %v %s", got.Status, got.Header, got.Body)
	}
	got = newHost(t, gemini).Do(moduletest.Exchange{Request: chatStream, AnswerHeader: sse, AnswerChunks: []string{"data: " + malformed + "\n\n"}})
	if got.Status != 200 || !strings.Contains(got.Body, `data: {"error":{"message":"the model's answer cannot be used: MALFORMED_FUNCTION_CALL"`) {
		t.Errorf("as a stream: got %d %s", got.Status, got.Body)
	}
}

func TestTheSpanOfAnAttemptHasTheStatusThatIsCounted(t *testing.T) {
	tests := map[string]struct {
		exchange moduletest.Exchange
		status   string
	}{
		"garbage":           {moduletest.Exchange{Answer: `{`}, "200"},
		"an error with 200": {moduletest.Exchange{Answer: `{"error":{"message":"broken"}}`}, "200"},
		"an error":          {moduletest.Exchange{Status: 503, Answer: `{}`}, "503"},
		"another address":   {moduletest.Exchange{Status: 302}, "302"},
		"given up":          {moduletest.Exchange{Leaves: moduletest.BeforeAnswer}, "0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, e := newHost(t, strings.Replace(openai, `{`, `{"trace":true,`, 1)), tc.exchange
			e.Request = chatRequest
			e.Header = map[string]string{
				AttemptHeader: "1", TargetHeader + "1": "openai", TargetHeader + "2": "other", LabelHeader: "m", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			}
			h.Do(e)
			if record := strings.Join(h.Logs, "\n"); !strings.Contains(record, `"span.attempt"`) || !strings.Contains(record, `"status":`+tc.status+`,`) {
				t.Errorf("got the record %q, want the status %s", record, tc.status)
			}
			if n := h.Metrics["leash_attempts_total.[provider=openai].[model=m].[status="+tc.status+"]"]; n != 1 {
				t.Errorf("counted are %v", h.Metrics)
			}
		})
	}
}
