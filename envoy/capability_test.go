package envoy_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/manifest"
)

// TestEnvoyKeepsAModuleToItsManifest runs the probe, whose imports are not looked at here: it is Envoy that refuses the
// call, and that does not call for a phase.
func TestEnvoyKeepsAModuleToItsManifest(t *testing.T) {
	shares := manifest.Capabilities{HostCalls: []string{"shared_data"}}
	phases := []manifest.Phase{manifest.Request, manifest.ResponseHeader}
	for name, tc := range map[string]struct {
		may          *manifest.Manifest
		failed, said string
	}{
		"a call that it names":          {&manifest.Manifest{Phases: phases, Capabilities: shares}, "false", "first"},
		"a call that it does not name":  {&manifest.Manifest{Phases: phases}, "true", "first"},
		"a phase that it does not name": {&manifest.Manifest{Phases: phases[:1], Capabilities: shares}, "false", ""},
		"without a manifest":            {nil, "false", "first"},
	} {
		t.Run(name, func(t *testing.T) {
			g := prepare(t, separate, provider(t, "one").URL)
			if tc.may != nil {
				g.allow = tc.may.Allowed()
			}
			if err := g.apply(separate); err != nil {
				t.Fatalf("%v\n%s", err, g.log)
			}
			g.waitListening()
			// Everything else of the module works, from its start to its answer.
			if got := g.mustChat(); got.header.Get("x-said") != tc.said {
				t.Errorf("the module does not run: %v", got)
			}
			if got := g.mustChat("x-probe", "share"); got.header.Get("x-failed") != tc.failed {
				t.Errorf("got %v, want failed %s", got.header, tc.failed)
			}
			refused := func() bool {
				return strings.Contains(g.log.String(), "restricted proxy-wasm capability: proxy_set_shared_data")
			}
			if tc.failed == "true" {
				nettest.Eventually(t, "Envoy's log to say that it refused the call", refused) // it may come after the answer
			} else if refused() {
				t.Error("Envoy's log says that it refused the call")
			}
		})
	}
}

// TestEveryFunctionOfEveryModuleIsAllowedByItsManifest guards the quickstart: what all.wasm imports is what its modules
// may together.
func TestEveryFunctionOfEveryModuleIsAllowedByItsManifest(t *testing.T) {
	var together manifest.Manifest
	for _, name := range []string{"auth", "contentfilter", "costtracker", "logger", "provider", "ratelimit", "route", "tracer"} {
		m, err := manifest.Load("../filters/" + name + "/" + manifest.FileName)
		if err != nil {
			t.Fatal(err)
		}
		together.Capabilities.HostCalls = append(together.Capabilities.HostCalls, m.Allowed()...)
	}
	wasm, err := os.ReadFile("../build/modules/all.wasm")
	if err != nil {
		t.Fatalf("%v (make modules builds it)", err)
	}
	if err := together.Check(wasm); err != nil {
		t.Error(err)
	}
	if !slices.Contains(together.Allowed(), "proxy_set_shared_data") {
		t.Error("ratelimit's shared data is missing")
	}
}
