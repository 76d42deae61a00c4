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

// TestQuickstart runs what make run runs, on other ports, and the lines that it prints.
func TestQuickstart(t *testing.T) {
	onEngines(t, func(t *testing.T, p ports) {
		quickstart, err := os.ReadFile(filepath.Join(root(t), "examples", "quickstart", "leash.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("OPENAI_API_KEY", "")
		config := strings.Replace(string(quickstart), "listen: 127.0.0.1:8080",
			"listen: 127.0.0.1:{{.Listen}}\ncontrol: {listen: 127.0.0.1:{{.Control}}}\nenvoy: {admin: 127.0.0.1:{{.Admin}}}", 1)
		g := start(t, config, p)
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
