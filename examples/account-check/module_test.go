package main

import (
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

func TestTheAnswerDecides(t *testing.T) {
	h := moduletest.New(t, `{"modules":[{"name":"account-check"}]}`)
	for status, want := range map[int]int{200: 200, 404: 403, 403: 403, 500: 503, 0: 503} {
		h.Data = map[string][]byte{} // nothing is remembered
		h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: status} }
		got := h.Do(moduletest.Exchange{Request: `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`})
		if got.Status != want || got.Sent != (want == 200) {
			t.Errorf("answer %d: got %d, sent %v, want %d", status, got.Status, got.Sent, want)
		}
	}
	if call := h.Called[0]; call.Upstream != "provider.accounts" || call.Path != "/v1/tenants/" {
		t.Errorf("got call %+v", call)
	}
}

func TestAGoodAnswerIsRememberedForAWhile(t *testing.T) {
	h := moduletest.New(t, `{"modules":[{"name":"account-check","config":{"remember":"30s"}}]}`)
	h.Calls = func(module.Call) module.CallResult { return module.CallResult{Status: 200} }
	ask := func() {
		h.Do(moduletest.Exchange{Request: `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`})
	}
	ask()
	ask()
	if len(h.Called) != 1 {
		t.Errorf("got %d calls, want the answer to be remembered", len(h.Called))
	}
	h.Clock = h.Clock.Add(31 * time.Second)
	ask()
	if len(h.Called) != 2 {
		t.Errorf("got %d calls, want it to be forgotten", len(h.Called))
	}
}
