package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	places := map[string]string{
		"the answer of a failed request": failed.Body,
		"the metrics":                    get(t, g.Control+"/metrics").Body,
		"Envoy's config_dump":            get(t, g.Admin+"/config_dump?include_eds").Body,
		"Envoy's statistics":             get(t, g.Admin+"/stats").Body,
		"Envoy's clusters":               get(t, g.Admin+"/clusters").Body,
		"standard error":                 g.stderr(),
		"the rendered bootstrap":         render(t, g),
	}
	g.mu.Lock()
	places["the access log"] = strings.Join(g.lines, "\n")
	g.mu.Unlock()
	for place, text := range places {
		for name, secret := range map[string]string{"the provider's key": upstreamKey, "a virtual key": demoKey} {
			if strings.Contains(text, secret) {
				t.Errorf("%s stands in %s", name, place)
			}
		}
	}
	if !strings.Contains(places["the rendered bootstrap"], "LEASH_TEST_KEY") {
		t.Error("the rendered bootstrap does not refer to the environment variable of the key")
	}
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

// envoyBinary is the Envoy that leash finds.
func envoyBinary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("ENVOY_PATH"); path != "" {
		return path
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return path
	}
	found, _ := filepath.Glob(filepath.Join(root(t), ".envoy", "lib", "python*", "site-packages", "envoy", "_bin", "envoy"))
	if len(found) == 0 {
		t.Fatal("found no Envoy: run make envoy")
	}
	return found[0]
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
	bothWays(t, func(t *testing.T, p ports) {
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

// TestRenderedBootstrapIsValidForEnvoy has a provider with TLS. It is for Envoy alone too.
func TestRenderedBootstrapIsValidForEnvoy(t *testing.T) {
	t.Parallel()
	g := prepare(t, policies, ports{Provider: "https://api.example.com/v1"})
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte(render(t, g)), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(envoyBinary(t), "--mode", "validate", "-c", file) //nolint:gosec // Envoy
	command.Env = append(os.Environ(), "LEASH_TEST_KEY="+upstreamKey)
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("envoy --mode validate: %v\n%s", err, out)
	}
}
