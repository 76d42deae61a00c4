package distribution_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/distribution"
)

func TestBadModuleRollsItsChannelBackAndTheOldVersionGoesOn(t *testing.T) {
	t.Parallel()
	for does, reason := range map[behavior]string{
		trapsAtStart:     "refuses it: Unable to create Wasm",
		trapsOnConfigure: "refuses it: Unable to create Wasm",
		refusesConfigure: "refuses it: Unable to create Wasm",
		hangsOnConfigure: "refuses it: no answer for 30s",
	} {
		t.Run(string(does), func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil, distribution.Options{})
			r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", does))
			r.promote("1.0.0")
			e := startEnvoy(t, "edge-1", r.policySlot())
			e.waitFor(with("1.0.0"))
			l := e.underLoad()
			for range 2 { // who insists has it asked about again
				r.promote("1.1.0")
				nettest.Eventually(t, "the rollback", func() bool {
					if does == hangsOnConfigure && r.state(stable) == distribution.Loading {
						r.skip()
					}
					return r.points("stable") == "1.0.0"
				})
			}
			n := l.total()
			nettest.Eventually(t, "load with the old version", func() bool { return l.total() > n+100 })
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
	nettest.Eventually(t, "the refusal", func() bool { return r.state("leash/acme/greeter@stable") == distribution.Refused })
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

// TestRefusalHoldsWhenItsEnvoyComesBack has one that refuses its first version, and whose connection breaks off.
func TestRefusalHoldsWhenItsEnvoyComesBack(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good))
	r.promote("1.0.0")
	f := newFleet(t)
	f.answer = func(string, string) reaction { return refuses }
	refused := func() bool { return r.state(stable) == distribution.Refused }
	for range 3 {
		ctx, leave := context.WithCancel(f.ctx)
		f.connectAs(ctx, r, "node-0000", stable)
		nettest.Eventually(t, "the refusal", func() bool {
			if r.running(stable) != "" {
				t.Fatal("a version that was refused counts as running")
			}
			return refused()
		})
		leave()
		nettest.Eventually(t, "the end of the connection", func() bool { return !refused() })
	}
}

const stable = "leash/acme/greeter@stable"

func TestEnvoysThatGoAwayWhileTheyLoadAVersion(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer func(node, version string) reaction
		back   bool // whether the one that has gone away comes back with the new version
		want   string
	}{
		"one that crashes takes it back": {
			func(_, version string) reaction {
				if version == "1.1.0" {
					return goesAway
				}
				return takes
			}, false, "1.0.0",
		},
		"one among many that have loaded it does not": {
			func(node, version string) reaction {
				if version == "1.1.0" && node == "node-0001" {
					return goesAway
				}
				return takes
			}, false, "1.1.0",
		},
		"one that comes back with it does not": {
			nil, true, "1.1.0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil, distribution.Options{})
			r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good))
			r.promote("1.0.0")
			f := newFleet(t)
			n := 3
			if tc.answer == nil {
				n = 1
				var once sync.Once
				tc.answer = func(_, version string) (does reaction) {
					if version == "1.1.0" {
						once.Do(func() { does = goesAway })
					}
					return does
				}
			}
			f.answer = tc.answer
			for i := range n {
				f.connect(r, fmt.Sprintf("node-%04d", i), stable)
			}
			f.known(r, "1.0.0", n)
			r.promote("1.1.0")
			if tc.back {
				nettest.Eventually(t, "it to go away", func() bool { return r.status(stable).State == distribution.Gone })
				f.connect(r, "node-0000", stable)
				f.known(r, "1.1.0", 1)
			}
			nettest.Eventually(t, "all to have loaded it or gone away", func() bool { return f.count(r, "1.1.0")+r.lost() == n })
			r.skip()
			if tc.want == "1.0.0" {
				nettest.Eventually(t, "the rollback", func() bool { return r.points("stable") == tc.want })
				if got := r.lastReason(catalog.Rollback); !strings.Contains(got, "went away while it loaded it") {
					t.Errorf("the log says %q", got)
				}
				return
			}
			began := time.Now()
			nettest.Eventually(t, "deadlines to be looked at", func() bool { return time.Since(began) > time.Second })
			if got := r.points("stable"); got != tc.want {
				t.Errorf("stable points at %s: %s", got, r.lastReason(catalog.Rollback))
			}
		})
	}
}

// TestEnvoyThatCrashesAgainAndAgainTakesAVersionBack: whoever watches over it starts it again at once.
func TestEnvoyThatCrashesAgainAndAgainTakesAVersionBack(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good))
	r.promote("1.0.0")
	f := newFleet(t)
	var crashes atomic.Int32
	f.answer = func(_, version string) reaction {
		if version == "1.1.0" {
			crashes.Add(1)
			return goesAway
		}
		return takes
	}
	f.connect(r, "node-0000", stable)
	f.known(r, "1.0.0", 1)
	r.promote("1.1.0")
	starts := int32(1)
	nettest.Eventually(t, "the rollback", func() bool {
		if crashes.Load() == starts && r.state(stable) == distribution.Gone {
			if starts == 3 {
				r.skip()
			}
			starts++
			f.connect(r, "node-0000", stable)
		}
		return r.points("stable") == "1.0.0"
	})
	if got := r.lastReason(catalog.Rollback); !strings.Contains(got, "went away while it loaded it") {
		t.Errorf("the log says %q", got)
	}
	f.connect(r, "node-0000", stable)
	nettest.Eventually(t, "the old version", func() bool { return f.count(r, "1.0.0") > 0 })
}

func TestOneRefusalOfManyTakesAVersionBackOnceFromAll(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good))
	r.promote("1.0.0")
	const n = 50
	f := newFleet(t)
	f.answer = func(node, version string) reaction {
		if version == "1.1.0" && node > "node-0024" {
			return refuses
		}
		return takes
	}
	for i := range n {
		f.connect(r, fmt.Sprintf("node-%04d", i), stable)
	}
	f.known(r, "1.0.0", n)
	r.promote("1.1.0")
	nettest.Eventually(t, "the rollback", func() bool { return r.points("stable") == "1.0.0" })
	f.known(r, "1.0.0", n)
	events, err := r.Catalogue.History(catalog.Query{Module: module})
	if err != nil {
		t.Fatal(err)
	}
	rollbacks := 0
	for _, e := range events {
		if e.Kind == catalog.Rollback || e.Kind == catalog.Note {
			rollbacks++
		}
	}
	if rollbacks != 1 {
		t.Errorf("it was rolled back or noted %d times", rollbacks)
	}
	// Somebody who insists is listened to, and the Envoys are asked again.
	r.promote("1.1.0")
	nettest.Eventually(t, "another rollback", func() bool {
		c, err := r.Catalogue.Channel(module, "stable")
		return err == nil && c.Version == "1.0.0" && c.Revision == 5
	})
}

func TestVersionThatDoesNotTakeASlotsConfigurationGoesBack(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "slots.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("modules: {acme/greeter: {edge: {greeting: hi}}}")
	r := newRegistry(t, nil, distribution.Options{Slots: file})
	old := greeter(t, "1.0.0", "policy", good)
	changed, err := manifest.Put(old, []byte("name: greeter\nversion: 2.0.0\nkind: policy\ndescription: A module of a test.\nlicense: Apache-2.0\nphases: [request]\nconfig: {type: object, additionalProperties: false}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r.publish(old, changed)
	r.promote("1.0.0")
	f := newFleet(t)
	f.connect(r, "node-0000", stable+"/edge")
	f.known(r, "1.0.0", 1)
	r.promote("2.0.0")
	nettest.Eventually(t, "the rollback", func() bool { return r.points("stable") == "1.0.0" })
	if got := r.lastReason(catalog.Rollback); !strings.Contains(got, "the module does not take its configuration: the schema of greeter 2.0.0 says: ") {
		t.Errorf("the log says %q", got)
	}
	// A configuration that the version does not take, or a file that is none, changes nothing; the next one that is right does.
	for _, wrong := range []string{"modules: {acme/greeter: {edge: {greeting: 1}}}", "modules: {acme/greeter: {other: {}}}", "modules: ["} {
		write(wrong)
		if wrong != "modules: [" {
			nettest.Eventually(t, "the slot to be told", func() bool { return r.status(stable+"/edge").Reason != "" })
		}
		if s := r.status(stable + "/edge"); s.Version != "1.0.0" || s.State != distribution.Current {
			t.Errorf("with %s the slot is %+v", wrong, s)
		}
	}
	before := f.received()
	write("modules: {acme/greeter: {edge: {greeting: welcome}}}")
	nettest.Eventually(t, "the new configuration", func() bool { return f.received() > before && r.status(stable+"/edge").Reason == "" })
}
