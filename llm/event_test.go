package llm_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func parseEvent(t *testing.T, data string) *llm.Event {
	t.Helper()
	e, err := llm.ParseEvent(llm.OpenAIChat, []byte(data))
	if err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return e
}

func TestEveryPieceOfTextInAnEventIsSeen(t *testing.T) {
	tests := map[string]struct {
		choices string
		want    []seen
	}{
		"content":       {`{"index":0,"delta":{"content":"hi"}}`, []seen{{llm.Assistant, llm.Content, 0, 0, "hi"}}},
		"empty content": {`{"index":0,"delta":{"role":"assistant","content":""}}`, []seen{{llm.Assistant, llm.Content, 0, 0, ""}}},
		"nothing":       {`{"index":0,"delta":{},"finish_reason":"stop"}`, nil},
		"two choices": {
			`{"index":2,"delta":{"content":"a"}},{"delta":{"content":"b","refusal":"c"},"index":0}`,
			[]seen{{llm.Assistant, llm.Content, 2, 0, "a"}, {llm.Assistant, llm.Content, 0, 0, "b"}, {llm.Assistant, llm.Refusal, 0, 0, "c"}},
		},
		"tool calls": {
			`{"index":0,"delta":{"tool_calls":[{"index":3,"function":{"arguments":"a"}},{"function":{"arguments":"b"},"index":1},{"index":2,"custom":{"input":"c"}}]}}`,
			[]seen{{llm.Assistant, llm.ToolArguments, 0, 3, "a"}, {llm.Assistant, llm.ToolArguments, 0, 1, "b"}, {llm.Assistant, llm.ToolArguments, 0, 2, "c"}},
		},
		"whole message at the end": {`{"index":0,"message":{"content":"hi"},"delta":{"content":"!"}}`, []seen{{llm.Assistant, llm.Content, 0, 0, "hi"}, {llm.Assistant, llm.Content, 0, 0, "!"}}},
		"thoughts":                 {`{"index":0,"delta":{"reasoning_content":"a","reasoning":"b\u0062"}}`, []seen{{llm.Assistant, llm.Reasoning, 0, 0, "a"}, {llm.Assistant, llm.Reasoning, 0, 0, "bb"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			data := `{"id":"x","choices":[` + tc.choices + `],"usage":null}`
			e := parseEvent(t, data)
			if got := see(e.Texts); !slices.Equal(got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
			if got := string(e.Data()); got != data || e.Edited() || e.ID != "x" {
				t.Errorf("without an edit got %s", got)
			}
		})
	}
}

func TestWhatAnEventIs(t *testing.T) {
	usage := llm.Usage{Input: 9, Output: 12}
	tests := map[string]struct {
		data string
		want llm.Event
	}{
		"done":                     {`[DONE]`, llm.Event{Done: true}},
		"done, with space":         {" [DONE]\n", llm.Event{Done: true}},
		"usage only":               {`{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12}}`, llm.Event{HasUsage: true, UsageOnly: true, Usage: usage}},
		"usage with a choice":      {`{"usage":{"prompt_tokens":9,"completion_tokens":12},"choices":[{"index":0,"delta":{}}]}`, llm.Event{HasUsage: true, Usage: usage}},
		"neither usage nor choice": {`{"choices":[],"prompt_filter_results":[]}`, llm.Event{}},
		"error":                    {`{"error":{"message":"no"}}`, llm.Event{Error: true}},
		"no error":                 {`{"error":null,"choices":[]}`, llm.Event{}},
		"finish": {
			`{"choices":[{"index":1,"finish_reason":"stop"},{"index":0,"finish_reason":null},{"index":4,"finish_reason":"length"}]}`,
			llm.Event{Finish: []llm.Finish{{Choice: 1, Reason: "stop"}, {Choice: 4, Reason: "length"}}},
		},
		"names": {`{"id":"chatcmpl-1","model":"gpt-\u0034o"}`, llm.Event{ID: "chatcmpl-1", Model: "gpt-4o"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := parseEvent(t, tc.data)
			if e.Done != tc.want.Done || e.Error != tc.want.Error || e.UsageOnly != tc.want.UsageOnly || e.HasUsage != tc.want.HasUsage ||
				e.Usage != tc.want.Usage || e.ID != tc.want.ID || e.Model != tc.want.Model || !slices.Equal(e.Finish, tc.want.Finish) {
				t.Errorf("got  %+v\nwant %+v", e, tc.want)
			}
			if got := string(e.Data()); got != tc.data {
				t.Errorf("without an edit got %s", got)
			}
		})
	}
}

func TestTheEndOfAChatIsTheEndOfAStreamInEveryAPI(t *testing.T) {
	for _, f := range []llm.Format{llm.OpenAICompletions, llm.OpenAIResponses, llm.AnthropicMessages, llm.GoogleStream} {
		e, err := llm.ParseEvent(f, []byte("[DONE]"))
		if err != nil || !e.Done || e.Edited() || string(e.Data()) != "[DONE]" {
			t.Errorf("%s: got %+v, %v", f, e, err)
		}
	}
}

func TestParseEventRefusesWhatIsNoJSON(t *testing.T) {
	for name, data := range map[string]string{
		"nothing": "", "text": "hello", "almost done": "[DONE", "done and more": "[DONE] {}", "array": "[]", "content twice": `{"choices":[{"delta":{"content":"a","content":"b"}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := llm.ParseEvent(llm.OpenAIChat, []byte(data)); err == nil {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestAnEventKeepsNothingOfItsData(t *testing.T) {
	data := bytes.Clone(delta)
	e, err := llm.ParseEvent(llm.OpenAIChat, data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if e.ID != "chatcmpl-123" || e.Texts[0].Value != " Hello" || !bytes.Equal(e.Data(), delta) {
		t.Errorf("got %+v", e)
	}
}

func TestEditedEventsLoseTheirLogProbabilities(t *testing.T) {
	e := parseEvent(t, `{"choices":[{"delta":{"content":"secret","x":[1]},"logprobs":{"content":[{"token":"secret"}]}}],"obfuscation":"ab"}`)
	e.SetText(0, "")
	const want = `{"choices":[{"delta":{"content":"","x":[1]},"logprobs":null}],"obfuscation":"ab"}`
	if got := string(e.Data()); got != want || !e.Edited() {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWithTextCarriesNothingElse(t *testing.T) {
	tests := map[string]struct {
		data string
		text int
		want string
	}{
		"content": {
			`{"id":"x", "choices":[{"index":1,"delta":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"created":1.0}`, 0,
			`{"id":"x", "choices":[{"index":1,"delta":{"content":"held\n"},"finish_reason":null}],"created":1.0}`,
		},
		"usage before": {
			`{"usage":{"prompt_tokens":9},"choices":[{"index":0,"delta":{"content":"a"}}]}`, 0,
			`{"usage":null,"choices":[{"index":0,"delta":{"content":"held\n"},"finish_reason":null}]}`,
		},
		"usage behind": {
			`{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":9}}`, 0,
			`{"choices":[{"index":0,"delta":{"content":"held\n"},"finish_reason":null}],"usage":null}`,
		},
		"one of two": {
			`{"choices":[{"index":0,"delta":{"content":"a"}},{"index":7,"delta":{"refusal":"b"},"logprobs":{"refusal":[]}}]}`, 1,
			`{"choices":[{"index":7,"delta":{"refusal":"held\n"},"finish_reason":null}]}`,
		},
		"thought":       {`{"choices":[{"delta":{"reasoning":"a"}}]}`, 0, `{"choices":[{"index":0,"delta":{"reasoning":"held\n"},"finish_reason":null}]}`},
		"other thought": {`{"choices":[{"delta":{"reasoning_content":"a"}}]}`, 0, `{"choices":[{"index":0,"delta":{"reasoning_content":"held\n"},"finish_reason":null}]}`},
		"function": {
			`{"choices":[{"delta":{"tool_calls":[{"index":2,"id":"c","function":{"name":"f","arguments":"a"}}]}}]}`, 0,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":2,"function":{"arguments":"held\n"}}]},"finish_reason":null}]}`,
		},
		"custom tool": {
			`{"choices":[{"delta":{"tool_calls":[{"index":2,"custom":{"input":"a"}}]}}]}`, 0,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":2,"custom":{"input":"held\n"}}]},"finish_reason":null}]}`,
		},
		"older function": {
			`{"choices":[{"delta":{"function_call":{"name":"f","arguments":"a"}}}]}`, 0,
			`{"choices":[{"index":0,"delta":{"function_call":{"arguments":"held\n"}},"finish_reason":null}]}`,
		},
		"part": {
			`{"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]}`, 0,
			`{"choices":[{"index":0,"delta":{"content":"held\n"},"finish_reason":null}]}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := parseEvent(t, tc.data)
			e.SetText(tc.text, "edited before")
			c := e.WithText(tc.text, "held\n")
			if got := string(c.Data()); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if !c.Edited() || len(c.Finish) > 0 || c.HasUsage || len(c.Texts) != 1 || c.Texts[0].Value != "held\n" {
				t.Errorf("got %+v", c)
			}
			if e.Texts[tc.text].Value != "edited before" {
				t.Errorf("the event itself became %+v", e)
			}
		})
	}
}

func TestWithTextCarriesNothingElseOfEventsThatAreNotKnown(t *testing.T) {
	e, err := llm.ParseEvent(llm.OpenAIResponses, []byte(`{"type":"response.patch.delta","from":"abc","delta":"d","logprobs":[{"token":"d"}],"to":"e"}`))
	if err != nil || len(e.Texts) != 3 {
		t.Fatalf("got %+v, %v", e, err)
	}
	const want = `{"type":"response.patch.delta","from":"","delta":"held\n","logprobs":[],"to":""}`
	c := e.WithText(1, "held\n")
	if got := string(c.Data()); got != want || len(c.Texts) != 1 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c.SetText(0, "held\n\n")
	if got := string(c.Data()); got != strings.Replace(want, `\n`, `\n\n`, 1) {
		t.Errorf("changed: got %s", got)
	}
}

func TestACopyWithTextCanBeEditedAndCopiedAgain(t *testing.T) {
	e := parseEvent(t, `{"usage":{"prompt_tokens":9},"choices":[{"index":0,"delta":{"content":"a"}}]}`)
	c := e.WithText(0, "b")
	c.SetText(0, "c")
	const want = `{"usage":null,"choices":[{"index":0,"delta":{"content":"c"},"finish_reason":null}]}`
	if got := string(c.Data()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(c.WithText(0, "c").Data()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add(delta, "x")
	for _, seed := range []string{
		`[DONE]`, `{"error":{}}`,
		`{"usage":{"prompt_tokens":1e3,"completion_tokens":-2},"choices":[{"delta":{"content":"x\ud83d"},"index":3,"logprobs":{"content":[]},"finish_reason":"stop"}]}`,
		`{"choices":[{"delta":{"content":["a",{"text":"b","refusal":"c"}],"tool_calls":[{"index":3,"function":{"arguments":"c"}},{"custom":{"input":"d"}}]}},null,3],"Usage":5}`,
		`{"choices":[{"delta":{"function_call":{"arguments":"c"},"reasoning":"d","reasoning_content":"e","refusal":"f"}}]}`,
	} {
		f.Add([]byte(seed), "\"\\\n\x00\xff😀")
	}
	f.Fuzz(func(t *testing.T, data []byte, s string) {
		e, err := llm.ParseEvent(llm.OpenAIChat, data)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Data(), data) {
			t.Errorf("unedited %q became %q", data, e.Data())
		}
		want := see(e.Texts)
		for i := range e.Texts {
			c := e.WithText(i, s)
			again, err := llm.ParseEvent(llm.OpenAIChat, c.Data())
			if err != nil {
				t.Fatalf("%q with text %d became %q: %v", data, i, c.Data(), err)
			}
			one := want[i]
			one.value = asUTF8(s)
			if one.kind != llm.ToolArguments || len(again.Texts) == 1 && again.Texts[0].Part == 0 {
				one.part = 0 // parts become plain
			}
			if got := see(again.Texts); !slices.Equal(got, []seen{{llm.Assistant, one.kind, one.message, one.part, one.value}}) ||
				again.HasUsage || len(again.Finish) > 0 || again.ID != e.ID || again.Model != e.Model {
				t.Errorf("%q with text %d became %q", data, i, c.Data())
			}
			e.SetText(i, s+e.Texts[i].Value)
			want[i].value = one.value + want[i].value
		}
		again, err := llm.ParseEvent(llm.OpenAIChat, e.Data())
		if err != nil {
			t.Fatalf("edited %q became %q: %v", data, e.Data(), err)
		}
		if got := see(again.Texts); !slices.Equal(got, want) || again.Usage != e.Usage || !slices.Equal(again.Finish, e.Finish) {
			t.Errorf("edited %q became %q:\ngot  %v\nwant %v", data, e.Data(), got, want)
		}
	})
}
