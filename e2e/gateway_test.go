// Package e2e tests Leash as its users meet it: the built command, with a real Envoy and with the embedded gateway, over real
// sockets.
//
// It needs bin/leash, build/modules and Envoy, which `make test` brings. What is missing is a failure, never a skip.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
)

// A gateway is a running `leash up`.
type gateway struct {
	URL     string // of the gateway
	Control string // URL of the control service
	Admin   string // URL of Envoy's admin
	Config  string // path of leash.yaml

	t       testing.TB
	command *exec.Cmd
	ended   chan struct{}
	ports   ports
	// temporary is the folder of its temporary files: a short name, because a socket's may have but some hundred bytes.
	temporary string
	*output
}

// output is what a gateway has written.
type output struct {
	mu     sync.Mutex
	lines  []string // of standard output: the access log
	errors nettest.Log
}

// with is the gateway for a subtest, which then is the one that fails.
func (g *gateway) with(t testing.TB) *gateway {
	other := *g
	other.t = t
	return &other
}

// ports are what the templates of leash.yaml may refer to.
type ports struct {
	Listen, Control, Admin int
	Provider               string // URL of the provider, with /v1
	Fleet                  fleet  // of several providers
	Layout                 string // of the modules; together by default
	Engine                 string // what carries the traffic; "" is Envoy
	Timed                  bool   // the test is of a promised time, which is of the command as users have it
}

// engine is p's, as --engine names it.
func (p ports) engine() string {
	if p.Engine == "" {
		return "envoy"
	}
	return p.Engine
}

// of is p with a provider.
func (p ports) of(provider string) ports {
	p.Provider = provider
	return p
}

// keys of the tenants that every test configuration has.
const (
	demoKey  = "sk-test-laptop-9d2c"
	trialKey = "sk-test-visitor-77aa"
)

// head is what the configurations of the tests have in common.
const head = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
modules: {layout: {{or .Layout "together"}}}
providers:
  openai: {base_url: "{{.Provider}}", api_key: {env: LEASH_TEST_KEY}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
  trial:
    keys: [{name: visitor, sha256: 091646b8fb0db3801122856f10721f728b34de4481485ecba2bd58a5207bc575}]
    modules: {ratelimit: {limits: [{name: trial, by: key, requests: 2, window: 2s}]}}
routes:
  - {model: gpt-4o-mini, provider: openai}
  - {model: fast, provider: openai, upstream_model: gpt-4o-mini}
  - {model: "gpt-*", provider: openai}
`

// upstreamKey is the provider's key that is planted in every test: it may reach the provider and nothing else.
const upstreamKey = "sk-upstream-planted-4f1d9c"

// root is the folder of the checkout.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// leash is the command under test: LEASH_BIN, or bin/leash.
func leash(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("LEASH_BIN"); path != "" {
		return path
	}
	return built(t)
}

// built is the command as users have it, without the race detector.
func built(t testing.TB) string {
	t.Helper()
	return filepath.Join(root(t), "bin", "leash")
}

// start runs `leash up` on the configuration and waits until it is ready. The end of the test ends it, and checks that
// no process is left behind.
func start(t testing.TB, config string, p ports) *gateway {
	t.Helper()
	if p.Engine == moduleHost {
		return startModuleHost(t, config, p)
	}
	g := launch(t, config, p)
	g.waitReady()
	return g
}

// prepare writes the configuration of a gateway that is not started yet.
func prepare(t testing.TB, config string, p ports) *gateway {
	t.Helper()
	p.Listen, p.Control, p.Admin = nettest.FreePort(t), nettest.FreePort(t), nettest.FreePort(t)
	g := &gateway{
		t: t, ports: p, output: &output{},
		URL:     fmt.Sprintf("http://127.0.0.1:%d", p.Listen),
		Control: fmt.Sprintf("http://127.0.0.1:%d", p.Control),
		Admin:   fmt.Sprintf("http://127.0.0.1:%d", p.Admin),
		Config:  filepath.Join(t.TempDir(), "leash.yaml"),
	}
	var err error
	if g.temporary, err = os.MkdirTemp("", "leash-e2e-"); err != nil { //nolint:usetesting // the name of t.TempDir's is too long
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(g.temporary) })
	g.write(config)
	return g
}

// launch runs `leash up` without waiting.
func launch(t testing.TB, config string, p ports) *gateway {
	t.Helper()
	g := prepare(t, config, p)
	g.up()
	return g
}

// up runs `leash up` on what was prepared.
func (g *gateway) up() {
	g.t.Helper()
	command := leash(g.t)
	if g.ports.Timed {
		command = built(g.t)
	}
	g.run(exec.Command(command, "up", "--engine", g.ports.engine(), "-c", g.Config)) //nolint:gosec // our own command
}

// run starts what carries the traffic. The end of the test ends it.
func (g *gateway) run(command *exec.Cmd) {
	g.t.Helper()
	g.command = command
	g.command.Env = slices.Concat(os.Environ(), []string{"LEASH_TEST_KEY=" + upstreamKey, "TMPDIR=" + g.temporary}, later.environment(), g.ports.Fleet.environment())
	g.command.Dir = root(g.t)
	stdout, err := g.command.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	g.command.Stderr = &g.errors
	if err := g.command.Start(); err != nil {
		g.t.Fatalf("start leash: %v (run make build first)", err)
	}
	g.ended = make(chan struct{})
	go g.readLines(stdout, g.ended)
	g.t.Cleanup(g.stop)
}

// write replaces leash.yaml, as an editor does.
func (g *gateway) write(config string) {
	g.t.Helper()
	var out bytes.Buffer
	if err := template.Must(template.New("leash.yaml").Parse(config)).Execute(&out, g.ports); err != nil {
		g.t.Fatal(err)
	}
	next := g.Config + ".new"
	if err := os.WriteFile(next, out.Bytes(), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(next, g.Config); err != nil {
		g.t.Fatal(err)
	}
}

// changeFleet puts another configuration in force, with providers for it.
func (g *gateway) changeFleet(config string, f fleet) {
	g.t.Helper()
	g.ports.Fleet = f
	g.change(config, g.ports.Provider)
}

// change puts another configuration in force, with another provider, while the gateway runs.
//
// What comes and goes with the listener, such as filters of modules of one's own, holds in Envoy for connections that begin afterwards, so those that are
// idle are closed.
func (g *gateway) change(config, provider string) {
	g.t.Helper()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // it is one
	g.ports.Provider = provider
	g.write(config)
	// Changes before this one may be told of later: only what began afterwards has read it, a watcher's pause after it was written. One that
	// began sooner, because the watcher happened to look just then, cannot be told from those: the file is then changed once more.
	const pause, patience = 10 * time.Millisecond, 10 * time.Second
	written := time.Now().Add(pause)
	nettest.Eventually(g.t, "the changed configuration to be in force", func() bool {
		if time.Since(written) > patience {
			config += "\n"
			g.write(config)
			written = time.Now().Add(pause)
		}
		for _, line := range inForce.FindAllStringSubmatch(g.stderr(), -1) {
			told, err := time.Parse(time.RFC3339, line[1])
			took, wrong := time.ParseDuration(line[2])
			if err != nil || wrong != nil {
				g.t.Fatalf("read %q: %v, %v", line[0], err, wrong)
			}
			if told.Add(-took).After(written) {
				return true
			}
		}
		return false
	})
}

// inForce is what leash says of a change: when, and how long it took.
var inForce = regexp.MustCompile(`time=(\S+) .*msg="the changed configuration is in force".* after=(\S+)`)

// stderr is what was written to standard error up to now.
func (g *output) stderr() string { return g.errors.String() }

func (g *gateway) readLines(r io.Reader, ended chan<- struct{}) {
	defer close(ended)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		g.mu.Lock()
		g.lines = append(g.lines, lines.Text())
		g.mu.Unlock()
	}
}

// stop ends the gateway as Ctrl-C does.
func (g *gateway) stop() { g.end(syscall.SIGINT) }

// end ends the gateway with a signal, unless it has ended already, and checks that none of its processes is left.
func (g *gateway) end(signal syscall.Signal) {
	if g.command.ProcessState != nil {
		return
	}
	started := children(g.command.Process.Pid)
	_ = g.command.Process.Signal(signal)
	kill := time.AfterFunc(2*time.Minute, func() { _ = g.command.Process.Kill() }) // it hangs
	<-g.ended
	err := g.command.Wait()
	if !kill.Stop() {
		g.t.Errorf("leash did not end within two minutes of %s", signal)
	}
	if err != nil && signal != syscall.SIGKILL && !g.t.Failed() {
		g.t.Errorf("leash ended with %v after %s", err, signal)
	}
	for _, pid := range started {
		nettest.Eventually(g.t, fmt.Sprintf("process %d, which leash has started, to end", pid), func() bool { return !alive(pid) })
	}
	if g.t.Failed() {
		g.t.Logf("standard error of leash:\n%s", g.stderr())
	}
}

func (g *gateway) waitReady() {
	g.t.Helper()
	nettest.Eventually(g.t, "the gateway to be ready", func() bool {
		select {
		case <-g.ended:
			g.t.Fatalf("leash ended before it was ready:\n%s", g.stderr())
		default:
		}
		r, err := http.Get(g.Control + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// A record is a line of the access log.
type record map[string]any

// exchange waits for the log line of a request id, or of any other text that only one has.
func (g *gateway) exchange(id string) record {
	g.t.Helper()
	var found record
	nettest.Eventually(g.t, "the log line of request "+id, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, line := range g.lines {
			if strings.Contains(line, id) {
				found = nil
				if err := json.Unmarshal([]byte(line), &found); err != nil {
					g.t.Fatalf("log line is not JSON: %v: %s", err, line)
				}
				return true
			}
		}
		return false
	})
	return found
}

// An answer is what a client read.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// errorCode is the code of an error in OpenAI's form.
func (a answer) errorCode() string {
	var body struct {
		Error struct{ Code, Message, Type string }
	}
	_ = json.Unmarshal([]byte(a.Body), &body)
	return body.Error.Code
}

// do sends a request and reads the whole answer.
func do(t testing.TB, r *http.Request) answer {
	t.Helper()
	return doOver(t, http.DefaultTransport, r)
}

func doOver(t testing.TB, transport http.RoundTripper, r *http.Request) answer {
	t.Helper()
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read answer of %s %s: %v", r.Method, r.URL, err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// request makes a chat request with the demo key.
func (g *gateway) request(body string) *http.Request {
	r, err := http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+demoKey)
	r.Header.Set("Content-Type", "application/json")
	return r
}

// chat asks with a user message and reads the whole answer.
func (g *gateway) chat(message string) answer {
	g.t.Helper()
	return do(g.t, g.request(chatBody(message, false)))
}

func chatBody(message string, stream bool) string {
	body, _ := json.Marshal(map[string]any{
		"model": "gpt-4o-mini", "stream": stream,
		"messages": []map[string]string{{"role": "user", "content": message}},
	})
	return string(body)
}

// get reads a URL.
func get(t testing.TB, url string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r)
}

// engines are what can carry the traffic. What is promised of policies holds on each.
var engines = []string{"envoy", "embedded"}

// onEngines runs a test on each engine.
func onEngines(t *testing.T, test func(t *testing.T, p ports)) {
	t.Helper()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) { test(t, ports{Engine: engine}) })
	}
}

// onAllHosts runs a test on each engine, and behind an Envoy that asks a module host.
func onAllHosts(t *testing.T, test func(t *testing.T, p ports)) {
	t.Helper()
	onEngines(t, test)
	t.Run(moduleHost, func(t *testing.T) { test(t, ports{Engine: moduleHost}) })
}

// inAllLayouts runs a test with all modules in one filter, with a filter each, and with a file each.
func inAllLayouts(t *testing.T, test func(t *testing.T, p ports)) {
	t.Helper()
	for _, layout := range []string{"together", "filters", "files"} {
		t.Run(layout, func(t *testing.T) { test(t, ports{Layout: layout}) })
	}
}

// everyWay runs a test on each engine, in all layouts.
func everyWay(t *testing.T, test func(t *testing.T, p ports)) {
	t.Helper()
	onEngines(t, func(t *testing.T, on ports) {
		t.Helper()
		inAllLayouts(t, func(t *testing.T, p ports) {
			t.Helper()
			p.Engine = on.Engine
			test(t, p)
		})
	})
}
