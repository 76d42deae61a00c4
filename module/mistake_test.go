package module_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// Whoever asked for a header of the answer before there was one kept all modules from ever seeing the answer.
func TestLookingForTheAnswersHeadersTooEarlyHidesNothing(t *testing.T) {
	early := func(x *module.Exchange) error {
		if got := x.ResponseHeader("content-type"); got != "" {
			t.Errorf("got %q of an answer that is not there", got)
		}
		x.SetResponseHeader("x-early", "1")
		x.RemoveResponseHeader("content-type")
		return nil
	}
	refuses := policy(script{response: func(x *module.Exchange) error { return module.Refuse(403, "seen", "status %d", x.Status) }})
	for name, s := range map[string]script{"request header": {requestHeader: early}, "request": {request: early}} {
		t.Run(name, func(t *testing.T) {
			h := run(t, policy(s), refuses)
			got := h.Do(moduletest.Exchange{Request: chat, Answer: answer})
			if got.Status != 403 || got.Header["x-early"] != "" {
				t.Errorf("got %+v", got)
			}
			if len(h.Logs) != 1 {
				t.Fatalf("got %q, want one line", h.Logs)
			}
			wantPart(t, "log", h.Logs[0], ` changes the response header "x-early" in the `+name+" phase, which has no effect: it can be changed in the ")
		})
	}
}

func TestHeadersThatAreChangedTooLateAreToldOnce(t *testing.T) {
	late := func(x *module.Exchange) error { x.SetRequestHeader("x-late", "1"); return nil }
	h := run(t, inspector(script{response: late}))
	for range 2 {
		h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	}
	if len(h.Logs) != 1 {
		t.Fatalf("got %q, want one line", h.Logs)
	}
	wantPart(t, "log", h.Logs[0], ` changes the request header "x-late" in the response phase, which has no effect: it can be changed before the request has left`)

	h = run(t, inspector(script{event: func(x *module.Exchange, _ *module.Event) error { x.SetResponseHeader("x-late", "1"); return nil }}))
	h.Do(streamOf(delta("Hi"), done))
	wantPart(t, "log", strings.Join(h.Logs, "\n"), ` changes the response header "x-late" in the event phase`)
}

// Hosts answer a request with such a header with an error that names nobody, and an inspector must not cause that.
func TestHeadersThatCannotBeSentAreTheirModulesMistake(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"x-user", "b\r\nx-admin: 1", `the value of the header x-user has a character that cannot be sent: '\r'`},
		{"x-user", "b\x00", `the value of the header x-user has a character that cannot be sent: '\x00'`},
		{"x user", "b", `a header cannot be named "x user"`},
		{"x-user:", "b", `a header cannot be named "x-user:"`},
		{"", "b", "a header needs a name"},
	} {
		for phase, set := range map[string]func(*module.Exchange, string, string){
			"request": (*module.Exchange).SetRequestHeader, "response": (*module.Exchange).SetResponseHeader,
		} {
			t.Run(fmt.Sprintf("%q: %q in the %s", tc.name, tc.value, phase), func(t *testing.T) {
				handler := func(x *module.Exchange) error { set(x, tc.name, tc.value); return nil }
				h := run(t, inspector(scriptIn(phase, handler)))
				if got := h.Do(moduletest.Exchange{Request: chat, Answer: answer}); got.Status != 200 {
					t.Errorf("got %+v", got)
				}
				wantPart(t, "log", strings.Join(h.Logs, "\n"), "module_test.TestHeadersThatCannotBeSentAreTheirModulesMistake.")
				wantPart(t, "log", strings.Join(h.Logs, "\n"), tc.want)
			})
		}
	}
	fine := policy(script{request: func(x *module.Exchange) error { x.SetRequestHeader("X-User_1.a", "Zoë\t1"); return nil }})
	wantText(t, "header", run(t, fine).Do(moduletest.Exchange{Request: chat}).SentHeader["x-user_1.a"], "Zoë\t1")
}

// The place in the log is where the module is wrong, not where the kit noticed.
func TestAPanicInTheKitNamesTheModulesOwnLine(t *testing.T) {
	h := run(t, inspector(script{request: func(x *module.Exchange) error { x.Request.SetText(99, "x"); return nil }}))
	h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	wantPart(t, "log", strings.Join(h.Logs, "\n"), "panic in github.com/leash-gateway/leash/module_test.TestAPanicInTheKitNamesTheModulesOwnLine.")
}

func TestDecisionsThatCannotBeAreFailures(t *testing.T) {
	var noRefusal *module.Refusal
	var noAnswer *module.Answer
	for name, tc := range map[string]struct {
		decision error
		want     string
	}{
		"a nil refusal":            {noRefusal, "it returned a nil *module.Refusal, which as an error is not nil: return nil itself"},
		"a nil answer":             {noAnswer, "it returned a nil *module.Answer, which as an error is not nil: return nil itself"},
		"a refusal without status": {&module.Refusal{Code: "no"}, "a refusal cannot have the status 0 (no: )"},
		"a refusal's header":       {&module.Refusal{Status: 403, Header: [][2]string{{"x-why", "a\nb"}}}, `the value of the header x-why has a character that cannot be sent: '\n'`},
		"an answer of status 99":   {&module.Answer{Status: 99}, "an answer cannot have the status 99"},
	} {
		for phase, s := range waiting(func(*module.Exchange) error { return tc.decision }) {
			t.Run(name+" in "+phase, func(t *testing.T) {
				h := run(t, policy(s))
				got := h.Do(moduletest.Exchange{Request: chat, Answer: answer})
				code, _ := errorOf(got.Body)
				if got.Status != 500 || code != "module_failed" {
					t.Errorf("got %+v", got)
				}
				wantPart(t, "log", strings.Join(h.Logs, "\n"), "failed in the "+phase+" phase: "+tc.want)

				if got := run(t, inspector(s)).Do(moduletest.Exchange{Request: chat, Answer: answer}); got.Status != 200 {
					t.Errorf("an inspector has touched the exchange: %+v", got)
				}
			})
		}
	}
}

func TestAnAnswerAfterTheRequestHasLeftIsToldWhy(t *testing.T) {
	h := run(t, policy(script{response: func(*module.Exchange) error { return &module.Answer{Body: []byte("{}")} }}))
	if got := h.Do(moduletest.Exchange{Request: chat, Answer: answer}); got.Status != 500 {
		t.Errorf("got %+v", got)
	}
	wantPart(t, "log", strings.Join(h.Logs, "\n"), "a module.Answer can be returned before the request has left only")
}

func TestDecisionsMayBeWrapped(t *testing.T) {
	for name, tc := range map[string]struct {
		decision error
		status   int
		body     string
	}{
		"an answer": {&module.Answer{Header: [][2]string{{"X-Cache", "hit"}}, Body: []byte(`{"cached":true}`)}, 200, `{"cached":true}`},
		"a refusal": {module.Refuse(403, "no", "no"), 403, `{"error":{"message":"no","type":"permission_error","param":null,"code":"no"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			h := run(t, policy(script{request: func(*module.Exchange) error { return fmt.Errorf("look it up: %w", tc.decision) }}))
			got := h.Do(moduletest.Exchange{Request: chat})
			if _, answered := tc.decision.(*module.Answer); answered != (got.Header["x-cache"] == "hit") { //nolint:errorlint // as the table has it
				t.Errorf("got headers %v", got.Header)
			}
			if got.Status != tc.status || got.Body != tc.body || got.Header["content-type"] != "application/json" || len(h.Logs) > 0 {
				t.Errorf("got %+v, logs %q", got, h.Logs)
			}
		})
	}
}

func TestAConstructorThatPanicsIsRefusedWithItsPlace(t *testing.T) {
	module.Register("panics", module.Policy, func(c struct{ Sizes []int }) (script, error) { return script{}, fmt.Errorf("size %d", c.Sizes[0]) })
	err := moduletest.Check(`{"modules":[{"name":"panics"}]}`)
	if err == nil {
		t.Fatal("the module was built")
	}
	wantPart(t, "error", err.Error(), "modules[0] (panics): config: panic in github.com/leash-gateway/leash/module_test.TestAConstructorThatPanicsIsRefusedWithItsPlace.")
	wantPart(t, "error", err.Error(), "index out of range [0] with length 0")
}

func TestValuesThatAreNoLabelsAreToldOf(t *testing.T) {
	tests := map[string]struct {
		values  []string
		series  string
		message string
	}{
		"too few":  {[]string{"acme"}, "leash_seen_total.[tenant=acme].[model=none]", " counts leash_seen_total with 1 values, and it has 2 labels: "},
		"too many": {[]string{"a", "b", "c"}, "leash_seen_total.[tenant=a].[model=b]", " counts leash_seen_total with 3 values, and it has 2 labels: "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			seen := module.Counter("leash_seen_total", "tenant", "model")
			h := run(t, policy(script{finish: func(x *module.Exchange) { x.Count(seen, 1, tc.values...) }}))
			for range 2 {
				h.Do(moduletest.Exchange{Request: chat, Answer: answer})
			}
			if h.Metrics[tc.series] != 2 {
				t.Errorf("got %v, want %s", h.Metrics, tc.series)
			}
			if len(h.Logs) != 1 {
				t.Fatalf("got %q, want one line", h.Logs)
			}
			wantPart(t, "log", h.Logs[0], tc.message)
		})
	}
}
