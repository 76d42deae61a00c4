package e2e

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// demoSum is the SHA-256 of the demo key.
const demoSum = "12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405"

var secretTests = []sharedTest{
	{"the provider's key is in no log, metric, error, config_dump or rendered file", testPlantedKey},
}

func testPlantedKey(t *testing.T, g *gateway, provider *mock.Provider) {
	g.chat("say: hi")
	provider.SetFaults(mock.Behavior{Status: 401}) // OpenAI's own error repeats a part of the key
	failed := g.chat("say: hi")
	rendered := render(t, g)
	wantPlantedNowhere(t, g, map[string]string{"the answer of a failed request": failed.Body, "the rendered bootstrap": rendered})
	if !strings.Contains(rendered, "LEASH_TEST_KEY") {
		t.Error("the rendered bootstrap does not refer to the environment variable of the key")
	}
}

// wantPlantedNowhere fails where a key stands in what the gateway tells, or in the texts.
func wantPlantedNowhere(t testing.TB, g *gateway, texts map[string]string) {
	t.Helper()
	wantNowhere(t, g, map[string]string{"the provider's key": upstreamKey, "a virtual key": demoKey}, texts)
}

// wantNowhere fails where one of several secrets does.
func wantNowhere(t testing.TB, g *gateway, secrets, texts map[string]string) {
	t.Helper()
	places := map[string]string{
		"the metrics":         get(t, g.Control+"/metrics").Body,
		"Envoy's config_dump": get(t, g.Admin+"/config_dump?include_eds").Body,
		"Envoy's statistics":  get(t, g.Admin+"/stats").Body,
		"Envoy's clusters":    get(t, g.Admin+"/clusters").Body,
		"standard error":      g.stderr(),
	}
	maps.Copy(places, texts)
	g.mu.Lock()
	places["the access log"] = strings.Join(g.lines, "\n")
	g.mu.Unlock()
	for place, text := range places {
		for name, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s stands in %s", name, place)
			}
		}
	}
}

// TestAModuleOfOthersDoesNotSeeTheKey has one that writes down all that it can find out, also while answers come back: of chats that are sent as they are, of streams, of
// such that are translated, and of what a path leads to a provider.
func TestAModuleOfOthersDoesNotSeeTheKey(t *testing.T) {
	t.Parallel()
	file, err := buildCurious()
	if err != nil {
		t.Fatalf("build the module curious: %v\n%s", err, file)
	}
	onEngines(t, func(t *testing.T, p ports) {
		_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
		others := strings.Replace(head, "\nroutes:\n", "\nroutes:\n  - {path: /v1/embeddings, provider: openai}\n"+
			"  - {model: patient, provider: openai, upstream_model: gpt-4o-mini, timeouts: {connect: 7s}}\n", 1) +
			"pipeline:\n  - module: auth\n  - {module: ratelimit, config: {limits: [{by: key, requests: 100000, window: 1m}]}}\n"
		g := start(t, others+"  - {module: curious, file: "+file+", kind: inspector}\n", p.of(url))
		asks := []*http.Request{
			g.request(chatBody("say: hi", false)), g.request(chatBody("say: hi", true)),
			g.request(strings.Replace(chatBody("say: hi", false), "gpt-4o-mini", "patient", 1)),
			g.request(strings.Replace(chatBody("say: hi", false), "gpt-4o-mini", "fast", 1)),
		}
		for path, body := range map[string]string{
			"/v1/messages":   `{"model":"gpt-4o-mini","max_tokens":9,"messages":[{"role":"user","content":"say: hi"}]}`,
			"/v1/embeddings": `{"model":"text-embedding-3-small","input":"hi"}`,
		} {
			r := g.request(body)
			r.URL.Path = path
			asks = append(asks, r)
		}
		for _, r := range asks {
			if a := do(t, r); a.Status != http.StatusOK {
				t.Errorf("%s: got %d %.300s", r.URL.Path, a.Status, a.Body)
			}
		}
		if got := received(t, url); strings.Count(got, upstreamKey) < len(asks) {
			t.Errorf("the provider was not asked with its key %d times: %s", len(asks), got)
		}
		nettest.Eventually(t, "the module to say what it saw at the end", func() bool { return strings.Count(g.stderr(), "curious in log") >= len(asks) })
		// Connections that are open keep the module, though it has gone.
		g.change(others, url)
		for range 20 {
			if a := g.chat("say: hi"); a.Status != http.StatusOK {
				t.Errorf("without the module: got %d %.300s", a.Status, a.Body)
			}
		}
		saw := g.stderr()
		if !strings.Contains(saw, backwards("content-type")) {
			t.Error("the module saw no headers at all")
		}
		for name, secret := range map[string]string{"the provider's key": upstreamKey, "the client's key": demoKey} {
			if strings.Contains(saw, backwards(secret)) {
				t.Errorf("the module saw %s", name)
			}
		}
		wantPlantedNowhere(t, g, nil)
	})
}

func backwards(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

var secretChangeTests = []changeTest{{"a provider that repeats the key does not tell it", testAProviderThatRepeatsTheKeyDoesNotTellIt}}

// testAProviderThatRepeatsTheKeyDoesNotTellIt has a provider whose errors are those of OpenAI, but for the stars in the key.
func testAProviderThatRepeatsTheKeyDoesNotTellIt(t *testing.T, g *gateway) {
	var encodings []string
	status := http.StatusUnauthorized
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization")
		if key != "Bearer "+upstreamKey {
			t.Errorf("the provider is sent the key %q", key)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Asked-With", key)
		w.Header()["Content-Encoding"] = encodings
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":{"message":"Incorrect API key provided: `+strings.TrimPrefix(key, "Bearer ")+`.","code":"invalid_api_key"}}`)
	}))
	t.Cleanup(server.Close)
	g.change(policies, server.URL+"/v1")
	asIs := g.request(chatBody("hi", false))
	asIs.Header.Set("Accept-Encoding", "gzip")
	translated := g.request(`{"model":"gpt-4o-mini","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)
	translated.URL.Path = "/v1/messages"
	for name, r := range map[string]*http.Request{"passed on": asIs, "translated": translated} {
		a := do(t, r)
		if a.Status != 401 || !strings.Contains(a.Body, "Incorrect API key provided: [redacted].") {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
		if told := a.Header.Get("X-Asked-With"); told != "Bearer [redacted]" {
			t.Errorf("%s: a header says %q", name, told)
		}
	}
	for _, encodings = range [][]string{{"br"}, {"identity", "br"}, {"", "br"}} {
		if a := g.chat("hi"); a.Status != 401 || strings.Contains(a.Body, upstreamKey) || !strings.Contains(a.Body, "is not passed on") {
			t.Errorf("an error encoded with %q: got %d %s", encodings, a.Status, a.Body)
		}
	}
	encodings = nil
	for _, status = range []int{http.StatusOK, http.StatusTemporaryRedirect} {
		a := g.chat("hi")
		if told := a.Header.Get("X-Asked-With"); a.Status != status || told != "Bearer [redacted]" || status != http.StatusOK && strings.Contains(a.Body, upstreamKey) {
			t.Errorf("got %d %s, and a header says %q", a.Status, a.Body, told)
		}
	}
	wantPlantedNowhere(t, g, nil)
}

// render runs `leash render` with the key in its environment.
func render(t testing.TB, g *gateway) string {
	t.Helper()
	command := exec.Command(leash(t), "render", "-c", g.Config) //nolint:gosec // our own command
	command.Env = append(os.Environ(), "LEASH_TEST_KEY="+upstreamKey)
	command.Dir = root(t)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("leash render: %v", err)
	}
	return string(out)
}

// isReady asks whoever answers 200 when ready.
func isReady(url string) bool {
	response, err := http.Get(url)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// TestRenderedBootstrapRuns does what an operator does who runs Envoy without leash up. It is for Envoy alone: nothing is rendered for the
// embedded gateway, which reads leash.yaml itself.
func TestRenderedBootstrapRuns(t *testing.T) {
	t.Parallel()
	inAllLayouts(t, func(t *testing.T, p ports) {
		_, p.Provider = startProvider(t, mock.Options{Control: true, Key: upstreamKey})
		g := prepare(t, policies, p)
		g.envoy(render(t, g))
		if a := g.chat("say: my card is 4111 1111 1111 1111"); content(t, a) != "my card is [card]" {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
		wantBlocked(t, "a keyword", g.chat(forbidden))
		if a := do(t, g.request(`{"model":"gpt-4o-mini","messages":[],"messages":[]}`)); a.Status != 400 {
			t.Errorf("a key twice: got %d %s, want 400", a.Status, a.Body)
		}
		for place, text := range map[string]string{"config_dump": get(t, g.Admin+"/config_dump?include_eds").Body, "Envoy's log": g.stderr()} {
			if strings.Contains(text, upstreamKey) {
				t.Errorf("the provider's key stands in %s", place)
			}
		}
	})
}

// anyModule is a module that does nothing, for which Envoy needs no seconds: it exports proxy_abi_version_0_2_1, malloc and memory.
const anyModule = "\x00asm\x01\x00\x00\x00" + "\x01\x09\x02\x60\x00\x00\x60\x01\x7f\x01\x7f" + "\x03\x03\x02\x00\x01" + "\x05\x03\x01\x00\x01" +
	"\x07\x2d\x03\x17proxy_abi_version_0_2_1\x00\x00\x06malloc\x00\x01\x06memory\x02\x00" + "\x0a\x09\x02\x02\x00\x0b\x04\x00\x41\x00\x0b"

// TestRenderedBootstrapIsValidForEnvoy renders what there is of configurations, one with TLS among them. It is for Envoy alone too. That the modules load there,
// TestRenderedBootstrapRuns shows.
func TestRenderedBootstrapIsValidForEnvoy(t *testing.T) {
	t.Parallel()
	known := fleet{}
	for _, name := range []string{"openai", "anthropic", "google", "second", "well"} {
		known[name] = &member{name: name, address: "127.0.0.1:1"}
	}
	standIn := filepath.Join(t.TempDir(), "module.wasm")
	if err := os.WriteFile(standIn, []byte(anyModule), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := strings.NewReplacer("SECURE", "https://secure.example.com", "CA}", nettest.NewAuthority(t).File+"}", "CHECKED", "http://checked.example.com").Replace(ordering)
	for name, tc := range map[string]struct {
		config string
		ports  ports
	}{
		"policies":               {policies, ports{Provider: "https://api.example.com/v1"}},
		"a file for each":        {policies, ports{Provider: "https://api.example.com/v1", Layout: "files"}},
		"failover":               {alone(), ports{Fleet: known}},
		"streams that go on":     {resuming(), ports{Fleet: known}},
		"two attempts at once":   {hurried, ports{Provider: "https://api.example.com/v1", Fleet: known}},
		"routes by all there is": {routing, ports{Fleet: known}},
		"limits, health checks":  {whole, ports{Fleet: known}},
		"bounds of a route":      {strings.NewReplacer("DEAF", "127.0.0.1:1", "MUTE", "127.0.0.1:1", "CA,", nettest.NewAuthority(t).File+",").Replace(connecting), ports{Fleet: known}},
		"a pool of keys":         {pool, ports{Provider: "https://api.example.com/v1", Fleet: fleet{"openai": nil, "spare": nil}}},
		"traces":                 {three + "tracing: {endpoint: \"http://127.0.0.1:1\"}\n", ports{Fleet: known}},
	} {
		t.Run(name, func(t *testing.T) {
			g := prepare(t, tc.config, tc.ports)
			file := filepath.Join(t.TempDir(), "envoy.yaml")
			bootstrap := regexp.MustCompile(`\S+/build/modules/\w+\.wasm`).ReplaceAllString(render(t, g), standIn)
			if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
				t.Fatal(err)
			}
			command := exec.Command(nettest.Envoy(t), "--mode", "validate", "-c", file) //nolint:gosec // Envoy
			command.Env = append(append(os.Environ(), "LEASH_TEST_KEY="+upstreamKey), tc.ports.Fleet.environment()...)
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("envoy --mode validate: %v\n%s", err, out)
			}
		})
	}
}
