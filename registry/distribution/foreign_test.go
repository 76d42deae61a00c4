package distribution_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/distribution"
)

// TestBodyTakesNoHeldRequestPastAForeignModule has a module that is not made with the kit (host/abi/testdata/wat): it holds headers until it
// has asked somebody, and lets bodies pass. Those must not take the headers with them.
func TestBodyTakesNoHeldRequestPastAForeignModule(t *testing.T) {
	t.Parallel()
	wasm, err := os.ReadFile("../../host/abi/testdata/wat.wasm")
	if err != nil {
		t.Fatal(err)
	}
	wasm, err = manifest.Put(wasm, []byte("name: greeter\nversion: 1.0.0\nkind: policy\ndescription: Asks.\nlicense: Apache-2.0\nphases: [request]\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(wasm)
	e := startEnvoy(t, "edge-1", r.policySlot())
	r.promote("1.0.0")
	var got string
	nettest.Eventually(t, "a worker of envoy to run it", func() bool {
		response, err := http.Post(e.URL, "text/plain", strings.NewReader("a body"))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // read to its end
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		got = fmt.Sprintf("%d %s", response.StatusCode, body)
		return !strings.Contains(got, "policy_not_loaded")
	})
	if got != "403 refused" {
		t.Errorf("got %s, want that the module refuses", got)
	}
}
