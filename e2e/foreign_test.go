package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/mock"
)

var foreignTests = []changeTest{{"a body takes no held request past a foreign module", testBodyTakesNoHeldRequestPastAForeignModule}}

// testBodyTakesNoHeldRequestPastAForeignModule has a module that is not made with the kit. It holds headers until it has asked
// somebody, and lets bodies pass: so its SDK's callback does, and in Envoy a body that passes would take the held headers with it.
func testBodyTakesNoHeldRequestPastAForeignModule(t *testing.T, g *gateway) {
	file := filepath.Join(root(t), "host", "abi", "testdata", "wat.wasm")
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g.change(head+"pipeline:\n  - module: auth\n  - {module: ratelimit, config: {limits: [{by: key, requests: 100000, window: 1m}]}}\n  - {module: asks, file: "+file+", kind: policy}\n", url)
	for _, text := range []string{"say: past it", "say: " + strings.Repeat("past it ", 40<<10)} {
		if a := g.chat(text); a.Status != 403 || a.Body != "refused" {
			t.Errorf("got %d %.200s, want that the module refuses", a.Status, a.Body)
		}
	}
	if got := received(t, url); strings.Contains(got, "past it") {
		t.Error("the provider received a request that the module held")
	}
}
