package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

var timeoutTests = []changeTest{
	{"timeouts of a route by path hold", testTimeoutsOfARouteByPathHold},
	{"a route bounds how long it connects", testARouteBoundsHowLongItConnects},
	{"a route bounds how long an exchange takes", testARouteBoundsHowLongAnExchangeTakes},
}

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

func testTimeoutsOfARouteByPathHold(t *testing.T, g *gateway) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	g.change(bounded, silent.URL+"/v1")
	r, err := http.NewRequest(http.MethodGet, g.URL+"/v1/files", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+demoKey)
	if a := do(t, r); a.Status != http.StatusGatewayTimeout || !strings.Contains(a.Body, "provider_timeout") {
		t.Errorf("got %d %s, want 504 provider_timeout", a.Status, a.Body)
	}
}

// totals is a gateway whose routes bound exchanges as a whole, to providers that begin their answers soon, or never.
const totals = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  openai: {kind: openai, base_url: "{{.Fleet.openai.Server}}/v1", api_key: {env: LEASH_TEST_KEY_OPENAI}}
  spare: {kind: openai, base_url: "{{.Fleet.spare.Server}}/v1", api_key: {env: LEASH_TEST_KEY_SPARE}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - {model: alone, timeouts: {total: 500ms}, provider: openai, upstream_model: gpt-4o-mini}
  - {model: both, timeouts: {first_byte: 300ms, total: 500ms}, targets: [{provider: openai, model: gpt-4o-mini}, {provider: spare, model: gpt-4o-mini}]}
pipeline:
  - module: logger
  - module: auth
`

func testARouteBoundsHowLongAnExchangeTakes(t *testing.T, g *gateway) {
	g.changeFleet(totals, startFleet(t, "openai", "spare"))
	for _, model := range []string{"alone", "both"} {
		for _, d := range []dialect{dialectNamed("chat"), dialectNamed("messages")} {
			t.Run(d.name+" of "+model, func(t *testing.T) {
				for _, m := range g.ports.Fleet {
					m.SetFaults(mock.Behavior{Hang: true})
					defer m.ClearFaults()
				}
				for _, stream := range []bool{false, true} {
					a := do(t, d.request(g.with(t), model, "say: hi", stream))
					if a.Status != http.StatusGatewayTimeout {
						t.Errorf("got %d %s, want 504", a.Status, a.Body)
					}
					wantAll(t, a.Body, d.failure)
				}
				// A stream that goes on and on, never silent for long.
				for _, m := range g.ports.Fleet {
					m.SetFaults(mock.Behavior{Pace: 50 * time.Millisecond})
				}
				_, body := outcome(d.request(g.with(t), model, "lorem: 3000", true))
				if strings.Contains(body, d.events[len(d.events)-1]) && !strings.Contains(body, `"error"`) {
					t.Errorf("a stream of minutes has gone on to its end")
				}
			})
		}
	}
}

// connecting is a gateway to providers to which no connection comes about, which their own bounds would wait long for.
const connecting = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  deaf: {kind: openai, base_url: "http://DEAF/v1", timeouts: {connect: 1h}}
  mute: {kind: openai, base_url: "https://MUTE/v1", ca_file: CA, timeouts: {connect: 1h}}
  well: {kind: openai, base_url: "{{.Fleet.well.Server}}/v1", api_key: {env: LEASH_TEST_KEY_WELL}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - {model: deaf, timeouts: {connect: 200ms, total: 2m}, provider: deaf, upstream_model: gpt-4o-mini}
  - {model: deaf-or-well, timeouts: {connect: 1s, total: 2m}, targets: [{provider: deaf, model: gpt-4o-mini}, {provider: well, model: gpt-4o-mini}]}
  - {model: mute-or-well, timeouts: {connect: 1s, total: 2m}, targets: [{provider: mute, model: gpt-4o-mini}, {provider: well, model: gpt-4o-mini}]}
  - {model: well, timeouts: {connect: 1m}, provider: well, upstream_model: gpt-4o-mini}
  - {path: /v1/files, timeouts: {connect: 200ms, total: 2m}, provider: deaf}
pipeline:
  - module: logger
  - module: auth
`

func testARouteBoundsHowLongItConnects(t *testing.T, g *gateway) {
	g.changeFleet(strings.NewReplacer("DEAF", deaf(t), "MUTE", mute(t), "CA,", nettest.NewAuthority(t).File+",").Replace(connecting), startFleet(t, "well"))
	for model, want := range map[string]int{"deaf": 503, "deaf-or-well": 200, "mute-or-well": 200, "well": 200} {
		t.Run(model, func(t *testing.T) {
			for _, d := range []dialect{dialectNamed("chat"), dialectNamed("messages")} {
				a := do(t, d.request(g.with(t), model, "say: well done", false))
				if a.Status != want {
					t.Fatalf("%s: got %d %s, want %d", d.name, a.Status, a.Body, want)
				}
				if line := g.with(t).exchange(a.Header.Get("X-Request-Id")); want == 200 && line["provider"] != "well" {
					t.Errorf("%s: the log says %v", d.name, line)
				}
			}
		})
	}
	t.Run("by path", func(t *testing.T) {
		r, err := http.NewRequest(http.MethodGet, g.URL+"/v1/files", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+demoKey)
		if a := do(t, r); a.Status != 503 {
			t.Errorf("got %d %s, want 503", a.Status, a.Body)
		}
	})
	g.ports.Fleet.wantKeysKept(t)
}

// deaf is an address at which nobody takes a connection: as many as may wait do.
func deaf(t *testing.T) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(socket) })
	if err := errors.Join(syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(socket, 0)); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", bound.(*syscall.SockaddrInet4).Port)
	nettest.Eventually(t, "no connection to be taken", func() bool {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
		return err != nil
	})
	return address
}

// mute is an address at which connections are taken, and nothing is said.
func mute(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String() // the system takes them
}
