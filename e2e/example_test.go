package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

var exampleTests = []changeTest{{"the module of the README runs", testModuleOfTheReadme}}

// testModuleOfTheReadme builds the example as the README says and puts it into a pipeline.
func testModuleOfTheReadme(t *testing.T, g *gateway) {
	if code, err := os.ReadFile(filepath.Join(root(t), "examples", "hello", "hello.go")); err != nil || !strings.Contains(string(code), readme(t, "```go\n", "```")) {
		t.Errorf("the README's module is not that of examples/hello (%v)", err)
	}
	file := filepath.Join(g.dir(), "hello.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-w", "-o", file, "./examples/hello") //nolint:gosec // our own
	build.Dir, build.Env = root(t), append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build examples/hello: %v\n%s", err, out)
	}
	if out, err := compiledAhead(file); err != nil {
		t.Fatalf("compile examples/hello: %v\n%s", err, out)
	}
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g.change(policies+"  - {module: hello, file: "+file+", kind: inspector}\n", url)
	if a := g.chat("say: hi"); a.Status != 200 {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	if got := received(t, url); !strings.Contains(got, "hello from demo") {
		t.Errorf("the provider did not read the module's header: %s", got)
	}
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
			t.Setenv("ANTHROPIC_API_KEY", upstreamKey) // not asked: the mock would answer, and leash say so
			t.Setenv("GEMINI_API_KEY", upstreamKey)
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
		for _, key := range []string{"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"} {
			t.Setenv(key, "")
		}
		g := start(t, quickstart(t), p)
		nettest.Eventually(t, "the lines to paste", func() bool { return strings.Contains(g.stderr(), "Ctrl-C ends it.") })
		if !strings.Contains(g.stderr(), "the built-in mock answers") {
			t.Error("it does not say that the mock answers")
		}
		for _, model := range models {
			for _, d := range dialects {
				r := d.request(g, model, "say: well done", false)
				r.Header.Set(d.key, d.prefix+"sk-leash-demo")
				if a := do(t, r); a.Status != 200 {
					t.Errorf("%s of %s: got %d %s", d.name, model, a.Status, a.Body)
				} else {
					wantAll(t, a.Body, d.answers)
				}
			}
		}
		paste(t, strings.Split(g.stderr(), "\n"))
		// The README has the same, over several lines.
		lines := readme(t, "```sh\n# a chat\n", "```")
		paste(t, strings.Split(strings.NewReplacer("127.0.0.1:8080", strings.TrimPrefix(g.URL, "http://"), "\\\n", "").Replace(lines), "\n"))
		python := exec.Command(filepath.Join(root(t), ".venv", "bin", "python"), "-c", //nolint:gosec // what the user is told to paste
			strings.ReplaceAll(readme(t, "```python\n", "```"), "http://127.0.0.1:8080", g.URL))
		if out, err := python.CombinedOutput(); err != nil || !strings.Contains(string(out), "Say hello") {
			t.Errorf("the README's Python prints %s (%v)", out, err)
		}
	})
}

// paste runs the commands among lines, and looks for what each is to show.
func paste(t *testing.T, lines []string) {
	t.Helper()
	wants := []string{"Say hello", "[DONE]", "content_blocked", "rate_limit_exceeded"}
	for _, line := range lines {
		if !strings.HasPrefix(line, "curl ") && !strings.HasPrefix(line, "for ") {
			continue
		}
		out, err := exec.Command("bash", "-c", line).Output() //nolint:gosec // what the user is told to paste
		if err != nil || len(wants) == 0 || !strings.Contains(string(out), wants[0]) {
			t.Fatalf("%s\nprints %s (%v), want it to hold %v", line, out, err, wants)
		}
		wants = wants[1:]
	}
	if len(wants) > 0 {
		t.Errorf("no line shows %v", wants)
	}
}

// readme is a part of the README.
func readme(t testing.TB, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), from)
	part, _, ended := strings.Cut(after, to)
	if !found || !ended {
		t.Fatalf("the README has no part from %q to %q", from, to)
	}
	return part
}

// link is a link in Markdown to a file of the repository.
var link = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)

// code in a line looks like a link where a generic function is called.
var code = regexp.MustCompile("`[^`\n]*`")

func TestDocumentsLinkToWhatIsThere(t *testing.T) {
	out, err := exec.Command("git", "-C", root(t), "ls-files", "*.md").Output() //nolint:gosec // our own checkout
	if err != nil {
		t.Fatal(err)
	}
	for file := range strings.FieldsSeq(string(out)) {
		text, err := os.ReadFile(filepath.Join(root(t), file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(file, "/testdata/") {
			continue // pieces that a page elsewhere is made of
		}
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
			if _, err := os.Stat(filepath.Join(root(t), filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
			}
		}
	}
}
