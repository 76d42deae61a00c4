package module_test

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// replaces makes a module that puts one text of the body in the place of another.
func replaces(old, with string) string {
	return policy(script{request: func(x *module.Exchange) error {
		return x.SetRequestBody([]byte(strings.Replace(string(x.RequestBody()), old, with, 1)))
	}})
}

func TestWhatAModuleMakesOfABodyIsWhatLeavesAndWhatModulesBehindSee(t *testing.T) {
	setsModel := func(model string) string {
		return policy(script{request: func(x *module.Exchange) error { x.Request.SetModel(model); return nil }})
	}
	const instructed = `{"role":"system","content":"Be brief"},{"role":"user"`
	for name, build := range hosts {
		t.Run(name, func(t *testing.T) {
			var seen []llm.Text
			looks := policy(script{request: func(x *module.Exchange) error { seen = x.Request.Texts; return nil }})
			names := []string{setsModel("gpt-5"), replaces(`{"role":"user"`, instructed), looks, setsModel("o5")}
			got := build(t, pipelineOf(names)).Do(moduletest.Exchange{Request: chat, Answer: answer})
			want := strings.Replace(strings.Replace(chat, `{"role":"user"`, instructed, 1), "gpt-4o-mini", "o5", 1)
			wantText(t, "the provider's body", got.SentBody, want)
			if len(seen) != 2 || seen[0].Value != "Be brief" {
				t.Errorf("the module behind has seen %+v", seen)
			}
		})
	}
}

// hosts are the ways in which modules stand beside each other.
var hosts = map[string]func(testing.TB, string) *moduletest.Host{
	"one filter":        moduletest.New,
	"a filter each":     moduletest.NewSeparate,
	"filters of one VM": moduletest.NewLayered,
	"others between":    moduletest.NewSpread,
}

func TestAReplacedBodyKeepsTheModelOfAPath(t *testing.T) {
	names := []string{
		policy(script{request: func(x *module.Exchange) error { x.Request.SetModel("gemini-3"); return nil }}),
		replaces(`{"contents"`, `{"systemInstruction":{"parts":[{"text":"Be brief"}]},"contents"`),
	}
	got := run(t, names...).Do(moduletest.Exchange{
		Path: "/v1beta/models/gemini-2.5-flash:generateContent", Request: `{"contents":[{"parts":[{"text":"Hi"}]}]}`, Answer: `{"candidates":[]}`,
	})
	wantText(t, "path", got.SentHeader[":path"], "/v1beta/models/gemini-3:generateContent")
	wantText(t, "body", got.SentBody, `{"systemInstruction":{"parts":[{"text":"Be brief"}]},"contents":[{"parts":[{"text":"Hi"}]}]}`)
}

func TestAReplacedBodyStillAsksForTheUsageThatOthersRead(t *testing.T) {
	const asked, event = `"stream_options":{"include_usage":true}`, `data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}` + "\n\n"
	for name, tc := range map[string]struct {
		request string
		shown   bool
	}{
		"the client did not ask": {chatStream, false},
		"the client asked":       {strings.Replace(chatStream, "{", "{"+asked+",", 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			var used llm.Usage
			reads := inspector(script{usage: true, finish: func(x *module.Exchange) { used = x.Usage }})
			drops := policy(script{request: func(x *module.Exchange) error { return x.SetRequestBody([]byte(chatStream)) }})
			exchange := streamOf(delta("Hi"), event, done)
			exchange.Request = tc.request
			got := run(t, reads, drops).Do(exchange)
			wantPart(t, "body", got.SentBody, asked)
			if strings.Contains(got.Body, "prompt_tokens") != tc.shown || used.Input != 9 {
				t.Errorf("the module reads %+v, the client %s", used, got.Body)
			}
		})
	}
}

func TestABodyThatCannotBeReadIsTheMistakeOfTheModuleThatMadeIt(t *testing.T) {
	broken := script{request: func(x *module.Exchange) error { return x.SetRequestBody([]byte(`{"model":"m"}`)) }}
	h := run(t, inspector(broken))
	got := h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	wantText(t, "body behind an inspector", got.SentBody, chat)
	wantPart(t, "log", strings.Join(h.Logs, "\n"), "failed in the request phase: the new body cannot be read: messages:")

	got = run(t, policy(broken)).Do(moduletest.Exchange{Request: chat, Answer: answer})
	wantPart(t, "answer", got.Body, `"code":"module_failed"`)
}

func TestASystemPromptIsAddedWhereTheAPIHasThem(t *testing.T) {
	const message = `{"model":"claude-sonnet-4-5","max_tokens":9,"system":"Be kind","messages":[{"role":"user","content":"Hi"}]}`
	add := func(added *bool) func(*module.Exchange) error {
		return func(x *module.Exchange) error { *added = x.AddSystemPrompt("Be brief"); return nil }
	}
	tests := map[string]struct {
		exchange moduletest.Exchange
		script   func(*bool) script
		want     string // what is sent; empty where it stays as it is
	}{
		"messages":         {moduletest.Exchange{Path: "/v1/messages", Request: message}, func(a *bool) script { return script{request: add(a)} }, strings.Replace(message, "Be kind", `Be brief\n\nBe kind`, 1)},
		"embeddings":       {moduletest.Exchange{Path: "/v1/embeddings", Request: `{"model":"m","input":"a"}`}, func(a *bool) script { return script{request: add(a)} }, ""},
		"a list of models": {moduletest.Exchange{Method: "GET", Path: "/v1/models"}, func(a *bool) script { return script{request: add(a)} }, ""},
		"after it left":    {moduletest.Exchange{Request: chat, Answer: answer}, func(a *bool) script { return script{response: add(a)} }, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			added := false
			var seen int
			h := run(t, policy(tc.script(&added)), policy(script{request: func(x *module.Exchange) error {
				if x.Request != nil {
					seen = len(x.Request.Texts)
				}
				return nil
			}}))
			got := h.Do(tc.exchange)
			if added != (tc.want != "") || len(h.Logs) > 0 {
				t.Errorf("added: %t, and %q", added, h.Logs)
			}
			if tc.want == "" {
				tc.want = tc.exchange.Request
			} else if seen != 2 {
				t.Errorf("the module behind has seen %d texts", seen)
			}
			wantText(t, "the provider's body", got.SentBody, tc.want)
		})
	}
}

func TestABodyIsReplacedOnlyWhereThereIsOne(t *testing.T) {
	late := func(x *module.Exchange) error { return x.SetRequestBody([]byte(chat)) }
	for name, s := range map[string]script{"before it came": {requestHeader: late}, "after it left": {response: late}, "a list of models": {request: late}} {
		t.Run(name, func(t *testing.T) {
			exchange := moduletest.Exchange{Request: chat, Answer: answer}
			if name == "a list of models" {
				exchange = moduletest.Exchange{Method: "GET", Path: "/v1/models", Answer: `{"data":[]}`}
			}
			h := run(t, inspector(s))
			if got := h.Do(exchange); got.Status != 200 || got.SentBody != exchange.Request {
				t.Errorf("got %+v", got)
			}
			wantPart(t, "log", strings.Join(h.Logs, "\n"), "the body of a request can be replaced in the request phase and in the body phase only")
		})
	}
}
