package cli

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
	"github.com/leash-gateway/leash/internal/nettest"
)

// greeter is a module in Rust, which is small: it compiles in milliseconds everywhere.
const greeter = "../host/abi/testdata/rust.wasm"

// builtModules lets commands find what `make modules` has built.
func builtModules(t *testing.T) {
	t.Helper()
	t.Setenv("LEASH_MODULES_DIR", "../build/modules")
}

// scenarios is a file beside the greeter, in a folder of its own.
func scenarios(t *testing.T, want string) (file string) {
	t.Helper()
	wasm, err := filepath.Abs(greeter)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "greeter.yaml")
	write(t, file, `modules: [{name: greeter, file: `+wasm+`, root_id: root, config: world}]
scenarios:
  - name: greets
    steps:
      - request: {path: /}
        expect: {status: 200, provider: {headers: {x-greeting: `+want+`}}}
  - name: refuses
    steps:
      - {request: {path: /forbidden}, expect: {status: 403, body: "NO", provider_not_reached: true}}
`)
	return file
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestModuleTestEndsAsTheScenariosDo(t *testing.T) {
	builtModules(t)
	good, bad := scenarios(t, "world"), scenarios(t, "nobody")
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	write(t, wrong, "scenarios:\n  - nam: x\n")
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	write(t, missing, "module: nobody\nscenarios: [{name: a, steps: [{request: {}}]}]\n")
	tests := map[string]struct {
		args     []string
		code     int
		out, err string // regular expressions
	}{
		"all pass":                     {[]string{good}, exitDone, `^2 passed, 0 failed, in `, `^$`},
		"a folder with a manifest":     {[]string{"../filters/auth"}, exitDone, `^8 passed, 0 failed`, `^$`},
		"one fails":                    {[]string{bad}, exitFailed, `FAIL  .*greeter.yaml:3: greets .*\n  .*greeter.yaml:6:64: step 1: provider.headers.x-greeting\n      want "nobody"\n      got  "world"`, `not all scenarios pass`},
		"verbose":                      {[]string{good, "-v"}, exitDone, `ok    .*greets .*\n  step 1: answered 200`, `^$`},
		"only some":                    {[]string{bad, "--run", "yaml/ref"}, exitDone, `^1 passed, 0 failed`, `^$`},
		"a pattern that is none":       {[]string{good, "--run", "("}, exitUsage, `^$`, `--run`},
		"a file with a mistake":        {[]string{wrong}, exitUsage, `^$`, `wrong.yaml:2:5: .*unknown field \(did you mean name\?\)`},
		"a module that is not found":   {[]string{missing}, exitUsage, `^$`, `found no nobody.wasm`},
		"a folder that is not there":   {[]string{"no/such/folder"}, exitUsage, `^$`, `no such file`},
		"a format that is none":        {[]string{good, "-o", "csv"}, exitUsage, `^$`, `text or json`},
		"coverage of a module without": {[]string{good, "--cover", t.TempDir()}, exitUsage, `2 passed`, `go build -cover`},
		"coverage on Envoy":            {[]string{good, "--cover", t.TempDir(), "--envoy"}, exitUsage, `^$`, `leave --envoy away`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := leash(t, append([]string{"module", "test"}, tc.args...)...)
			if code != tc.code || !regexp.MustCompile(tc.out).MatchString(stdout) || !regexp.MustCompile(tc.err).MatchString(stderr) {
				t.Errorf("got %d\n%s\n%s, want %d, %s, %s", code, stdout, stderr, tc.code, tc.out, tc.err)
			}
		})
	}
}

func TestModuleTestWritesReportsForMachines(t *testing.T) {
	junit := filepath.Join(t.TempDir(), "junit.xml")
	stdout, _, code := leash(t, "module", "test", scenarios(t, "nobody"), "-o", "json", "--junit", junit)
	var reports []scenario.Report
	if err := json.Unmarshal([]byte(stdout), &reports); err != nil || code != exitFailed {
		t.Fatalf("got %d, %v, %s", code, err, stdout)
	}
	if len(reports) != 2 || reports[0].Line != 3 || len(reports[0].Failures) != 1 || len(reports[1].Failures) != 0 {
		t.Errorf("got %+v", reports)
	}
	text, err := os.ReadFile(junit) //nolint:gosec // in our own folder
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal(text, &suite); err != nil || suite.Tests != 2 || suite.Failures != 1 {
		t.Errorf("got %+v, %v", suite, err)
	}
}

func TestModuleTestRunsTheSameFileOnEnvoy(t *testing.T) {
	t.Setenv("ENVOY_PATH", nettest.Envoy(t))
	stdout, stderr, code := leash(t, "module", "test", "--envoy", scenarios(t, "world"))
	if code != exitDone || !strings.HasPrefix(stdout, "2 passed, 0 failed") {
		t.Errorf("got %d %s %s", code, stdout, stderr)
	}
}

func TestModuleTestUpdatesGoldenFiles(t *testing.T) {
	file := scenarios(t, "world")
	text, err := os.ReadFile(file) //nolint:gosec // in our own folder
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, strings.Replace(string(text), `body: "NO"`, `body_file: refusal.txt`, 1))
	for _, step := range []struct {
		args []string
		code int
	}{{nil, exitFailed}, {[]string{"--update"}, exitDone}, {nil, exitDone}} {
		if stdout, stderr, code := leash(t, append([]string{"module", "test", file}, step.args...)...); code != step.code {
			t.Errorf("%v: got %d %s %s", step.args, code, stdout, stderr)
		}
	}
	if golden, err := os.ReadFile(filepath.Join(filepath.Dir(file), "refusal.txt")); err != nil || string(golden) != "NO" {
		t.Errorf("got %q, %v", golden, err)
	}
}

// shows waits until a command that runs has written something.
func shows(t *testing.T, out *nettest.Log, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	nettest.Succeeds(t, "it to write "+pattern, func() error {
		if got := out.String(); !re.MatchString(got) {
			return errors.New(got)
		}
		return nil
	})
}

func TestModuleTestWatchesScenariosAndModules(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file := scenarios(t, "nobody")
	module := filepath.Join(filepath.Dir(file), "greeter.wasm")
	wasm, err := os.ReadFile(greeter)
	if err != nil {
		t.Fatal(err)
	}
	write(t, module, string(wasm))
	text, err := os.ReadFile(file) //nolint:gosec // in our own folder
	if err != nil {
		t.Fatal(err)
	}
	absolute, _ := filepath.Abs(greeter)
	own := strings.Replace(string(text), absolute, "greeter.wasm", 1)
	write(t, file, own)
	var out nettest.Log
	ended := make(chan error, 1)
	go func() {
		app := newApp("v0-test", &out, &out)
		ended <- app.RunContext(ctx, flagsFirst(app, []string{"leash", "module", "test", file, "--watch"}))
	}()
	shows(t, &out, `1 passed, 1 failed.*\nwatching`)
	write(t, file, "scenarios: [")
	shows(t, &out, `failed(.|\n)*not well-formed YAML(.|\n)*\nwatching`)
	write(t, file, strings.Replace(own, "nobody", "world", 1))
	shows(t, &out, `failed(.|\n)*2 passed, 0 failed.*\nwatching`)
	write(t, module, strings.Replace(string(wasm), "x-greeting", "x-greetinG", 1)) // names of headers are not told apart by case
	shows(t, &out, `2 passed(.|\n)*2 passed`)
	write(t, module, strings.Replace(string(wasm), "x-greeting", "x-gre-ting", 1))
	shows(t, &out, `2 passed(.|\n)*1 passed, 1 failed.*\nwatching`)
	cancel()
	if err := <-ended; err == nil || err.Error() != errScenarios.Error() {
		t.Errorf("got %v, want how the last run ended", err)
	}
}

func TestModuleTestTellsTheCoverageOfGoModules(t *testing.T) {
	file, dir := filepath.Join(t.TempDir(), "hello.yaml"), t.TempDir()
	wasm, err := filepath.Abs("../build/modules/hello.cover.wasm")
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, `modules: [{name: hello, file: `+wasm+`, config: {modules: [{name: hello}]}}]
scenarios: [{name: greets, steps: [{request: {json: {model: m, messages: [{role: user, content: Hi}]}}, expect: {provider: {headers: {x-greeting: "hello from "}}}}]}]
`)
	stdout, stderr, code := leash(t, "module", "test", file, "--cover", dir)
	if code != exitDone || !strings.Contains(stderr, "go tool covdata percent -i "+dir) {
		t.Fatalf("got %d %s %s", code, stdout, stderr)
	}
	for _, pattern := range []string{"covmeta.*", "covcounters.*"} {
		if files, _ := filepath.Glob(filepath.Join(dir, pattern)); len(files) != 1 {
			t.Errorf("got %v for %s", files, pattern)
		}
	}
}

func TestModuleRunShowsTheExchangeAndTraced(t *testing.T) {
	stdout, stderr, code := leash(t, "module", "run", greeter, "--root-id", "root", "--config", "world", "--path", "/x", "-H", "X-A: b", "--answer", "hello", "--trace")
	want := "REQUEST at the provider\n  :authority: leash.test\n  :path: /x\n  :method: GET\n  :scheme: http\n  x-a: b\n  x-greeting: world\n\n" +
		"RESPONSE at the client\n  :status: 200\n  content-type: application/json\n  content-length: 5\n\nHELLO\n\n"
	if code != exitDone || stdout != want {
		t.Errorf("got %d\n%s\nwant\n%s", code, stdout, want)
	}
	for _, line := range []string{
		"rust 1 proxy_on_configure\n", `  proxy_get_buffer_bytes(buffer: plugin configuration, start: 0, size: 4294967295) = ok (bytes: "world")` + "\n",
		"rust 2 proxy_on_request_headers\n", `  proxy_replace_header_map_value(map: request headers, key: "x-greeting", value: "world") = ok` + "\n",
	} {
		if !strings.Contains(stderr, line) {
			t.Errorf("the trace lacks %q:\n%s", line, stderr)
		}
	}
}

func TestModuleRunTakesRequestsFromFilesAndSaysWhatIsWrong(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	write(t, config, "everybody")
	if stdout, stderr, code := leash(t, "module", "run", greeter, "--root-id", "root", "--config", "@"+config); code != exitDone || !strings.Contains(stdout, "x-greeting: everybody") {
		t.Errorf("got %d %s %s", code, stdout, stderr)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no module":             {nil, exitUsage, "name the .wasm of a module"},
		"a module not there":    {[]string{"none.wasm"}, exitUsage, "no such file"},
		"a file not there":      {[]string{greeter, "--config", "@none"}, exitUsage, "--config: open none"},
		"a header that is none": {[]string{greeter, "-H", "x"}, exitUsage, "write it as 'Name: value'"},
		"no WebAssembly":        {[]string{"module_test.go"}, exitUsage, "module_test.go: read .wasm: not a WebAssembly module"},
		"a module that crashes": {append([]string{"../host/fuzz/testdata/crashes.wasm"}, strings.Fields(strings.Repeat("-H a:b ", 30))...), exitFailed, "the module failed: run proxy_on_request_headers"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, stderr, code := leash(t, append([]string{"module", "run"}, tc.args...)...); code != tc.code || !strings.Contains(stderr, tc.want) {
				t.Errorf("got %d %s, want %d %s", code, stderr, tc.code, tc.want)
			}
		})
	}
}

func TestModuleBenchMeasuresTimeThroughputAndMemory(t *testing.T) {
	stdout, stderr, code := leash(t, "module", "bench", greeter, "--root-id", "root", "--config", "x", "--duration", "50ms", "-o", "json")
	var m harness.Measured
	if err := json.Unmarshal([]byte(stdout), &m); err != nil || code != exitDone {
		t.Fatalf("got %d %s %s", code, stdout, stderr)
	}
	if m.Exchanges < 10 || m.P50 <= 0 || m.P95 < m.P50 || m.P99 < m.P95 || m.Max < m.P99 || m.PerSecond < 1 || m.Memory <= 0 || m.HostAllocations <= 0 || m.HostBytes <= 0 || m.Failed != 0 {
		t.Errorf("got %+v", m)
	}
	if stdout, _, _ := leash(t, "module", "bench", greeter, "--root-id", "root", "--config", "x", "--duration", "20ms"); !regexp.MustCompile(`time +p50 .* p99 .*\nthroughput +\d+ exchanges/s on a core .*\nmemory .*\nhost +\d+ allocations`).MatchString(stdout) {
		t.Errorf("got %s", stdout)
	}
}

func TestModuleFuzzWritesWhatAModuleDoesNotSurvive(t *testing.T) {
	dir := t.TempDir()
	wasm, err := os.ReadFile("../host/fuzz/testdata/crashes.wasm")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "crashes.wasm"), string(wasm))
	stdout, stderr, code := leash(t, "module", "fuzz", filepath.Join(dir, "crashes.wasm"), "--out", filepath.Join(dir, "scenarios"), "--seed", "1", "--exchanges", "20000", "--duration", "1m")
	if code != exitFailed || !strings.Contains(stdout, "crash: run proxy_on_request_headers") || !strings.Contains(stdout, "fails, until the module is mended") || !strings.Contains(stdout, "1 findings") {
		t.Fatalf("got %d\n%s\n%s", code, stdout, stderr)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "scenarios", "fuzz-crash-*.yaml"))
	if len(files) != 1 {
		t.Fatalf("got %v", files)
	}
	if stdout, _, code := leash(t, "module", "test", files[0]); code != exitFailed || !strings.Contains(stdout, "a VM failed") {
		t.Errorf("leash module test got %d\n%s", code, stdout)
	}
}

func TestModuleFuzzFindsNothingInASoundModule(t *testing.T) {
	builtModules(t)
	for _, args := range [][]string{{greeter, "--root-id", "root", "--config", "x"}, {"../filters/route"}} {
		stdout, stderr, code := program(t, append([]string{"module", "fuzz", "--exchanges", "200", "--seed", "5"}, args...)...)
		if code != exitDone || !strings.HasPrefix(stdout, "200 exchanges in ") || !strings.Contains(stderr, "--seed 5") {
			t.Errorf("got %d\n%s\n%s", code, stdout, stderr)
		}
	}
	for _, args := range [][]string{nil, {"none.wasm"}, {"../filters/route", "--out", "x"}, {t.TempDir()}} {
		if _, stderr, code := leash(t, append([]string{"module", "fuzz"}, args...)...); code != exitUsage {
			t.Errorf("%v: got %d %s", args, code, stderr)
		}
	}
}
