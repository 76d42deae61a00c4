package translate_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
)

// TestIDsOfCallsAreOnesThatTheProviderTakes: after a failover a conversation has those of another provider.
func TestIDsOfCallsAreOnesThatTheProviderTakes(t *testing.T) {
	long := strings.Repeat("x", 70)
	for id, kept := range map[string]bool{"toolu_01A-b": true, "functions.look:0": false, "functions_look_0": true, long: false, `\u00e9`: false, `a\"b`: false} {
		for to, form := range map[translate.API]struct{ valid, call, result string }{
			translate.Messages:  {`^[a-zA-Z0-9_-]{1,64}$`, "messages.1.content.0.id", "messages.2.content.0.tool_use_id"},
			translate.Converse:  {`^[a-zA-Z0-9_-]{1,64}$`, "messages.1.content.0.toolUse.toolUseId", "messages.2.content.0.toolResult.toolUseId"},
			translate.Responses: {`^.{1,64}$`, "input.1.call_id", "input.2.call_id"},
			translate.Gemini:    {`^.*$`, "contents.1.parts.0.functionCall.id", "contents.2.parts.0.functionResponse.id"},
		} {
			body, _ := asked(t, to, "m", `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"`+id+`","type":"function","function":{"name":"f","arguments":"{}"}}]},`+
				`{"role":"tool","tool_call_id":"`+id+`","content":"b"}]`)
			call, result := gjson.Get(body, form.call).Str, gjson.Get(body, form.result).Str
			if call != result || !regexp.MustCompile(form.valid).MatchString(call) || kept && call != id {
				t.Errorf("%s to %s: got %q and %q", id, to, call, result)
			}
		}
	}
}

// TestUsersOfLongNamesAreNotRefused: Claude Code has a device, an account and a session in one.
func TestUsersOfLongNamesAreNotRefused(t *testing.T) {
	const tail = `_account_3fa85f64-5717-4562-b3fc-2c963f66afa6_session_`
	first, second := "user_"+strings.Repeat("a", 64)+tail+"1", "user_"+strings.Repeat("a", 64)+tail+"2"
	for _, to := range []translate.API{translate.Chat, translate.Responses} {
		user := func(id string) string {
			t.Helper()
			got, err := begin(t, llm.AnthropicMessages, to).Request("m", []byte(requestWith(translate.Messages, `"metadata":{"user_id":"`+id+`"}`)))
			if err != nil {
				t.Fatal(err)
			}
			return gjson.GetBytes(got.Body, "user").Str
		}
		if got := user("u1"); got != "u1" {
			t.Errorf("%s: got %q of a short name", to, got)
		}
		for _, id := range []string{first, `{\"device_id\":\"` + first + `\"}`} {
			if got := user(id); len(got) > 64 || got == "" || got != user(id) {
				t.Errorf("%s: got %q of %s", to, got, id)
			}
		}
		if user(first) == user(second) {
			t.Errorf("%s: two users are one", to)
		}
	}
	long := strings.Repeat("x", 300)
	if body, _ := asked(t, translate.Messages, "m", `"user":"`+long+`"`); len(gjson.Get(body, "metadata.user_id").Str) > 256 {
		t.Errorf("got %s", body)
	}
}

// TestNamesOfToolsAreOnesThatTheProviderTakes, and clients are told their own: Claude Code's have the name of a plugin and a server in front.
func TestNamesOfToolsAreOnesThatTheProviderTakes(t *testing.T) {
	long := "mcp__plugin_oh-my-claudecode_omc-tools__" + strings.Repeat("lsp_", 10)
	claudeCode := func(name string) string {
		return `{"model":"m","max_tokens":90,"tools":[{"name":"` + name + `","input_schema":{"type":"object"}},{"name":"Read","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"` + name + `"},"messages":[` +
			`{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"` + name + `","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"b"}]}]}`
	}
	for to, of := range map[translate.API]struct {
		tool, choice, call string
		answer             string
		pieces             []string
	}{
		translate.Chat: {
			"tools.0.function.name", "tool_choice.function.name", "messages.1.tool_calls.0.function.name",
			`{"choices":[{"message":{"tool_calls":[{"id":"c2","type":"function","function":{"name":"NAME","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`,
			[]string{`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c2","function":{"name":"NAME","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`},
		},
		translate.Responses: {
			"tools.0.name", "tool_choice.name", "input.1.name", `{"status":"completed","output":[{"type":"function_call","call_id":"c2","name":"NAME","arguments":"{}"}]}`,
			[]string{`{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"c2","name":"NAME","arguments":"{}"}}`, `{"type":"response.completed","response":{}}`},
		},
		translate.Gemini: {
			"tools.0.functionDeclarations.0.name", "toolConfig.functionCallingConfig.allowedFunctionNames.0", "contents.1.parts.0.functionCall.name",
			`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"NAME"}}]},"finishReason":"STOP"}]}`, []string{`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"NAME"}}]},"finishReason":"STOP"}]}`},
		},
		translate.Converse: {
			"toolConfig.tools.0.toolSpec.name", "toolConfig.toolChoice.tool.name", "messages.1.content.0.toolUse.name",
			`{"output":{"message":{"content":[{"toolUse":{"toolUseId":"c2","name":"NAME","input":{}}}]}},"stopReason":"tool_use"}`, nil,
		},
	} {
		for _, name := range []string{long, "Read_all"} {
			x := begin(t, llm.AnthropicMessages, to)
			got, err := x.Request("m", []byte(claudeCode(name)))
			if err != nil {
				t.Fatal(err)
			}
			sent := gjson.GetBytes(got.Body, of.tool).Str
			if !regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`).MatchString(sent) || name != long && sent != name {
				t.Errorf("%s: got %q of %q", to, sent, name)
			}
			if choice, call := gjson.GetBytes(got.Body, of.choice).Str, gjson.GetBytes(got.Body, of.call).Str; choice != sent || call != sent {
				t.Errorf("%s: %q is chosen and %q was called, of %q", to, choice, call, sent)
			}
			answer, err := x.Response([]byte(strings.Replace(of.answer, "NAME", sent, 1)))
			if err != nil || gjson.GetBytes(answer, "content.0.name").Str != name {
				t.Errorf("%s: got %s, %v; want %q", to, answer, err, name)
			}
			if of.pieces == nil {
				continue
			}
			out, err := x.Stream(llm.ServerSentEvents).Feed(nil, events(strings.Split(strings.ReplaceAll(strings.Join(of.pieces, "\n"), "NAME", sent), "\n")...))
			if err != nil || !strings.Contains(string(out), `"name":"`+name+`"`) {
				t.Errorf("%s: got %s, %v; want %q", to, out, err, name)
			}
		}
	}
	const google = `{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"files.read:all","parameters":{"type":"OBJECT"}}]}]}`
	if got := gjson.Get(askedBy(t, llm.GoogleGenerate, translate.Messages, "m", google), "tools.0.name").Str; !regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
}

// TestCallsOfTheSameIDGetOneEach where a provider refuses them: llama.cpp and others count the calls of each answer anew.
func TestCallsOfTheSameIDGetOneEach(t *testing.T) {
	const call, answer = `{"role":"assistant","tool_calls":[{"id":"c0","type":"function","function":{"name":"f","arguments":"{}"}}]}`, `{"role":"tool","tool_call_id":"c0","content":"%d"}`
	const twice = `{"role":"assistant","tool_calls":[{"id":"c0","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c0","type":"function","function":{"name":"g","arguments":"{}"}}]}`
	turns := []string{`{"role":"user","content":"a"}`, call, fmt.Sprintf(answer, 1), call, fmt.Sprintf(answer, 2), twice, fmt.Sprintf(answer, 3), fmt.Sprintf(answer, 4)}
	for to, names := range map[translate.API][2]string{translate.Messages: {"messages.#.content.#.id|@flatten", "messages.#.content.#.tool_use_id|@flatten"}, translate.Converse: {"messages.#.content.#.toolUse.toolUseId|@flatten", "messages.#.content.#.toolResult.toolUseId|@flatten"}} {
		body, _ := asked(t, to, "m", `"messages":[`+strings.Join(turns, ",")+`]`)
		called, answered := gjson.Get(body, names[0]).Array(), gjson.Get(body, names[1]).Raw
		ids := map[string]bool{}
		for _, id := range called {
			ids[id.Str] = true
		}
		if len(called) != 4 || len(ids) != 4 || called[0].Str != "c0" || gjson.Get(body, names[0]).Raw != answered {
			t.Errorf("%s: calls %s, answers %s", to, called, answered)
		}
	}
}
