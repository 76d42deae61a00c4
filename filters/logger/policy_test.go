package logger

import (
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// slow is a module of the test that takes 1.25 s for a request, and 20 ms for an event of a stream; it refuses who asks
// to be refused.
type slow struct{}

// clock is what slow moves on.
var clock *time.Time

func (slow) Request(x *module.Exchange) error {
	*clock = clock.Add(1250 * time.Millisecond)
	if x.Request != nil && len(x.Request.Texts) > 1 && strings.Contains(x.Request.Texts[1].Value, "refuse me") {
		return module.Refuse(403, "as_you_like", "refused")
	}
	return nil
}

func (slow) Event(*module.Exchange, *module.Event) error {
	*clock = clock.Add(20 * time.Millisecond)
	return nil
}

func (slow) ReadsUsage() bool { return true }

func init() {
	module.Register("slow", module.Policy, func(struct{}) (slow, error) { return slow{}, nil })
}

// write runs an exchange and returns the line that was written of it.
func write(t testing.TB, config string, x moduletest.Exchange) string {
	t.Helper()
	h := moduletest.New(t, `{"handover":true,"modules":[{"name":"logger","config":`+config+`},{"name":"slow"}]}`)
	clock = &h.Clock
	h.Do(x)
	if len(h.Logs) != 1 {
		t.Fatalf("%d lines were written, want 1: %q", len(h.Logs), h.Logs)
	}
	if strings.ContainsAny(h.Logs[0], "\n\r\u2028\u2029\x00\x1b") || !gjson.Valid(h.Logs[0]) {
		t.Fatalf("not one line of JSON: %q", h.Logs[0])
	}
	return h.Logs[0]
}

func chat(content string) string {
	return `{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":` + quoted(content) + `}]}`
}

func quoted(s string) string { return string(gjson.AppendJSONString(nil, s)) }

func says(content string) string {
	return `{"choices":[{"index":0,"message":{"role":"assistant","content":` + quoted(content) + `},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":93,"completion_tokens":15,"prompt_tokens_details":{"cached_tokens":10}}}`
}

func delta(choice, field, text string) string {
	return `data: {"choices":[{"index":` + choice + `,"delta":{"` + field + `":` + quoted(text) + `},"finish_reason":null}]}` + "\n\n"
}

// stream is an exchange whose answer comes in these chunks.
func stream(chunks ...string) moduletest.Exchange {
	return moduletest.Exchange{
		Request:      strings.Replace(chat("hello"), "{", `{"stream":true,`, 1),
		AnswerHeader: map[string]string{"content-type": "text/event-stream"}, AnswerChunks: chunks,
	}
}

// everything is what the other modules of a pipeline say of an exchange.
func everything() map[string]string {
	return map[string]string{
		"leash.caller":                           "acme\x00app\x00alice",
		"leash.fact." + module.FactProvider:      "openai",
		"leash.fact." + module.FactUpstreamModel: "gpt-4o-2024-08-06",
		"leash.fact." + module.FactFlags:         "card,email",
		"leash.fact." + module.FactCost:          "22200000",
	}
}

func TestTheLineOfAnExchange(t *testing.T) {
	const usage = `data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}` + "\n\n"
	cut := stream(delta("0", "content", "12345678"), delta("0", "content", "9"))
	cut.Cut = true
	left := moduletest.Exchange{Request: chat("hello"), AnswerChunks: []string{`{"choi`}, Cut: true}
	broken := left // and the host tells the client so
	broken.Properties = map[string]string{"response.code": "\xf6\x01\x00\x00\x00\x00\x00\x00"}
	tests := map[string]struct {
		config   string
		exchange moduletest.Exchange
	}{
		"everything":     {`{}`, moduletest.Exchange{Request: chat("hello"), Answer: says("hi"), Properties: everything()}},
		"nothing known":  {`{}`, moduletest.Exchange{Method: "GET", Path: "/v1/models", Answer: `{}`}},
		"query":          {`{}`, moduletest.Exchange{Path: "/v1/chat/completions?key=sk-secret", Request: chat("hello"), Answer: says("hi")}},
		"stream":         {`{}`, stream(delta("0", "role", "assistant"), delta("0", "content", "hi"), usage, "data: [DONE]\n\n")},
		"stream cut":     {`{}`, cut},
		"stream failed":  {`{}`, stream(delta("0", "content", "1234"), `data: {"error":{"message":"it broke off"}}`+"\n\n")},
		"answer cut":     {`{}`, left},
		"answer broken":  {`{}`, broken},
		"provider error": {`{}`, moduletest.Exchange{Request: chat("hello"), Status: 503, Answer: `{"error":{}}`}},
		"answer error":   {`{}`, moduletest.Exchange{Request: chat("hello"), Answer: `{"error":{"message":"overloaded"}}`}},
		"refused":        {`{}`, moduletest.Exchange{Request: chat("refuse me"), Properties: everything()}},
		"not JSON":       {`{}`, moduletest.Exchange{Request: `{`}},
		"kinds of tokens": {`{}`, moduletest.Exchange{
			Request: chat("hello"), Answer: `{"usage":{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":1,"cache_write_tokens":2,"audio_tokens":3},` +
				`"completion_tokens_details":{"reasoning_tokens":4,"audio_tokens":2}},"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`,
		}},
		"kept for an hour": {`{}`, moduletest.Exchange{
			Path: "/v1/messages", Request: strings.Replace(chat("hello"), "{", `{"max_tokens":9,`, 1), Answer: `{"type":"message","role":"assistant","content":[{"type":"text","text":"hi"}],` +
				`"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":9,"cache_creation_input_tokens":4,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":4}}}`,
		}},
		"texts": {`{"prompts":true,"completions":true}`, moduletest.Exchange{Request: chat("hello"), Answer: says("hi")}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := write(t, tc.config, tc.exchange) + "\n"
			golden.Assert(t, got, strings.ReplaceAll(name, " ", "_")+".json")
		})
	}
}

func TestTheClientsAddressIsWrittenUnlessItIsToBeOmitted(t *testing.T) {
	tests := map[string]struct {
		config, source string
		exchange       moduletest.Exchange
		want           string
	}{
		"IPv4":                        {`{}`, "203.0.113.9:4711", moduletest.Exchange{Request: chat("hello"), Answer: says("hi")}, "203.0.113.9"},
		"IPv6":                        {`{}`, "[2001:db8::9]:0", moduletest.Exchange{Request: chat("hello"), Answer: says("hi")}, "2001:db8::9"},
		"refused by a module":         {`{}`, "203.0.113.9:4711", moduletest.Exchange{Request: chat("refuse me")}, "203.0.113.9"},
		"refused ahead of all others": {`{}`, "203.0.113.9:4711", moduletest.Exchange{Method: "GET", Path: "/.env"}, "203.0.113.9"},
		"omitted":                     {`{"omit_address":true}`, "203.0.113.9:4711", moduletest.Exchange{Request: chat("hello"), Answer: says("hi")}, ""},
	}
	for name, tc := range tests {
		for _, handover := range []string{"true", "false"} { // Finish is late without
			t.Run(name+", handover: "+handover, func(t *testing.T) {
				h := moduletest.New(t, `{"handover":`+handover+`,"modules":[{"name":"logger","config":`+tc.config+`},{"name":"slow"}]}`)
				clock = &h.Clock
				tc.exchange.Properties = map[string]string{"source.address": tc.source}
				h.Do(tc.exchange)
				if len(h.Logs) != 1 || gjson.Get(h.Logs[0], "address").Str != tc.want || tc.want == "" && strings.Contains(h.Logs[0], "address") {
					t.Errorf("got %q, want one line with the address %q", h.Logs, tc.want)
				}
			})
		}
	}
}

func TestTextsAreWrittenOnlyWhenAskedFor(t *testing.T) {
	x := moduletest.Exchange{Request: chat("the question"), Answer: says("the answer")}
	for config, want := range map[string]struct{ prompt, completion string }{
		`{}`:                                    {},
		`{"prompts":false,"completions":false}`: {},
		`{"prompts":true}`:                      {prompt: "Be brief.\nthe question"},
		`{"completions":true}`:                  {completion: "the answer"},
	} {
		line := write(t, config, x)
		if got := gjson.Get(line, "prompt").Str; got != want.prompt {
			t.Errorf("%s: the prompt is %q, want %q", config, got, want.prompt)
		}
		if got := gjson.Get(line, "completion").Str; got != want.completion {
			t.Errorf("%s: the completion is %q, want %q", config, got, want.completion)
		}
		if want.prompt == "" && strings.Contains(line, "question") || want.completion == "" && strings.Contains(line, "answer") {
			t.Errorf("%s: texts stand in %s", config, line)
		}
	}
}

func TestTextsAreRedacted(t *testing.T) {
	tests := map[string]struct{ config, text, want string }{
		"everything by default": {``, "mail a@example.com, card 4111 1111 1111 1111, key sk-abcdefghijklmnopqrst", "mail [redacted], card [redacted], key [redacted]"},
		"only what is named":    {`,"redact":["card"]`, "mail a@example.com, card 4111111111111111", "mail a@example.com, card [redacted]"},
		"nothing":               {`,"redact":[]`, "card 4111111111111111", "card 4111111111111111"},
		"keywords besides":      {`,"keywords":["bluebird"]`, "Project BLUEBIRD of a@example.com", "Project [redacted] of [redacted]"},
		"keywords alone":        {`,"redact":[],"keywords":["bluebird"]`, "BlueBird, a@example.com", "[redacted], a@example.com"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			config := `{"prompts":true,"completions":true` + tc.config + `}`
			line := write(t, config, moduletest.Exchange{Request: chat(tc.text), Answer: says(tc.text)})
			if got := gjson.Get(line, "prompt").Str; got != "Be brief.\n"+tc.want {
				t.Errorf("the prompt is %q, want %q", got, tc.want)
			}
			if got := gjson.Get(line, "completion").Str; got != tc.want {
				t.Errorf("the completion is %q, want %q", got, tc.want)
			}
			half := len(tc.text) - 5 // in the middle of the last match
			line = write(t, config, stream(delta("0", "content", tc.text[:half]), delta("1", "content", "other"), delta("0", "content", tc.text[half:])))
			if got := gjson.Get(line, "completion").Str; got != tc.want+"\nother" {
				t.Errorf("streamed, the completion is %q, want %q and another", got, tc.want)
			}
		})
	}
}

func TestTextsThatAStreamSendsInTurnAreNotMixed(t *testing.T) {
	const card = "4111 1111 1111 1111"
	both := func(s string) string {
		return `data: {"choices":[{"index":0,"delta":{"reasoning":` + quoted(s) + `,"reasoning_content":` + quoted(s) + `}}]}` + "\n\n"
	}
	line := write(t, `{"completions":true}`, stream(both(card[:9]), both(card[9:]), delta("0", "content", "it is "+card[:4]), delta("0", "refusal", "no"), delta("0", "content", card[4:])))
	if got, want := gjson.Get(line, "completion").Str, "[redacted]\n[redacted]\nit is [redacted]\nno"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestATextThatAStreamRepeatsIsWrittenOnce(t *testing.T) {
	e := stream(
		`data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"one"}`+"\n\n",
		`data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":" two"}`+"\n\n",
		`data: {"type":"response.output_text.done","output_index":0,"content_index":0,"text":"one two"}`+"\n\n",
		`data: {"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"one two"}]},{"type":"reasoning","summary":[{"text":"told only here"}]}]}}`+"\n\n",
	)
	e.Path, e.Request = "/v1/responses", `{"model":"m","stream":true,"input":"hi"}`
	if got, want := gjson.Get(write(t, `{"completions":true}`, e), "completion").Str, "one two\ntold only here"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTextsAreCutAtTheirBoundAndNothingIsCutOpen(t *testing.T) {
	const card = "4111 1111 1111 1111"
	tests := map[string]struct {
		bound, text, want string
	}{
		"as long as the bound":             {"5", "12345", "12345"},
		"one byte longer":                  {"5", "123456", "12345…"},
		"nothing":                          {"0", "123456", "…"},
		"in the middle of a character":     {"5", "1234é", "1234…"},
		"in the middle of a match":         {"10", "card " + card + " and more", "card [redacted]…"},
		"a match behind the bound":         {"4", "card " + card, "card…"},
		"much is redacted and much is cut": {"4096", strings.Repeat("someone@example.com ", 1000), strings.Repeat("[redacted] ", 204) + "[redacted]…"},
		"a match that is cut far behind":   {"100", strings.Repeat("x ", 550) + card, strings.Repeat("x ", 50) + "…"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			config := `{"completions":true,"max_text_bytes":` + tc.bound + `}`
			line := write(t, config, moduletest.Exchange{Request: chat("hello"), Answer: says(tc.text)})
			if got := gjson.Get(line, "completion").Str; got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			var chunks []string
			for _, word := range strings.SplitAfter(tc.text, " ") {
				chunks = append(chunks, delta("0", "content", word))
			}
			if got := gjson.Get(write(t, config, stream(chunks...)), "completion").Str; got != tc.want {
				t.Errorf("streamed\ngot  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestHostileValuesStayInOneLineAndAreBounded(t *testing.T) {
	const hostile = "a\"},\n{\"event\":\"forged\"\r\x00\x1b[2J\u2028\\ <script>"
	long := strings.Repeat("é", 1000)
	for name, value := range map[string]string{"with line breaks": hostile, "long": long} {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(chat(value), `"gpt-4o"`, quoted(value), 1)
			line := write(t, `{"prompts":true,"completions":true}`, moduletest.Exchange{
				Request: body, Answer: says(value), Header: map[string]string{"x-request-id": value},
			})
			if got := gjson.Get(line, "event").Str; got != "exchange" {
				t.Errorf("event is %q", got)
			}
			if got := gjson.Get(line, "completion").Str; got != value {
				t.Errorf("the completion is %q, want %q", got, value)
			}
			for _, field := range []string{"model", "request_id"} {
				if got := gjson.Get(line, field).Str; len(got) > 203 || !strings.HasPrefix(value, strings.TrimSuffix(got, "…")) || got == "" {
					t.Errorf("%s is %q", field, got)
				}
			}
			line = write(t, `{}`, moduletest.Exchange{Method: value, Path: "/" + value, Request: body})
			for _, field := range []string{"method", "path"} {
				if got := gjson.Get(line, field).Str; len(got) > 203 || got == "" {
					t.Errorf("%s is %q", field, got)
				}
			}
		})
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	tests := map[string]struct{ config, want string }{
		"an unknown field":         {`{"prompt":true}`, `prompt: unknown field; the known ones are prompts, completions, max_text_bytes, omit_address, redact, keywords`},
		"prompts of another type":  {`{"prompts":"yes"}`, `prompts: "yes" is not true or false`},
		"completions of another":   {`{"completions":1}`, `completions: 1 is not true or false`},
		"a bound of another type":  {`{"max_text_bytes":"4k"}`, `max_text_bytes: "4k" is not a whole number`},
		"a negative bound":         {`{"max_text_bytes":-1}`, `max_text_bytes: must not be negative`},
		"redact is no list":        {`{"redact":"card"}`, `redact: "card" is not a list`},
		"an unknown ready pattern": {`{"redact":["card","cards"]}`, `redact[1]: "cards" is not one of api_key, card, email, iban, ipv4, jwt, phone, private_key, us_ssn`},
		"keywords is no list":      {`{"keywords":"a"}`, `keywords: "a" is not a list`},
		"an empty keyword":         {`{"keywords":["a",""]}`, `keywords[1]: pattern 0 (keyword): is empty`},
		"a keyword nobody can see": {`{"keywords":["\u200b"]}`, `keywords[0]: pattern 0 (keyword): the keyword has no visible characters`},
	}
	definition, _ := module.Lookup("logger")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := definition.New([]byte(tc.config)); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func FuzzTheLineIsOneLineOfJSON(f *testing.F) {
	f.Add("gpt-4o", "/v1/chat/completions", "hi\nthere \x1b")
	f.Add("\xff\xfe", "/\xff\n", "\u2028")
	f.Fuzz(func(t *testing.T, model, path, text string) {
		write(t, `{"prompts":true,"completions":true}`, moduletest.Exchange{
			Path: path, Request: strings.Replace(chat(text), `"gpt-4o"`, quoted(model), 1), Answer: says(text),
			Properties: map[string]string{"leash.caller": model + "\x00" + path + "\x00" + text},
		})
	})
}
