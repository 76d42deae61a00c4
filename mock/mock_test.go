package mock

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidwall/gjson"
)

// ask sends one request straight to the handler; header is names and values in turn.
func ask(t *testing.T, p *Provider, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

func chat(t *testing.T, p *Provider, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return ask(t, p, http.MethodPost, "/v1/chat/completions", body, header...)
}

// message is a chat request with one user message and further fields.
func message(text, fields string) string {
	quoted, _ := json.Marshal(text)
	return `{"model":"gpt-4o-mini","messages":[{"role":"user","content":` + string(quoted) + `}]` + fields + `}`
}

func fixedClock() time.Time { return time.Unix(1700000000, 0) }

func TestChatAnswersAsAsked(t *testing.T) {
	const weather = `,"tools":[{"type":"function","function":{"name":"get_weather"}}]`
	tests := map[string]struct {
		prompt, fields      string
		wantText, wantCalls string
		wantFinish          string
		wantTokens          int64
	}{
		"echo":                        {"hi there", "", "You said: hi there", "", "stop", 4},
		"said exactly":                {"say: a  b\n\"c\" \\ é 😀", "", "a  b\n\"c\" \\ é 😀", "", "stop", 6},
		"nothing said":                {"say:", "", "", "", "stop", 0},
		"lorem":                       {"lorem: 3", "", "lorem ipsum dolor", "", "stop", 3},
		"much lorem":                  {"lorem: 1500", `,"max_tokens":1`, "lorem", "", "length", 1},
		"cut by tokens":               {"say: one two three", `,"max_tokens":2`, "one two", "", "length", 2},
		"cut by completion tokens":    {"say: one two three", `,"max_completion_tokens":1`, "one", "", "length", 1},
		"as long as allowed":          {"say: one two", `,"max_tokens":2`, "one two", "", "stop", 2},
		"stopped":                     {"say: one two three", `,"stop":" two"`, "one", "", "stop", 1},
		"stopped at the first":        {"say: one two three", `,"stop":["three","two"]`, "one ", "", "stop", 2},
		"null is absent":              {"say: x", `,"stop":null,"max_tokens":null,"n":null,"stream_options":null`, "x", "", "stop", 1},
		"a tool":                      {`call: get_weather {"city":"Paris"}`, weather, "", `get_weather{"city":"Paris"}`, "tool_calls", 2},
		"two tools":                   {"call: get_weather {}\ncall: get_weather", weather, "", `get_weather{}get_weather{}`, "tool_calls", 4},
		"an unknown tool":             {"call: launch {}", weather, "You said: call: launch {}", "", "stop", 5},
		"a tool without tools":        {"call: get_weather {}", "", "You said: call: get_weather {}", "", "stop", 5},
		"tools forbidden":             {"call: get_weather {}", weather + `,"tool_choice":"none"`, "You said: call: get_weather {}", "", "stop", 5},
		"a tool required":             {"hello", weather + `,"tool_choice":"required"`, "", "get_weather{}", "tool_calls", 2},
		"a tool named":                {"hello", weather + `,"tool_choice":{"type":"function","function":{"name":"get_weather"}}`, "", "get_weather{}", "tool_calls", 2},
		"unknown fields are no error": {"say: x", `,"top_k":5,"reasoning_content":{}`, "x", "", "stop", 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := chat(t, New(Options{}), message(tc.prompt, tc.fields))
			if w.Code != 200 || !gjson.Valid(w.Body.String()) {
				t.Fatalf("got status %d and %s", w.Code, w.Body)
			}
			answer := gjson.Parse(w.Body.String())
			if got := answer.Get("choices.0.message.content").String(); got != tc.wantText {
				t.Errorf("got text %q, want %q", got, tc.wantText)
			}
			var calls string
			for _, call := range answer.Get("choices.0.message.tool_calls").Array() {
				calls += call.Get("function.name").String() + call.Get("function.arguments").String()
			}
			if calls != tc.wantCalls {
				t.Errorf("got calls %q, want %q", calls, tc.wantCalls)
			}
			if got := answer.Get("choices.0.finish_reason").String(); got != tc.wantFinish {
				t.Errorf("got finish %q, want %q", got, tc.wantFinish)
			}
			if got := answer.Get("usage.completion_tokens").Int(); got != tc.wantTokens {
				t.Errorf("got %d tokens, want %d", got, tc.wantTokens)
			}
		})
	}
}

func TestAnswerHasTheFormOfTheChatAPI(t *testing.T) {
	p := New(Options{Now: fixedClock})
	w := chat(t, p, message("say: Hi!", `,"n":2`), "X-Mock", "cached_tokens=1&reasoning_tokens=5")
	want := `{"id":"chatcmpl-mock-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini",` +
		`"service_tier":"default","system_fingerprint":"fp_mock","choices":[` +
		`{"index":0,"message":{"role":"assistant","content":"Hi!","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"},` +
		`{"index":1,"message":{"role":"assistant","content":"Hi!","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":2,"completion_tokens":7,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":1,"audio_tokens":0},` +
		`"completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}` + "\n"
	if got := w.Body.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "X-Request-Id": "req_mock_1", "X-Ratelimit-Limit-Requests": "10000"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("header %s: got %q, want %q", name, got, want)
		}
	}
}

func TestPromptTokensAreTheWordsOfAllMessages(t *testing.T) {
	body := `{"model":"m","messages":[{"role":"system","content":"be brief"},
		{"role":"user","content":[{"type":"text","text":"one two"},{"type":"image_url","image_url":{"url":"data:x"}},{"type":"text","text":"three"}]},
		{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"a","content":"42"},
		{"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"43"}]}]}`
	w := chat(t, New(Options{}), body)
	if got := gjson.Get(w.Body.String(), "usage.prompt_tokens").Int(); got != 7 {
		t.Errorf("got %d prompt tokens, want 7: %s", got, w.Body)
	}
	if got := gjson.Get(w.Body.String(), "choices.0.message.content").String(); got != "The tools said: 42; 43" {
		t.Errorf("got %q", got)
	}
}

func TestWrongRequestsAreRefusedAsByOpenAI(t *testing.T) {
	const ok = `"messages":[{"role":"user","content":"hi"}]`
	tests := map[string]struct {
		body      string
		status    int
		parameter string
		code      string
	}{
		"no JSON":                    {`{`, 400, "", ""},
		"no object":                  {`[]`, 400, "body", "invalid_type"},
		"no model":                   {`{` + ok + `}`, 400, "", ""},
		"model of wrong type":        {`{"model":1,` + ok + `}`, 400, "model", "invalid_type"},
		"no messages":                {`{"model":"m"}`, 400, "messages", "missing_required_parameter"},
		"messages of wrong type":     {`{"model":"m","messages":"hi"}`, 400, "messages", "invalid_type"},
		"messages empty":             {`{"model":"m","messages":[]}`, 400, "messages", "empty_array"},
		"message of wrong type":      {`{"model":"m","messages":["hi"]}`, 400, "messages[0]", "invalid_type"},
		"no role":                    {`{"model":"m","messages":[{"content":"hi"}]}`, 400, "messages[0].role", "missing_required_parameter"},
		"unknown role":               {`{"model":"m","messages":[{"role":"boss","content":"hi"}]}`, 400, "messages[0].role", "invalid_value"},
		"no content":                 {`{"model":"m","messages":[{"role":"user"}]}`, 400, "messages[0].content", "missing_required_parameter"},
		"content of wrong type":      {`{"model":"m","messages":[{"role":"user","content":7}]}`, 400, "messages[0].content", "invalid_type"},
		"part without type":          {`{"model":"m","messages":[{"role":"user","content":[{}]}]}`, 400, "messages[0].content[0].type", "missing_required_parameter"},
		"tool result of no call":     {`{"model":"m","messages":[{"role":"tool","content":"x"}]}`, 400, "messages[0].tool_call_id", "missing_required_parameter"},
		"n too small":                {`{"model":"m","n":0,` + ok + `}`, 400, "n", "integer_below_min_value"},
		"n too large":                {`{"model":"m","n":129,` + ok + `}`, 400, "n", "integer_above_max_value"},
		"n of wrong type":            {`{"model":"m","n":1.5,` + ok + `}`, 400, "n", "invalid_type"},
		"stream of wrong type":       {`{"model":"m","stream":"yes",` + ok + `}`, 400, "stream", "invalid_type"},
		"temperature too high":       {`{"model":"m","temperature":2.1,` + ok + `}`, 400, "temperature", "decimal_above_max_value"},
		"top_p too low":              {`{"model":"m","top_p":-1,` + ok + `}`, 400, "top_p", "decimal_below_min_value"},
		"max_tokens zero":            {`{"model":"m","max_tokens":0,` + ok + `}`, 400, "max_tokens", "integer_below_min_value"},
		"both bounds":                {`{"model":"m","max_tokens":1,"max_completion_tokens":1,` + ok + `}`, 400, "max_tokens", "invalid_parameter_combination"},
		"too many stops":             {`{"model":"m","stop":["a","b","c","d","e"],` + ok + `}`, 400, "stop", "array_above_max_length"},
		"stream options, no stream":  {`{"model":"m","stream_options":{"include_usage":true},` + ok + `}`, 400, "stream_options", ""},
		"usage of wrong type":        {`{"model":"m","stream":true,"stream_options":{"include_usage":1},` + ok + `}`, 400, "stream_options.include_usage", "invalid_type"},
		"tool choice without tools":  {`{"model":"m","tool_choice":"auto",` + ok + `}`, 400, "tool_choice", ""},
		"tool without name":          {`{"model":"m","tools":[{"type":"function"}],` + ok + `}`, 400, "tools[0].function.name", "missing_required_parameter"},
		"unknown behavior":           {`{"model":"m?explode=1",` + ok + `}`, 400, "", "mock_behavior_invalid"},
		"the last of two keys rules": {`{"model":"m","model":2,` + ok + `}`, 400, "model", "invalid_type"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := chat(t, New(Options{}), tc.body)
			checkError(t, w, tc.status, invalidRequest, tc.parameter, tc.code)
		})
	}
}

func checkError(t *testing.T, w *httptest.ResponseRecorder, status int, kind, parameter, code string) {
	t.Helper()
	e := gjson.Get(w.Body.String(), "error")
	if w.Code != status || e.Get("type").String() != kind || e.Get("param").String() != parameter || e.Get("code").String() != code || e.Get("message").String() == "" {
		t.Errorf("got %d %s\nwant %d, type %q, param %q, code %q, and a message", w.Code, w.Body, status, kind, parameter, code)
	}
}

func TestOnlyTheAPIsPathsAndMethodsAreServed(t *testing.T) {
	tests := map[string]struct {
		method, target string
		status         int
	}{
		"models":                 {"GET", "/v1/models", 200},
		"one model":              {"GET", "/v1/models/gpt-4o", 200},
		"another method":         {"GET", "/v1/chat/completions", 405},
		"another path":           {"POST", "/v1/chat/completions/", 404},
		"a doubled slash":        {"POST", "//v1/chat/completions", 404},
		"control, if not wanted": {"GET", "/mock/requests", 404},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if w := ask(t, New(Options{}), tc.method, tc.target, ""); w.Code != tc.status {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, tc.status)
			}
		})
	}
}

func TestKeyAndModelsAreRequiredWhenConfigured(t *testing.T) {
	p := New(Options{Key: "sk-right", Models: []string{"gpt-5"}})
	body := message("hi", "")
	checkError(t, chat(t, p, body), 401, invalidRequest, "", "")
	checkError(t, chat(t, p, body, "Authorization", "Bearer sk-wrong"), 401, invalidRequest, "", "invalid_api_key")
	checkError(t, chat(t, p, body, "Authorization", "Bearer sk-right"), 404, invalidRequest, "", "model_not_found")
	w := chat(t, p, strings.Replace(body, "gpt-4o-mini", "gpt-5", 1), "Authorization", "Bearer sk-right")
	if w.Code != 200 {
		t.Errorf("got %d %s, want 200", w.Code, w.Body)
	}
	w = ask(t, p, "GET", "/v1/models", "", "Authorization", "Bearer sk-right")
	if got := gjson.Get(w.Body.String(), "data.#.id").Raw; got != `["gpt-5"]` {
		t.Errorf("got models %s, want gpt-5 alone", got)
	}
}

func TestDelayAndPaceTakeTheirTime(t *testing.T) {
	tests := map[string]struct {
		behavior, fields string
		want             time.Duration
	}{
		"delay":            {"delay=3s", "", 3 * time.Second},
		"delay and status": {"delay=3s&status=500", "", 3 * time.Second},
		// The role, two words, the reason of the end, [DONE]: four waits between five events.
		"pace": {"delay=1s&pace=200ms", `,"stream":true`, 1800 * time.Millisecond},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				chat(t, New(Options{}), message("say: one two", tc.fields), "X-Mock", tc.behavior)
				if got := time.Since(start); got != tc.want {
					t.Errorf("took %s, want %s", got, tc.want)
				}
			})
		})
	}
}

func TestClientThatLeavesEndsTheExchange(t *testing.T) {
	for _, behavior := range []string{"hang=true", "delay=1h", "pace=1h", "hang_after=1"} {
		t.Run(behavior, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				r := httptest.NewRequestWithContext(ctx, "POST", "/v1/chat/completions", strings.NewReader(message("hi", `,"stream":true`)))
				r.Header.Set("X-Mock", behavior)
				New(Options{}).ServeHTTP(httptest.NewRecorder(), r)
				if got := time.Since(start); got != time.Minute {
					t.Errorf("ended after %s, want the minute after which the client left", got)
				}
			})
		})
	}
}

func TestCutAnswersEndWithoutAnEnd(t *testing.T) {
	tests := map[string]struct {
		behavior, fields string
		wantBody         int // events of a stream, or bytes
	}{
		"dropped":          {"drop=true", "", -1},
		"cut after bytes":  {"cut_after=10", "", 10},
		"cut after events": {"cut_after=2", `,"stream":true`, 2},
	}
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/chat/completions", strings.NewReader(message("say: one two three", tc.fields)))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Mock", tc.behavior)
			response, err := server.Client().Do(r)
			if tc.wantBody < 0 {
				if err == nil {
					_ = response.Body.Close()
					t.Fatal("got an answer, want a closed connection")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got error %v, want an unexpected end", err)
			}
			got := len(body)
			if tc.fields != "" {
				got = strings.Count(string(body), "\n\n")
			}
			if got != tc.wantBody {
				t.Errorf("got %d before the end, want %d: %s", got, tc.wantBody, body)
			}
		})
	}
}

func TestFaultsOfTheAnswer(t *testing.T) {
	p := New(Options{})
	t.Run("status with retry", func(t *testing.T) {
		w := chat(t, p, message("hi", ""), "X-Mock", "status=429&retry_after=1500ms")
		checkError(t, w, 429, "requests", "", "rate_limit_exceeded")
		if got := w.Header().Get("Retry-After") + " " + w.Header().Get("Retry-After-Ms"); got != "2 1500" {
			t.Errorf("got Retry-After %q, want 2 and 1500", got)
		}
	})
	t.Run("status by model", func(t *testing.T) {
		w := chat(t, p, strings.Replace(message("hi", ""), "gpt-4o-mini", "gpt-4o-mini?status=503", 1))
		checkError(t, w, 503, "server_error", "", "")
	})
	t.Run("the model is named without its behavior", func(t *testing.T) {
		w := chat(t, p, strings.Replace(message("hi", ""), "gpt-4o-mini", "gpt-4o-mini?omit_usage=true", 1))
		answer := gjson.Parse(w.Body.String())
		if got := answer.Get("model").String(); got != "gpt-4o-mini" || answer.Get("usage").Exists() {
			t.Errorf("got model %q and %s, want gpt-4o-mini without usage", got, w.Body)
		}
	})
	t.Run("invalid JSON", func(t *testing.T) {
		w := chat(t, p, message("hi", ""), "X-Mock", "invalid_json=true")
		if w.Code != 200 || gjson.Valid(w.Body.String()) {
			t.Errorf("got %d %s, want 200 and no JSON", w.Code, w.Body)
		}
	})
	t.Run("escaped", func(t *testing.T) {
		w := chat(t, p, message("say: aé😀", ""), "X-Mock", "escape=true")
		if got := gjson.Get(w.Body.String(), "choices.0.message.content"); got.Raw != `"\u0061\u00e9\ud83d\ude00"` || got.String() != "aé😀" {
			t.Errorf("got %s", got.Raw)
		}
	})
	t.Run("a bad behavior is told", func(t *testing.T) {
		for _, bad := range []string{"status=200", "delay=5", "drop=maybe", "chunk=-1", "gzip=yes", "boom=1", "%zz"} {
			checkError(t, chat(t, p, message("hi", ""), "X-Mock", bad), 400, invalidRequest, "", "mock_behavior_invalid")
		}
	})
}

func TestEmbeddings(t *testing.T) {
	p := New(Options{})
	get := func(body string) gjson.Result {
		w := ask(t, p, "POST", "/v1/embeddings", body)
		if w.Code != 200 {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
		return gjson.Parse(w.Body.String())
	}
	a := get(`{"model":"text-embedding-3-small","input":["one two","one two","three"],"dimensions":4}`)
	if got := a.Get("usage").Raw; got != `{"prompt_tokens":5,"total_tokens":5}` {
		t.Errorf("got usage %s, want 5 tokens", got)
	}
	if a.Get("data.#").Int() != 3 || a.Get("data.0.embedding.#").Int() != 4 {
		t.Errorf("got %s, want three vectors of four numbers", a.Raw)
	}
	if a.Get("data.0.embedding").Raw != a.Get("data.1.embedding").Raw || a.Get("data.0.embedding").Raw == a.Get("data.2.embedding").Raw {
		t.Errorf("got %s, want equal vectors for equal texts only", a.Raw)
	}
	if got := get(`{"model":"text-embedding-3-large","input":[1,2,3]}`); got.Get("data.0.embedding.#").Int() != 3072 || got.Get("usage.prompt_tokens").Int() != 3 {
		t.Errorf("got %.100s, want 3072 numbers for 3 tokens", got.Raw)
	}
	if got := get(`{"model":"m","input":"x","dimensions":2,"encoding_format":"base64"}`).Get("data.0.embedding").String(); len(got) != 12 {
		t.Errorf("got %q, want 8 bytes in base64", got)
	}
	checkError(t, ask(t, p, "POST", "/v1/embeddings", `{"model":"m"}`), 400, invalidRequest, "input", "missing_required_parameter")
	checkError(t, ask(t, p, "POST", "/v1/embeddings", `{"model":"m","input":[]}`), 400, invalidRequest, "input", "invalid_type")
}

func TestTokens(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "a": 1, " a": 1, "a b": 2, "a b ": 3, "a\n\nb\tc": 3, "   ": 1} {
		if got := Tokens(text); got != want {
			t.Errorf("Tokens(%q) = %d, want %d", text, got, want)
		}
	}
}
