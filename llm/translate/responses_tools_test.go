package translate_test

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

// codex has tools as Codex has them from 0.147 on.
const codex = `{"model":"m","stream":STREAM,"tools":[{"type":"function","name":"shell","parameters":{"type":"object"},"strict":false},` +
	`{"type":"custom","name":"apply_patch","description":"Edits files.","format":{"type":"grammar","syntax":"lark","definition":"start: /.+/s"}},` +
	`{"type":"namespace","name":"multi_agent_v1","description":"Agents.","tools":[{"type":"function","name":"spawn","parameters":{"type":"object"}}]},{"type":"web_search","external_web_access":false}],` +
	`"input":[{"role":"user","content":"a"},{"type":"custom_tool_call","call_id":"c1","name":"apply_patch","input":"*** \"Begin\"\n"},{"type":"custom_tool_call_output","call_id":"c1","output":"done"},` +
	`{"type":"function_call","call_id":"c2","name":"spawn","namespace":"multi_agent_v1","arguments":"{}"},{"type":"function_call_output","call_id":"c2","output":"ok"}]}`

// codexAnswers are calls of a custom tool and of one in a namespace.
var codexAnswers = map[translate.API]struct {
	answer string
	events []string
}{
	translate.Chat: {
		`{"id":"1","choices":[{"message":{"tool_calls":[{"id":"c3","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"*** End\\n\"}"}},{"id":"c4","type":"function","function":{"name":"multi_agent_v1__spawn","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`,
		[]string{
			`{"id":"1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c3","function":{"name":"apply_patch","arguments":"{\"inp"}}]}}]}`, `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"ut\":\"*** End\\n\"}"}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c4","function":{"name":"multi_agent_v1__spawn","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`, `[DONE]`,
		},
	},
	translate.Messages: {
		`{"id":"1","content":[{"type":"tool_use","id":"c3","name":"apply_patch","input":{"input":"*** End\n"}},{"type":"tool_use","id":"c4","name":"multi_agent_v1__spawn","input":{}}],"stop_reason":"tool_use"}`,
		[]string{
			`{"type":"message_start","message":{"id":"1"}}`, `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c3","name":"apply_patch","input":{}}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"input\": "}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"\"*** End\\n\"}"}}`,
			`{"type":"content_block_stop","index":0}`, `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c4","name":"multi_agent_v1__spawn","input":{}}}`, `{"type":"content_block_stop","index":1}`,
			`{"type":"message_delta","delta":{"stop_reason":"tool_use"}}`, `{"type":"message_stop"}`,
		},
	},
	translate.Gemini: {
		`{"responseId":"1","candidates":[{"content":{"parts":[{"functionCall":{"id":"c3","name":"apply_patch","args":{"input":"*** End\n"}}},{"functionCall":{"id":"c4","name":"multi_agent_v1__spawn","args":{}}}]},"finishReason":"STOP"}]}`,
		[]string{`{"responseId":"1","candidates":[{"content":{"parts":[{"functionCall":{"id":"c3","name":"apply_patch","args":{"input":"*** End\n"}}},{"functionCall":{"id":"c4","name":"multi_agent_v1__spawn","args":{}}}]},"finishReason":"STOP"}]}`},
	},
	translate.Converse: {
		`{"output":{"message":{"content":[{"toolUse":{"toolUseId":"c3","name":"apply_patch","input":{"input":"*** End\n"}}},{"toolUse":{"toolUseId":"c4","name":"multi_agent_v1__spawn","input":{}}}]}},"stopReason":"tool_use"}`, nil,
	},
}

// TestARequestForASearchIsRefusedElsewhere: what has other tools too goes on without it.
func TestARequestForASearchIsRefusedElsewhere(t *testing.T) {
	for _, tools := range []string{`"tools":[{"type":"web_search"}]`, `"tools":[{"type":"function","name":"f"},{"type":"web_search"}],"tool_choice":{"type":"web_search"}`} {
		_, err := begin(t, llm.OpenAIResponses, translate.Messages).Request("m", []byte(`{"model":"m","input":"a",`+tools+`}`))
		if err == nil || !strings.HasPrefix(err.Error(), "tool") {
			t.Errorf("%s: got %v", tools, err)
		}
	}
}

// TestCodexsToolsReachEveryProvider: it sends them in each request, and without them it cannot edit a file.
func TestCodexsToolsReachEveryProvider(t *testing.T) {
	const grammar = `Edits files.\n\nThe input has this grammar (lark):\nstart: /.+/s`
	for to, of := range codexAnswers {
		x := begin(t, llm.OpenAIResponses, to)
		got, err := x.Request("m", []byte(strings.Replace(codex, "STREAM", "false", 1)))
		if err != nil {
			t.Fatal(err)
		}
		readable(t, got)
		for _, want := range []string{`"name":"shell"`, `"name":"apply_patch"`, grammar, `"name":"multi_agent_v1__spawn"`, `"required":["input"]`} {
			if !strings.Contains(string(got.Body), want) {
				t.Errorf("%s: %s is not in %s", to, want, got.Body)
			}
		}
		if to == translate.Messages {
			const want = `[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"apply_patch","input":{"input":"*** \"Begin\"\n"}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"done"}]},{"role":"assistant","content":[{"type":"tool_use","id":"c2","name":"multi_agent_v1__spawn","input":{}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c2","content":"ok"}]}]`
			if messages := gjson.GetBytes(got.Body, "messages").Raw; messages != want {
				t.Errorf("got  %s\nwant %s", messages, want)
			}
		}
		answer, err := x.Response([]byte(of.answer))
		if err != nil {
			t.Fatal(err)
		}
		wantCodexCalls(t, to, gjson.GetBytes(answer, "output").Array())
		if of.events == nil {
			continue
		}
		x = begin(t, llm.OpenAIResponses, to)
		if _, err := x.Request("m", []byte(strings.Replace(codex, "STREAM", "true", 1))); err != nil {
			t.Fatal(err)
		}
		s := x.Stream(llm.ServerSentEvents)
		out, err := s.Feed(nil, events(of.events...))
		if err != nil {
			t.Fatal(err)
		}
		var done, whole []gjson.Result
		var pieces string
		var d llm.Decoder
		if err := d.Feed(s.End(out), func(f llm.Frame) error {
			switch e := gjson.ParseBytes(f.Data); e.Get("type").Str {
			case "response.output_item.done":
				done = append(done, e.Get("item"))
			case "response.custom_tool_call_input.delta":
				pieces += e.Get("delta").Str
			case "response.completed":
				whole = e.Get("response.output").Array()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if wantCodexCalls(t, to, done); pieces != "*** End\n" {
			t.Errorf("%s: the text comes as %q", to, pieces)
		}
		wantCodexCalls(t, to, whole)
	}
	// What is no argument called input is what the model has said.
	x := begin(t, llm.OpenAIResponses, translate.Chat)
	if _, err := x.Request("m", []byte(strings.Replace(codex, "STREAM", "false", 1))); err != nil {
		t.Fatal(err)
	}
	answer, err := x.Response([]byte(`{"id":"1","choices":[{"message":{"tool_calls":[{"id":"c3","type":"function","function":{"name":"apply_patch","arguments":"*** End"}}]},"finish_reason":"tool_calls"}]}`))
	if err != nil || gjson.GetBytes(answer, "output.0.input").Str != "*** End" {
		t.Errorf("got %s, %v", answer, err)
	}
}

func wantCodexCalls(t *testing.T, to translate.API, items []gjson.Result) {
	t.Helper()
	if len(items) != 2 {
		t.Fatalf("%s: got %v", to, items)
	}
	custom, spaced := items[0], items[1]
	if custom.Get("type").Str != "custom_tool_call" || custom.Get("name").Str != "apply_patch" || custom.Get("call_id").Str != "c3" || custom.Get("input").Str != "*** End\n" || !strings.HasPrefix(custom.Get("id").Str, "ctc_") {
		t.Errorf("%s: got %s", to, custom.Raw)
	}
	if spaced.Get("type").Str != "function_call" || spaced.Get("name").Str != "spawn" || spaced.Get("namespace").Str != "multi_agent_v1" || spaced.Get("arguments").Str != "{}" || !strings.HasPrefix(spaced.Get("id").Str, "fc_") {
		t.Errorf("%s: got %s", to, spaced.Raw)
	}
}
