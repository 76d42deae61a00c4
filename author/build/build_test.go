package build_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leash-gateway/leash/author/build"
	"github.com/leash-gateway/leash/author/project"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// made is a new project in a folder of its own.
func made(t *testing.T, template string) string {
	t.Helper()
	dir, err := project.New(project.Options{Name: "greeter", Template: template, Dir: filepath.Join(t.TempDir(), "greeter")})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func built(t *testing.T, dir string) *build.Result {
	t.Helper()
	r, err := build.Build(context.Background(), build.Options{Dir: dir, Tool: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// change rewrites a file of a project.
func change(t *testing.T, dir, name, old, changed string) {
	t.Helper()
	file := filepath.Join(dir, name)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%q is not in %s", old, name)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, changed, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheSameSourceGivesTheSameDigestWhereverItIsBuilt(t *testing.T) {
	first := built(t, made(t, "minimal"))
	t.Setenv("GOFLAGS", "-ldflags=-X=main.x=y")
	t.Setenv("GOWASM", "signext")
	second := built(t, made(t, "minimal"))
	if first.Digest != second.Digest {
		t.Errorf("got %s and %s", first.Digest, second.Digest)
	}
	other := made(t, "minimal")
	change(t, other, "module.go", "hello from", "greetings from")
	if third := built(t, other); third.Digest == first.Digest {
		t.Error("another source gives the same digest")
	}
}

func TestAModuleCarriesWhatItIs(t *testing.T) {
	r := built(t, made(t, "callout"))
	wasm, err := os.ReadFile(r.File)
	if err != nil {
		t.Fatal(err)
	}
	d, err := build.Describe(r.File, wasm)
	if err != nil {
		t.Fatal(err)
	}
	if d.Digest != r.Digest || d.Manifest == nil || d.Manifest.Name != "greeter" || d.Faults != "" {
		t.Errorf("got %+v", d)
	}
	if d.MaxMemoryBytes != 256<<20 {
		t.Errorf("got memory up to %d, want the manifest's 256 MiB", d.MaxMemoryBytes)
	}
	if d.Build == nil || !strings.HasPrefix(d.Build.Go, "go1.") || d.Build.Module != "greeter" || !strings.HasPrefix(d.Build.Kit, "v0.1.0-") || d.Build.Tool != "test" {
		t.Errorf("got build info %+v", d.Build)
	}
	var sbom struct {
		BOMFormat  string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(d.SBOM, &sbom); err != nil || sbom.BOMFormat != "CycloneDX" || len(sbom.Components) != 2 || sbom.Components[1].Name != "github.com/leash-gateway/leash" {
		t.Errorf("got SBOM %s, %v", d.SBOM, err)
	}
	if len(r.Packages) < 10 || r.Packages[0].Name != "runtime" {
		t.Errorf("got shares %v", r.Packages)
	}
}

// TestASmallModuleHoldsNothingForText: what the kit links, Envoy compiles at every build. What it has of time is durations
// and the clock; writing and reading times as text is three times that.
func TestASmallModuleHoldsNothingForText(t *testing.T) {
	for _, share := range built(t, made(t, "minimal")).Packages {
		if share.Name == "fmt" || share.Name == "time" && share.Bytes > 40_000 {
			t.Errorf("it holds %d bytes of the package %s", share.Bytes, share.Name)
		}
	}
}

func TestTheRevisionIsToldInARepository(t *testing.T) {
	dir := made(t, "minimal")
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "first"}} {
		if err := run(dir, "git", args...); err != nil {
			t.Fatal(err)
		}
	}
	if r := built(t, dir); len(r.Info.Revision) != 40 || r.Info.Modified || r.Info.Time == "" {
		t.Errorf("got %+v", r.Info)
	}
	change(t, dir, "module.go", "hello from", "greetings from")
	if r := built(t, dir); !r.Info.Modified {
		t.Errorf("got %+v, want it modified", r.Info)
	}
}

func TestWhatIsWrongLeavesTheModuleThatIsThere(t *testing.T) {
	right := made(t, "minimal")
	before := built(t, right)
	for name, tc := range map[string]struct{ file, old, changed, want string }{
		"code that does not compile": {"module.go", "return nil", "return missing", "module.go:"},
		"a manifest that is wrong":   {"module.yaml", "kind: inspector", "kind: filter", "module.yaml:3:1: kind: filter is not one of"},
		"a call that it may not":     {"module.yaml", "metrics, properties", "properties", "add metrics to capabilities.host_calls"},
		"memory that is too small":   {"module.yaml", "memory: 256MiB", "memory: 64KiB", "resources.memory: bound memory: the .wasm begins with"},
		"a file that is too large":   {"module.yaml", "size: 16MiB", "size: 1MiB", "but resources.size is 1MiB"},
		"another name":               {"module.yaml", "name: greeter", "name: welcomer", `module.go:27:2: the code registers the module "greeter", but module.yaml calls it "welcomer"`},
		"another kind":               {"module.yaml", "kind: inspector", "kind: policy", "the code registers a module of kind inspector, but module.yaml says policy"},
		"a phase that is forgotten": {
			"module.go", "func init", "func (greeter) Finish(*module.Exchange) {}\n\nfunc init",
			"module.go:29:2: greeter has a method Finish, but module.yaml does not list finish among the phases",
		},
		"a phase without its method": {"module.yaml", "phases: [request]", "phases: [request, event]", "module.yaml lists the phase event, but greeter has no method Event(x *module.Exchange, e *module.Event) error"},
		"a method that nobody calls": {"module.go", "Request(x *module.Exchange) error {", "Request(x *module.Exchange) any {", "greeter has no method Request(x *module.Exchange) error"},
		"a method of the pointer": {
			"module.go", "(g greeter) Request", "(g *greeter) Request",
			"greeter has no method Request(x *module.Exchange) error: *greeter has it, so the constructor must return that",
		},
		"no adapter": {
			"module.go", `_ "github.com/leash-gateway/leash/module/proxywasm"`, "",
			`module.go:27:2: the code registers a module that nothing brings to a host: import _ "github.com/leash-gateway/leash/module/proxywasm"`,
		},
		"nothing that is registered": {
			"module.go", `module.Register("greeter", module.Inspector, func(c Config) (greeter, error) { return greeter{c}, nil })`, "_ = greeter{}",
			`the code registers no module, but module.yaml names greeter: call module.Register("greeter", …) in an init`,
		},
		"no manifest": {"module.yaml", "", "", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(right)); err != nil {
				t.Fatal(err)
			}
			if name == "no manifest" {
				if err := os.Remove(filepath.Join(dir, tc.file)); err != nil {
					t.Fatal(err)
				}
			} else {
				change(t, dir, tc.file, tc.old, tc.changed)
			}
			_, err := build.Build(context.Background(), build.Options{Dir: dir})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			there := filepath.Join(dir, "build", "modules", "greeter.wasm")
			wasm, err := os.ReadFile(there)
			if err != nil || len(wasm) != before.Bytes {
				t.Errorf("the module that was there is gone: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(there), ".building-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestWhatNoPhaseNeedsIsLeftOut(t *testing.T) {
	for phases, tc := range map[string]struct {
		template     string
		body, answer bool
	}{
		"request header": {"callout", true, false},
		"request":        {"minimal", true, false},
		"response":       {"response-stream", true, true},
	} {
		t.Run(phases, func(t *testing.T) {
			t.Parallel()
			r := built(t, made(t, tc.template))
			wasm, err := os.ReadFile(r.File)
			if err != nil {
				t.Fatal(err)
			}
			f, err := wasmfile.Parse(wasm)
			if err != nil {
				t.Fatal(err)
			}
			for callback, want := range map[string]bool{
				"proxy_on_request_headers": true, "proxy_on_request_body": tc.body, "proxy_on_response_headers": tc.answer, "proxy_on_response_body": tc.answer,
			} {
				if got := slices.Contains(f.Exports, callback); got != want {
					t.Errorf("%s is exported: %v, want %v", callback, got, want)
				}
			}
		})
	}
}

func TestLeashsOwnModulesAreWhatTheirManifestsSay(t *testing.T) {
	manifests, err := filepath.Glob("../../filters/*/module.yaml")
	if err != nil || len(manifests) < 6 {
		t.Fatalf("found %v, %v", manifests, err)
	}
	for _, file := range manifests {
		if err := build.Registered(context.Background(), build.Options{Dir: filepath.Dir(file), Package: "./wasm"}); err != nil {
			t.Error(err)
		}
	}
}

func TestWatchBuildsAgainAtEveryChange(t *testing.T) {
	dir := made(t, "minimal")
	ctx, stop := context.WithCancel(context.Background())
	type outcome struct {
		r   *build.Result
		err error
	}
	results, ended := make(chan outcome, 8), make(chan error, 1)
	go func() {
		ended <- build.Watch(ctx, build.Options{Dir: dir}, func(r *build.Result, err error) { results <- outcome{r, err} })
	}()
	next := func() outcome {
		t.Helper()
		select {
		case o := <-results:
			return o
		case <-time.After(time.Minute):
			t.Fatal("nothing was built")
			return outcome{}
		}
	}
	first := next()
	if first.err != nil {
		t.Fatal(first.err)
	}
	change(t, dir, "module.go", "return nil", "return missing")
	if o := next(); !errors.Is(o.err, build.ErrFailed) {
		t.Fatalf("got %v, want ErrFailed", o.err)
	}
	change(t, dir, "module.go", "return missing", "x.Log(module.Info, \"hi\")\n\treturn nil")
	if o := next(); o.err != nil || o.r.Digest == first.r.Digest {
		t.Fatalf("got %v, want another module", o.err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestWhatIsNoFileIsWrittenToAndStays has a pipe: /dev/null is such a thing, and a superuser may replace it.
func TestWhatIsNoFileIsWrittenToAndStays(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0) // so that neither end waits for the other
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := build.ReplaceFile(pipe, []byte("module")); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Lstat(pipe); err != nil || after.Mode().Type() != os.ModeNamedPipe {
		t.Fatalf("got %v (%v), want the pipe still", after, err)
	}
	got := make([]byte, 6)
	if _, err := io.ReadFull(reader, got); err != nil || string(got) != "module" {
		t.Errorf("got %q (%v) out of the pipe, want the module", got, err)
	}
}
