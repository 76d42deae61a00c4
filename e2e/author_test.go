package e2e

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

// An author is somebody new, with a machine on which nothing has been built yet and that reaches a registry and nothing
// else: an empty folder, caches of their own, and leash on the PATH.
type author struct {
	t        testing.TB
	dir      string
	registry string
	env      []string
}

func newAuthor(t testing.TB) author {
	t.Helper()
	yes := true
	store := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem}, API: config.ConfigAPI{Referrer: config.ConfigAPIReferrer{Enabled: &yes}},
	})
	server := httptest.NewServer(store)
	t.Cleanup(func() { server.Close(); _ = store.Close() })
	a := author{t: t, dir: t.TempDir(), registry: strings.TrimPrefix(server.URL, "http://")}
	bin := t.TempDir()
	// Not the race detector's: the time is measured.
	if err := os.Symlink(filepath.Join(root(t), "bin", "leash"), filepath.Join(bin, "leash")); err != nil {
		t.Fatal(err)
	}
	a.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "LEASH_KEY_PASSWORD=secret", "GOPROXY=off", "GOFLAGS=-modcacherw", "GOWORK=off")
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "LEASH_BLOBS", "LEASH_CACHE", "DOCKER_CONFIG"} {
		a.env = append(a.env, name+"="+t.TempDir())
	}
	return a
}

// types runs what somebody would paste, and returns the processors' time that it took.
func (a author) types(script string) time.Duration {
	a.t.Helper()
	command := exec.Command("bash", "-euo", "pipefail", "-c", strings.ReplaceAll(script, "REGISTRY", a.registry))
	command.Dir, command.Env = a.dir, a.env
	began := time.Now()
	out, err := command.CombinedOutput()
	if err != nil {
		a.t.Fatalf("%v\n%s\nafter\n%s", err, out, script)
	}
	took := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	a.t.Logf("took %v, %v of the processors", time.Since(began).Round(time.Millisecond), took.Round(time.Millisecond))
	return took
}

// goesOn are commands that do not end, or ask for a password.
var goesOn = regexp.MustCompile(`(?m)^leash (up|module login)\b.*$`)

// shell is the block of shell commands behind a heading of a document.
func shell(t testing.TB, document, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), document))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), heading)
	_, after, begun := strings.Cut(after, "```sh\n")
	block, _, ended := strings.Cut(after, "```")
	if !found || !begun || !ended {
		t.Fatalf("%s has no commands behind %q", document, heading)
	}
	return goesOn.ReplaceAllString(block, "")
}

// fromNewToVerified is what the documents say to paste, from leash module new to a verified signature.
func fromNewToVerified(t testing.TB) string {
	t.Helper()
	return shell(t, "docs/author.md", "## The first one, in five minutes") + shell(t, "docs/author.md", "## Publishing")
}

func TestANewModuleIsSignedInARegistryAndRuns(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	a.types(fromNewToVerified(t))
	project := filepath.Join(a.dir, "hello")
	t.Run("and runs", func(t *testing.T) {
		own, err := os.ReadFile(filepath.Join(project, "leash.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		// Where it listens and its file are the test's; there is no key, so the built-in mock answers.
		here := strings.NewReplacer("file: build", "file: "+filepath.Join(project, "build"), "OPENAI_API_KEY", "LEASH_TEST_NO_KEY").Replace(string(own))
		g := start(t, "listen: 127.0.0.1:{{.Listen}}\ncontrol: {listen: 127.0.0.1:{{.Control}}}\nenvoy: {admin: 127.0.0.1:{{.Admin}}}\n"+here, ports{})
		if got := g.chat("say: hi"); got.Status != 200 {
			t.Errorf("got %d %s", got.Status, got.Body)
		}
	})
	t.Run("as the README says", func(t *testing.T) {
		again := a
		again.t, again.dir = t, t.TempDir()
		again.types(shell(t, "README.md", "## A module of your own"))
	})
}

// BenchmarkANewModuleIsSignedInARegistry measures the machine's time of it, with nothing built before.
func BenchmarkANewModuleIsSignedInARegistry(b *testing.B) {
	var took time.Duration
	for b.Loop() {
		took += newAuthor(b).types(fromNewToVerified(b))
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "CPU-s/op")
}
