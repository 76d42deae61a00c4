package moduletest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// stamp is the only module of this test's program. It marks what passes, and waits if it is told to.
type stamp struct {
	Mark string        `json:"mark"`
	Wait time.Duration `json:"wait"`
	Ask  bool          `json:"ask"`
}

func (s stamp) Request(x *module.Exchange) error {
	x.SetRequestHeader("x-marks", x.RequestHeader("x-marks")+s.Mark)
	x.SetFact("marks", x.Fact("marks")+s.Mark)
	if s.Ask {
		return x.Call(module.Call{Upstream: "notary"}, func(r module.CallResult) error {
			if r.Status != 200 {
				return module.Refuse(403, "not_witnessed", "not witnessed")
			}
			return nil
		})
	}
	if s.Wait > 0 {
		return x.After(s.Wait, func() error { return nil })
	}
	return nil
}

func (s stamp) ResponseHeader(x *module.Exchange) error {
	x.SetResponseHeader("x-marks", x.ResponseHeader("x-marks")+s.Mark)
	return nil
}

func (s stamp) Finish(x *module.Exchange) {
	x.Log(module.Info, fmt.Sprint(s.Mark, " ", x.Status, " ", x.Completed, " ", x.Fact("marks")))
}

func init() {
	module.Register("stamp", module.Policy, func(s stamp) (stamp, error) { return s, nil })
}

const (
	chat = `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`
	two  = `{"modules":[{"name":"stamp","config":{"mark":"a"}},{"name":"stamp","config":{"mark":"b"}}]}`
)

func ExampleHost_Do() {
	h := moduletest.New(new(testing.T), `{"mark":"seen"}`) // the only module needs no name
	got := h.Do(moduletest.Exchange{Request: chat, Answer: `{"choices":[]}`})
	fmt.Println(got.Status, got.SentHeader["x-marks"], got.Header["x-marks"])
	fmt.Println(h.Logs)
	// Output:
	// 200 seen seen
	// [seen 200 true seen]
}

func ExampleNewSeparate() {
	const config = `{"modules":[{"name":"stamp","config":{"mark":"a"}},{"name":"stamp","config":{"mark":"b"}}]}`
	for _, h := range []*moduletest.Host{moduletest.New(new(testing.T), config), moduletest.NewSeparate(new(testing.T), config)} {
		got := h.Do(moduletest.Exchange{Request: chat})
		fmt.Println(got.SentHeader["x-marks"], got.Header["x-marks"])
	}
	// Output:
	// ab ba
	// ab ba
}

func ExampleCheck() {
	fmt.Println(moduletest.Check(`{"modules":[{"name":"stamp","config":{"wait":"soon"}}]}`))
	// Output: modules[0] (stamp): config: wait: "soon" is not a duration (such as "90s" or "1h")
}

func TestAClientLeavesWhenTheExchangeSays(t *testing.T) {
	tests := map[string]struct {
		exchange moduletest.Exchange
		sent     bool
		status   int
		logs     string
	}{
		"never":         {moduletest.Exchange{}, true, 200, "m 200 true m"},
		"in request":    {moduletest.Exchange{Leaves: moduletest.InRequest}, false, 0, "m 0 false "},
		"while waiting": {moduletest.Exchange{Leaves: moduletest.WhileWaiting}, false, 0, "m 0 false m"},
		"before answer": {moduletest.Exchange{Leaves: moduletest.BeforeAnswer}, true, 0, "m 0 false m"},
		"in answer":     {moduletest.Exchange{Cut: true}, true, 200, "m 200 false m"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := moduletest.New(t, `{"mark":"m","wait":"1s"}`)
			tc.exchange.RequestChunks = []string{chat[:9], chat[9:]}
			got := h.Do(tc.exchange)
			if got.Sent != tc.sent || got.Status != tc.status || strings.Join(h.Logs, "; ") != tc.logs {
				t.Errorf("got sent %v, status %d, logs %q; want %v, %d, %q", got.Sent, got.Status, h.Logs, tc.sent, tc.status, tc.logs)
			}
		})
	}
}

func TestTheClockMovesOnlyToTheTimersThatFire(t *testing.T) {
	h := moduletest.New(t, `{"mark":"m","wait":"90s"}`)
	start := h.Clock
	h.Do(moduletest.Exchange{Request: chat, Leaves: moduletest.WhileWaiting})
	if !h.Clock.Equal(start) {
		t.Errorf("the clock moved by %v for a timer that did not fire", h.Clock.Sub(start))
	}
	h.Do(moduletest.Exchange{Request: chat})
	if got := h.Clock.Sub(start); got != 90*time.Second {
		t.Errorf("the clock moved by %v, want 1m30s", got)
	}
}

func TestCallsAreAnsweredByTheTest(t *testing.T) {
	tests := map[string]struct {
		calls  func(module.Call) module.CallResult
		status int
		called int
	}{
		"answered":    {func(module.Call) module.CallResult { return module.CallResult{Status: 200} }, 200, 1},
		"no answer":   {func(module.Call) module.CallResult { return module.CallResult{} }, 403, 1},
		"no upstream": {nil, 500, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := moduletest.New(t, `{"mark":"m","ask":true}`)
			h.Calls = tc.calls
			if got := h.Do(moduletest.Exchange{Request: chat}); got.Status != tc.status || len(h.Called) != tc.called {
				t.Errorf("got %d after %d calls, want %d after %d", got.Status, len(h.Called), tc.status, tc.called)
			}
		})
	}
}

func TestSeparateFiltersAreToldTheEndInOrder(t *testing.T) {
	h := moduletest.NewSeparate(t, two)
	got := h.Do(moduletest.Exchange{Request: chat, Header: map[string]string{"X-Marks": "0"}, HeaderList: [][2]string{{"x-more", "1"}, {"x-more", "2"}}})
	if want := []string{"a 200 true ab", "b 200 true ab"}; !slices.Equal(h.Logs, want) {
		t.Errorf("got %q, want %q", h.Logs, want)
	}
	if got.SentHeader["x-marks"] != "0ab" || got.SentHeader["x-more"] != "1,2" {
		t.Errorf("got %v, want both modules' marks and both values", got.SentHeader)
	}
}

func TestARefusalPassesBackThroughTheFiltersBefore(t *testing.T) {
	h := moduletest.NewSeparate(t, `{"modules":[{"name":"stamp","config":{"mark":"a"}},{"name":"stamp","config":{"mark":"b","ask":true}}]}`)
	h.Calls = func(module.Call) module.CallResult { return module.CallResult{} }
	got := h.Do(moduletest.Exchange{Request: chat})
	if got.Status != 403 || got.Sent || got.Header["x-marks"] != "a" || !strings.Contains(got.Body, "not_witnessed") {
		t.Errorf("got %+v, want 403 marked by the first filter", got)
	}
}
