package route

import (
	"testing"
	"time"

	"github.com/leash-gateway/leash/module/breaker"
	"github.com/leash-gateway/leash/module/budget"
	"github.com/leash-gateway/leash/module/moduletest"
)

const frugal = `{"routes":[{"model":"best","budget":{"percent":10,"least":2},"targets":[{"provider":"a"},{"provider":"b"},{"provider":"c"}]}]}`

func TestBeyondItsBudgetARouteHasOneTarget(t *testing.T) {
	h := newHost(t, frugal)
	ask := func() (told, counted string) {
		got := h.Do(moduletest.Exchange{Request: chat("best"), Answer: `{}`})
		return sent(got), got.SentHeader[BudgetHeader]
	}
	if got, counted := ask(); got != "~ 2 a= b= c=" || counted != "best" {
		t.Errorf("within the budget: got %q, counted as %q", got, counted)
	}
	for range 2 {
		budget.Further(h.Shared(), "best", h.Clock)
	}
	breaker.Update(h.Shared(), "a", func(s *breaker.State) { s.Fail(h.Clock, quick) })
	if got, counted := ask(); got != "~ 0 b=" || counted != "" {
		t.Errorf("beyond it: got %q, counted as %q", got, counted)
	}
	h.Clock = h.Clock.Add(2 * time.Second)
	budget.Further(h.Shared(), "best", h.Clock)
	if got, _ := ask(); got != "~ 0 b=" {
		t.Errorf("a request that has no other target tries whether a provider works again: got %q", got)
	}
	if n := h.Metrics["leash_failovers_withheld_total.[model=best]"]; n != 2 {
		t.Errorf("%d were counted, want 2", n)
	}
	h.Clock = h.Clock.Add(time.Minute)
	if got, _ := ask(); got != "~ 2 a= b= c=" {
		t.Errorf("later: got %q", got)
	}
}
