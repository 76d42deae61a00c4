package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/mock"
)

// TestModuleOfTheReadme builds the example as the README says and puts it into a pipeline.
func TestModuleOfTheReadme(t *testing.T) {
	onEngines(t, func(t *testing.T, p ports) {
		file := filepath.Join(t.TempDir(), "hello.wasm")
		build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./examples/hello") //nolint:gosec // our own
		build.Dir, build.Env = root(t), append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build examples/hello: %v\n%s", err, out)
		}
		_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
		g := start(t, policies+"  - {module: hello, file: "+file+", kind: inspector}\n", p.of(url))
		if a := g.chat("say: hi"); a.Status != 200 {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		if got := received(t, url); !strings.Contains(got, "hello from demo") {
			t.Errorf("the provider did not read the module's header: %s", got)
		}
	})
}

// quickstart is what make run runs, on other ports.
func quickstart(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "examples", "quickstart", "leash.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(text), "listen: 127.0.0.1:8080",
		"listen: 127.0.0.1:{{.Listen}}\ncontrol: {listen: 127.0.0.1:{{.Control}}}\nenvoy: {admin: 127.0.0.1:{{.Admin}}}", 1)
}

// TestQuickstartWithAKey has the environment that the official clients read.
func TestQuickstartWithAKey(t *testing.T) {
	for name, slash := range map[string]string{"as the clients are given it": "", "with a slash at its end": "/"} {
		t.Run(name, func(t *testing.T) {
			_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
			t.Setenv("OPENAI_API_KEY", upstreamKey)
			t.Setenv("OPENAI_BASE_URL", url+slash)
			g := start(t, quickstart(t), ports{})
			r := g.request(chatBody("say: hi", false))
			r.Header.Set("Authorization", "Bearer sk-leash-demo")
			if a := do(t, r); a.Status != 200 {
				t.Errorf("got %d %s", a.Status, a.Body)
			}
			if got := received(t, url); !strings.Contains(got, "say: hi") || !strings.Contains(got, `"/v1/chat/completions"`) {
				t.Errorf("the provider of OPENAI_BASE_URL received %s", got)
			}
			if strings.Contains(g.stderr(), "mock") || strings.Contains(g.stderr(), upstreamKey) {
				t.Errorf("it speaks of the mock, or of the key: %s", g.stderr())
			}
		})
	}
}

// TestQuickstart runs the lines that make run prints.
func TestQuickstart(t *testing.T) {
	onEngines(t, func(t *testing.T, p ports) {
		t.Setenv("OPENAI_API_KEY", "")
		g := start(t, quickstart(t), p)
		eventually(t, "the lines to paste", func() bool { return strings.Contains(g.stderr(), "Ctrl-C ends it.") })
		if !strings.Contains(g.stderr(), "the built-in mock answers") {
			t.Error("it does not say that the mock answers")
		}
		wants := []string{"Say hello", "[DONE]", "content_blocked", "rate_limit_exceeded"}
		for _, line := range strings.Split(g.stderr(), "\n") {
			if !strings.HasPrefix(line, "curl ") && !strings.HasPrefix(line, "for ") {
				continue
			}
			out, err := exec.Command("bash", "-c", line).Output() //nolint:gosec // what the user is told to paste
			if err != nil || len(wants) == 0 || !strings.Contains(string(out), wants[0]) {
				t.Errorf("%s\nprints %s (%v), want it to hold %v", line, out, err, wants)
				return
			}
			wants = wants[1:]
		}
		if len(wants) > 0 {
			t.Errorf("no line is printed that shows %v", wants)
		}
	})
}
