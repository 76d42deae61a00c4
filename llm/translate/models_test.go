package translate_test

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

// asked is what the provider's model is asked for by a chat that has the members, and what was left out of it.
func asked(t *testing.T, to translate.API, model, members string) (body, dropped string) {
	t.Helper()
	o := options
	o.Model = model
	x, err := translate.New(llm.OpenAIChat, to, o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Request("m", []byte(requestWith(translate.Chat, members)))
	if err != nil {
		t.Fatal(err)
	}
	readable(t, got)
	return string(got.Body), strings.Join(x.Dropped(), " ")
}

func TestEachGenerationOfModelsIsAskedInItsWay(t *testing.T) {
	const sampled = `"temperature":0.5,"top_p":0.9`
	const effort = `"reasoning_effort":"xhigh","max_completion_tokens":30000`
	const forced = `"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required","max_completion_tokens":9000,"reasoning_effort":"low"`
	const budget, asItLikes = `"thinking":{"type":"enabled","budget_tokens":24576}`, `"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":`
	tests := map[string]struct {
		to             translate.API
		model, members string
		want, dropped  string
	}{
		"Claude 3.5, sampled":  {translate.Messages, "claude-3-5-sonnet-20241022", sampled, sampled, ""},
		"Claude 4.0, sampled":  {translate.Messages, "claude-sonnet-4-20250514", sampled, sampled, ""},
		"Claude 4.5, sampled":  {translate.Messages, "claude-sonnet-4-5", sampled, `"temperature":0.5`, "top_p"},
		"Claude 4.7, sampled":  {translate.Messages, "claude-opus-4-7", sampled, ``, "temperature top_p"},
		"Claude 5, hot":        {translate.Messages, "claude-fable-5", `"temperature":1.5`, ``, "temperature"},
		"no version, sampled":  {translate.Messages, "claude-mythos-preview", sampled, ``, "temperature top_p"},
		"another's, sampled":   {translate.Messages, "kimi-k2", sampled, sampled, ""},
		"Claude 4.5, thinking": {translate.Messages, "claude-haiku-4-5-20251001", effort, budget, ""},
		"Claude 4.6, thinking": {translate.Messages, "claude-opus-4-6", effort, asItLikes + `"high"}`, ""},
		"Claude 4.7, thinking": {translate.Messages, "claude-opus-4-7", effort, asItLikes + `"xhigh"}`, ""},
		"Claude 4.5, forced":   {translate.Messages, "claude-sonnet-4-5", forced, `"tool_choice":{"type":"any"}`, ""},
		"Claude 4.7, forced":   {translate.Messages, "claude-opus-4-7", forced, `"output_config":{"effort":"low"}`, ""},
		"Claude 4.7, after a call": {
			translate.Messages, "claude-opus-4-7", chatCalls + `,"reasoning_effort":"low"`, asItLikes + `"low"}`, "",
		},
		"Claude 4.5, after a call":      {translate.Messages, "claude-sonnet-4-5", chatCalls + `,"reasoning_effort":"low"`, `"max_tokens":4096`, ""},
		"Claude 4.7 on Bedrock":         {translate.Converse, "us.anthropic.claude-opus-4-7-v1:0", effort + "," + sampled, `"additionalModelRequestFields":{` + asItLikes + `"xhigh"}}`, "temperature top_p"},
		"Claude 4.5 on Bedrock":         {translate.Converse, "anthropic.claude-sonnet-4-5-20250929-v1:0", effort, `"additionalModelRequestFields":{` + budget + `}`, ""},
		"Gemini 2.5, thinking":          {translate.Gemini, "gemini-2.5-flash", effort, `"thinkingConfig":{"thinkingBudget":24576}`, ""},
		"Gemini 2.5, not thinking":      {translate.Gemini, "gemini-2.5-flash", `"reasoning_effort":"none"`, `"thinkingConfig":{"thinkingBudget":0}`, ""},
		"Gemini 2.5 Pro, not thinking":  {translate.Gemini, "gemini-2.5-pro", `"reasoning_effort":"none"`, `"thinkingConfig":{"thinkingBudget":128}`, ""},
		"Gemini 3, thinking":            {translate.Gemini, "gemini-3-pro-preview", effort, `"thinkingConfig":{"thinkingLevel":"HIGH"}`, ""},
		"Gemini 3, not thinking":        {translate.Gemini, "gemini-3.8-flash", `"reasoning_effort":"none"`, `"thinkingConfig":{"thinkingLevel":"LOW"}`, ""},
		"Gemini of late, thinking":      {translate.Gemini, "gemini-flash-latest", effort, `"thinkingConfig":{"thinkingLevel":"HIGH"}`, ""},
		"another of Google's, thinking": {translate.Gemini, "gemma-3-27b-it", effort, `"thinkingConfig":{"thinkingBudget":24576}`, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			body, dropped := asked(t, tc.to, tc.model, tc.members)
			if !strings.Contains(body, tc.want) || dropped != tc.dropped {
				t.Errorf("got %s, dropped %q; want %s and %q", body, dropped, tc.want, tc.dropped)
			}
			for _, none := range []string{"temperature", "top_p", "topP", "thinking", "effort"} {
				if !strings.Contains(tc.want, none) && strings.Contains(body, `"`+none) {
					t.Errorf("%s is in %s", none, body)
				}
			}
		})
	}
}

const chatCalls = `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},` +
	`{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c2","content":"b"},{"role":"tool","tool_call_id":"c1","content":"c"}]`

// TestSignaturesOfThoughtsComeBackToGoogle: without them its newer models refuse what agents send after the first call of a tool.
func TestSignaturesOfThoughtsComeBackToGoogle(t *testing.T) {
	const answer = `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2lnbmVk+/=="},{"functionCall":{"name":"g"}}]},"finishReason":"STOP"}]}`
	for name, stream := range map[string]bool{"whole": false, "streamed": true} {
		t.Run(name, func(t *testing.T) {
			x := begin(t, llm.OpenAIChat, translate.Gemini)
			members := ""
			if stream {
				members = `"stream":true`
			}
			if _, err := x.Request("m", []byte(requestWith(translate.Chat, members))); err != nil {
				t.Fatal(err)
			}
			var calls []string
			if stream {
				out, _ := x.Stream(llm.ServerSentEvents).Feed(nil, events(answer))
				for _, event := range strings.Split(string(out), "data: ") {
					if call := gjson.Get(event, "choices.0.delta.tool_calls.0"); call.Get("id").Exists() {
						calls = append(calls, call.Raw)
					}
				}
			} else {
				out, err := x.Response([]byte(answer))
				if err != nil {
					t.Fatal(err)
				}
				for _, call := range gjson.GetBytes(out, "choices.0.message.tool_calls").Array() {
					calls = append(calls, call.Raw)
				}
			}
			history := `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[` + strings.Join(calls, ",") + `]}]`
			body, _ := asked(t, translate.Gemini, "gemini-3-pro-preview", history)
			signed := gjson.Get(body, "contents.1.parts.#.thoughtSignature").Array()
			if len(signed) != 1 || signed[0].Str != "c2lnbmVk+/==" || gjson.Get(body, "contents.1.parts.0.thoughtSignature").Str == "" {
				t.Errorf("got %s for %s", body, history)
			}
		})
	}
}

func TestCallsThatNobodyHasSignedAreTakenByGooglesNewerModels(t *testing.T) {
	for model, want := range map[string]string{"gemini-3.1-pro-preview": "skip_thought_signature_validator", "gemini-2.5-pro": "", "m": ""} {
		body, _ := asked(t, translate.Gemini, model, chatCalls)
		first, second := gjson.Get(body, "contents.1.parts.0.thoughtSignature").Str, gjson.Get(body, "contents.1.parts.1.thoughtSignature").Str
		if first != want || second != "" {
			t.Errorf("%s: got %q and %q, want %q for the first alone", model, first, second, want)
		}
	}
}

// TestOpenAIsModelsAreAskedForAnEffortThatTheyKnow: each generation refuses those of others, and a temperature while it thinks.
func TestOpenAIsModelsAreAskedForAnEffortThatTheyKnow(t *testing.T) {
	const cold, most, none, disabled = `"temperature":0`, `"output_config":{"effort":"max"}`, `"thinking":{"type":"enabled","budget_tokens":0}`, `"thinking":{"type":"disabled"},"output_config":{"effort":"high"}`
	for name, tc := range map[string]struct{ model, members, want, dropped string }{
		"4o":                    {"gpt-4o", most + "," + cold, `"temperature":0`, "thinking"},
		"4.1, none":             {"gpt-4.1-mini", none, ``, ""},
		"3.5 of Azure's":        {"gpt-35-turbo", cold, `"temperature":0`, ""},
		"o3":                    {"openai/o3", most + "," + cold, `"reasoning_effort":"high"`, "temperature"},
		"o4, none":              {"o4-mini", none, `"reasoning_effort":"low"`, ""},
		"5":                     {"gpt-5-mini-2025-08-07", most + "," + cold, `"reasoning_effort":"high"`, "temperature"},
		"5, none":               {"gpt-5", none, `"reasoning_effort":"minimal"`, ""},
		"5, codex, none":        {"gpt-5-codex", none, `"reasoning_effort":"low"`, ""},
		"5, as it is":           {"gpt-5", `"temperature":1.0,"top_p":0.9`, ``, "top_p"},
		"5, chat":               {"gpt-5-chat-latest", cold, `"temperature":0`, ""},
		"5.1":                   {"gpt-5.1", most, `"reasoning_effort":"high"`, ""},
		"5.1, cold":             {"gpt-5.1", cold, `"temperature":0`, ""},
		"5.1, none, cold":       {"gpt-5.1", none + "," + cold, `"temperature":0,"reasoning_effort":"none"`, ""},
		"5.1, codex":            {"gpt-5.1-codex", none + "," + cold, `"reasoning_effort":"low"`, "temperature"},
		"5.1, codex max":        {"gpt-5.1-codex-max", most, `"reasoning_effort":"xhigh"`, ""},
		"5.2":                   {"gpt-5.2", most + "," + cold, `"reasoning_effort":"xhigh"`, "temperature"},
		"5.5, cold":             {"gpt-5.5", cold, ``, "temperature"},
		"5.2, not to think":     {"gpt-5.2", disabled, `"reasoning_effort":"none"`, ""},
		"5, not to think":       {"gpt-5", disabled, `"reasoning_effort":"minimal"`, ""},
		"4o, not to think":      {"gpt-4o", disabled, ``, ""},
		"another, not to think": {"deepseek-v4-pro", disabled, ``, ""},
		"another":               {"grok-4", most + "," + cold, `"temperature":0,"reasoning_effort":"xhigh"`, ""},
		"open":                  {"openai/gpt-oss-120b", most + "," + cold, `"temperature":0,"reasoning_effort":"xhigh"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := options
			o.Model = tc.model
			x, err := translate.New(llm.AnthropicMessages, translate.Chat, o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := x.Request("m", []byte(requestWith(translate.Messages, tc.members)))
			if err != nil {
				t.Fatal(err)
			}
			body, dropped := string(got.Body), strings.Join(x.Dropped(), " ")
			if !strings.Contains(body, tc.want) || dropped != tc.dropped {
				t.Errorf("got %s, dropped %q; want %s and %q", body, dropped, tc.want, tc.dropped)
			}
			for _, none := range []string{"temperature", "top_p", "effort"} {
				if !strings.Contains(tc.want, none) && strings.Contains(body, none) {
					t.Errorf("%s is in %s", none, body)
				}
			}
		})
	}
	if body, _ := asked(t, translate.Responses, "gpt-5.1", `"reasoning_effort":"minimal"`); gjson.Get(body, "reasoning.effort").Str != "low" {
		t.Errorf("got %s", body)
	}
	const google = `{"model":"m","max_tokens":9,"thinking":{"type":"disabled"},"messages":[{"role":"user","content":"a"}]}`
	if body := askedBy(t, llm.AnthropicMessages, translate.Gemini, "gemini-2.5-flash", google); gjson.Get(body, "generationConfig.thinkingConfig.thinkingBudget").Raw != "0" {
		t.Errorf("got %s", body)
	}
}

// TestThoughtsComeBackToModelsThatAskForThem: DeepSeek's and Kimi's refuse what agents send after the first call of a tool without.
func TestThoughtsComeBackToModelsThatAskForThem(t *testing.T) {
	bodies := map[llm.Format]string{
		llm.AnthropicMessages: `{"model":"m","max_tokens":90,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},` +
			`{"type":"tool_use","id":"c1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"b"}]}]}`,
		llm.OpenAIResponses: `{"model":"m","input":[{"role":"user","content":"a"},{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"x"},` +
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"b"}]}`,
		llm.GoogleGenerate: `{"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"hm","thought":true},{"functionCall":{"id":"c1","name":"f","args":{}}}]},` +
			`{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"f","response":{"result":"b"}}}]}]}`,
	}
	const calls = `,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"b"}]`
	for client, body := range bodies {
		for model, thoughts := range map[string]string{"deepseek-v4-pro": `,"reasoning_content":"hm"`, "moonshotai/Kimi-K2-Thinking": `,"reasoning_content":"hm"`, "gpt-5.1": "", "moonshotai/kimi-k2-instruct": ""} {
			want := `[{"role":"user","content":"a"},{"role":"assistant","content":null` + thoughts + calls
			if got := gjson.Get(askedBy(t, client, translate.Chat, model, body), "messages").Raw; got != want {
				t.Errorf("%s, %s:\ngot  %s\nwant %s", client, model, got, want)
			}
		}
	}
	without := strings.Replace(bodies[llm.AnthropicMessages], `{"type":"thinking","thinking":"hm","signature":""},`, "", 1)
	if got := gjson.Get(askedBy(t, llm.AnthropicMessages, translate.Chat, "kimi-k2.5", without), "messages.1.reasoning_content"); got.Str != " " {
		t.Errorf("got %s of a call of another model", got.Raw)
	}
	const raw = `{"model":"m","input":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}`
	if got := askedBy(t, llm.OpenAIResponses, translate.Messages, "m", raw); strings.Contains(got, "hm") || gjson.Get(got, "messages.#").Int() != 3 {
		t.Errorf("got %s of a model whose thoughts are told", got)
	}
}
