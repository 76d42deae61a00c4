package translate_test

import (
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
