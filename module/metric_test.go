package module_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// measure runs code in an exchange, and returns the metrics after it.
func measure(t *testing.T, code func(x *module.Exchange)) map[string]int64 {
	t.Helper()
	h := run(t, inspector(script{finish: code}))
	h.Do(moduletest.Exchange{Request: chat, Answer: answer})
	if len(h.Logs) > 0 {
		t.Fatalf("the module failed: %q", h.Logs)
	}
	return h.Metrics
}

func TestMetricsCarryTheirLabels(t *testing.T) {
	counter := module.Counter("leash_test_total", "tenant", "model")
	tests := map[string]struct {
		values []string
		want   string
	}{
		"plain":   {[]string{"acme", "gpt-4o"}, "leash_test_total.[tenant=acme].[model=gpt-4o]"},
		"empty":   {[]string{"", "m"}, "leash_test_total.[tenant=none].[model=m]"},
		"hostile": {[]string{"a].[model=x", "b\n\x00 é"}, "leash_test_total.[tenant=a_._model=x].[model=b_____]"},
		"long":    {[]string{strings.Repeat("a", 200), "m"}, "leash_test_total.[tenant=" + strings.Repeat("a", 100) + "].[model=m]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := measure(t, func(x *module.Exchange) { x.Count(counter, 2, tc.values...); x.Count(counter, 3, tc.values...) })
			if want := map[string]int64{tc.want: 5}; !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestCountersOnlyGrowAndOthersAreSet(t *testing.T) {
	counter, gauge, histogram := module.Counter("c"), module.Gauge("g"), module.Histogram("h")
	got := measure(t, func(x *module.Exchange) {
		for _, n := range []int64{4, 0, -3} { // a host refuses a counter that is incremented by 0
			x.Count(counter, n)
		}
		for _, m := range []*module.Metric{gauge, histogram} {
			for _, n := range []int64{4, 0, -3} {
				x.Observe(m, n)
			}
		}
	})
	if want := map[string]int64{"c": 4, "g": 0, "h": 0}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	const most, all = 1500, 3000
	counter, other := module.Counter("many", "who"), module.Counter("few", "who")
	got := measure(t, func(x *module.Exchange) {
		for range 2 {
			for i := range all {
				x.Count(counter, 1, fmt.Sprint(i))
			}
		}
		x.Count(other, 1, "new")
	})
	if len(got) != most+2 || got["many.[who=other]"] != 2*(all-most) || got["many.[who=0]"] != 2 || got["few.[who=new]"] != 1 {
		t.Errorf("got %d names, %d of others; want %d and %d", len(got), got["many.[who=other]"], most+2, 2*(all-most))
	}
}
