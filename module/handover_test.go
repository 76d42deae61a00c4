package module_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// inAllForms runs a test with the modules in one filter, and with each as a filter of its own.
func inAllForms(t *testing.T, test func(t *testing.T, build func(...string) *moduletest.Host)) {
	t.Helper()
	forms := map[string]func(testing.TB, string) *moduletest.Host{"one filter": moduletest.New, "a filter each": moduletest.NewLayered, "others between": moduletest.NewSpread, "a file each": moduletest.NewSeparate}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			test(t, func(names ...string) *moduletest.Host { return form(t, pipelineOf(names)) })
		})
	}
}

func TestModulesHandFactsToEachOther(t *testing.T) {
	inAllForms(t, func(t *testing.T, build func(...string) *moduletest.Host) {
		t.Helper()
		var seen []string
		see := func(x *module.Exchange) {
			seen = append(seen, fmt.Sprintf("%+v %s %q", x.Caller(), x.Fact(module.FactRoute), x.Fact("nothing")))
		}
		h := build(
			policy(script{requestHeader: func(x *module.Exchange) error {
				see(x)
				x.SetCaller(module.Caller{Tenant: "acme", Key: "k1", User: "ann"})
				x.SetFact(module.FactRoute, "old")
				x.SetFact(module.FactRoute, "gpt-*")
				return nil
			}}),
			policy(script{request: func(x *module.Exchange) error { see(x); return nil }, finish: see}),
		)
		wantPassed(t, h.Do(moduletest.Exchange{Request: chat, Answer: answer, Header: map[string]string{"leash.caller": "forged", "x-leash-caller": "forged"}}))
		const known = `{Tenant:acme Key:k1 User:ann} gpt-* ""`
		wantText(t, "seen", fmt.Sprint(seen), fmt.Sprint([]string{`{Tenant: Key: User:}  ""`, known, known}))
	})
}

func TestUsageAndRefusalsAreToldToTheOtherFilters(t *testing.T) {
	inAllForms(t, func(t *testing.T, build func(...string) *moduletest.Host) {
		t.Helper()
		var usage, refusal, status, failed string
		reads := script{usage: true, finish: func(*module.Exchange) {}}
		told := script{finish: func(x *module.Exchange) {
			by, code := x.Refusal()
			usage, refusal, status = fmt.Sprint(x.Usage.Input, x.Usage.Output, x.UsageEstimated), fmt.Sprint(by != "", " ", code), fmt.Sprint(x.Status)
			failed = x.AnswerError
		}}
		h := build(inspector(reads), inspector(told))
		wantPassed(t, h.Do(moduletest.Exchange{Request: chat, Answer: answer}))
		wantText(t, "usage", usage, "9 2 false")
		wantPassed(t, h.Do(streamOf(delta("Hi there you"), done)))
		wantText(t, "estimated usage", usage, "6 3 true")
		wantText(t, "a good stream failed", failed, "")
		wantPassed(t, h.Do(streamOf(delta("Hi"), `data: {"error":{"message":"broke off"}}`+"\n\n")))
		wantText(t, "a stream that ends with an error failed", failed, llm.StreamError)
		wantPassed(t, h.Do(moduletest.Exchange{Request: chat, Answer: `{"error":{"message":"overloaded"}}`}))
		wantText(t, "an error in spite of its status", failed, llm.ErrorInAnswer)

		h = build(inspector(told), policy(script{request: func(*module.Exchange) error { return module.Refuse(403, "no", "no") }}))
		wantRefused(t, h.Do(moduletest.Exchange{Request: chat}), 403, "no")
		wantText(t, "refusal", refusal, "true no")
		wantText(t, "status", status, "403")

		h = build(inspector(told), policy(script{request: func(*module.Exchange) error {
			return &module.Answer{Status: 200, ContentType: "application/json", Body: []byte(answer)}
		}}))
		if got := h.Do(moduletest.Exchange{Request: chat}); got.Body != answer || got.Sent {
			t.Errorf("got %s, want the module's answer", got.Body)
		}
		wantText(t, "no refusal", refusal, "false ")
	})
}

// TestWhatARefusedAnswerHasUsedIsTold has a module that reads usages ahead of one that refuses answers, which the provider has given all the same.
func TestWhatARefusedAnswerHasUsedIsTold(t *testing.T) {
	inAllForms(t, func(t *testing.T, build func(...string) *moduletest.Host) {
		t.Helper()
		var usage string
		reads := script{usage: true, finish: func(x *module.Exchange) { usage = fmt.Sprint(x.Usage.Input, x.Usage.Output, x.UsageEstimated) }}
		no := module.Refuse(403, "no", "no")
		h := build(policy(reads), policy(script{
			response: func(*module.Exchange) error { return no },
			event: func(_ *module.Exchange, e *module.Event) error {
				if len(e.Texts) > 0 && e.Texts[0].Value == "no more" {
					return no
				}
				return nil
			},
		}))
		for name, tc := range map[string]struct {
			exchange moduletest.Exchange
			want     string
		}{
			"an answer":                   {moduletest.Exchange{Request: chat, Answer: answer}, "9 2 false"},
			"an answer without its usage": {moduletest.Exchange{Request: chat, Answer: answer[:strings.Index(answer, `,"usage"`)] + "}"}, "6 2 true"},
			"a stream":                    {streamOf(delta("Hi there "), delta("no more"), delta("you"), usageEvent, done), "9 2 false"},
			"a stream in one piece":       {streamOf(delta("Hi there ") + delta("no more") + delta("you") + usageEvent + done), "9 2 false"},
			"a stream without its usage":  {streamOf(delta("Hi there "), delta("no more"), delta("you"), done), "6 4 true"},
		} {
			if got := h.Do(tc.exchange); !strings.Contains(got.Body, `"no"`) || usage != tc.want {
				t.Errorf("%s: got %d %s, used %s, want %s", name, got.Status, got.Body, usage, tc.want)
			}
		}
	})
}

func TestEachModuleHasItsOwnStateOfEachExchange(t *testing.T) {
	inAllForms(t, func(t *testing.T, build func(...string) *moduletest.Host) {
		t.Helper()
		counts := script{
			request:  func(x *module.Exchange) error { *module.Local[int](x)++; return nil },
			response: func(x *module.Exchange) error { *module.Local[int](x)++; return nil },
			finish: func(x *module.Exchange) {
				if n := *module.Local[int](x); n != 2 {
					t.Errorf("got %d, want 2", n)
				}
			},
		}
		h := build(policy(counts), policy(counts))
		for range 2 {
			wantPassed(t, h.Do(moduletest.Exchange{Request: chat, Answer: answer}))
		}
	})
}

func TestFiltersThatStandSideBySideAreGivenWhatTheOthersLetGoOn(t *testing.T) {
	change := script{
		request: func(x *module.Exchange) error {
			x.SetRequestHeader("x-seen", x.RequestHeader("x-seen")+"|"+x.Request.Texts[0].Value)
			x.Request.SetText(0, x.Request.Texts[0].Value+"!")
			return nil
		},
		response: func(x *module.Exchange) error {
			x.SetResponseHeader("x-seen", x.ResponseHeader("x-seen")+"|"+x.Response.Texts[0].Value)
			x.Response.SetText(0, x.Response.Texts[0].Value+"!")
			return nil
		},
	}
	for name, tc := range map[string]struct {
		build func(testing.TB, string) *moduletest.Host
		asked int
	}{"side by side": {moduletest.NewLayered, 4}, "others between": {moduletest.NewSpread, 13}} {
		h := tc.build(t, pipelineOf([]string{policy(change), inspector(script{}), policy(change), policy(change)}))
		got := h.Do(moduletest.Exchange{Request: chat, Answer: answer})
		wantPassed(t, got)
		if h.Asked != tc.asked {
			t.Errorf("%s: the host was asked %d times, want %d", name, h.Asked, tc.asked)
		}
		wantText(t, name+": request", got.SentHeader["x-seen"], "|Hello|Hello!|Hello!!")
		wantText(t, name+": answer", got.Header["x-seen"], "|Hi there|Hi there!|Hi there!!")
		if !strings.Contains(got.SentBody, `"Hello!!!"`) || !strings.Contains(got.Body, `"Hi there!!!"`) || got.SentHeader["content-length"] != strconv.Itoa(len(got.SentBody)) {
			t.Errorf("%s: sent %s (%s), answered %s", name, got.SentBody, got.SentHeader["content-length"], got.Body)
		}
	}
}

func TestFiltersOfOneVMShareWhatTheyHaveRead(t *testing.T) {
	var requests []*llm.Request
	var answers []*llm.Response
	reads := script{
		request:  func(x *module.Exchange) error { requests = append(requests, x.Request); return nil },
		response: func(x *module.Exchange) error { answers = append(answers, x.Response); return nil },
	}
	changes := script{
		request:  func(x *module.Exchange) error { x.Request.SetText(0, "another"); return nil },
		response: func(x *module.Exchange) error { x.Response.SetText(0, "another"); return nil },
	}
	h := moduletest.NewLayered(t, pipelineOf([]string{policy(reads), inspector(reads), policy(changes), policy(reads), policy(reads)}))
	got := h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	wantPassed(t, got)
	if !strings.Contains(got.SentBody, "another") || !strings.Contains(got.Body, "another") {
		t.Errorf("sent %s, answered %s, want both changed", got.SentBody, got.Body)
	}
	if requests[0] != requests[1] || requests[2] != requests[3] || answers[0] != answers[1] || answers[2] != answers[3] {
		t.Errorf("they read anew what the one before them has read: %p and %p", requests, answers)
	}
	if requests[1] == requests[2] || requests[2].Texts[0].Value != "another" || answers[1] == answers[2] || answers[2].Texts[0].Value != "another" {
		t.Errorf("what another one has changed was not read anew: %p and %p", requests, answers)
	}
	before := requests[0]
	h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	if requests[4] == before {
		t.Error("an exchange was given what another has read")
	}
}
