package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// ordering is a gateway whose routes choose among their targets.
const ordering = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  openai: {kind: openai, base_url: "{{.Fleet.openai.Server}}/v1", api_key: {env: LEASH_TEST_KEY_OPENAI}}
  anthropic: {kind: anthropic, base_url: "{{.Fleet.anthropic.Server}}", api_key: {env: LEASH_TEST_KEY_ANTHROPIC}}
  google: {kind: google, base_url: "{{.Fleet.google.Server}}", api_key: {env: LEASH_TEST_KEY_GOOGLE}}
  limited: {kind: google, base_url: "{{.Fleet.google.Server}}", api_key: {env: LEASH_TEST_KEY_GOOGLE}, limits: {requests: 1}}
  narrow: {kind: google, base_url: "{{.Fleet.google.Server}}", api_key: {env: LEASH_TEST_KEY_GOOGLE}, limits: {connections: 1}}
  secure: {kind: openai, base_url: "SECURE/v1", ca_file: CA}
  checked: {kind: openai, base_url: "CHECKED/v1", health_check: {path: /health, interval: 100ms, timeout: 1s}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
  trial:
    keys: [{name: visitor, sha256: 091646b8fb0db3801122856f10721f728b34de4481485ecba2bd58a5207bc575}]
routes:
  - model: cheap
    prefer: cost
    targets: [{provider: anthropic, model: claude-sonnet-4-5}, {provider: google, model: gemini-2.5-flash}, {provider: openai, model: gpt-4o-mini}]
  - model: cheap-too
    prefer: cost
    targets: [{provider: openai, model: gpt-without-a-price}, {provider: anthropic, model: claude-sonnet-4-5}, {provider: google, model: gemini-2.5-flash}]
  - model: quick
    prefer: latency
    targets: [{provider: openai, model: gpt-4o-mini}, {provider: anthropic, model: claude-sonnet-4-5}]
  - model: steady
    affinity: x-session-id
    targets: [{provider: openai, model: gpt-4o-mini, weight: 1}, {provider: anthropic, model: claude-sonnet-4-5, weight: 1}]
  - model: able
    targets: [{provider: openai, model: gpt-4o-mini, without: [media]}, {provider: anthropic, model: claude-sonnet-4-5, without: [tools]}, {provider: google, model: gemini-2.5-flash}]
  - model: limited
    targets: [{provider: limited, model: gemini-2.5-flash}, {provider: anthropic, model: claude-sonnet-4-5}]
  - {model: limited-alone, provider: limited, upstream_model: gemini-2.5-flash}
  - {model: narrow, provider: narrow, upstream_model: gemini-2.5-flash}
  - {model: secure, provider: secure, upstream_model: gpt-4o-mini}
  - model: checked
    targets: [{provider: checked, model: gpt-4o-mini}, {provider: anthropic, model: claude-sonnet-4-5}]
  - {model: for-trial, tenants: [trial], provider: openai, upstream_model: gpt-4o-mini}
  - {model: "pattern-*", provider: openai, upstream_model: gpt-4o-mini}
pipeline:
  - module: logger
  - module: auth
`

// outside are providers that are no mocks: one that tells in which protocol it was spoken to, and one that is well or not.
type outside struct {
	protocols sync.Map // of requests, as HTTP/2.0
	ill       atomic.Bool
	asked     atomic.Int64 // not counting how it is
}

// start starts both, and puts their addresses into a configuration.
func (o *outside) start(t *testing.T, config string) string {
	t.Helper()
	backend := mock.New(mock.Options{})
	ca := nettest.NewAuthority(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.protocols.Store(r.Proto, true)
		backend.ServeHTTP(w, r)
	}))
	secure.EnableHTTP2 = true
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, nettest.Validity{}, "127.0.0.1")}, MinVersion: tls.VersionTLS12}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	checked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/v1/health":
			o.asked.Add(1)
			backend.ServeHTTP(w, r)
		case o.ill.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(checked.Close)
	return strings.NewReplacer("SECURE", secure.URL, "CA}", ca.File+"}", "CHECKED", checked.URL).Replace(config)
}

func TestRoutesChooseAmongTheirTargets(t *testing.T) {
	t.Parallel()
	onEngines(t, testRoutesChooseAmongTheirTargets)
}

func testRoutesChooseAmongTheirTargets(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	var o outside
	g := start(t, o.start(t, ordering), p)
	send := func(t *testing.T, r *http.Request) (provider string) {
		t.Helper()
		a := do(t, r)
		if a.Status != 200 {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		provider, _ = g.with(t).exchange(a.Header.Get("X-Request-Id"))["provider"].(string)
		return provider
	}
	ask := func(t *testing.T, model string) string {
		t.Helper()
		return send(t, dialectNamed("chat").request(g.with(t), model, "say: hi", false))
	}
	t.Run("the cheapest", func(t *testing.T) {
		if got := ask(t, "cheap"); got != "openai" {
			t.Errorf("got %s", got)
		}
		if got := ask(t, "cheap-too"); got != "google" {
			t.Errorf("of those with a price: got %s", got)
		}
		p.Fleet["openai"].SetFaults(mock.Behavior{Status: 503})
		defer p.Fleet["openai"].ClearFaults()
		if got := ask(t, "cheap"); got != "google" {
			t.Errorf("while that fails: got %s, want the cheapest of the others", got)
		}
	})
	t.Run("the one that begins its answers the soonest", func(t *testing.T) { testTheQuickest(t, p, func() string { return ask(t, "quick") }) })
	t.Run("the same for a session", func(t *testing.T) {
		used := map[string]int{}
		for session := range 16 {
			first := ""
			for range 3 {
				r := dialectNamed("chat").request(g.with(t), "steady", "say: hi", false)
				r.Header.Set("X-Session-Id", fmt.Sprintf("session-%d", session))
				got := send(t, r)
				if first == "" {
					first = got
				}
				if got != first {
					t.Errorf("session %d was with %s, and then with %s", session, first, got)
				}
			}
			used[first]++
		}
		if len(used) != 2 {
			t.Errorf("all sessions are with the same: %v", used)
		}
	})
	t.Run("one that can do what is asked for", func(t *testing.T) {
		const image = `{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}`
		const tool = `,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]`
		body := func(content, more string) *http.Request {
			return g.with(t).request(`{"model":"able","messages":[{"role":"user","content":[{"type":"text","text":"say: hi"}` + content + `]}]` + more + `}`)
		}
		for want, r := range map[string]*http.Request{
			"openai": body("", tool), "anthropic": body(","+image, ""), "google": body(","+image, tool),
		} {
			if got := send(t, r); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
	t.Run("another one beyond a limit of requests", func(t *testing.T) {
		p.Fleet["google"].SetFaults(mock.Behavior{HangAfter: 1})
		defer p.Fleet["google"].ClearFaults()
		response, err := http.DefaultTransport.RoundTrip(dialectNamed("chat").request(g.with(t), "limited", "lorem: 100", true))
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("got %v, %v", response, err)
		}
		if got := ask(t, "limited"); got != "anthropic" {
			t.Errorf("while one is under way: got %s", got)
		}
		for _, dialect := range []string{"chat", "gemini"} { // translated, and not
			status, body := outcome(dialectNamed(dialect).request(g.with(t), "limited-alone", "say: hi", false))
			if status != http.StatusServiceUnavailable || !strings.Contains(body, "as many requests are under way to the provider of this model as this gateway allows") {
				t.Errorf("%s, while one is under way and nobody else can be asked: got %d %s", dialect, status, body)
			}
		}
		_ = response.Body.Close()
		p.Fleet["google"].ClearFaults()
		nettest.Eventually(t, "the limit to be free again", func() bool { return ask(t, "limited") == "limited" })
	})
	t.Run("as many connections as there may be", func(t *testing.T) {
		p.Fleet["google"].SetFaults(mock.Behavior{Delay: 20 * time.Millisecond})
		defer p.Fleet["google"].ClearFaults()
		var all sync.WaitGroup
		before := time.Now()
		for range 8 {
			all.Go(func() {
				if status, body := outcome(dialectNamed("gemini").request(g, "narrow", "say: hi", false)); status != 200 {
					t.Errorf("got %d %s", status, body)
				}
			})
		}
		all.Wait()
		const most = 2 // each of Envoy's workers may have one
		if took := time.Since(before); took < 8/most*20*time.Millisecond {
			t.Errorf("eight requests that take 20 ms were done in %s over one connection", took)
		}
	})
	t.Run("over HTTP/2, where a provider speaks it", func(t *testing.T) {
		if got := ask(t, "secure"); got != "secure" {
			t.Errorf("got %s", got)
		}
		a := do(t, dialectNamed("chat").request(g.with(t), "secure", "say: well done", true))
		wantAll(t, a.Body, dialectNamed("chat").events)
		o.protocols.Range(func(protocol, _ any) bool {
			if protocol != "HTTP/2.0" {
				t.Errorf("it was spoken to in %s", protocol)
			}
			return true
		})
	})
	t.Run("none that is ill", func(t *testing.T) { testNoneThatIsIll(t, g.with(t), &o, func() string { return ask(t, "checked") }) })
	t.Run("models are listed in each API for whom they are", func(t *testing.T) { testModelsAreListed(t, g.with(t)) })
}

// testTheQuickest slows one provider down and then the other.
func testTheQuickest(t *testing.T, p ports, ask func() string) {
	for _, pair := range [][2]string{{"openai", "anthropic"}, {"anthropic", "openai"}} {
		slow, quick := pair[0], pair[1]
		p.Fleet[slow].SetFaults(mock.Behavior{Delay: 500 * time.Millisecond})
		in := 0
		nettest.Eventually(t, quick+" to be preferred", func() bool {
			if ask() != quick {
				in = 0
				return false
			}
			in++
			return in == 10
		})
		p.Fleet[slow].ClearFaults()
	}
}

// testNoneThatIsIll makes a provider say that it is not well, though it would answer.
func testNoneThatIsIll(t *testing.T, g *gateway, o *outside, ask func() string) {
	nettest.Eventually(t, "the provider that is well to be asked", func() bool { return ask() == "checked" })
	o.ill.Store(true)
	g.wantMetrics(`leash_envoy_endpoints_healthy{provider="checked"} 0`, `leash_provider_healthy{provider="checked"} 0`)
	before := o.asked.Load()
	for range 10 {
		if got := ask(); got != "anthropic" {
			t.Errorf("got %s", got)
		}
	}
	if n := o.asked.Load() - before; n > 0 {
		t.Errorf("it was asked %d times while it was ill", n)
	}
	o.ill.Store(false)
	g.wantMetrics(`leash_provider_healthy{provider="checked"} 1`)
	nettest.Eventually(t, "it to be asked again", func() bool { return ask() == "checked" })
}

// testModelsAreListed asks in the three APIs, with both keys.
func testModelsAreListed(t *testing.T, g *gateway) {
	for api, of := range map[string]struct{ path, key, prefix, version, name string }{
		"OpenAI": {"/v1/models", "Authorization", "Bearer ", "", `"id":"%s"`}, "Anthropic": {"/v1/models", "X-Api-Key", "", "2023-06-01", `"id":"%s"`},
		"Google": {"/v1beta/models", "X-Goog-Api-Key", "", "", `"name":"models/%s"`},
	} {
		for key, more := range map[string]bool{demoKey: false, trialKey: true} {
			r, err := http.NewRequest(http.MethodGet, g.URL+of.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(of.key, of.prefix+key)
			if of.version != "" {
				r.Header.Set("Anthropic-Version", of.version)
			}
			a := do(t, r)
			for model, want := range map[string]bool{"cheap": true, "secure": true, "for-trial": more, "pattern-*": false} {
				if got := strings.Contains(a.Body, fmt.Sprintf(of.name, model)); got != want {
					t.Errorf("%s: %s is listed: %t, want %t: %s", api, model, got, want, a.Body)
				}
			}
		}
	}
}

// recovering is a gateway with a provider for each way to die, and one that stands in for each.
const recovering = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  well: {kind: openai, base_url: "{{.Fleet.well.Server}}/v1", api_key: {env: LEASH_TEST_KEY_WELL}}
{{range $name, $member := .Fleet}}{{if ne $name "well"}}  {{$name}}: {kind: openai, base_url: "{{$member.Server}}/v1", api_key: {env: LEASH_TEST_KEY_{{$name}}}}
{{end}}{{end}}tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
{{range $name, $member := .Fleet}}{{if ne $name "well"}}  - {model: {{$name}}, timeouts: {first_byte: 1s}, targets: [{provider: {{$name}}, model: gpt-4o-mini}, {provider: well, model: gpt-4o-mini}]}
{{end}}{{end}}pipeline:
  - module: logger
  - module: auth
`

// TestNothingIsLostToAProviderThatDies kills providers in the middle of their work, and looks at what clients read from then on: nothing fails,
// and after five seconds nothing waits for the dead either, but the few that try whether it lives.
func TestNothingIsLostToAProviderThatDies(t *testing.T) {
	t.Parallel()
	onEngines(t, testNothingIsLostToAProviderThatDies)
}

func testNothingIsLostToAProviderThatDies(t *testing.T, p ports) {
	deaths := map[string]func(m *member){
		"KILLED":    (*member).kill,
		"HANGING":   func(m *member) { m.SetFaults(mock.Behavior{Hang: true}) },
		"ERRORS":    func(m *member) { m.SetFaults(mock.Behavior{Status: 500}) },
		"RESETTING": func(m *member) { m.SetFaults(mock.Behavior{Reset: true}) },
		"LIMITING":  func(m *member) { m.SetFaults(mock.Behavior{Status: 429}) },
		"GARBAGE":   func(m *member) { m.SetFaults(mock.Behavior{Garbage: mock.GarbageBody}) },
	}
	names := []string{"well"}
	for name := range deaths {
		names = append(names, name)
	}
	p.Fleet = startFleet(t, names...)
	g := start(t, recovering, p)
	for name, die := range deaths {
		t.Run(strings.ToLower(name), func(t *testing.T) {
			t.Parallel()
			const patience, watched = 5 * time.Second, 3 * time.Second
			type answered struct {
				at, took time.Duration
				status   int
				body     string
			}
			var mu sync.Mutex
			var all []answered
			var clients sync.WaitGroup
			began := time.Now()
			for range 2 {
				clients.Go(func() {
					for time.Since(began) < patience+watched {
						at := time.Since(began)
						status, body := outcome(dialectNamed("chat").request(g, name, "say: well done", false))
						mu.Lock()
						all = append(all, answered{at, time.Since(began) - at, status, body})
						mu.Unlock()
						time.Sleep(5 * time.Millisecond) // the pace of the clients
					}
				})
			}
			time.Sleep(200 * time.Millisecond) // in the middle of their work
			die(p.Fleet[name])
			attempts := func() float64 {
				return sum(t, get(t, g.Control+"/metrics").Body, "leash_attempts_total", `provider="`+name+`"`)
			}
			nettest.Eventually(t, "the patience to end", func() bool { return time.Since(began) > patience })
			before := attempts()
			clients.Wait()
			asked := attempts() - before
			waited := 0
			for _, a := range all {
				if a.status != 200 {
					t.Errorf("after %s: got %d %s", a.at, a.status, a.body)
				}
				if a.at > patience && a.took > time.Second {
					waited++
				}
			}
			const tries = 2                      // which the breaker lets through in that time
			if waited > tries && asked > tries { // others have waited for a machine that is busy
				t.Errorf("%d of %d requests still waited a second for it after %s, and %.0f attempts were made", waited, len(all), patience, asked)
			}
			slices.SortFunc(all, func(a, b answered) int { return int(a.took - b.took) })
			t.Logf("%d requests, the slowest in %s", len(all), all[len(all)-1].took)
		})
	}
}
