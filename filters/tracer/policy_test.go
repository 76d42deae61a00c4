package tracer

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
	"github.com/leash-gateway/leash/module/trace"
)

const (
	parent  = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	request = `{"model":"gpt-4o-mini","max_tokens":50,"n":2,"messages":[{"role":"system","content":"be kind"},{"role":"user","content":"mail ann@acme.example"}]}`
	answer  = `{"id":"c-1","model":"gpt-4o-mini-2024","choices":[{"index":0,"message":{"role":"assistant","content":"ann@acme.example it is"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1},"completion_tokens_details":{"reasoning_tokens":2}}}`
	stream = `data: {"id":"c-2","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"well "}}]}` + "\n\n" +
		`data: {"id":"c-2","model":"m","choices":[{"index":0,"delta":{"content":"done"},"finish_reason":"length"}]}` + "\n\n" +
		`data: {"id":"c-2","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}` + "\n\n" + "data: [DONE]\n\n"
)

// routed are the properties of an exchange that has gone to openai, as it is or by the module provider.
func routed(more ...string) map[string]string {
	p := map[string]string{
		"leash.caller": "acme\x00app\x00ann", "leash.fact." + module.FactRoute: "gpt-*", "leash.fact." + module.FactProvider: "openai",
		"leash.fact." + module.FactCost: "1200",
	}
	for i := 0; i+1 < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return p
}

// do runs an exchange, and returns the record, whose fields are empty where there is none.
func do(t *testing.T, config string, e moduletest.Exchange) (map[string]any, moduletest.Result) {
	t.Helper()
	h := moduletest.New(t, `{"handover":true,"modules":[{"name":"tracer","config":`+config+`}]}`)
	got := h.Do(e)
	record := map[string]any{}
	for _, line := range h.Logs {
		if strings.Contains(line, `{"event":"span.exchange"`) {
			if err := json.Unmarshal([]byte(line[strings.Index(line, "{"):]), &record); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
	}
	return record, got
}

func TestARecordSaysWhetherTheClientSpokeTLS(t *testing.T) {
	for scheme, want := range map[string]any{"http": nil, "https": true} {
		record, _ := do(t, `{}`, moduletest.Exchange{Request: request, Header: map[string]string{":scheme": scheme, trace.Header: parent}})
		if record["span"] == nil || record["secure"] != want {
			t.Errorf("%s: secure is %v, want %v: %v", scheme, record["secure"], want, record)
		}
	}
}

func TestARecordHoldsTheExchangeAndTheAttemptThatWasAnswered(t *testing.T) {
	attempt := trace.Attempt{Span: 0xabc, Began: 1793534400000000000, Number: 2}.String()
	sse := map[string]string{"content-type": "text/event-stream"}
	tests := map[string]struct {
		exchange moduletest.Exchange
		want     map[string]any
	}{
		"to the only provider, as it is": {
			moduletest.Exchange{Answer: answer, Properties: routed()},
			map[string]any{
				"status": 200.0, "tenant": "acme", "key": "app", "user": "ann", "address": "192.0.2.1", "format": "openai-chat", "cost_picodollars": 1200.0, "error": nil,
				"number": 1.0, "provider": "openai", "asked_model": "gpt-4o-mini", "max_tokens": 50.0, "choices": 2.0,
				"id": "c-1", "answer_model": "gpt-4o-mini-2024", "finish": []any{"stop"}, "input": 9.0, "output": 3.0, "cached": 4.0, "reasoning": 2.0,
				"input_audio": 1.0, "attempt_error": nil, "prompt": nil, "completion": nil,
			},
		},
		"by the module provider": {
			moduletest.Exchange{
				Answer: answer, AnswerHeader: map[string]string{trace.SpanHeader: attempt},
				Properties: routed("leash.fact."+module.FactCarried, "1", "leash.fact."+module.FactUpstreamModel, "gpt-4o"),
			},
			map[string]any{"attempt": "0000000000000abc", "attempt_start": 1793534400000000000.0, "number": 2.0, "asked_model": "gpt-4o", "output": 3.0},
		},
		"of a stream": {
			moduletest.Exchange{AnswerHeader: sse, AnswerChunks: []string{stream}, Properties: routed()},
			map[string]any{"id": "c-2", "answer_model": "m", "finish": []any{"length"}, "input": 9.0, "output": 3.0, "attempt_error": nil},
		},
		"of a stream that is cut": {
			moduletest.Exchange{AnswerHeader: sse, AnswerChunks: []string{stream[:90]}, Cut: true, Properties: routed()},
			map[string]any{"error": "interrupted", "attempt_error": "interrupted", "input": nil, "output": nil},
		},
		"of a stream that ends with an error": {
			moduletest.Exchange{AnswerHeader: sse, AnswerChunks: []string{strings.SplitAfter(stream, "\n\n")[0], `data: {"error":{"message":"x"}}` + "\n\n"}, Properties: routed()},
			map[string]any{"error": "stream_error", "attempt_error": "stream_error"},
		},
		"that is an error in spite of its status": {
			moduletest.Exchange{Answer: `{"error":{"message":"x"}}`, Properties: routed()},
			map[string]any{"error": "error_in_answer", "attempt_error": "error_in_answer", "input": nil},
		},
		"that nobody has answered by the module provider": {
			moduletest.Exchange{Status: 503, Answer: `{}`, Properties: routed("leash.fact."+module.FactCarried, "1")},
			map[string]any{"error": "503", "attempt": nil},
		},
		"that fails": {
			moduletest.Exchange{Status: 429, Answer: `{}`, Properties: routed()},
			map[string]any{"error": "429", "attempt_error": "429", "status": 429.0},
		},
		"whose client left": {
			moduletest.Exchange{Leaves: moduletest.BeforeAnswer, Properties: routed()},
			map[string]any{"error": "canceled", "attempt_error": "canceled", "status": 0.0},
		},
		"that a module refused": {
			moduletest.Exchange{Status: 400, Answer: `{}`, Properties: routed("leash.refused", "contentfilter\x00content_blocked")},
			map[string]any{"error": "content_blocked", "refused_by": "contentfilter", "attempt_error": nil},
		},
		"that never left": {
			moduletest.Exchange{Status: 401, Answer: `{}`, Properties: map[string]string{"leash.refused": "auth\x00invalid_api_key"}},
			map[string]any{"error": "invalid_api_key", "attempt": nil, "provider": nil},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := tc.exchange
			e.Request, e.Header = request, map[string]string{trace.Header: parent, trace.StateHeader: "v=1"}
			if strings.Contains(name, "stream") {
				e.Request = strings.Replace(request, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)
			}
			record, got := do(t, `{}`, e)
			tc.want = maps.Clone(tc.want)
			maps.Copy(tc.want, map[string]any{"trace": parent[3:35], "parent": parent[36:52], "state": "v=1"})
			for field, want := range tc.want {
				if encoded(record[field]) != encoded(want) {
					t.Errorf("%s is %v, want %v: %v", field, record[field], want, record)
				}
			}
			sent, ok := trace.Parse(got.SentHeader[trace.Header])
			if ok && (trace.Digits(sent.Exchange()) != record["span"] || got.SentHeader[trace.StateHeader] != "v=1" || sent.Trace() != parent[3:35]) {
				t.Errorf("the provider is told %v, and the record is %v", got.SentHeader, record)
			}
			if got.Header[trace.SpanHeader] != "" {
				t.Errorf("the client reads %v", got.Header)
			}
		})
	}
}

func encoded(value any) string {
	b, _ := json.Marshal(value) // as it was decoded
	return string(b)
}

func TestClientsDecideWhatIsTracedAndElseTheConfiguration(t *testing.T) {
	quiet := strings.TrimSuffix(parent, "1") + "0"
	tests := map[string]struct {
		config, header string
		traced         bool
		trace          string
	}{
		"the client says so":     {`{"percent":0}`, parent, true, parent[3:35]},
		"the client says no":     {`{"percent":100}`, quiet, false, parent[3:35]},
		"the client says naught": {`{"percent":100}`, "", true, ""},
		"nor the configuration":  {`{"percent":0}`, "", false, ""},
		"what it says is none":   {`{"percent":100}`, "00-none", true, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			record, got := do(t, tc.config, moduletest.Exchange{
				Request: request, Answer: answer, Properties: routed(), Header: map[string]string{trace.Header: tc.header, trace.StateHeader: "v=1"},
			})
			sent, ok := trace.Parse(got.SentHeader[trace.Header])
			if !ok || sent.Sampled != tc.traced || tc.trace != "" && sent.Trace() != tc.trace {
				t.Errorf("the provider is told %q", got.SentHeader[trace.Header])
			}
			if (record["trace"] != nil) != tc.traced || (got.Properties["leash.fact."+module.FactTrace] != "") != tc.traced {
				t.Errorf("the record is %v, the facts %v", record, got.Properties)
			}
			if tc.trace == "" && (got.SentHeader[trace.StateHeader] != "" || record["parent"] != nil) {
				t.Errorf("a trace that begins here has the state %q and the parent %v", got.SentHeader[trace.StateHeader], record["parent"])
			}
		})
	}
}

func TestTextsAreToldOnlyWhereTheyAreAskedForAndRedacted(t *testing.T) {
	tests := map[string]struct {
		config, answer     string
		prompt, completion any
	}{
		"not asked for": {`{}`, answer, nil, nil},
		"asked for": {`{"prompts":true,"completions":true}`, answer,
			`[{"role":"system","parts":[{"type":"text","content":"be kind"}]},{"role":"user","parts":[{"type":"text","content":"mail [redacted]"}]}]`,
			`[{"role":"assistant","parts":[{"type":"text","content":"[redacted] it is"}],"finish_reason":"stop"}]`},
		"a part of them": {`{"prompts":true,"max_text_bytes":9}`, answer,
			`[{"role":"system","parts":[{"type":"text","content":"be kind"}]},{"role":"user","parts":[{"type":"text","content":"ma…"}]}]`, nil},
		"what it thought, and tools": {`{"completions":true}`,
			`{"choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"hm","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}`, nil,
			`[{"role":"assistant","parts":[{"type":"reasoning","content":"hm"},{"type":"tool_call","id":"1","name":"f","arguments":"{}"}],"finish_reason":"error"}]`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			record, _ := do(t, tc.config, moduletest.Exchange{Request: request, Answer: tc.answer, Properties: routed(), Header: map[string]string{trace.Header: parent}})
			if record["prompt"] != tc.prompt || record["completion"] != tc.completion {
				t.Errorf("got  %v\nand  %v\nwant %v\nand  %v", record["prompt"], record["completion"], tc.prompt, tc.completion)
			}
		})
	}
	t.Run("of a stream, in one piece", func(t *testing.T) {
		record, _ := do(t, `{"completions":true}`, moduletest.Exchange{
			Request: strings.Replace(request, "{", `{"stream":true,`, 1), AnswerHeader: map[string]string{"content-type": "text/event-stream"},
			AnswerChunks: []string{stream}, Properties: routed(), Header: map[string]string{trace.Header: parent},
		})
		if want := `[{"role":"assistant","parts":[{"type":"text","content":"well done"}],"finish_reason":"length"}]`; record["completion"] != want {
			t.Errorf("got %v, want %s", record["completion"], want)
		}
	})
}

func TestToolsAreToldByNameAndId(t *testing.T) {
	sse := func(events ...string) string { return "data: " + strings.Join(events, "\n\ndata: ") + "\n\n" }
	tests := map[string]struct {
		path, request, answer, stream string
		prompt, completion            string
	}{
		"in what the model is told": {
			path: "/v1/chat/completions",
			request: `{"model":"m","messages":[{"role":"assistant","content":"wait","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{}"}},{"id":"c2","function":{"name":"g","arguments":"{}"}}]},` +
				`{"role":"tool","tool_call_id":"c1","content":"sunny"}]}`,
			answer: answer,
			prompt: `[{"role":"assistant","parts":[{"type":"text","content":"wait"},{"type":"tool_call","id":"c1","name":"f","arguments":"{}"},{"type":"tool_call","id":"c2","name":"g","arguments":"{}"}]},` +
				`{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"sunny"}]}]`,
		},
		"in a stream, call by call": {
			path: "/v1/chat/completions", request: `{"model":"m","stream":true,"messages":[{"role":"user","content":"a"}]}`,
			stream: sse(
				`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":""}}]}}]}`,
				`{"choices":[{"index":1,"delta":{"content":"well"}}]}`,
				`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}`,
				`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}`,
				`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c2","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`, `[DONE]`),
			completion: `[{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"f","arguments":"{\"a\":1}"},{"type":"tool_call","id":"c2","name":"g","arguments":"{}"}],"finish_reason":"tool_calls"},` +
				`{"role":"assistant","parts":[{"type":"text","content":"well"}],"finish_reason":"error"}]`,
		},
		"at Anthropic": {
			path: "/v1/messages", request: `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"c0","content":"sunny"}]}]}`,
			answer:     `{"content":[{"type":"tool_use","id":"c1","name":"pay","input":{"card":"4111 1111 1111 1111"}}],"stop_reason":"tool_use"}`,
			prompt:     `[{"role":"tool","parts":[{"type":"tool_call_response","id":"c0","response":"sunny"}]}]`,
			completion: `[{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"pay","arguments":"card [redacted]"}],"finish_reason":"tool_use"}]`,
		},
		"at Anthropic, in a stream": {
			path: "/v1/messages", request: `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"a"}]}`,
			stream: sse(
				`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c1","name":"f","input":{}}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"1}"}}`,
				`{"type":"message_delta","delta":{"stop_reason":"tool_use"}}`, `{"type":"message_stop"}`),
			completion: `[{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"f","arguments":"{\"a\":1}"}],"finish_reason":"tool_use"}]`,
		},
		"at Google, in a stream, where all calls have one place": {
			path: "/v1beta/models/m:streamGenerateContent?alt=sse", request: `{"contents":[{"parts":[{"text":"a"}]}]}`,
			stream: sse(
				`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"b"}}}]}}]}`,
				`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"c"}}}]},"finishReason":"STOP"}]}`),
			completion: `[{"role":"assistant","parts":[{"type":"tool_call","name":"f","arguments":"a b"},{"type":"tool_call","name":"f","arguments":"a c"}],"finish_reason":"STOP"}]`,
		},
		"in responses, which tell each item twice": {
			path: "/v1/responses", request: `{"model":"m","stream":true,"input":"a"}`,
			stream: sse(
				`{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"i","call_id":"c1","name":"f","arguments":""}}`,
				`{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{}"}`,
				`{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","id":"i","call_id":"c1","name":"f","arguments":"{}"}}`,
				`{"type":"response.completed","response":{"status":"completed","output":[{"type":"function_call","id":"i","call_id":"c1","name":"f","arguments":"{}"}]}}`),
			completion: `[{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"f","arguments":"{}"}],"finish_reason":"completed"}]`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := moduletest.Exchange{Path: tc.path, Request: tc.request, Answer: tc.answer, Properties: routed(), Header: map[string]string{trace.Header: parent}}
			if tc.stream != "" {
				e.AnswerHeader, e.AnswerChunks = map[string]string{"content-type": "text/event-stream"}, []string{tc.stream}
			}
			record, _ := do(t, `{"prompts":true,"completions":true}`, e)
			if tc.prompt != "" && record["prompt"] != tc.prompt || tc.completion != "" && record["completion"] != tc.completion {
				t.Errorf("got  %v\nand  %v\nwant %v\nand  %v", record["prompt"], record["completion"], tc.prompt, tc.completion)
			}
		})
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	definition, _ := module.Lookup("tracer")
	for config, want := range map[string]string{
		`{"percent":101}`:       "percent: 101 is not 0 to 100",
		`{"max_text_bytes":-1}`: "max_text_bytes: must not be negative",
		`{"prompt":true}`:       "prompt: unknown field; the known ones are percent, prompts, completions, max_text_bytes, omit_address",
	} {
		if _, err := definition.New([]byte(config)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
}
