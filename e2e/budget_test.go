package e2e

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// frugal is a gateway whose route and whose provider bound what is tried again.
const frugal = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  openai: {kind: openai, base_url: "{{.Fleet.openai.Server}}/v1", api_key: {env: LEASH_TEST_KEY_OPENAI}}
  spare: {kind: openai, base_url: "{{.Fleet.spare.Server}}/v1", api_key: {env: LEASH_TEST_KEY_SPARE}}
  deaf: {kind: openai, base_url: "http://DEAF/v1", timeouts: {connect: 1s}, limits: {retry_budget: {percent: 1, least: 1}}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - model: frugal
    failover: {budget: {percent: 1, least: 5}}
    targets: [{provider: openai, model: gpt-4o-mini}, {provider: spare, model: gpt-4o-mini}]
  - {model: deaf, provider: deaf, upstream_model: gpt-4o-mini}
pipeline:
  - module: logger
  - module: auth
`

func TestAnOutageDoesNotMultiplyRequests(t *testing.T) {
	t.Parallel()
	onEngines(t, testAnOutageDoesNotMultiplyRequests)
}

func testAnOutageDoesNotMultiplyRequests(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "spare")
	g := start(t, strings.Replace(frugal, "DEAF", deaf(t), 1), p)
	t.Run("of a route", func(t *testing.T) {
		g := g.with(t)
		for _, m := range p.Fleet {
			m.SetFaults(mock.Behavior{Status: 503})
			defer m.ClearFaults()
		}
		began := time.Now()
		const many = 100
		for range many {
			if a := do(t, dialectNamed("chat").request(g, "frugal", "say: hi", false)); a.Status != 503 {
				t.Fatalf("got %d %s, want 503", a.Status, a.Body)
			}
		}
		further := len(p.Fleet["openai"].Requests()) + len(p.Fleet["spare"].Requests()) - many
		// Five at once; then, as these fade, one in three seconds.
		if most := 5 + 1 + int(time.Since(began)/(2*time.Second)); further < 5 || further > most {
			t.Errorf("%d attempts were made besides the first of %d requests, want 5 to %d", further, many, most)
		}
		g.wantMetrics(`leash_failovers_withheld_total{model="frugal"} +`)
	})
	t.Run("of a provider", func(t *testing.T) {
		g := g.with(t)
		nettest.Eventually(t, "a request not to be sent once more", func() bool {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if status, body := outcome(dialectNamed("chat").request(g, "deaf", "say: hi", false)); status != 503 {
						t.Errorf("got %d %s, want 503", status, body)
					}
				})
			}
			all.Wait()
			return sum(t, get(t, g.Control+"/metrics").Body, "leash_envoy_upstream_retries_refused_total{", `provider="deaf"`) > 0
		})
		g.wantMetrics(`leash_envoy_upstream_retries_total{provider="deaf"} +`)
	})
}
