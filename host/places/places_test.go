// Package places_test runs one module, a probe, on one leash.yaml in all places where modules run: Envoy, the embedded gateway, an Envoy
// with a Module Host (ext_proc), and the harness. docs/reference/places.md is what it saw.
package places_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/extproc"
	"github.com/leash-gateway/leash/host/gateway"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/internal/nettest"
)

const modulesDir = "../../build/modules"

// chat is what the client sends, answer what the provider says.
const (
	chat   = `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`
	answer = `{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`
)

// place is where modules run, with what the probe wrote there.
type place struct {
	name string
	run  func(*testing.T, *rig) []string
	seen seen
}

// rig is what all places have in common.
type rig struct {
	config *config.Config
	dir    string
	listen string
	admin  string
}

// lines collects what the probe writes.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func allPlaces() []*place {
	return []*place{{name: "Envoy", run: onEnvoy}, {name: "gateway", run: onGateway}, {name: "ext_proc", run: onExtProc}, {name: "harness", run: onHarness}}
}

func TestModulesSeeTheSameInAllPlaces(t *testing.T) {
	places := allPlaces()
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) { p.seen = read(p.run(t, newRig(t))) })
	}
	if t.Failed() {
		return
	}
	for _, p := range places[1:] {
		for key, value := range p.seen.values {
			if want, known := places[0].seen.values[key]; known && value != want && !excused[key] {
				t.Errorf("%s is %q in the %s, and %q in Envoy", key, value, p.name, want)
			}
		}
		for key := range p.seen.values {
			if _, known := places[0].seen.values[key]; !known {
				t.Logf("%s is there in the %s, not in Envoy", key, p.name)
			}
		}
	}
	golden.Assert(t, string(table(places)), "../../../docs/reference/places.md")
}

// TestModulesMayWhatTheirManifestsNameInAllPlaces has a probe whose manifest names all but one host call and one callback.
func TestModulesMayWhatTheirManifestsNameInAllPlaces(t *testing.T) {
	const refusedCall, refusedPhase = "proxy_set_shared_data", "proxy_on_request_body"
	named := abi.ModuleCallbacks()
	for _, f := range abi.HostFunctions() {
		named = append(named, f.Name)
	}
	named = slices.DeleteFunc(named, func(name string) bool { return name == refusedCall || name == refusedPhase })
	for _, p := range allPlaces() {
		t.Run(p.name, func(t *testing.T) {
			r := newRig(t)
			r.config.Admit("probe", config.Admitted{Allow: named})
			got := read(p.run(t, r))
			if got.functions[refusedCall] != abi.InternalFailure.String() || got.functions["proxy_define_metric"] != abi.OK.String() {
				t.Errorf("what it may not answers %s, what it may %s", got.functions[refusedCall], got.functions["proxy_define_metric"])
			}
			if got.phases[refusedPhase] || !got.phases["proxy_on_request_headers"] || !got.phases["proxy_on_response_body"] {
				t.Errorf("it was called for %v", got.phases)
			}
		})
	}
}

// excused are values that differ, and why.
var excused = map[string]bool{
	// Envoy's router puts the provider's name into the headers; the others, or the Envoy in front of them, into what is sent only.
	"proxy_on_log request.host": true,
}

// newRig is a leash.yaml with the probe in its pipeline, and a provider.
func newRig(t *testing.T) *rig {
	t.Helper()
	provider := http.NewServeMux()
	provider.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("x-server", "provider")
		w.Header().Set("content-type", "application/json")
		w.Header().Set(http.TrailerPrefix+"x-end", "1")
		_, _ = io.WriteString(w, answer)
	})
	r := &rig{dir: t.TempDir(), listen: nettest.FreeAddress(t), admin: nettest.FreeAddress(t)}
	file := filepath.Join(r.dir, "leash.yaml")
	if err := os.WriteFile(filepath.Join(r.dir, "probe.wasm"), probe(), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := fmt.Sprintf(`listen: %s
envoy: {admin: "%s"}
allow_anonymous: true
providers: {p: {base_url: "http://%s/v1"}}
routes: [{model: "*", provider: p}]
pipeline: [{module: probe, file: probe.wasm, kind: policy}]
`, r.listen, r.admin, serve(t, provider))
	c, err := config.Parse(file, []byte(yaml), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	r.config = c
	return r
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// ask sends the chat, over HTTP/2 and with trailers, until somebody listens, and waits until the probe has written its last line.
func (r *rig) ask(t *testing.T, got *lines) []string {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	nettest.Succeeds(t, "an answer", func() error {
		request, err := http.NewRequest(http.MethodPost, "http://"+r.listen+"/v1/chat/completions?q=1", io.NopCloser(strings.NewReader(chat)))
		if err != nil {
			return err
		}
		request.ContentLength = int64(len(chat))
		request.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"probe"}, "X-Probe": {"yes"}, "Referer": {"http://from/"}}
		request.Host = "leash.test"
		request.Trailer = http.Header{"X-Last": {"1"}}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s %w", response.Status, text, err)
		}
		return nil
	})
	return r.ended(t, got)
}

func (r *rig) ended(t *testing.T, got *lines) []string {
	t.Helper()
	nettest.Succeeds(t, "the end of the probe", func() error {
		for _, line := range []string{endMark, phaseMark + "proxy_on_tick", phaseMark + "proxy_on_http_call_response"} {
			if !slices.Contains(got.take(), line) && (line == endMark || !r.quiet(got)) {
				return fmt.Errorf("no %q among %d lines", line, len(got.take()))
			}
		}
		return nil
	})
	return got.take()
}

// quiet tells whether nothing more is written for a while: what has not come by then does not come.
func (*rig) quiet(got *lines) bool {
	before := len(got.take())
	<-time.After(2 * time.Second)
	return len(got.take()) == before
}

// wasmLine is a line of a module in Envoy's log: "… wasm log NAME…: message".
var wasmLine = regexp.MustCompile(`\] wasm log[^:]*probe[^:]*: (.*)$`)

// startEnvoy runs Envoy with a bootstrap until the test ends.
func startEnvoy(t *testing.T, bootstrap []byte) *lines {
	t.Helper()
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, nettest.Envoy(t), "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "warning", "--component-log-level", "wasm:info") //nolint:gosec // the Envoy of the one who tests
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	var got lines
	var all bytes.Buffer
	out, in := io.Pipe()
	command.Stderr = in
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		text := make([]byte, 64<<10)
		rest := ""
		for {
			n, err := out.Read(text)
			all.Write(text[:n])
			rest += string(text[:n])
			for {
				line, after, whole := strings.Cut(rest, "\n")
				if !whole {
					break
				}
				rest = after
				if found := wasmLine.FindStringSubmatch(line); found != nil {
					got.add(found[1])
				}
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = command.Wait()
		_ = in.Close()
		<-read
		if t.Failed() {
			t.Log(all.String())
		}
	})
	return &got
}

func onEnvoy(t *testing.T, r *rig) []string {
	t.Helper()
	dir, err := filepath.Abs(modulesDir)
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, err := envoy.Render(r.config, envoy.Options{ModulesDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r.ask(t, startEnvoy(t, bootstrap))
}

// logTo is a slog.Handler that keeps messages.
type logTo struct{ *lines }

func (logTo) Enabled(context.Context, slog.Level) bool { return true }
func (l logTo) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l logTo) WithGroup(string) slog.Handler          { return l }
func (l logTo) Handle(_ context.Context, r slog.Record) error {
	l.add(r.Message)
	return nil
}

func onGateway(t *testing.T, r *rig) []string {
	t.Helper()
	var got lines
	ctx := context.Background()
	g, err := gateway.New(ctx, gateway.Settings{CacheDir: abi.DefaultCacheDir(), Workers: 1, Log: slog.New(logTo{&got})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(ctx) })
	if err := g.Apply(ctx, r.config, gateway.Options{ModulesDir: modulesDir}); err != nil {
		t.Fatal(err)
	}
	server := &gateway.Server{Handler: g}
	listener, err := server.Bind(ctx, r.listen)
	if err != nil {
		t.Fatal(err)
	}
	server.Serve(listener, r.listen)
	t.Cleanup(func() { server.Close(time.Second) })
	return r.ask(t, &got)
}

func onExtProc(t *testing.T, r *rig) []string {
	t.Helper()
	var got lines
	ctx, cancel := context.WithCancel(context.Background())
	host, err := extproc.New(ctx, extproc.Options{Engine: abi.Options{CacheDir: abi.DefaultCacheDir()}, Workers: 1, Log: slog.New(logTo{&got})})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := extproc.FromConfig(r.config, modulesDir, extproc.All)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.Load(ctx, spec); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(r.dir, "host.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- extproc.NewService(host, extproc.ServiceOptions{DrainTimeout: time.Second}).Serve(ctx, listener)
	}()
	t.Cleanup(func() {
		cancel()
		<-served
		_ = host.Close(context.Background())
	})
	bootstrap, err := envoy.RenderExtProc(r.config, envoy.Options{}, envoy.ExtProc{
		Address: "unix:" + socket, Policy: true, RequestBody: true, ResponseHeaders: true, ResponseBody: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	startEnvoy(t, bootstrap)
	return r.ask(t, &got)
}

func onHarness(t *testing.T, r *rig) []string {
	t.Helper()
	h, err := harness.New(context.Background(), harness.Options{CacheDir: abi.DefaultCacheDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	// The harness speaks no protocol, and has no cluster but its own.
	setup := harness.Setup{Properties: map[string]any{"request.protocol": "HTTP/2", "xds.cluster_name": "provider.p"}, Callouts: map[string][]harness.Answer{"provider.p": {{Body: answer}}}}
	for _, f := range r.config.Filters() {
		file := f.File
		if !f.Own {
			file = filepath.Join(modulesDir, file)
		}
		setup.Modules = append(setup.Modules, harness.Module{Name: f.Name, File: file, Config: string(f.Config), Allow: f.Allow})
	}
	p, err := h.Start(context.Background(), setup)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	got, err := p.Exchange(context.Background(), harness.Request{
		Path: "/v1/chat/completions?q=1", Authority: "leash.test", Body: chat, Trailers: harness.Headers{{"x-last", "1"}},
		Headers: harness.Headers{{"user-agent", "probe"}, {"x-probe", "yes"}, {"referer", "http://from/"}, {"content-length", fmt.Sprint(len(chat))}},
		Answer:  harness.Answer{Body: answer, Headers: harness.Headers{{"x-server", "provider"}}, Trailers: harness.Headers{{"x-end", "1"}}},
	})
	if err != nil || got.Status != http.StatusOK || len(got.Crashes) > 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	var all []string
	for _, line := range p.Logs() {
		all = append(all, line.Message)
	}
	return all
}
