package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// bounded is a gateway with a route by path that has bounds of its own.
const bounded = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  openai: {base_url: "{{.Provider}}", api_key: {env: LEASH_TEST_KEY}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - {path: /v1/files, provider: openai, timeouts: {first_byte: 300ms}}
pipeline:
  - module: auth
`

func TestTimeoutsOfARouteByPathHold(t *testing.T) {
	t.Parallel()
	onEngines(t, testTimeoutsOfARouteByPathHold)
}

func testTimeoutsOfARouteByPathHold(t *testing.T, p ports) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	g := start(t, bounded, p.of(silent.URL+"/v1"))
	r, err := http.NewRequest(http.MethodGet, g.URL+"/v1/files", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+demoKey)
	if a := do(t, r); a.Status != http.StatusGatewayTimeout || !strings.Contains(a.Body, "provider_timeout") {
		t.Errorf("got %d %s, want 504 provider_timeout", a.Status, a.Body)
	}
}
