package llm_test

import (
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func TestCallsSayWhichToolTheyAreOf(t *testing.T) {
	request := func(f llm.Format, body string) func() ([]llm.Call, []llm.Text, error) {
		return func() ([]llm.Call, []llm.Text, error) {
			r, err := llm.ParseRequestAt(f, f.Path(googleModel), []byte(body))
			if err != nil {
				return nil, nil, err
			}
			return r.Calls, r.Texts, nil
		}
	}
	response := func(f llm.Format, body string) func() ([]llm.Call, []llm.Text, error) {
		return func() ([]llm.Call, []llm.Text, error) {
			r, err := llm.ParseResponse(f, []byte(body))
			if err != nil {
				return nil, nil, err
			}
			return r.Calls, r.Texts, nil
		}
	}
	event := func(f llm.Format, body string) func() ([]llm.Call, []llm.Text, error) {
		return func() ([]llm.Call, []llm.Text, error) {
			e, err := llm.ParseEvent(f, []byte(body))
			if err != nil {
				return nil, nil, err
			}
			return e.Calls, e.Texts, nil
		}
	}
	tests := map[string]struct {
		read  func() ([]llm.Call, []llm.Text, error)
		texts int // all of which stand where the calls do
		want  []llm.Call
	}{
		"chat, request": {request(llm.OpenAIChat, `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"1"}},`+
			`{"custom":{"input":"2","name":"g"},"id":"d"}]},{"role":"tool","tool_call_id":"c","content":"3"},{"role":"assistant","function_call":{"name":"h","arguments":"4"}}]}`), 4,
			[]llm.Call{{0, 0, "c", "f", false}, {0, 1, "d", "g", false}, {1, 0, "c", "", true}, {2, 0, "", "h", false}}},
		"chat, answer": {response(llm.OpenAIChat, `{"choices":[{"message":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"1"}}]},"index":3}]}`), 1,
			[]llm.Call{{3, 0, "c", "f", false}}},
		"chat, first piece": {event(llm.OpenAIChat, `{"choices":[{"delta":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":""},"index":2}]},"index":1}]}`), 1,
			[]llm.Call{{1, 2, "c", "f", false}}},
		"chat, another piece": {event(llm.OpenAIChat, `{"choices":[{"delta":{"tool_calls":[{"index":2,"function":{"arguments":"1"}}]}}]}`), 1, nil},
		"responses, request": {request(llm.OpenAIResponses, `{"model":"m","input":[{"type":"function_call","id":"i","call_id":"c","name":"f","arguments":"1"},`+
			`{"call_id":"c","output":"2","type":"function_call_output"}]}`), 2, []llm.Call{{0, 0, "c", "f", false}, {1, 0, "c", "", true}}},
		"responses, answer": {response(llm.OpenAIResponses, `{"output":[{"type":"message","id":"m","content":[]},{"type":"function_call","call_id":"c","id":"i","name":"f","arguments":"1"}]}`), 1,
			[]llm.Call{{1, 0, "c", "f", false}}},
		"responses, event": {event(llm.OpenAIResponses, `{"type":"response.output_item.added","output_index":4,"item":{"type":"function_call","call_id":"c","name":"f","arguments":""}}`), 1,
			[]llm.Call{{4, 0, "c", "f", false}}},
		"messages, request": {request(llm.AnthropicMessages, `{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":"1"}]},`+
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":[{"type":"text","text":"2","id":"x","name":"y"}]}]}]}`), 2,
			[]llm.Call{{0, 0, "c", "f", false}, {1, 0, "c", "", true}}},
		"messages, answer": {response(llm.AnthropicMessages, `{"content":[{"id":"c","name":"f","type":"tool_use","input":{"a":true}}]}`), 1, []llm.Call{{0, 0, "c", "f", false}}},
		"messages, event": {event(llm.AnthropicMessages, `{"type":"content_block_start","content_block":{"type":"tool_use","id":"c","name":"f","input":{}},"index":1}`), 0,
			[]llm.Call{{0, 1, "c", "f", false}}},
		"Google, request": {request(llm.GoogleGenerate, `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":true}}}]},`+
			`{"parts":[{"functionResponse":{"id":"c","name":"f","response":{"a":true}}}]}]}`), 2, []llm.Call{{0, 0, "", "f", false}, {1, 0, "c", "f", true}}},
		"Google, event": {event(llm.GoogleStream, `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":true}}}]},"index":2}]}`), 1,
			[]llm.Call{{2, 0, "", "f", false}}},
		"names and ids of something else": {response(llm.AnthropicMessages, `{"content":[{"type":"text","id":"c","name":"f","text":"1"}]}`), 1, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			calls, texts, err := tc.read()
			if err != nil || len(calls) != len(tc.want) || len(texts) != tc.texts {
				t.Fatalf("got %+v of %+v, %v", calls, texts, err)
			}
			for i, got := range calls {
				if got != tc.want[i] {
					t.Errorf("call %d is %+v, want %+v", i, got, tc.want[i])
				}
			}
			for i := range min(len(texts), len(calls)) {
				if text := texts[i]; text.Message != calls[i].Message || text.Part != calls[i].Part || (text.Role == llm.Tool) != calls[i].Answers {
					t.Errorf("text %d is %+v, and its call %+v", i, text, calls[i])
				}
			}
		})
	}
}
