package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/author/project"
	"github.com/leash-gateway/leash/manifest"
)

// TestTemplatesKeepTheirPromisesOnTheWasm takes the author's way with every template: new, build, test, validate.
func TestTemplatesKeepTheirPromisesOnTheWasm(t *testing.T) {
	for _, template := range project.Templates {
		t.Run(template.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "project")
			for _, args := range [][]string{
				{"module", "new", "my-module", "--template", template.Name, "--dir", dir},
				{"module", "build", dir, "--size"},
				{"module", "test", dir},
				{"validate", "-c", filepath.Join(dir, "leash.yaml")},
			} {
				stdout, stderr, code := program(t, args...)
				if code != exitDone {
					t.Fatalf("leash %v ended with %d:\n%s%s", args, code, stdout, stderr)
				}
				if args[1] == "build" && !strings.Contains(stderr, "github.com/leash-gateway/leash/module") {
					t.Errorf("the size report lacks the kit:\n%s", stderr)
				}
				if args[1] == "test" && !strings.Contains(stdout, " 0 failed") {
					t.Errorf("got %s", stdout)
				}
			}
		})
	}
}

// TestAModuleWithoutTheCallbacksThatItNeedsLetsNothingPass builds modules with tags that leave out too much.
func TestAModuleWithoutTheCallbacksThatItNeedsLetsNothingPass(t *testing.T) {
	const chat = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`
	for tag, tc := range map[string]struct{ template, want string }{
		"leash_no_request_body":  {"policy", "a module looks at the bodies of requests, but this .wasm was built without: name the phase in module.yaml"},
		"leash_no_response":      {"response-stream", "a module looks at answers, but this .wasm was built without"},
		"leash_no_response_body": {"inspector", "a module looks at the bodies of answers, but this .wasm was built without"},
	} {
		t.Run(tag, func(t *testing.T) {
			wasm := builtWith(t, tc.template, tag)
			if _, stderr, code := program(t, "module", "run", wasm, "-d", chat); code != exitFailed || !strings.Contains(stderr, tc.want) {
				t.Errorf("got %d %s, want %q", code, stderr, tc.want)
			}
		})
	}
	t.Run("a module that waits", func(t *testing.T) {
		wasm := builtWith(t, "callout", "leash_no_request_body")
		stdout, stderr, _ := program(t, "module", "run", wasm, "-d", chat)
		if !strings.Contains(stdout, "REQUEST did not reach the provider") {
			t.Errorf("got %s%s", stdout, stderr)
		}
	})
}

func builtWith(t *testing.T, template, tags string) (wasm string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	must(t, "module", "new", "my-module", "-t", template, "--dir", dir)
	must(t, "module", "build", dir, "--tags", tags)
	return filepath.Join(dir, "build", "modules", "my-module.wasm")
}

// TestModulesUnderTestMayWhatTheirManifestsName takes a module that writes answers in capitals, and calls an upstream.
func TestModulesUnderTestMayWhatTheirManifestsName(t *testing.T) {
	wasm, err := os.ReadFile(greeter)
	if err != nil {
		t.Fatal(err)
	}
	const head = "name: greeter\nversion: 1.0.0\nkind: policy\ndescription: greets\nlicense: Apache-2.0\n"
	const all = "capabilities: {host_calls: [properties, shared_data, shared_queues, http_calls, grpc_calls, foreign_functions], callouts: ['*']}\n"
	plain := func(t *testing.T, m string) []string { // beside a .wasm that carries no manifest
		t.Helper()
		dir := t.TempDir()
		for name, text := range map[string]string{
			"module.yaml": m, "greeter.wasm": string(wasm),
			"scenarios/a.yaml": "config: you\ncallouts: {callout: [{body: hi}]}\nscenarios: [{name: a, steps: [{request: {path: /call}, answer: {body: abc}, expect: {status: 200, body: ABC}}]}]\n",
		} {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
				t.Fatal(err)
			}
			write(t, file, text)
		}
		return []string{"test", dir}
	}
	within := func(t *testing.T, m string) []string {
		t.Helper()
		put, err := manifest.Put(wasm, []byte(m))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "greeter.wasm")
		write(t, file, string(put))
		return []string{"run", file, "--config", "you", "--answer", "abc"}
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"test: all that it needs": {plain(t, head+"phases: [request_header, response]\n"+all), "1 passed"},
		"test: no answers":        {plain(t, head+"phases: [request_header]\n"+all), `got  "abc"`},
		"test: no calls":          {plain(t, head+"phases: [request_header, response]\n"), "want 200, got"},
		"test: a wrong manifest":  {plain(t, head+"phases: [answer]\n"), "module.yaml:6:10: phases[0]: answer is not one of"},
		"run: all that it needs":  {within(t, head+"phases: [request_header, response]\n"+all), "\nABC\n"},
		"run: no answers":         {within(t, head+"phases: [request_header]\n"+all), "\nabc\n"},
		"run: it imports more":    {within(t, head+"phases: [request_header]\n"), "it imports proxy_http_call: add http_calls to capabilities.host_calls"},
		"bench: it imports more":  {append([]string{"bench"}, within(t, head+"phases: [request_header]\n")[1]), "add http_calls"},
		"fuzz: it imports more":   {append([]string{"fuzz"}, within(t, head+"phases: [request_header]\n")[1], "--out", t.TempDir()), "add http_calls"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, _ := leash(t, append([]string{"module"}, tc.args...)...)
			if !strings.Contains(stdout+stderr, tc.want) {
				t.Errorf("got %s%s, want %q", stdout, stderr, tc.want)
			}
		})
	}
}

// TestModulesOfOtherLanguagesAreAnnotated gives a module in Rust a manifest.
func TestModulesOfOtherLanguagesAreAnnotated(t *testing.T) {
	const text = "name: greeter\nversion: 1.0.0\nkind: policy\ndescription: greets\nlicense: Apache-2.0\nphases: [request_header, response]\nresources: {memory: 64MiB}\n" +
		"capabilities: {host_calls: [properties, shared_data, shared_queues, http_calls, grpc_calls, foreign_functions], callouts: ['*']}\n"
	dir := t.TempDir()
	file, wrong, out := filepath.Join(dir, "module.yaml"), filepath.Join(dir, "wrong.yaml"), filepath.Join(dir, "greeter.wasm")
	write(t, file, text)
	write(t, wrong, strings.Replace(text, "http_calls, ", "", 1))
	fails(t, "it imports proxy_http_call: add http_calls", "module", "annotate", greeter, "--manifest", wrong, "-o", out)
	fails(t, "no such file", "module", "annotate", greeter, "--manifest", filepath.Join(dir, "none.yaml"), "-o", out)
	if _, err := os.Stat(out); err == nil {
		t.Error("what is refused was written")
	}
	must(t, "module", "annotate", greeter, "--manifest", file, "-o", out)
	if got := must(t, "module", "inspect", out); !strings.Contains(got, "greeter 1.0.0 (policy)") || !strings.Contains(got, "up to 64.0 MiB") || strings.Contains(got, "faults") {
		t.Errorf("inspect printed %s", got)
	}
	if got := must(t, "module", "run", out, "--config", "you", "--answer", "abc"); !strings.Contains(got, "\nABC") {
		t.Errorf("it does not run: %s", got)
	}
	must(t, "module", "annotate", out, "--manifest", file) // again, in its place
}

// TestWhatGoBuildHasMadeIsOptimized takes a module as make build has it from go build.
func TestWhatGoBuildHasMadeIsOptimized(t *testing.T) {
	const made = "../build/go/hello.wasm" // make modules
	dir := t.TempDir()
	out, text := filepath.Join(dir, "hello.wasm"), filepath.Join(dir, "text.wasm")
	write(t, text, "package main")
	fails(t, text+": malformed WebAssembly", "module", "optimize", text)
	fails(t, "no such file", "module", "optimize", filepath.Join(dir, "none.wasm"))
	must(t, "module", "optimize", made, "-o", out)
	contents := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	after := contents(out)
	if contents(made) == after {
		t.Error("nothing has been shortened")
	}
	if got := must(t, "module", "run", out, "--answer", "abc"); !strings.Contains(got, "abc") {
		t.Errorf("it does not run: %s", got)
	}
	must(t, "module", "optimize", out) // again, in its place
	if contents(out) != after {
		t.Error("what is short has been changed")
	}
}

func TestAConfigurationIsHeldAgainstTheModulesSchema(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "project")
	for _, args := range [][]string{{"module", "new", "my-module", "-t", "policy", "--dir", dir}, {"module", "build", dir}} {
		if _, stderr, code := leash(t, args...); code != exitDone {
			t.Fatalf("leash %v: %s", args, stderr)
		}
	}
	file := filepath.Join(dir, "leash.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "max_prompt_bytes: 20000", "max_prompt_byte: 20000", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := leash(t, "validate", "-c", file)
	if want := "pipeline[0].config.max_prompt_byte: unknown field: known are max_prompt_bytes, models"; code != exitUsage || !strings.Contains(stderr, want) {
		t.Errorf("got %d %s, want %q", code, stderr, want)
	}
}

func TestNewAsksNothingWithoutATerminal(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no name":          {[]string{"module", "new"}, "leash module new NAME"},
		"two names":        {[]string{"module", "new", "a", "b"}, `unexpected argument "b"`},
		"a name of ours":   {[]string{"module", "new", "tracer"}, `"tracer" is the name of one of Leash's own modules`},
		"a wrong template": {[]string{"module", "new", "a", "--template", "x", "--dir", filepath.Join(t.TempDir(), "a")}, "there are minimal, policy"},
		"no kit":           {[]string{"module", "build", t.TempDir()}, "module.yaml: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := leash(t, tc.args...)
			if code == exitDone || !strings.Contains(stderr, tc.want) {
				t.Errorf("got %d %s, want %q", code, stderr, tc.want)
			}
		})
	}
}

func TestExamplesAreBuiltAndKeepTheirPromises(t *testing.T) {
	manifests, err := filepath.Glob("../examples/*/module.yaml")
	if err != nil || len(manifests) < 3 {
		t.Fatalf("found %v, %v", manifests, err)
	}
	for _, file := range manifests {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			wasm := filepath.Join(t.TempDir(), "module.wasm")
			must(t, "module", "build", dir, "-o", wasm)
			if got, stderr, _ := program(t, "module", "test", dir, "--wasm", wasm); !strings.Contains(got, " 0 failed") {
				t.Error(got, stderr)
			}
		})
	}
}
