package distribution_test

import (
	"os"
	"testing"
	"time"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/catalog/catalogtest"
	"github.com/leash-gateway/leash/registry/distribution"
)

// TestModuleOnStandbyIsPromotedWithinASecond has a module in Go, which V8 takes seconds to compile: 4.6 MB.
func TestModuleOnStandbyIsPromotedWithinASecond(t *testing.T) {
	t.Parallel()
	wasm, err := os.ReadFile("../../build/modules/hello.wasm")
	if err != nil {
		t.Fatalf("%v: make modules makes it", err)
	}
	const described = "kind: inspector\ndescription: Greets.\nlicense: Apache-2.0\nphases: [request]\ncapabilities: {host_calls: [properties, metrics]}\n"
	const hello = "acme/hello"
	r := newRegistry(t, nil, distribution.Options{})
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		built, err := manifest.Put(wasm, []byte("name: hello\nversion: "+version+"\n"+described))
		if err != nil {
			t.Fatal(err)
		}
		catalogtest.Publish(t, r.Catalogue, r.Store, hello, built)
	}
	promote := func(version, channel string) time.Duration {
		t.Helper()
		began := time.Now()
		if _, err := r.Catalogue.Promote(t.Context(), catalogtest.Me, catalog.Promotion{Module: hello, Channel: channel, Version: version}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "envoy to run "+version, func() bool { return r.running("leash/"+hello+"@"+channel) == version })
		return time.Since(began)
	}
	active := distribution.Snippet{Slot: slot(t, "leash/"+hello+"@stable"), Kind: manifest.Inspector, Registry: r.Address}
	standby := active
	standby.Slot.Channel, standby.Standby = "next", true
	e := startEnvoy(t, "edge-1", active, standby)
	first := promote("1.0.0", "stable")
	cold := promote("1.1.0", "stable")
	l := e.underLoad()
	promote("1.2.0", "next")
	warm := promote("1.2.0", "stable")
	l.stop(t, "200  asked with")
	t.Logf("the first version took %s, the next %s, one on standby %s", first, cold, warm)
	if warm > time.Second {
		t.Errorf("a promotion of what is on standby took %s, want at most 1s", warm)
	}
}
