package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// The modules of the tests, each of which is compiled once.
var (
	modulesDir   = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "leash-e2e-") })
	buildCrash   = building("crash")
	buildCurious = building("curious")
	buildMortal  = building("mortal")
	buildOwn     = building("own")
)

// building compiles one of them.
func building(name string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		dir, err := modulesDir()
		if err != nil {
			return "", err
		}
		file := filepath.Join(dir, name+".wasm")
		command := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-w", "-o", file, "./modules/"+name) //nolint:gosec // our own
		command.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if out, err := command.CombinedOutput(); err != nil {
			return string(out), err
		}
		return compiledAhead(file)
	})
}

// compiledAhead compiles a module for the embedded gateway: the race detector would take a minute for it.
func compiledAhead(file string) (string, error) {
	command := exec.Command(filepath.Join("..", "bin", "leash"), "module", "compile", file) //nolint:gosec // our own
	if out, err := command.CombinedOutput(); err != nil {
		return string(out), err
	}
	return file, nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := modulesDir(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// crashing is a pipeline with a module that goes wrong on demand.
func crashing(t testing.TB, kind string) string {
	t.Helper()
	file, err := buildCrash()
	if err != nil {
		t.Fatalf("build the module crash: %v\n%s", err, file)
	}
	return head + `
pipeline:
  - module: logger
  - module: auth
  - {module: ratelimit, config: {limits: [{by: key, requests: 100000, window: 1m}]}}
  - {module: crash-` + kind + `, file: ` + file + `, kind: ` + kind + `}
`
}

// waitLoadedAgain waits until each VM answers the message with the status; what is dead refuses it. Each worker of Envoy has a VM,
// and takes its share of connections that are open at a time.
func (g *gateway) waitLoadedAgain(message string, status int) {
	g.t.Helper()
	connections := make([]http.Transport, 4)
	nettest.Eventually(g.t, "the VM to be loaded again", func() bool {
		all := true
		for i := range connections {
			a := doOver(g.t, &connections[i], g.request(chatBody(message, false)))
			if a.Status != status && a.Status < 500 {
				g.t.Fatalf("while the VM is dead: got %d %s", a.Status, a.Body)
			}
			all = all && a.Status == status
		}
		return all
	})
	for i := range connections {
		connections[i].CloseIdleConnections()
	}
}

// deaths are the ways in which the module takes its VM with it. In Envoy one that never ends is the end of a worker.
func deaths(p ports) []string {
	if p.engine() == "envoy" {
		return []string{"stack", "memory"}
	}
	return []string{"stack", "memory", "loop"}
}

func TestPolicyThatFailsRefusesTheRequestAndNothingElse(t *testing.T) {
	t.Parallel()
	onAllHosts(t, func(t *testing.T, p ports) {
		_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
		g := start(t, crashing(t, "policy"), p.of(url))
		t.Run("modules can wait for timers and other services", func(t *testing.T) { testModulesCanWaitForTimersAndOtherServices(t, g.with(t)) })
		for _, how := range []string{"panic", "nil"} {
			a := g.chat("say: " + how)
			if a.Status != 500 || a.errorCode() != "module_failed" {
				t.Errorf("%s: got %d %s, want 500 module_failed", how, a.Status, a.Body)
			}
			if strings.Contains(a.Body, "secret") {
				t.Errorf("%s: the panic's text reaches the client: %s", how, a.Body)
			}
		}
		if got := received(t, url); strings.Contains(got, "say: panic") {
			t.Error("a request that a policy failed on reached the provider")
		}
		if a := g.chat("say: still here"); a.Status != 200 {
			t.Errorf("after a panic: got %d %s, want 200", a.Status, a.Body)
		}
		if s := g.stream("say: tick tick boom tick"); strings.Contains(s.Text, "boom") || !strings.Contains(s.Body, "module_failed") {
			t.Errorf("a panic in an event: got %s, want the stream to end with an error", s.Body)
		}
		if n := strings.Count(g.stderr(), "a secret of the module"); n != 1 {
			t.Errorf("the panic stands in %d lines of the log, want 1", n)
		}
		for _, how := range deaths(p) {
			if a := g.chat("say: " + how); a.Status < 500 {
				t.Errorf("%s: got %d %.200s, want an error of the server", how, a.Status, a.Body)
			}
			// The VM is dead. Until it has been loaded again requests are refused, not passed.
			g.waitLoadedAgain("say: are you there", 200)
		}
		if n, all := strings.Count(g.stderr(), "fatal error: out of memory, in main.crash.Request ("), strings.Count(g.stderr(), "fatal error: "); n != 1 || all != 1 {
			t.Errorf("the fatal error stands in %d lines of the log, in %d with its place, want 1:\n%s", all, n, g.stderr())
		}
		if strings.Contains(g.stderr(), "goroutine ") {
			t.Errorf("the goroutines of a module that died stand in the log:\n%s", g.stderr())
		}
		if died := "unreachable (leash.crash-policy)"; p.engine() == "envoy" && strings.Count(g.stderr(), died) != 1 {
			t.Errorf("Envoy's line that the VM died does not end with %s:\n%s", died, g.stderr())
		}
	})
}

func TestInspectorThatFailsLetsTheRequestPass(t *testing.T) {
	t.Parallel()
	onAllHosts(t, func(t *testing.T, p ports) {
		_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
		g := start(t, crashing(t, "inspector"), p.of(url))
		for _, how := range []string{"panic", "nil"} {
			if a := g.chat("say: " + how); content(t, a) != how {
				t.Errorf("%s: got %d %s, want the provider's answer", how, a.Status, a.Body)
			}
		}
		if s := g.stream("say: tick tick boom tick"); s.Text != "tick tick boom tick" {
			t.Errorf("a panic in an event: got %s, want the whole stream", s.Body)
		}
		for _, how := range deaths(p) {
			if a := g.chat("say: " + how); a.Status != 200 {
				t.Errorf("%s: got %d %.200s, want the provider's answer", how, a.Status, a.Body)
			}
			if a := g.chat("say: after"); a.Status != 200 {
				t.Errorf("after %s: got %d %.200s, want the provider's answer", how, a.Status, a.Body)
			}
		}
		// It works again: its timer is seen.
		nettest.Eventually(t, "the inspector to work again", func() bool {
			began := time.Now()
			return g.chat("say: wait").Status == 200 && time.Since(began) >= 300*time.Millisecond
		})
	})
}

// Modules of a filter each share a VM, which dies for all of them: none passes without the others, and all are there again.
func TestFiltersThatShareAVMAreLoadedAgainTogether(t *testing.T) {
	t.Parallel()
	file, err := buildMortal()
	if err != nil {
		t.Fatalf("build the module mortal: %v\n%s", err, file)
	}
	dir := t.TempDir()
	if err := os.Link(file, filepath.Join(dir, "all.wasm")); err != nil {
		t.Fatal(err)
	}
	onEngines(t, func(t *testing.T, p ports) {
		_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
		p.Layout = "filters, dir: " + dir
		g := start(t, head+`
pipeline:
  - module: costtracker
  - module: auth
  - {module: ratelimit, config: {limits: [{by: key, requests: 100000, window: 1m}]}}
  - {module: contentfilter, config: {rules: [{name: words, keywords: [bluebird], action: block}]}}
  - module: logger
`, p.of(url))
		for range 2 {
			if a := g.chat("say: hello"); content(t, a) != "hello" {
				t.Errorf("got %d %s, want the answer", a.Status, a.Body)
			}
			if a := g.chat("say: stack"); a.Status < 500 {
				t.Errorf("got %d %.200s, want an error of the server", a.Status, a.Body)
			}
			for range 10 {
				if a := g.chat("say: a bluebird"); a.Status != 400 && a.Status < 500 {
					t.Errorf("while the VM is dead: got %d %s", a.Status, a.Body)
				}
			}
			g.waitLoadedAgain("say: hello", 200) // the last filter too: Envoy waits for each by itself
			if a := g.chat("say: a bluebird"); a.Status != 400 {
				t.Errorf("got %d %s, want 400", a.Status, a.Body)
			}
			stranger := g.request(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"say: hello"}]}`)
			stranger.Header.Set("Authorization", "Bearer sk-nobody")
			if a := do(t, stranger); a.Status != 401 {
				t.Errorf("with a key of nobody: got %d %s, want 401", a.Status, a.Body)
			}
		}
		if got := received(t, url); strings.Contains(got, "bluebird") || strings.Contains(got, "say: stack") {
			t.Error("what was refused has reached the provider")
		}
	})
}

func testModulesCanWaitForTimersAndOtherServices(t *testing.T, g *gateway) {
	began := time.Now()
	if a := g.chat("say: wait"); content(t, a) != "wait" || time.Since(began) < 300*time.Millisecond {
		t.Errorf("wait: got %d %s after %s", a.Status, a.Body, time.Since(began))
	}
	if got := strings.ToLower(received(t, g.ports.Provider)); !strings.Contains(got, "x-waited") {
		t.Error("what the module set after waiting did not reach the provider")
	}
	if a := g.chat("say: refuse later"); a.Status != 403 || a.errorCode() != "refused_later" {
		t.Errorf("refuse later: got %d %s, want 403 refused_later", a.Status, a.Body)
	}
	want := 200
	if g.ports.Engine == moduleHost {
		want = 500 // it knows no other services
	}
	if a := g.chat("say: ask"); a.Status != want {
		t.Errorf("ask: got %d %s, want %d", a.Status, a.Body, want)
	}
}
