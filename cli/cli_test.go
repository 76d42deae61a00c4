package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/internal/nettest"
)

// leash runs the command and returns what it wrote and its exit code.
func leash(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run("v0-test", append([]string{"leash"}, args...), &out, &errs)
	return out.String(), errs.String(), code
}

// built is the built command, wherever a test goes.
var built, _ = filepath.Abs("../bin/leash")

// program runs the built command: what compiles modules that no cache holds, or opens a key with a password, takes ten times
// as long under the race detector.
func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	command := exec.Command(built, args...)
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); command.ProcessState == nil {
		t.Fatalf("%v (make leash builds it)", err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

// TestOutputThatCannotBeWrittenIsAFailure: scripts take what is in a file for whole.
func TestOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("only Linux has a device that is always full")
	}
	defer full.Close() //nolint:errcheck // nothing is in it
	var errs bytes.Buffer
	command := exec.Command(built, "--help")
	command.Stdout, command.Stderr = full, &errs
	_ = command.Run()
	if code := command.ProcessState.ExitCode(); code != exitFailed || errs.String() != "leash: write the output: write /dev/stdout: no space left on device\n" {
		t.Errorf("ended with %d and %q", code, errs.String())
	}
}

func TestHelpTextsAreAsTheyWere(t *testing.T) {
	for _, name := range commandNames() {
		t.Run(name, func(t *testing.T) {
			args := append(strings.Fields(name), "--help")
			got, stderr, code := leash(t, args...)
			if code != exitDone || stderr != "" {
				t.Fatalf("got exit code %d and %q on standard error", code, stderr)
			}
			golden.Assert(t, got, strings.Trim("leash_"+strings.ReplaceAll(name, " ", "_"), "_")+"_help.txt")
		})
	}
}

func TestHelpIsACommandToo(t *testing.T) {
	for args, same := range map[string]string{"help": "--help", "help up": "up --help", "help module push": "module push --help", "module help": "module --help", "module help push": "module push --help"} {
		want, _, _ := leash(t, strings.Fields(same)...)
		if got, stderr, code := leash(t, strings.Fields(args)...); code != exitDone || stderr != "" || got != want {
			t.Errorf("leash %s: exit code %d, %q on standard error, and %q", args, code, stderr, got)
		}
	}
	if _, stderr, code := leash(t, "help", "frob"); code != exitUsage || !strings.Contains(stderr, `unknown command "frob": leash --help lists`) {
		t.Errorf("leash help frob: exit code %d, %q", code, stderr)
	}
}

// unrunnable is a leash.yaml at free addresses, of which nothing is there that it names.
const unrunnable = `listen: %s
control: {listen: %s}
envoy: {admin: %s}
modules: {dir: %q}
providers:
  openai: {kind: openai, api_key: {env: LEASH_NO_SUCH_VARIABLE}, ca_file: ca.pem}
  google: {kind: google, api_key: {file: key}}
  local: {base_url: "http://127.0.0.1:9/v1", api_key: {file: maybe}, mock_without_key: true}
  vertex: {kind: vertex, project: p, location: eu, service_account: {file: account.json}}
  amazon: {kind: bedrock, region: us-east-1, aws: {credentials_file: credentials}}
routes: [{model: m, provider: openai}]
tracing: {endpoint: "https://127.0.0.1:9", ca_file: collector.pem, headers: {x-key: {file: header}}}
allow_anonymous: true
`

// missingFiles are what is said of unrunnable's, but for the folder of the modules.
var missingFiles = []string{
	":6:75: providers.openai.ca_file: read certificates: open ", ":7:35: providers.google.api_key: secret is not set: file ",
	":9:69: providers.vertex.service_account: read service account: type is not \"service_account\"", ":10:51: providers.amazon.aws: secret is not set: file ",
	":12:53: tracing.ca_file: read certificates: ", ":12:85: tracing.headers.x-key: secret is not set: file ",
}

// writeUnrunnable writes it beside a service account that is none.
func writeUnrunnable(t *testing.T, modules string) (file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "leash.yaml")
	write(t, file, fmt.Sprintf(unrunnable, nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t), modules))
	write(t, filepath.Join(dir, "account.json"), "{}")
	return file
}

func TestFilesThatAreMissingAreToldWithTheirPlacesAllAtOnce(t *testing.T) {
	file := writeUnrunnable(t, "nowhere")
	_, stderr, code := leash(t, "validate", "-c", file)
	for _, want := range append(missingFiles, ":4:16: modules.dir: found no all.wasm in ") {
		if !strings.Contains(stderr, file+want) {
			t.Errorf("got %s\nwant %s", stderr, want)
		}
	}
	for _, not := range []string{"variable LEASH_NO_SUCH_VARIABLE", "providers.local"} {
		if code != exitUsage || strings.Contains(stderr, not) {
			t.Errorf("got %d, %s, want nothing of %s, which may be set where it runs", code, stderr, not)
		}
	}
	if _, stderr, code := leash(t, "validate", "--no-files", "-c", file); code != exitDone {
		t.Errorf("without the files: %d %s", code, stderr)
	}
}

func TestWhatIsMissingAtTheStartIsToldAllAtOnce(t *testing.T) {
	modules, err := filepath.Abs("../build/modules")
	if err != nil {
		t.Fatal(err)
	}
	file := writeUnrunnable(t, modules)
	_, stderr, code := leash(t, "up", "--engine", "embedded", "-c", file)
	const variable = ":6:35: providers.openai.api_key: secret is not set: environment variable LEASH_NO_SUCH_VARIABLE (set the variable, "
	for _, want := range []string{variable, missingFiles[0], missingFiles[1], missingFiles[3], missingFiles[4]} {
		if code != exitUsage || !strings.Contains(stderr, file+want) {
			t.Errorf("got %d %s\nwant %s", code, stderr, want)
		}
	}
}

func TestAFolderOfWhatAreNoModulesIsAMistakeEverywhere(t *testing.T) {
	file := writeUnrunnable(t, "modules")
	dir := filepath.Join(filepath.Dir(file), "modules")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, config.AllFile), "version https://git-lfs.github.com/spec/v1\n")
	for _, command := range []string{"validate", "up --engine embedded", "render", "host serve --listen unix:/nowhere/leash.sock"} {
		_, stderr, code := leash(t, append(strings.Fields(command), "-c", file)...)
		if want := file + ":4:16: modules.dir: " + filepath.Join(dir, config.AllFile) + " is no WebAssembly module: run make build again"; code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d %s\nwant %s", command, code, stderr, want)
		}
	}
}

func TestAMissingFolderOfModulesIsAMistakeEverywhere(t *testing.T) {
	file := writeUnrunnable(t, "nowhere")
	for _, command := range []string{"up --engine embedded", "render", "host serve --listen unix:/nowhere/leash.sock"} {
		_, stderr, code := leash(t, append(strings.Fields(command), "-c", file)...)
		if code != exitUsage || !strings.Contains(stderr, file+":4:16: modules.dir: found no all.wasm in ") {
			t.Errorf("%s: got %d %s", command, code, stderr)
		}
	}
}

func TestBadUsageEndsWithTwoAndSaysWhatToDo(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "leash.yaml")
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	const quickstart = "../examples/quickstart/leash.yaml"
	if err := os.WriteFile(wrong, []byte("routes: []\npipelines: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"an unknown command":                {[]string{"serve"}, exitUsage, `unknown command "serve"`},
		"an unknown command of modules":     {[]string{"module", "nwe"}, exitUsage, `unknown command "nwe": leash module --help lists`},
		"an unknown flag":                   {[]string{"up", "--port", "1"}, exitUsage, "leash up --help"},
		"a time without its unit":           {[]string{"up", "--drain", "5"}, exitUsage, `leash: --drain "5": it is a time such as 500ms, 90s or 1h30m`},
		"a number that is none":             {[]string{"host", "serve", "--workers", "all"}, exitUsage, `leash: --workers "all": it is a whole number`},
		"a flag that is misspelled":         {[]string{"up", "--drian", "5s"}, exitUsage, "not defined: --drian: leash up --help"},
		"an argument too many":              {[]string{"validate", "x"}, exitUsage, `unexpected argument "x": leash validate --help`},
		"no such shell":                     {[]string{"completion", "fish"}, exitUsage, "bash or zsh"},
		"a wrong behavior":                  {[]string{"mock", "--behavior", "speed=1"}, exitUsage, "there is no such setting"},
		"a configuration":                   {[]string{"validate", "-c", wrong}, exitUsage, "pipelines: unknown field (did you mean pipeline?)"},
		"a file that is missing":            {[]string{"validate", "-c", missing}, exitUsage, "no such file or directory: --config names the file"},
		"no such target":                    {[]string{"render", "-c", quickstart, "--target", "nginx"}, exitUsage, "is none of envoy, ext_proc"},
		"a host without a port":             {[]string{"render", "-c", quickstart, "--target", "ext_proc", "--host", "localhost"}, exitUsage, "missing port"},
		"a socket that is not absolute":     {[]string{"render", "-c", quickstart, "--target", "ext_proc", "--host", "unix:x"}, exitUsage, "not absolute"},
		"half a pair":                       {[]string{"render", "-c", quickstart, "--target", "ext_proc", "--host-cert", "x"}, exitUsage, "belong together"},
		"no such selection":                 {[]string{"host", "serve", "-c", quickstart, "--modules", "some"}, exitUsage, "neither all nor inspectors"},
		"a key without its certificate":     {[]string{"host", "serve", "-c", quickstart, "--tls-key", wrong}, exitUsage, "belong together"},
		"a certificate that is none":        {[]string{"host", "serve", "-c", quickstart, "--tls-key", wrong, "--tls-cert", wrong}, exitUsage, "read certificate and key"},
		"clients' certificates without TLS": {[]string{"host", "serve", "-c", quickstart, "--tls-client-ca", wrong}, exitUsage, "--tls-client-ca needs --tls-cert"},
		"management for everybody":          {[]string{"host", "serve", "-c", quickstart, "--admin", "127.0.0.1:0"}, exitUsage, "can be reached by others"},
		"a socket without its place":        {[]string{"host", "serve", "-c", quickstart, "--listen", "unix:x.sock", "--http", ""}, exitUsage, "not absolute"},
		"a host without an address":         {[]string{"host", "serve", "-c", quickstart, "--listen", "localhost"}, exitUsage, "leash: --listen: address localhost: missing port in address: write it as 127.0.0.1:8083 or unix:/PATH"},
		"a socket with a long path":         {[]string{"host", "serve", "-c", quickstart, "--listen", "unix:/" + strings.Repeat("x", 120)}, exitUsage, "bytes, this has 121: name one in a folder such as /run/leash"},
		"pages without an address":          {[]string{"host", "serve", "-c", quickstart, "--http", "8082"}, exitUsage, "http: address 8082: missing port"},
		"a flag of another target":          {[]string{"render", "-c", quickstart, "--slot", "leash/a@stable"}, exitUsage, "leash: --slot: is for --target slot"},
		"inspectors in Envoy":               {[]string{"render", "-c", quickstart, "--modules", "inspectors"}, exitUsage, "leash: --modules: is for --target ext_proc"},
		"a flag of other targets":           {[]string{"render", "--target", "slot", "--slot", "leash/a@stable", "--module", "x"}, exitUsage, "leash: --module: is for --target istio or envoy-gateway"},
		"no slot":                           {[]string{"render", "--target", "slot"}, exitUsage, "leash: --slot: name the slot, such as"},
		"no module":                         {[]string{"render", "--target", "istio"}, exitUsage, "module: name the module, such as"},
		"no address":                        {[]string{"mock", "--listen", "nonsense"}, exitUsage, "write it as 127.0.0.1:8090"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := leash(t, tc.args...)
			if code != tc.code || !strings.Contains(stderr, tc.want) || stdout != "" {
				t.Errorf("got %d %q %q, want %d and %q on standard error", code, stdout, stderr, tc.code, tc.want)
			}
		})
	}
}

func TestVersionIsAFlagToo(t *testing.T) {
	if stdout, stderr, code := leash(t, "--version"); code != exitDone || stderr != "" || stdout != "v0-test\n" {
		t.Errorf("got %d %q %q", code, stdout, stderr)
	}
}

func TestWhatIsNoFileIsNotReadWithoutEnd(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "m.wasm")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"compile", pipe}, {"compile", "/dev/zero"}, {"inspect", pipe}, {"optimize", pipe}, {"sign", pipe, "--key", "none"}, {"run", pipe}, {"run", "--data", "@/dev/zero", pipe},
	} {
		_, stderr, code := leash(t, append([]string{"module"}, args...)...)
		if code == exitDone || !strings.Contains(stderr, "is a named pipe, not a file") && !strings.Contains(stderr, "/dev/zero is larger than 268435456 bytes") && !strings.Contains(stderr, "none") {
			t.Errorf("leash module %v: got %d %q", args, code, stderr)
		}
	}
}

func TestACacheThatCannotBeUsedIsNamedWithItsFlag(t *testing.T) {
	const want = "leash: open cache of compiled modules /dev/null/cache: "
	_, stderr, code := leash(t, "module", "compile", "--cache", "/dev/null/cache", "none.wasm")
	if code != exitUsage || !strings.HasPrefix(stderr, want) || !strings.HasSuffix(stderr, ": --cache or LEASH_CACHE names another folder\n") {
		t.Errorf("got %d %q", code, stderr)
	}
}

// TestARegistryWhoseCertificateNobodyVouchesForIsTold what to do about it, not that it may not be running.
func TestARegistryWhoseCertificateNobodyVouchesForIsTold(t *testing.T) {
	registry := httptest.NewTLSServer(http.NotFoundHandler())
	defer registry.Close()
	_, stderr, code := leash(t, "module", "versions", "--registry", strings.TrimPrefix(registry.URL, "https://"), "team/hello")
	if code != exitFailed || !strings.Contains(stderr, "--ca-file FILE names the certificate that vouches for it") || strings.Contains(stderr, "is the registry running") {
		t.Errorf("got %d %q", code, stderr)
	}
}

func TestConfigurationsOfTheExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../examples/*/leash.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no examples (%v)", err)
	}
	for _, file := range files {
		if _, stderr, code := leash(t, "validate", "-c", file); code != exitDone {
			t.Errorf("%s: %s", file, stderr)
		}
	}
}

func TestModulesComplaintsNameThePlaceInTheFile(t *testing.T) {
	quickstart, err := os.ReadFile("../examples/quickstart/leash.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ old, changed, want string }{
		"a value":           {"action: flag", "action: ignore", ":67:19: pipeline[4].config.rules[2].action: "},
		"a missing value":   {"          action: flag", "", ":65:11: pipeline[4].config.rules[2].action: "},
		"an unknown field":  {"keywords:", "keyword:", ":60:20: pipeline[4].config.rules[0].keyword: "},
		"a wrong type":      {"requests: 600", "requests: many", ":55:46: pipeline[3].config.limits[0].requests: "},
		"a tenant's own":    {"requests: 2,", "request: 2,", ":33:45: tenants.trial.modules.ratelimit.limits[0].request: "},
		"a broken duration": {"window: 1m}\n  - module: contentfilter", "window: soon}\n  - module: contentfilter", ":55:75: pipeline[3].config.limits[0].window: "},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(string(quickstart), tc.old, tc.changed, 1)
			if changed == string(quickstart) {
				t.Fatalf("%q is not in the quickstart", tc.old)
			}
			file := filepath.Join(t.TempDir(), "leash.yaml")
			if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			_, stderr, code := leash(t, "validate", "-c", file)
			if code != exitUsage || !strings.Contains(stderr, file+tc.want) {
				t.Errorf("got %d %s, want the place %s", code, stderr, tc.want)
			}
		})
	}
}

// TestWhatIsToldToTryWorksHere has the key that everybody knows in configurations that are not the quickstart's.
func TestWhatIsToldToTryWorksHere(t *testing.T) {
	const chat, blocked = "# a chat\n", "# blocked"
	for name, tc := range map[string]struct {
		routes, pipeline string
		want, not        []string
	}{
		"the quickstart's":   {"{model: gpt-4o-mini, provider: a}", "{module: auth}, {module: contentfilter, config: {rules: [{name: b, keywords: [project bluebird], action: block}]}}", []string{chat, blocked, `"gpt-4o-mini"`}, nil},
		"no content filter":  {"{model: gpt-4o-mini, provider: a}", "{module: auth}", []string{chat}, []string{blocked}},
		"another model":      {"{path: /x, provider: a}, {model: 'claude-*', provider: a}, {model: smart, provider: a}", "{module: auth}", []string{chat, `"smart"`}, []string{"gpt-4o-mini"}},
		"any model":          {"{model: '*', provider: a}", "{module: auth}", []string{chat, `"gpt-4o-mini"`}, nil},
		"for somebody's own": {"{model: smart, provider: a, tenants: [demo]}", "{module: auth}", nil, []string{chat}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := config.Parse("leash.yaml", []byte("providers: {a: {base_url: 'http://127.0.0.1:1', api_key: {env: A_KEY}}}\ntenants: {demo: {keys: [{name: k, sha256: "+demoSum+"}]}}\n"+
				"routes: ["+tc.routes+"]\npipeline: ["+tc.pipeline+"]\n"), os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			got := welcome(c, &embeddedEngine{}, &url.URL{})
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %s, want %q in it", got, want)
				}
			}
			for _, not := range append(tc.not, "OPENAI_API_KEY") {
				if strings.Contains(got, not) {
					t.Errorf("got %s, want no %q in it", got, not)
				}
			}
		})
	}
}

func TestAddressesToAskAreThoseThatAnswer(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "127.0.0.1:8080", "0.0.0.0:8080": "127.0.0.1:8080", "[::]:8080": "127.0.0.1:8080", "10.0.0.7:80": "10.0.0.7:80",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("%s: got %s, want %s", listen, got, want)
		}
	}
}

func TestOnlyLeashUpTraces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "leash.yaml")
	write(t, file, "allow_anonymous: true\nproviders: {openai: {base_url: \"https://api.openai.com/v1\"}}\nroutes: [{model: m, provider: openai}]\n"+
		"tracing: {endpoint: \"http://127.0.0.1:4317\", propagate: true}\n")
	if got := must(t, "render", "-c", file); strings.Contains(got, "tracer") || strings.Contains(got, "traceparent") {
		t.Errorf("what is rendered traces, or keeps the trace context from providers:\n%s", got)
	}
}
