package distribution_test

import (
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/distribution"
)

func TestBadModuleRollsItsChannelBackAndTheOldVersionGoesOn(t *testing.T) {
	t.Parallel()
	for does, reason := range map[behavior]string{
		trapsAtStart:     "refuses it: Unable to create Wasm",
		trapsOnConfigure: "refuses it: Unable to create Wasm",
		refusesConfigure: "refuses it: Unable to create Wasm",
		hangsOnConfigure: "refuses it: no answer for 2s",
	} {
		t.Run(string(does), func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil, distribution.Options{Patience: 2 * time.Second})
			r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", does))
			r.promote("1.0.0")
			e := startEnvoy(t, "edge-1", r.policySlot())
			e.waitFor(with("1.0.0"))
			l := e.underLoad()
			r.promote("1.1.0")
			eventually(t, "the rollback", func() bool { return r.points("stable") == "1.0.0" })
			n := l.total()
			eventually(t, "load with the old version", func() bool { return l.total() > n+100 })
			l.stop(t, with("1.0.0"))
			if got := r.lastReason(catalog.Rollback); !strings.HasPrefix(got, `registry: envoy "edge-1" `+reason) {
				t.Errorf("the log says %q, want %q", got, reason)
			}
		})
	}
}

func TestEnvoyThatNeverRanAVersionIsNoWitnessAgainstOne(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", trapsOnConfigure))
	r.promote("1.0.0")
	r.promote("1.1.0")
	e := startEnvoy(t, "edge-1", r.policySlot())
	eventually(t, "the refusal", func() bool { return r.state("leash/acme/greeter@stable") == distribution.Refused })
	if got := e.get(); !strings.Contains(got, "policy_not_loaded") {
		t.Errorf("a policy's slot whose module does not load answers %s", got)
	}
	if got := r.points("stable"); got != "1.1.0" {
		t.Errorf("stable points at %s", got)
	}
	// The operator mends it.
	r.publish(greeter(t, "1.1.1", "policy", good))
	r.promote("1.1.1")
	e.waitFor(with("1.1.1"))
}
