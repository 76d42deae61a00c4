package mock

import (
	"compress/gzip"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// events takes a stream apart into the data of its events.
func events(t *testing.T, body string) []string {
	t.Helper()
	var all []string
	for block := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(block, "data: ")
		if !ok {
			t.Fatalf("got the event %q, want one with data", block)
		}
		all = append(all, data)
	}
	return all
}

func TestStreamHasTheFormOfTheChatAPI(t *testing.T) {
	const head = `{"id":"chatcmpl-mock-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini",` +
		`"service_tier":"default","system_fingerprint":"fp_mock","choices":[`
	const role = head + `{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]`
	const one = head + `{"index":0,"delta":{"content":"one"},"logprobs":null,"finish_reason":null}]`
	const two = head + `{"index":0,"delta":{"content":" two"},"logprobs":null,"finish_reason":null}]`
	const end = head + `{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]`
	const usage = `"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},` +
		`"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}`
	tests := map[string]struct {
		fields string
		want   []string
	}{
		"without usage":   {`,"stream":true`, []string{role + "}", one + "}", two + "}", end + "}", "[DONE]"}},
		"usage not asked": {`,"stream":true,"stream_options":{"include_usage":false}`, []string{role + "}", one + "}", two + "}", end + "}", "[DONE]"}},
		"with usage": {`,"stream":true,"stream_options":{"include_usage":true}`, []string{
			role + `,"usage":null}`, one + `,"usage":null}`, two + `,"usage":null}`, end + `,"usage":null}`, head + "]," + usage, "[DONE]",
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := chat(t, New(Options{Now: fixedClock}), message("say: one two", tc.fields))
			got := events(t, w.Body.String())
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
			if got := w.Header().Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
				t.Errorf("got Content-Type %q", got)
			}
		})
	}
}

func TestStreamedPiecesMakeTheWholeText(t *testing.T) {
	const text = "grüße 😀  an\nalle \"da\" draußen"
	for _, behavior := range []string{"chunk=0", "chunk=1", "chunk=3", "chunk=1000", "chunk=2&escape=true", "write=1", "gzip=always", "gzip=always&write=7"} {
		t.Run(behavior, func(t *testing.T) {
			w := chat(t, New(Options{}), message("say: "+text, `,"stream":true,"n":2`), "X-Mock", behavior)
			var got [2]string
			for _, event := range events(t, decoded(t, w)) {
				choice := gjson.Get(event, "choices.0")
				got[choice.Get("index").Int()] += choice.Get("delta.content").String()
			}
			if got[0] != text || got[1] != text {
				t.Errorf("got %q, want twice %q", got, text)
			}
		})
	}
}

// decoded is an answer's body without its compression.
func decoded(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Header().Get("Content-Encoding") == "" {
		return w.Body.String()
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestStreamedToolCall(t *testing.T) {
	const tools = `,"stream":true,"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]`
	w := chat(t, New(Options{}), message("call: f {\"a\": 1}\ncall: g", tools))
	var names, arguments [2]string
	var finish string
	for _, event := range events(t, w.Body.String()) {
		choice := gjson.Get(event, "choices.0")
		for _, call := range choice.Get("delta.tool_calls").Array() {
			i := call.Get("index").Int()
			names[i] += call.Get("function.name").String()
			arguments[i] += call.Get("function.arguments").String()
		}
		finish += choice.Get("finish_reason").String()
	}
	if names != [2]string{"f", "g"} || arguments != [2]string{`{"a": 1}`, "{}"} || finish != "tool_calls" {
		t.Errorf("got names %q, arguments %q, finish %q", names, arguments, finish)
	}
}

func TestStreamFaults(t *testing.T) {
	p := New(Options{})
	t.Run("an error after two events", func(t *testing.T) {
		got := events(t, chat(t, p, message("hi", `,"stream":true`), "X-Mock", "error_after=2").Body.String())
		if len(got) != 3 || gjson.Get(got[2], "error.type").String() != "server_error" {
			t.Errorf("got %q, want two events and an error", got)
		}
	})
	t.Run("invalid JSON", func(t *testing.T) {
		got := events(t, chat(t, p, message("hi", `,"stream":true`), "X-Mock", "invalid_json=true").Body.String())
		if !gjson.Valid(got[0]) || gjson.Valid(got[1]) || !gjson.Valid(got[2]) || got[len(got)-1] != "[DONE]" {
			t.Errorf("got %q, want the second event broken", got)
		}
	})
	t.Run("no usage", func(t *testing.T) {
		body := chat(t, p, message("hi", `,"stream":true,"stream_options":{"include_usage":true}`), "X-Mock", "omit_usage=true").Body.String()
		if strings.Contains(body, "usage") {
			t.Errorf("got %s, want nothing of usage", body)
		}
	})
}

func TestGzipIsSentToThoseWhoAcceptIt(t *testing.T) {
	tests := map[string]struct {
		accept, behavior, want string
	}{
		"not by default":        {"gzip", "", ""},
		"accepted":              {"br, gzip;q=0.5", "gzip=accepted", "gzip"},
		"not accepted":          {"identity", "gzip=accepted", ""},
		"not accepted, but had": {"identity", "gzip=always", "gzip"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := chat(t, New(Options{}), message("say: hello", ""), "X-Mock", tc.behavior, "Accept-Encoding", tc.accept)
			if got := w.Header().Get("Content-Encoding"); got != tc.want {
				t.Errorf("got Content-Encoding %q, want %q", got, tc.want)
			}
			if got := gjson.Get(decoded(t, w), "choices.0.message.content").String(); got != "hello" {
				t.Errorf("got %q, want hello", got)
			}
		})
	}
}
