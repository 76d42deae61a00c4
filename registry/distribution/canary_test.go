package distribution_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/catalog/catalogtest"
	"github.com/leash-gateway/leash/registry/distribution"
)

// canary has some Envoys try a version of stable.
func (r *registry) canary(c catalog.Canary) {
	r.t.Helper()
	if _, err := r.Catalogue.StartCanary(r.t.Context(), catalogtest.Me, catalog.Trial{Module: module, Channel: "stable", Canary: c}); err != nil {
		r.t.Fatal(err)
	}
}

func TestCanaryIsPromotedOrTakenBackByErrorsAndLatencyOfItsEnvoys(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		does   behavior
		canary catalog.Canary
		log    catalog.Kind
		reason string
	}{
		"one that goes well": {
			good, catalog.Canary{Nodes: []string{"edge-1*"}, For: time.Second, MaxErrorRate: 0.01, MaxLatency: 5 * time.Second}, catalog.Promote, "registry: the canary has gone well for 1s:",
		},
		"one that fails": {
			failsRequests, catalog.Canary{Nodes: []string{"edge-1*"}, For: time.Hour, MaxErrorRate: 0.01}, catalog.EndCanary, "registry: the canary fails or wrongly refuses",
		},
		"one that traps": {
			crashesOnRequests, catalog.Canary{Nodes: []string{"edge-1*"}, For: time.Hour, MaxErrorRate: 0.01}, catalog.EndCanary, "registry: the canary fails or wrongly refuses",
		},
		"one that refuses what the others let pass": {
			refusesRequests, catalog.Canary{Nodes: []string{"edge-1*"}, For: time.Hour, MaxErrorRate: 0.01}, catalog.EndCanary, "registry: the canary fails or wrongly refuses",
		},
		"one that is slow": {
			good, catalog.Canary{Nodes: []string{"edge-1*"}, For: time.Hour, MaxLatency: time.Microsecond}, catalog.EndCanary, "registry: the canary's p95 is",
		},
		"one that does not load": {
			trapsOnConfigure, catalog.Canary{Nodes: []string{"edge-1*"}, For: time.Hour}, catalog.EndCanary, `registry: envoy "edge-1" refuses it`,
		},
		"one that nobody looks at": {
			good, catalog.Canary{Nodes: []string{"edge-1*"}, For: time.Second}, catalog.Promote, "registry: the canary has gone well for 1s:",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil, distribution.Options{})
			r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", tc.does))
			r.promote("1.0.0")
			tries, other := startEnvoy(t, "edge-1", r.policySlot()), startEnvoy(t, "edge-2", r.policySlot())
			tries.waitFor(with("1.0.0"))
			other.waitFor(with("1.0.0"))
			loads := []*load{tries.underLoad()}
			if tc.canary.MaxLatency != time.Microsecond { // else the others would be as slow
				loads = append(loads, other.underLoad())
			}
			tc.canary.Version = "1.1.0"
			r.canary(tc.canary)
			nettest.Eventually(t, "the verdict", func() bool { return strings.HasPrefix(r.lastReason(tc.log), tc.reason) })
			want := "1.0.0"
			if tc.log == catalog.Promote {
				want = "1.1.0"
			}
			if got := r.points("stable"); got != want {
				t.Errorf("stable points at %s, want %s", got, want)
			}
			tries.waitFor(with(want))
			other.waitFor(with(want))
			for i, l := range loads {
				l.ended.Store(true)
				l.all.Wait()
				if i == 1 && tc.log != catalog.Promote && len(l.counts) != 1 {
					t.Errorf("an envoy that is no canary answered %v", l.counts)
				}
			}
		})
	}
}

func TestCanaryWaitsForEvidence(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{MinRequests: 1_000_000})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good))
	r.promote("1.0.0")
	e := startEnvoy(t, "edge-1", r.policySlot())
	e.waitFor(with("1.0.0"))
	waits := func(want string) {
		t.Helper()
		nettest.Eventually(t, "a canary that waits for "+want, func() bool {
			c := r.Canaries()
			return len(c) == 1 && strings.Contains(c[0].Waiting, want)
		})
	}
	r.canary(catalog.Canary{Version: "1.1.0", Nodes: []string{"nobody"}, For: time.Millisecond})
	waits("no envoy runs it yet")
	r.canary(catalog.Canary{Version: "1.1.0", Percent: 100, For: time.Millisecond, MaxErrorRate: 0.1})
	nettest.Eventually(t, "a canary that waits for more requests", func() bool {
		c := r.Canaries()
		return e.get() == with("1.1.0") && len(c) == 1 && strings.Contains(c[0].Waiting, "of 1000000 requests")
	})
	r.canary(catalog.Canary{Version: "1.1.0", Percent: 100})
	waits("promoted by hand")
	if got := r.points("stable"); got != "1.0.0" {
		t.Errorf("stable points at %s", got)
	}
}

func TestShareOfEnvoysIsWhatWasSaidAndStaysTheSame(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good))
	r.promote("1.0.0")
	const all = 200
	simulate(t, r, all, "leash/acme/greeter@stable").waitAll(all, "1.0.0")
	// At one moment: who is to try it is found out for all at once, and they are sent it one by one.
	trying := func() (n int, settled bool) {
		settled = true
		for _, s := range r.Envoys() {
			settled = settled && s.State == distribution.Current
			if s.Canary && s.Version == "1.1.0" && s.State == distribution.Current {
				n++
			}
		}
		return n, settled
	}
	counts := map[int]int{}
	previous := 0
	for _, percent := range []int{10, 50, 100} {
		r.canary(catalog.Canary{Version: "1.1.0", Percent: percent})
		nettest.Eventually(t, fmt.Sprintf("%d%% of the envoys", percent), func() bool {
			n, settled := trying()
			counts[percent] = n
			return settled && n > previous
		})
		previous = counts[percent]
	}
	if counts[10] < 8 || counts[10] > 35 || counts[50] < 80 || counts[50] > 120 || counts[100] != all {
		t.Errorf("of %d envoys try: %v", all, counts)
	}
}
