package distribution_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/catalog/catalogtest"
	"github.com/leash-gateway/leash/registry/distribution"
)

const onStandby = stable + "+standby"

// prepared promotes a version of the greeter to stable, after Envoys have loaded it.
func (r *registry) prepared(version string) (distribution.Rollout, error) {
	r.t.Helper()
	_, rollout, err := r.Promote(context.Background(), catalogtest.Me, catalog.Promotion{Module: module, Channel: "stable", Version: version}, false)
	return rollout, err
}

// preparing does so beside the test.
func (r *registry) preparing(version string) (ended <-chan error) {
	done := make(chan error, 1)
	go func() {
		_, err := r.prepared(version)
		done <- err
	}()
	return done
}

const hello = "acme/hello"

// goModules publishes versions of a module in Go, which V8 takes seconds to compile: 4.6 MB.
func (r *registry) goModules(versions ...string) {
	r.t.Helper()
	wasm, err := os.ReadFile("../../build/modules/hello.wasm")
	if err != nil {
		r.t.Fatalf("%v: make modules makes it", err)
	}
	const described = "kind: inspector\ndescription: Greets.\nlicense: Apache-2.0\nphases: [request]\ncapabilities: {host_calls: [properties, metrics]}\n"
	for _, version := range versions {
		built, err := manifest.Put(wasm, []byte("name: hello\nversion: "+version+"\n"+described))
		if err != nil {
			r.t.Fatal(err)
		}
		catalogtest.Publish(r.t, r.Catalogue, r.Store, hello, built)
	}
}

// goPromotions measures promotions of a module in Go in the slot that is rendered: one that is asked for as soon as the version was pushed, and one
// of a version that Envoy has had time to load, here that from before.
func goPromotions(t testing.TB) (atOnce, loaded distribution.Rollout) {
	t.Helper()
	r := newRegistry(t, nil, distribution.Options{})
	e := startEnvoy(t, "edge-1", distribution.Snippet{Slot: slot(t, "leash/"+hello+"@stable"), Kind: manifest.Inspector, Registry: r.Address})
	promote := func(version string) distribution.Rollout {
		t.Helper()
		_, rollout, err := r.Promote(t.Context(), catalogtest.Me, catalog.Promotion{Module: hello, Channel: "stable", Version: version}, false)
		if err != nil {
			t.Fatal(err)
		}
		if rollout.Slots != 1 || rollout.Running != 1 || rollout.Prepared != 1 {
			t.Errorf("the promotion of %s went on like this: %+v", version, rollout)
		}
		return rollout
	}
	const stable, onStandby = "leash/" + hello + "@stable", "leash/" + hello + "@stable+standby"
	nettest.Eventually(t, "envoy to ask for both slots", func() bool { return r.status(stable).Node != "" && r.status(onStandby).Node != "" })
	r.goModules("1.0.0")
	promote("1.0.0")
	l := e.underLoad()
	r.goModules("1.1.0")
	atOnce = promote("1.1.0")
	nettest.Eventually(t, "envoy to load the version before", func() bool { return r.running(onStandby) == "1.0.0" })
	loaded = promote("1.0.0")
	l.stop(t, "200  asked with")
	return atOnce, loaded
}

// TestModuleInGoRunsWithinASecondOfItsPromotion is not parallel: its promise is a time. Others may keep the machine busy, so it tries again.
func TestModuleInGoRunsWithinASecondOfItsPromotion(t *testing.T) {
	atOnce, loaded := goPromotions(t)
	kept := func() bool {
		t.Logf("asked for at once: %+v; loaded before: %+v", atOnce, loaded)
		return min(atOnce.SwitchTime, loaded.SwitchTime) <= time.Second && loaded.PrepareTime+loaded.SwitchTime <= time.Second
	}
	for tries := 1; !kept(); tries++ {
		if tries == 5 {
			t.Fatal("it never ran within a second of its promotion, and of the request where it was loaded before")
		}
		atOnce, loaded = goPromotions(t)
	}
}

// BenchmarkPromotionOfAModuleInGo is in docs/guides/slots.md.
func BenchmarkPromotionOfAModuleInGo(b *testing.B) {
	for range b.N {
		atOnce, loaded := goPromotions(b)
		b.ReportMetric(atOnce.PrepareTime.Seconds(), "s/preparation")
		b.ReportMetric(atOnce.SwitchTime.Seconds(), "s/switch")
		b.ReportMetric((loaded.PrepareTime + loaded.SwitchTime).Seconds(), "s/loaded-before")
		if loaded.PrepareTime+loaded.SwitchTime > time.Second {
			b.Errorf("a promotion of what is loaded took %s, want at most 1s", loaded.PrepareTime+loaded.SwitchTime)
		}
	}
}

func TestVersionThatAnEnvoyCannotLoadIsNotPromoted(t *testing.T) {
	t.Parallel()
	for does, reason := range map[behavior]string{
		trapsAtStart:     `envoy "edge-1" refuses it: Unable to create Wasm`,
		trapsOnConfigure: `envoy "edge-1" refuses it: Unable to create Wasm`,
		hangsOnConfigure: `envoy "edge-1" refuses it: no answer for 30s`,
	} {
		t.Run(string(does), func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil, distribution.Options{})
			r.publish(greeter(t, "1.0.0", "policy", good))
			r.promote("1.0.0")
			s := r.policySlot()
			s.NoStandby = false
			e := startEnvoy(t, "edge-1", s)
			e.waitFor(with("1.0.0"))
			nettest.Eventually(t, "the slot on standby", func() bool { return r.running(onStandby) == "1.0.0" })
			l := e.underLoad()
			r.publish(greeter(t, "1.1.0", "policy", does))
			for range 2 { // who insists has it asked about again
				ended := r.preparing("1.1.0")
				nettest.Eventually(t, "the promotion to end", func() bool {
					if does == hangsOnConfigure && r.status(onStandby).State == distribution.Loading {
						r.skip()
					}
					return len(ended) > 0
				})
				if err := <-ended; !errors.Is(err, catalog.ErrRefused) || !strings.Contains(err.Error(), reason) {
					t.Errorf("promoted with %v, want %q", err, reason)
				}
			}
			if got := r.points("stable"); got != "1.0.0" {
				t.Errorf("stable points at %s", got)
			}
			if got := r.lastReason(catalog.Note); !strings.Contains(got, reason) {
				t.Errorf("the log says %q", got)
			}
			n := l.total()
			nettest.Eventually(t, "load with the old version", func() bool { return l.total() > n+100 })
			l.stop(t, with("1.0.0"))
			if does == hangsOnConfigure {
				return // that Envoy takes no configuration any more
			}
			r.publish(greeter(t, "1.1.1", "policy", good))
			if _, err := r.prepared("1.1.1"); err != nil {
				t.Fatal(err)
			}
			e.waitFor(with("1.1.1"))
		})
	}
}

// pair connects an Envoy with a slot and the one on standby beside it, each over a stream of its own.
func (f *fleet) pair(r *registry, node string) {
	f.t.Helper()
	f.connect(r, node, stable)
	f.connect(r, node, onStandby)
}

func TestWhatIsLoadedOnStandby(t *testing.T) {
	t.Parallel()
	var now time.Time
	r := newRegistry(t, nil, distribution.Options{Now: func() time.Time { return now }})
	r.publish(greeter(t, "1.0.0", "policy", good))
	f := newFleet(t)
	f.pair(r, "node-0000")
	loads := func(why, version string) {
		t.Helper()
		nettest.Eventually(t, why+": "+version, func() bool { return r.running(onStandby) == version })
	}
	loads("the first version that is released", "1.0.0")
	r.promote("1.0.0")
	nettest.Eventually(t, "1.0.0", func() bool { return r.running(stable) == "1.0.0" })
	r.publish(greeter(t, "1.2.0", "policy", good), greeter(t, "2.0.0-rc.1", "policy", good))
	loads("the newest, if it is no prerelease", "1.2.0")
	r.publish(greeter(t, "1.1.0", "policy", good))
	r.promote("1.1.0")
	nettest.Eventually(t, "1.1.0", func() bool { return r.running(stable) == "1.1.0" })
	loads("the newest that is not the channel's", "1.2.0")
	r.canary(catalog.Canary{Version: "2.0.0-rc.1", Nodes: []string{"nobody"}})
	loads("a canary that others try", "2.0.0-rc.1")
	r.canary(catalog.Canary{Version: "2.0.0-rc.1", Nodes: []string{"node-*"}})
	loads("what the channel points at, beside a canary", "1.1.0")
	r.promote("1.2.0")
	loads("what the channel pointed at before", "1.1.0")
	if _, err := r.Catalogue.Deprecate(t.Context(), catalogtest.Me, module, "1.1.0", "old"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Catalogue.Yank(t.Context(), catalogtest.Me, module, "1.1.0", "it leaks"); err != nil {
		t.Fatal(err)
	}
	loads("what the channel points at, if there is nothing else", "1.2.0")
}

func TestNobodysModuleIsLoadedBeforeItsPromotionWhoCouldNotPromoteIt(t *testing.T) {
	t.Parallel()
	control, err := access.New(access.Options{Grants: []access.Grant{
		{Role: access.Reader, To: []string{"anonymous"}, Namespaces: []string{"*"}},
		{Role: access.Publisher, To: []string{catalogtest.Me.Name}, Namespaces: []string{"*"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRegistry(t, nil, distribution.Options{Access: control})
	r.publish(greeter(t, "1.0.0", "policy", good))
	r.promote("1.0.0")
	f := newFleet(t)
	f.pair(r, "node-0000")
	nettest.Eventually(t, "both slots", func() bool { return r.running(stable) == "1.0.0" && r.running(onStandby) == "1.0.0" })
	r.publish(greeter(t, "1.1.0", "policy", good), greeter(t, "1.2.0", "policy", good))
	if _, err := r.prepared("1.1.0"); err != nil { // somebody else decides
		t.Fatal(err)
	}
	if got := r.status(onStandby); got.Version == "1.2.0" || got.Wanted == "1.2.0" {
		t.Errorf("on standby is %+v", got)
	}
}

func TestPromotionWaitsForSlotsOnStandby(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer  func(node, version string) reaction
		want    string // the error; "" for none
		channel string
	}{
		"all load it":               {nil, "", "1.1.0"},
		"one refuses it":            {func(node, version string) reaction { return when(version == "1.1.0" && node == "node-0002", refuses) }, `envoy "node-0002" refuses it: it does not load`, "1.0.0"},
		"one is silent":             {func(node, version string) reaction { return when(version == "1.1.0" && node == "node-0002", isSilent) }, `envoy "node-0002" refuses it: no answer for 30s`, "1.0.0"},
		"all end while they do":     {func(_, version string) reaction { return when(version == "1.1.0", goesAway) }, "went away while it loaded it", "1.0.0"},
		"one ends, and others load": {func(node, version string) reaction { return when(version == "1.1.0" && node == "node-0002", goesAway) }, "", "1.1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil, distribution.Options{})
			r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good), greeter(t, "1.2.0", "policy", good))
			r.promote("1.0.0")
			f := newFleet(t)
			var silent atomic.Int32
			f.answer = func(node, version string) (does reaction) {
				if tc.answer != nil {
					does = tc.answer(node, version)
				}
				if does == isSilent {
					silent.Add(1)
				}
				return does
			}
			const n = 3
			for i := range n {
				f.pair(r, fmt.Sprintf("node-%04d", i))
			}
			f.known(r, "1.0.0", n)
			f.known(r, "1.2.0", n) // the newest: 1.1.0 is on standby only for who promotes it
			ended := r.preparing("1.1.0")
			var once sync.Once
			nettest.Eventually(t, "the promotion to end", func() bool {
				// Time runs out when nobody is waited for but those who will not answer.
				if left := r.lost() + int(silent.Load()); left > 0 && left+f.count(r, "1.1.0") == n {
					once.Do(r.skip)
				}
				return len(ended) > 0
			})
			if err := <-ended; (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("promoted with %v, want %q", err, tc.want)
			}
			if got := r.points("stable"); got != tc.channel {
				t.Errorf("stable points at %s", got)
			}
		})
	}
}

// when is a reaction under a condition, and else that of an Envoy that takes everything.
func when(yes bool, does reaction) reaction {
	if yes {
		return does
	}
	return takes
}

func TestPromotionThatIsUnderWayIsNotCrossed(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good), greeter(t, "1.2.0", "policy", good))
	r.promote("1.0.0")
	f := newFleet(t)
	f.answer = func(_, version string) reaction { return when(version == "1.1.0", isSilent) }
	f.pair(r, "node-0000")
	nettest.Eventually(t, "both slots", func() bool { return r.running(stable) == "1.0.0" && r.running(onStandby) == "1.2.0" })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, _, err := r.Promote(ctx, catalogtest.Me, catalog.Promotion{Module: module, Channel: "stable", Version: "1.1.0"}, false)
		ended <- err
	}()
	nettest.Eventually(t, "the promotion to be under way", func() bool { return r.status(onStandby).Wanted == "1.1.0" })
	if _, err := r.prepared("1.2.0"); !errors.Is(err, catalog.ErrConflict) {
		t.Errorf("another one: %v", err)
	}
	cancel() // whoever asked has gone: nothing is promoted
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if got := r.lastReason(catalog.Note); !strings.Contains(got, "whoever asked for it did not wait") {
		t.Errorf("the log says %q", got)
	}
	if got := r.points("stable"); got != "1.0.0" {
		t.Errorf("stable points at %s", got)
	}
	if _, _, err := r.Promote(t.Context(), catalogtest.Me, catalog.Promotion{Module: module, Channel: "stable", Version: "1.2.0"}, true); err != nil {
		t.Errorf("immediately: %v", err)
	}
}

func TestRollbackIsNotUndoneByAPromotionThatWasUnderWay(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good), greeter(t, "1.2.0", "policy", good),
		greeter(t, "1.3.0", "policy", good)) // the newest: 1.2.0 is on standby only for who promotes it
	r.promote("1.0.0")
	r.promote("1.1.0")
	f := newFleet(t)
	loaded := make(chan struct{})
	f.answer = func(_, version string) reaction {
		if version == "1.2.0" {
			<-loaded
		}
		return takes
	}
	f.pair(r, "node-0000")
	nettest.Eventually(t, "both slots", func() bool { return r.running(stable) == "1.1.0" && r.running(onStandby) == "1.3.0" })
	ended := r.preparing("1.2.0")
	nettest.Eventually(t, "the promotion to be under way", func() bool { return r.status(onStandby).Wanted == "1.2.0" })
	if _, err := r.Catalogue.Rollback(t.Context(), catalogtest.Me, catalog.Return{Module: module, Channel: "stable", Reason: "it is slow"}); err != nil {
		t.Fatal(err)
	}
	close(loaded)
	if err := <-ended; !errors.Is(err, catalog.ErrConflict) {
		t.Errorf("it ended with %v", err)
	}
	if got := r.points("stable"); got != "1.0.0" {
		t.Errorf("stable points at %s", got)
	}
}
