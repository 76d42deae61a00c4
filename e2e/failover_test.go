package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// pairs is three with a route for each provider and the one that is asked after it.
func pairs() string {
	var routes strings.Builder
	for first, model := range models {
		for second, other := range models {
			if first != second {
				fmt.Fprintf(&routes, "  - {model: %s-or-%s, timeouts: {first_byte: 2s}, targets: [{provider: %s, model: %s}, {provider: %s, model: %s}]}\n",
					first, second, first, model, second, other)
			}
		}
	}
	return strings.Replace(three, "routes:\n", "routes:\n"+routes.String(), 1)
}

// faults are what a provider may do instead of answering.
var faults = map[string]mock.Behavior{
	"error 500":               {Status: 500},
	"overloaded":              {Status: 503},
	"asked too often":         {Status: 429, RetryAfter: time.Second},
	"the key is not accepted": {Status: 401},
	"closes the connection":   {Drop: true},
	"hangs":                   {Hang: true},
	"half an answer":          {CutAfter: 20},
	"garbage":                 {InvalidJSON: true},
}

// TestNoKeyReachesAnotherProvider fails each provider over to each other one, in every way in which it can fail, and reads all that every
// provider has got.
func TestNoKeyReachesAnotherProvider(t *testing.T) {
	t.Parallel()
	onEngines(t, testNoKeyReachesAnotherProvider)
}

func testNoKeyReachesAnotherProvider(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	g := start(t, pairs(), p)
	for first := range models {
		for fault, behavior := range faults {
			p.Fleet[first].SetFaults(behavior)
			for second := range models {
				if first == second {
					continue
				}
				for _, d := range dialects {
					t.Run(fmt.Sprintf("%s, %s of %s, then %s", d.name, fault, first, second), func(t *testing.T) {
						a := do(t, d.request(g.with(t), first+"-or-"+second, "say: well done", false))
						if a.Status != 200 {
							t.Fatalf("got %d %s", a.Status, a.Body)
						}
						wantAll(t, a.Body, d.answers)
						if a.Header.Get("X-Leash-Next") != "" || a.Header.Get("X-Envoy-Attempt-Count") != "" {
							t.Errorf("the client reads %v", a.Header)
						}
						if fault == "garbage" || fault == "half an answer" {
							return // of a stream these come later
						}
						if a = do(t, d.request(g.with(t), first+"-or-"+second, "say: well done", true)); a.Status != 200 {
							t.Fatalf("stream: got %d %s", a.Status, a.Body)
						}
						wantAll(t, a.Body, d.events)
					})
				}
			}
			p.Fleet[first].ClearFaults()
		}
	}
	p.Fleet.wantKeysKept(t)
	p.Fleet.wantAsked(t, "well done")
}

func testTheProviderThatAnswersIsLogged(t *testing.T, g *gateway) {
	g.changeFleet(pairs(), startFleet(t, "openai", "anthropic", "google"))
	g.ports.Fleet["anthropic"].kill()
	a := do(t, dialectNamed("chat").request(g, "anthropic-or-google", "say: hi", false))
	line := g.exchange(a.Header.Get("X-Request-Id"))
	if line["provider"] != "google" || line["upstream_model"] != "gemini-2.5-flash" || a.Status != 200 {
		t.Errorf("got %d, the log says %v", a.Status, line)
	}
}

func testWhenAllFailTheLastErrorIsTold(t *testing.T, g *gateway) {
	g.changeFleet(pairs(), startFleet(t, "openai", "anthropic", "google"))
	g.ports.Fleet["anthropic"].kill()
	g.ports.Fleet["google"].SetFaults(mock.Behavior{Status: 503})
	for _, d := range dialects {
		a := do(t, d.request(g, "anthropic-or-google", "say: hi", false))
		if a.Status != 503 {
			t.Errorf("%s: got %d %s, want 503", d.name, a.Status, a.Body)
		}
		wantAll(t, a.Body, d.failure)
	}
}

// routing is a gateway whose routes lead the same model to several places.
const routing = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  openai: {kind: openai, base_url: "{{.Fleet.openai.Server}}/v1", api_key: {env: LEASH_TEST_KEY_OPENAI}}
  anthropic: {kind: anthropic, base_url: "{{.Fleet.anthropic.Server}}", api_key: {env: LEASH_TEST_KEY_ANTHROPIC}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
  trial:
    keys: [{name: visitor, sha256: 091646b8fb0db3801122856f10721f728b34de4481485ecba2bd58a5207bc575}]
routes:
  - {model: smart, tenants: [trial], provider: openai, upstream_model: gpt-4o-mini}
  - {model: smart, headers: {x-team: "red*"}, provider: openai, upstream_model: gpt-4o}
  - {model: smart, provider: anthropic, upstream_model: claude-sonnet-4-5}
  - {model: only-trial, tenants: [trial], provider: openai, upstream_model: gpt-4o-mini}
  - model: split
    targets:
      - {provider: openai, model: gpt-4o-mini, weight: 3}
      - {provider: anthropic, model: claude-sonnet-4-5, weight: 1}
  - model: small
    targets:
      - {provider: openai, model: gpt-4o-mini, without: [tools, media], context: 500}
      - {provider: anthropic, model: claude-sonnet-4-5, without: [media], context: 2000}
pipeline:
  - module: logger
  - module: auth
`

func TestRequestsAreRouted(t *testing.T) {
	t.Parallel()
	onEngines(t, testRequestsAreRouted)
}

func testRequestsAreRouted(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic")
	g := start(t, routing, p)
	chat := dialectNamed("chat")
	ask := func(t *testing.T, model string, change func(*http.Request)) (provider, upstream any) {
		t.Helper()
		r := chat.request(g.with(t), model, "say: hi", false)
		if change != nil {
			change(r)
		}
		a := do(t, r)
		if a.Status != 200 {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		line := g.exchange(a.Header.Get("X-Request-Id"))
		return line["provider"], line["upstream_model"]
	}
	body := func(text string) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}
	trial := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+trialKey) }
	tests := map[string]struct {
		model    string
		change   func(*http.Request)
		provider string
		upstream string
	}{
		"to the last route, which is for all": {"smart", nil, "anthropic", "claude-sonnet-4-5"},
		"by tenant":                           {"smart", trial, "openai", "gpt-4o-mini"},
		"by header":                           {"smart", func(r *http.Request) { r.Header.Set("X-Team", "red-2") }, "openai", "gpt-4o"},
		"by another header":                   {"smart", func(r *http.Request) { r.Header.Set("X-Team", "blue") }, "anthropic", "claude-sonnet-4-5"},
		"to the first that can do it":         {"small", nil, "openai", "gpt-4o-mini"},
		"by tools": {"small", body(`{"model":"small","messages":[{"role":"user","content":"say: hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}`),
			"anthropic", "claude-sonnet-4-5"},
		"by length": {"small", body(`{"model":"small","messages":[{"role":"user","content":"` + strings.Repeat("word ", 1000) + `"}]}`), "anthropic", "claude-sonnet-4-5"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if provider, upstream := ask(t, tc.model, tc.change); provider != tc.provider || upstream != tc.upstream {
				t.Errorf("got %v %v, want %s %s", provider, upstream, tc.provider, tc.upstream)
			}
		})
	}
	t.Run("to nobody who can do it", func(t *testing.T) {
		a := do(t, g.with(t).request(`{"model":"small","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]}`))
		if a.Status != 400 || a.errorCode() != "unsupported_request" {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
	})
	t.Run("by weight", func(t *testing.T) {
		got := map[any]int{}
		const many = 200
		for range many {
			provider, _ := ask(t, "split", nil)
			got[provider]++
		}
		if share := float64(got["openai"]) / many; share < 0.6 || share > 0.9 {
			t.Errorf("openai got %.2f of %v, want about 0.75", share, got)
		}
	})
	t.Run("models are listed for whom they are", func(t *testing.T) {
		list := func(key string) string {
			r, _ := http.NewRequest(http.MethodGet, g.URL+"/v1/models", nil)
			r.Header.Set("Authorization", "Bearer "+key)
			return do(t, r).Body
		}
		if of := list(demoKey); strings.Contains(of, "only-trial") || !strings.Contains(of, `"smart"`) {
			t.Errorf("demo may use %s", of)
		}
		if of := list(trialKey); !strings.Contains(of, "only-trial") {
			t.Errorf("trial may use %s", of)
		}
	})
}

// TestNothingFailsThatAnotherProviderCouldServe kills and revives the first of two providers under load, again and again.
func TestNothingFailsThatAnotherProviderCouldServe(t *testing.T) {
	t.Parallel()
	onEngines(t, testNothingFailsThatAnotherProviderCouldServe)
}

func testNothingFailsThatAnotherProviderCouldServe(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	g := start(t, pairs(), p)
	var asked, failed atomic.Int64
	var first atomic.Pointer[string]
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 8 {
		d := dialects[i%len(dialects)]
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				response, err := http.DefaultTransport.RoundTrip(d.request(g, "anthropic-or-openai", "say: well done", false))
				text := fmt.Sprint(err)
				if err == nil {
					body, _ := io.ReadAll(response.Body)
					_ = response.Body.Close()
					text = fmt.Sprint(response.StatusCode, " ", string(body))
				}
				if err != nil || response.StatusCode != http.StatusOK {
					failed.Add(1)
					first.CompareAndSwap(nil, &text)
				}
			}
		})
	}
	for range 4 {
		for _, step := range []func(){p.Fleet["anthropic"].kill, func() { p.Fleet["anthropic"].revive(t) }} {
			step()
			until := asked.Load() + 300
			nettest.Eventually(t, "300 more requests", func() bool { return asked.Load() >= until })
		}
	}
	close(stop)
	clients.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, one with %s", n, asked.Load(), *first.Load())
	}
	p.Fleet.wantKeysKept(t)
}

// TestAProviderThatFailsIsLeftAlone counts what reaches a provider that only answers with errors: the breaker keeps
// requests away from it, but for one that tries now and then.
func TestAProviderThatFailsIsLeftAlone(t *testing.T) {
	t.Parallel()
	onEngines(t, testAProviderThatFailsIsLeftAlone)
}

func testAProviderThatFailsIsLeftAlone(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	g := start(t, pairs(), p)
	p.Fleet["google"].SetFaults(mock.Behavior{Status: 500})
	began := time.Now()
	const many = 300
	for range many {
		if a := do(t, dialectNamed("chat").request(g, "google-or-openai", "say: hi", false)); a.Status != 200 {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
	}
	got := len(p.Fleet["google"].Requests())
	// Five failures open it; then it is tried after 1, 2, 4, ... seconds.
	if most := 5 + 2 + int(time.Since(began)/time.Second); got < 5 || got > most {
		t.Errorf("%d of %d requests reached the provider, want 5 to %d", got, many, most)
	}
	p.Fleet["google"].ClearFaults()
	nettest.Eventually(t, "the provider to be asked again", func() bool {
		a := do(t, dialectNamed("chat").request(g, "google-or-openai", "say: hi", false))
		return g.exchange(a.Header.Get("X-Request-Id"))["provider"] == "google"
	})
}

// testARateLimitOfAProvidersOwnEnvoyGoesToTheNext: Envoy marks what its rate limits refuse, and makes no further attempt where it finds the mark.
func testARateLimitOfAProvidersOwnEnvoyGoesToTheNext(t *testing.T, g *gateway) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Envoy-Ratelimited", "true")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	_, url := startProvider(t, mock.Options{Key: upstreamKey})
	const providers, first = "providers:\n", "routes:\n  - {model: gpt-4o-mini, targets: [{provider: limited}, {provider: openai}]}\n"
	config := strings.Replace(head, providers, providers+"  limited: {kind: openai, base_url: \""+server.URL+"/v1\", api_key: {env: LEASH_TEST_KEY}}\n", 1)
	g.change(strings.Replace(config, "routes:\n  - {model: gpt-4o-mini, provider: openai}\n", first, 1)+"pipeline: [{module: logger}, {module: auth}, {module: ratelimit}]\n", url)
	if a := g.chat("say: hi"); a.Status != 200 {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

// TestAProviderWhoseLimitIsUsedUpIsLeftAlone has providers that say so: with an error, or in the headers of an answer that is good.
func TestAProviderWhoseLimitIsUsedUpIsLeftAlone(t *testing.T) {
	t.Parallel()
	onEngines(t, testAProviderWhoseLimitIsUsedUpIsLeftAlone)
}

func testAProviderWhoseLimitIsUsedUpIsLeftAlone(t *testing.T, p ports) {
	const long = 30 * time.Minute
	tests := map[string]struct {
		behavior      mock.Behavior
		first, second string
		at            string // who answers the request that finds out
	}{
		"openais-headers":    {mock.Behavior{LimitUsed: 100, LimitReset: long}, "openai", "google", "first"},
		"anthropics-headers": {mock.Behavior{LimitUsed: 100, LimitReset: long}, "anthropic", "openai", "first"},
		"retry-after":        {mock.Behavior{Status: 429, RetryAfter: long}, "google", "anthropic", "second"},
		"retry-after-of-503": {mock.Behavior{Status: 503, RetryAfter: long}, "openai", "anthropic", "second"},
	}
	// Each has providers of its own: what is known of one is kept by its name.
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	providers, routes := "", ""
	for how, tc := range tests {
		for place, kind := range map[string]string{"first": tc.first, "second": tc.second} {
			base := p.Fleet[kind].Server()
			if kind == "openai" {
				base += "/v1"
			}
			providers += fmt.Sprintf("  %s-%s: {kind: %s, base_url: %q, api_key: {env: LEASH_TEST_KEY_%s}}\n", how, place, kind, base, strings.ToUpper(kind))
		}
		routes += fmt.Sprintf("  - {model: %s, targets: [{provider: %s-first, model: %s}, {provider: %s-second, model: %s}]}\n", how, how, models[tc.first], how, models[tc.second])
	}
	g := start(t, strings.NewReplacer("providers:\n", "providers:\n"+providers, "routes:\n", "routes:\n"+routes).Replace(three), p)
	for how, tc := range tests {
		t.Run(how, func(t *testing.T) {
			first := p.Fleet[tc.first]
			first.SetFaults(tc.behavior)
			t.Cleanup(first.ClearFaults)
			before := len(first.Requests())
			for i := range 20 {
				a := do(t, dialectNamed("chat").request(g.with(t), how, "say: hi", false))
				want := how + "-second"
				if i == 0 {
					want = how + "-" + tc.at
				}
				if line := g.with(t).exchange(a.Header.Get("X-Request-Id")); a.Status != 200 || line["provider"] != want {
					t.Fatalf("request %d: got %d, the log says %v, want %s", i, a.Status, line, want)
				}
			}
			if n := len(first.Requests()) - before; n != 1 {
				t.Errorf("it was asked %d times, want once to find out", n)
			}
		})
	}
}

// pool is a provider with two keys.
const pool = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  openai: {kind: openai, base_url: "{{.Provider}}", api_keys: [{key: {env: LEASH_TEST_KEY_OPENAI}}, {key: {env: LEASH_TEST_KEY_SPARE}}]}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - {model: gpt-4o-mini, provider: openai}
pipeline:
  - module: logger
  - module: auth
`

// keyTests come late: what they use up is left alone for minutes.
var keyTests = []changeTest{
	{"a rate limit of a provider's own Envoy goes to the next", testARateLimitOfAProvidersOwnEnvoyGoesToTheNext},
	{"a key that is asked too often is left alone", testAKeyThatIsAskedTooOftenIsLeftAlone},
}

func testAKeyThatIsAskedTooOftenIsLeftAlone(t *testing.T, g *gateway) {
	var asked [2]atomic.Int64
	var exhausted atomic.Bool
	backend := mock.New(mock.Options{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization")
		switch key {
		case "Bearer " + keyOf("openai"):
			if asked[0].Add(1); exhausted.Load() {
				w.Header().Set("Retry-After", "300")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
		case "Bearer " + keyOf("spare"):
			asked[1].Add(1)
		default:
			t.Errorf("the provider was sent the key %q", key)
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.change(pool, server.URL+"/v1")
	ask := func() {
		t.Helper()
		a := g.chat("say: hi")
		if a.Status != 200 {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		if line := g.exchange(a.Header.Get("X-Request-Id")); line["provider"] != "openai" {
			t.Fatalf("the log says %v", line)
		}
	}
	for range 40 {
		ask()
	}
	if asked[0].Load() == 0 || asked[1].Load() == 0 {
		t.Errorf("the keys were used %d and %d times, want both", asked[0].Load(), asked[1].Load())
	}
	exhausted.Store(true)
	before := asked[0].Load()
	for range 40 {
		ask()
	}
	if again := asked[0].Load() - before; again != 1 {
		t.Errorf("the key was used %d times after it was to be left alone, want once to find out", again-1)
	}
}
