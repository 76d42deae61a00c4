package module_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

var ask = module.Call{Upstream: "checker", Method: "GET", Path: "/check", Authority: "checker.local"}

// asks makes a module that asks the checker and refuses with its status.
func asks(x *module.Exchange) error {
	return x.Call(ask, func(r module.CallResult) error {
		switch r.Status {
		case 200:
			return nil
		case 0:
			return module.Refuse(504, "no_answer", "no answer")
		default:
			return module.Refuse(r.Status, string(r.Body), "the checker says no")
		}
	})
}

// waiting are the phases that can wait.
func waiting(handler func(*module.Exchange) error) map[string]script {
	return map[string]script{
		"request header": {requestHeader: handler},
		"request":        {request: handler},
		"response":       {response: handler},
	}
}

func TestAnExchangeWaitsForTheAnswerToACall(t *testing.T) {
	tests := map[string]struct {
		result module.CallResult
		status int
		code   string
	}{
		"yes":         {module.CallResult{Status: 200}, 200, ""},
		"no":          {module.CallResult{Status: 403, Body: []byte("denied")}, 403, "denied"},
		"no answer":   {module.CallResult{}, 504, "no_answer"},
		"no upstream": {module.CallResult{Status: -1}, 500, "module_failed"},
	}
	for name, tc := range tests {
		for phase, script := range waiting(asks) {
			for _, early := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s in %s, early %v", name, phase, early), func(t *testing.T) {
					finished, behind := 0, 0
					script.finish = func(*module.Exchange) { finished++ }
					count := func(*module.Exchange) error { behind++; return nil }
					h := run(t, policy(script), policy(scriptIn(phase, count)))
					if phase == "response" {
						h = run(t, policy(scriptIn(phase, count)), policy(script)) // answers pass in reverse
					}
					if tc.result.Status >= 0 {
						h.Calls = func(module.Call) module.CallResult { return tc.result }
					}
					got := h.Do(moduletest.Exchange{RequestChunks: []string{chat[:9], chat[9:]}, Answer: answer, EarlyCalls: early})
					if code, _ := errorOf(got.Body); got.Status != tc.status || code != tc.code {
						t.Errorf("got %d %s, want %d %s", got.Status, got.Body, tc.status, tc.code)
					}
					if wantSent := tc.status == 200 || phase == "response"; got.Sent != wantSent || finished != 1 {
						t.Errorf("sent %v, finished %d times; want %v, once", got.Sent, finished, wantSent)
					}
					if ran := behind == 1; ran != (tc.status == 200) {
						t.Errorf("the module behind ran %d times with status %d", behind, tc.status)
					}
				})
			}
		}
	}
}

func scriptIn(phase string, handler func(*module.Exchange) error) script {
	return waiting(handler)[phase]
}

func TestACallIsSentAsItWasMadeWithFiveSecondsAtMost(t *testing.T) {
	h := run(t, policy(script{request: asks}))
	h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: 200} }
	h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	want := ask
	want.Timeout = 5 * time.Second
	if len(h.Called) != 1 || fmt.Sprint(h.Called[0]) != fmt.Sprint(want) {
		t.Errorf("got %v, want once %v", h.Called, want)
	}
}

func TestTheNextModuleWaitsForAllCallsAndTimers(t *testing.T) {
	var order []string
	first := func(x *module.Exchange) error {
		for _, d := range []time.Duration{3 * time.Second, time.Second} {
			if err := x.After(d, func() error { order = append(order, d.String()); return nil }); err != nil {
				return err
			}
		}
		return x.Call(ask, func(module.CallResult) error {
			order = append(order, "call")
			return x.After(2*time.Second, func() error { order = append(order, "after the call"); return nil })
		})
	}
	second := func(x *module.Exchange) error {
		order = append(order, "next at "+x.Now().Sub(x.Started()).String())
		return nil
	}
	h := run(t, policy(script{request: first}), policy(script{request: second}))
	h.Calls = func(module.Call) module.CallResult { return module.CallResult{} }
	wantPassed(t, h.Do(moduletest.Exchange{Request: chat, Answer: answer}))
	wantText(t, "order", strings.Join(order, ", "), "call, 1s, after the call, 3s, next at 3s")
}

func TestTheFirstOfSeveralRefusalsCounts(t *testing.T) {
	refuseAfter := func(x *module.Exchange, d time.Duration, code string) error {
		return x.After(d, func() error { return module.Refuse(403, code, "no") })
	}
	h := run(t, policy(script{request: func(x *module.Exchange) error {
		return errors.Join(refuseAfter(x, 2*time.Second, "second"), refuseAfter(x, time.Second, "first"))
	}}))
	wantRefused(t, h.Do(moduletest.Exchange{Request: chat}), 403, "first")
}

func TestAWaitingExchangeEndsWithItsClient(t *testing.T) {
	for phase, s := range waiting(asks) {
		t.Run(phase, func(t *testing.T) {
			finished, behind := 0, 0
			s.finish = func(x *module.Exchange) {
				finished++
				if x.Completed {
					t.Error("the exchange says that it was completed")
				}
			}
			h := run(t, policy(s), policy(script{finish: func(*module.Exchange) { behind++ }}))
			h.Calls = func(module.Call) module.CallResult { t.Error("the call was answered"); return module.CallResult{} }
			got := h.Do(moduletest.Exchange{Request: chat, Answer: answer, Leaves: moduletest.WhileWaiting})
			if got.Status != 0 || finished != 1 {
				t.Errorf("got status %d, finished %d times; want none, once", got.Status, finished)
			}
			// A module behind one that waits at the headers has not seen the exchange.
			if want := phase != "request header"; (behind == 1) != want {
				t.Errorf("the module behind was told the end %d times", behind)
			}
		})
	}
}

func TestOnlyPhasesThatCanWaitTakeCallsAndTimers(t *testing.T) {
	var errs []error
	try := func(x *module.Exchange) {
		errs = append(errs, x.Call(ask, func(module.CallResult) error { return nil }), x.After(time.Second, func() error { return nil }))
	}
	h := run(t, policy(script{
		responseHeader: func(x *module.Exchange) error { try(x); return nil },
		event:          func(x *module.Exchange, _ *module.Event) error { try(x); return nil },
		finish:         try,
	}))
	h.Calls = func(module.Call) module.CallResult { return module.CallResult{} }
	wantPassed(t, h.Do(streamOf(done)))
	if len(errs) != 6 {
		t.Fatalf("tried %d times, want 6", len(errs))
	}
	for _, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "phases only") {
			t.Errorf("got %v, want an error that names the phases", err)
		}
	}
}

func TestAHostThatCannotPauseHeadersDoesNotHang(t *testing.T) {
	wait := func(x *module.Exchange) error { return x.After(time.Second, func() error { return nil }) }
	tests := map[string]struct {
		scripts []script
		status  int
	}{
		"nothing waits":                    {[]script{reader}, 200},
		"headers wait, body is read":       {[]script{{requestHeader: wait}, reader}, 200},
		"headers wait, nobody reads":       {[]script{{requestHeader: wait}}, 200},
		"request waits":                    {[]script{{request: wait}}, 200},
		"response waits":                   {[]script{{response: wait}}, 200},
		"refused at the headers":           {[]script{{requestHeader: func(*module.Exchange) error { return module.Refuse(403, "no", "no") }}}, 403},
		"refused at the body":              {[]script{{request: func(*module.Exchange) error { return module.Refuse(403, "no", "no") }}}, 403},
		"refused with the answer's header": {[]script{{responseHeader: func(*module.Exchange) error { return module.Refuse(403, "no", "no") }}}, 403},
		"refused with the answer":          {[]script{{response: func(*module.Exchange) error { return module.Refuse(403, "no", "no") }}}, 200},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var names []string
			for _, s := range tc.scripts {
				names = append(names, policy(s))
			}
			h := moduletest.New(t, pipelineOf(names, `"no_header_pause":true`))
			got := h.Do(moduletest.Exchange{Request: chat, Header: map[string]string{"content-length": fmt.Sprint(len(chat))}, Answer: answer})
			code, _ := errorOf(got.Body)
			if got.Status != tc.status || (code == "no") != strings.HasPrefix(name, "refused") {
				t.Errorf("got %d %s, want %d", got.Status, got.Body, tc.status)
			}
		})
	}
}

func TestHeadersThatHaveLeftAreNotChanged(t *testing.T) {
	late := func(set func(*module.Exchange, string, string)) func(*module.Exchange) error {
		return func(x *module.Exchange) error { set(x, "x-late", "1"); return nil }
	}
	h := moduletest.New(t, pipelineOf([]string{
		policy(script{requestHeader: func(x *module.Exchange) error { x.SetRequestHeader("x-early", "1"); return nil }}),
		policy(script{request: late((*module.Exchange).SetRequestHeader), response: late((*module.Exchange).SetResponseHeader)}),
	}, `"no_header_pause":true`))
	got := h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	if got.Status != 200 || got.SentHeader["x-early"] != "1" || got.SentHeader["x-late"] != "" || got.Header["x-late"] != "" {
		t.Errorf("got %d %v, and sent %v", got.Status, got.Header, got.SentHeader)
	}
	if len(h.Logs) != 1 || !strings.Contains(h.Logs[0], "no effect under no_header_pause") {
		t.Errorf("logged %q", h.Logs)
	}
}

// TestHostThatShowsNoBodiesIsToldOf: an Envoy without allow_on_headers_stop_iteration lets requests wait for ever, and nothing else says why.
func TestHostThatShowsNoBodiesIsToldOf(t *testing.T) {
	left := moduletest.Exchange{Request: chat, Leaves: moduletest.InRequest}
	tests := map[string]struct {
		scripts   []script
		settings  []string
		exchanges []moduletest.Exchange
		times     int
	}{
		"none has come":             {[]script{reader}, nil, []moduletest.Exchange{left, left}, 1},
		"one has come":              {[]script{reader}, nil, []moduletest.Exchange{{Request: chat}, left}, 0},
		"nobody reads bodies":       {[]script{{requestHeader: func(*module.Exchange) error { return nil }}}, nil, []moduletest.Exchange{left}, 0},
		"headers are not held":      {[]script{reader}, []string{`"no_header_pause":true`}, []moduletest.Exchange{left}, 0},
		"it is refused before that": {[]script{{requestHeader: func(*module.Exchange) error { return module.Refuse(403, "no", "no") }}, reader}, nil, []moduletest.Exchange{left}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var names []string
			for _, s := range tc.scripts {
				names = append(names, policy(s))
			}
			h := moduletest.New(t, pipelineOf(names, tc.settings...))
			for _, e := range tc.exchanges {
				h.Do(e)
			}
			if got := strings.Count(strings.Join(h.Logs, "\n"), "allow_on_headers_stop_iteration"); got != tc.times {
				t.Errorf("told %d times, want %d: %q", got, tc.times, h.Logs)
			}
		})
	}
}

var tell = module.Call{Upstream: "collector", Method: "POST", Path: "/records", Authority: "collector.local", Body: []byte("{}")}

func TestARequestThatNobodyWaitsForIsSentInEveryPhase(t *testing.T) {
	send := func(x *module.Exchange) error { return x.Send(tell, nil) }
	finish := func(x *module.Exchange) { _ = send(x) }
	scripts := waiting(send)
	scripts["response header"], scripts["finish"] = script{responseHeader: send}, script{finish: finish}
	for phase, s := range scripts {
		t.Run(phase, func(t *testing.T) {
			h := run(t, policy(s))
			h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: 503} }
			if got := h.Do(moduletest.Exchange{Request: chat, Answer: answer}); got.Status != 200 {
				t.Errorf("the exchange cared about it: %+v", got)
			}
			want := tell
			want.Timeout = 5 * time.Second
			if len(h.Called) != 1 || fmt.Sprint(h.Called[0]) != fmt.Sprint(want) {
				t.Errorf("got %+v, want %+v", h.Called, want)
			}
		})
	}
}

// lateSender is told the end of exchanges later, and sends a request then.
type lateSender struct {
	script
	told *[]int
}

func (lateSender) FinishesLate() {}
func (l lateSender) Finish(x *module.Exchange) {
	_ = x.Send(tell, func(r module.CallResult) {
		if *l.told = append(*l.told, r.Status); r.Status == 0 {
			panic("no answer")
		}
	})
}
func (lateSender) Needs() module.Phase { return module.PhaseFinish }

func TestWhatCameOfARequestIsToldWhenTheExchangeIsOver(t *testing.T) {
	var told []int
	module.Register("sender", module.Inspector, func(struct{}) (lateSender, error) { return lateSender{told: &told}, nil })
	h := run(t, "sender")
	h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: 202} }
	h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	h.Calls = nil
	h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	if fmt.Sprint(told) != "[202 0]" {
		t.Errorf("got %v", told)
	}
	wantPart(t, "log", strings.Join(h.Logs, "\n"), "module sender failed with what came of a call: panic in github.com/leash-gateway/leash/module_test.(*lateSender)")
	if n := h.Metrics["leash_module_failures_total.[module=sender]"]; n != 1 {
		t.Errorf("got %d failures, want 1", n)
	}
}

func TestACallThatCannotBeSentIsTheModulesMistake(t *testing.T) {
	for want, call := range map[string]module.Call{
		`call checker: "/a b" is not a path: escape what stands in it`:                               {Upstream: "checker", Authority: "a", Path: "/a b"},
		`call checker: "a" is not a path`:                                                            {Upstream: "checker", Authority: "a", Path: "a"},
		`call checker: the value of the header x-user has a character that cannot be sent: '\n'`:     {Upstream: "checker", Authority: "a", Header: [][2]string{{"x-user", "\n"}}},
		`call checker: the value of the header :authority has a character that cannot be sent: '\r'`: {Upstream: "checker", Authority: "a\r\nb"},
	} {
		h := run(t, policy(script{request: func(x *module.Exchange) error { return x.Call(call, nil) }, finish: func(x *module.Exchange) {
			if err := x.Send(call, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}}))
		h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: 200} }
		if got := h.Do(moduletest.Exchange{Request: chat, Answer: answer}); got.Status != 500 || len(h.Called) > 0 {
			t.Errorf("got %+v, called %+v", got, h.Called)
		}
		wantPart(t, "log", strings.Join(h.Logs, "\n"), want)
	}
}

func TestACallWithoutADecisionIsAMistake(t *testing.T) {
	for name, wait := range map[string]func(*module.Exchange) error{
		"call":  func(x *module.Exchange) error { return x.Call(ask, nil) },
		"timer": func(x *module.Exchange) error { return x.After(time.Second, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			h := run(t, policy(script{request: wait}))
			h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: 200} }
			if got := h.Do(moduletest.Exchange{Request: chat, Answer: answer}); got.Status != 500 || len(h.Called) > 0 {
				t.Errorf("got %+v, called %+v", got, h.Called)
			}
			wantPart(t, "log", strings.Join(h.Logs, "\n"), "need a function that decides")
		})
	}
}

func TestACallWhoseErrorNobodyLooksAtIsToldOf(t *testing.T) {
	h := run(t, policy(script{request: func(x *module.Exchange) error {
		_ = x.Call(ask, func(module.CallResult) error { return module.Refuse(403, "no", "no") })
		return nil
	}}))
	for range 2 {
		wantPassed(t, h.Do(moduletest.Exchange{Request: chat, Answer: answer}))
	}
	if len(h.Logs) != 1 {
		t.Fatalf("got %q, want one line", h.Logs)
	}
	wantPart(t, "log", h.Logs[0], " goes on although a call was not sent: ")
}
