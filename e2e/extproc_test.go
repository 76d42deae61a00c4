package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// moduleHost is the engine of an Envoy that somebody else runs: it loads no Wasm, and asks `leash host serve`.
const moduleHost = "module host"

// startModuleHost runs `leash host serve` and an Envoy on what `leash render --target ext_proc` prints.
func startModuleHost(t testing.TB, config string, p ports) *gateway {
	t.Helper()
	g := prepare(t, config, p)
	socket := socketPath(t)
	g.serveHost(socket)
	g.envoy(g.renderExtProc("--host", socket))
	return g
}

// serveHost runs `leash host serve` on an address and waits until it is ready.
func (g *gateway) serveHost(listen string, flags ...string) {
	g.t.Helper()
	args := []string{"host", "serve", "-c", g.Config, "--listen", listen, "--http", strings.TrimPrefix(g.Control, "http://")}
	g.run(exec.Command(leash(g.t), append(args, flags...)...)) //nolint:gosec // our own command
	g.waitReady()
}

// socketPath is the address of a Unix socket that is not there yet.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "leash-e2e-") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return "unix:" + filepath.Join(dir, "host.sock")
}

// renderExtProc is what `leash render --target ext_proc` prints.
func (g *gateway) renderExtProc(flags ...string) string {
	g.t.Helper()
	command := exec.Command(leash(g.t), append([]string{"render", "--target", "ext_proc", "-c", g.Config}, flags...)...) //nolint:gosec // our own command
	command.Env = append(os.Environ(), "LEASH_TEST_KEY="+upstreamKey)
	command.Dir = root(g.t)
	out, err := command.Output()
	if err != nil {
		g.t.Fatalf("leash render: %v", err)
	}
	return string(out)
}

// envoy runs an Envoy on a bootstrap until the end of the test, with these environment variables besides, and waits until it is ready.
func (g *gateway) envoy(bootstrap string, variables ...string) {
	g.t.Helper()
	file := filepath.Join(g.t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		g.t.Fatal(err)
	}
	command := exec.Command(nettest.Envoy(g.t), "-c", file, "--concurrency", "2", "-l", "warning", "--use-dynamic-base-id", //nolint:gosec // Envoy
		"--file-flush-interval-msec", "50")
	command.Env = append(append(os.Environ(), "LEASH_TEST_KEY="+upstreamKey), variables...)
	command.Stdout, command.Stderr = &g.errors, &g.errors
	if err := command.Start(); err != nil {
		g.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	g.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = command.Process.Kill() })
		<-ended
		kill.Stop()
	})
	nettest.Eventually(g.t, "Envoy to be ready", func() bool {
		select {
		case <-ended:
			g.t.Fatalf("Envoy ended before it was ready:\n%s", g.stderr())
		default:
		}
		return isReady(g.Admin + "/ready")
	})
}

func TestPoliciesOnTheModuleHost(t *testing.T) {
	t.Parallel()
	testPolicies(t, ports{Engine: moduleHost})
}

// An own Envoy is one that an operator has: a listener, routes and clusters of his own, into which he pastes filters of Leash's.
type ownEnvoy struct {
	before  []string       // filters before them, as YAML
	between []string       // filters between any two of them
	behind  []string       // filters behind them
	filter  map[string]any // changes of the pasted filters
	routes  string         // before the one to the provider, as YAML
	access  string         // format of an access log on standard output
	limit   int            // of what a connection buffers; Envoy's own by default
}

const ownBootstrap = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
      per_connection_buffer_limit_bytes: %d
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: own
                upgrade_configs: [{upgrade_type: websocket}]
                route_config:
                  virtual_hosts: [{name: all, domains: ["*"], routes: [%s{match: {prefix: /}, route: {cluster: own, timeout: 60s}}]}]
                access_log: %s
                http_filters: %s
  clusters:
    - name: own
      type: STATIC
      load_assignment:
        cluster_name: own
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]
%s`

const routerFilter = `{"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}`

// paste makes the bootstrap of an own Envoy of what `leash render --target ext_proc` has printed: the filter and the cluster leash.host.
func (g *gateway) paste(rendered string, own ownEnvoy) string {
	g.t.Helper()
	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(rendered), &parsed); err != nil {
		g.t.Fatal(err)
	}
	filter, cluster := named(parsed, "leash.host", "typed_config"), named(parsed, "leash.host", "load_assignment")
	if filter == nil || cluster == nil {
		g.t.Fatalf("what was rendered lacks the filter or the cluster leash.host:\n%s", rendered)
	}
	merge(filter["typed_config"].(map[string]any), own.filter) //nolint:forcetypeassert // found by it
	return g.ownBootstrap(own, []string{asJSON(g.t, filter)}, cluster)
}

// ownBootstrap is that of an own Envoy with these filters of Leash's, and a cluster that they need.
func (g *gateway) ownBootstrap(own ownEnvoy, leashs []string, clusters ...any) string {
	g.t.Helper()
	filters := slices.Clone(own.before)
	for i, filter := range leashs {
		if i > 0 {
			filters = append(filters, own.between...)
		}
		filters = append(filters, filter)
	}
	filters = append(append(filters, own.behind...), routerFilter)
	log := "[]"
	if own.access != "" {
		log = asJSON(g.t, []any{map[string]any{"name": "envoy.access_loggers.stdout", "typed_config": map[string]any{
			"@type":      "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
			"log_format": map[string]any{"text_format_source": map[string]any{"inline_string": own.access + "\n"}},
		}}})
	}
	var further strings.Builder
	for _, cluster := range clusters {
		further.WriteString("    - " + asJSON(g.t, cluster) + "\n")
	}
	port := strings.TrimSuffix(g.ports.Provider[strings.LastIndex(g.ports.Provider, ":")+1:], "/v1")
	const envoysOwn = 1 << 20
	return fmt.Sprintf(ownBootstrap, g.ports.Admin, g.ports.Listen, cmp.Or(own.limit, envoysOwn), own.routes, log, "["+strings.Join(filters, ",")+"]", port, further.String())
}

// named finds the object of a name that has a field.
func named(in any, name, field string) map[string]any {
	var inside []any
	switch v := in.(type) {
	case map[string]any:
		if v["name"] == name && v[field] != nil {
			return v
		}
		for _, value := range v {
			inside = append(inside, value)
		}
	case []any:
		inside = v
	}
	for _, value := range inside {
		if found := named(value, name, field); found != nil {
			return found
		}
	}
	return nil
}

// merge puts changes into an object; nil removes.
func merge(into, changes map[string]any) {
	for key, value := range changes {
		deeper, isObject := value.(map[string]any)
		present, wasObject := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case isObject && wasObject:
			merge(present, deeper)
		default:
			into[key] = value
		}
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err == nil {
		text, err = yaml.YAMLToJSON(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRenderedExtProcIsValidForEnvoy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := nettest.NewAuthority(t)
	cert, key := ca.IssueFiles(t, dir, "envoy")
	for name, flags := range map[string][]string{
		"a Unix socket":   {"--host", "unix:/run/leash/host.sock"},
		"an address":      {"--host", "10.0.0.7:8083"},
		"mutual TLS":      {"--host", "host.example.com:8083", "--host-ca", ca.File, "--host-cert", cert, "--host-key", key},
		"inspectors only": {"--modules", "inspectors", "--host-pipeline", "watch", "--host-metadata", "envoy.filters.http.jwt_authn"},
	} {
		t.Run(name, func(t *testing.T) {
			g := prepare(t, policies, ports{Provider: "https://api.example.com/v1"})
			file := filepath.Join(t.TempDir(), "envoy.yaml")
			if err := os.WriteFile(file, []byte(g.renderExtProc(flags...)), 0o600); err != nil {
				t.Fatal(err)
			}
			command := exec.Command(nettest.Envoy(t), "--mode", "validate", "-c", file) //nolint:gosec // Envoy
			command.Env = append(os.Environ(), "LEASH_TEST_KEY="+upstreamKey)
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("envoy --mode validate: %v\n%s", err, out)
			}
		})
	}
}

func TestRequestsInAnotherAPIAreAnsweredByTheEnvoyOfAModuleHost(t *testing.T) {
	t.Parallel()
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g := startModuleHost(t, policies, ports{}.of(url))
	for _, d := range dialects {
		want := 501
		if slices.Contains(natives["openai"], d.name) {
			want = 200
		}
		a := do(t, d.request(g, "gpt-4o-mini", "say: hi", false))
		if a.Status != want || want == 501 && !strings.Contains(a.Body, "this gateway does not translate") {
			t.Errorf("%s: got %d %s, want %d", d.name, a.Status, a.Body, want)
		}
	}
}

// load asks from several sides until stop is called, or the test ends, and gives each answer to look.
func (g *gateway) load(look func(answer, error)) (stop func()) {
	var all sync.WaitGroup
	done := make(chan struct{})
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	for i := range 8 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				look(roundTrip(transport, g.request(chatBody("say: under load", i%2 == 0))))
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(done)
		all.Wait()
		transport.CloseIdleConnections()
	})
	g.t.Cleanup(stop)
	return stop
}

func roundTrip(transport http.RoundTripper, r *http.Request) (answer, error) {
	response, err := transport.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	var body bytes.Buffer
	_, err = body.ReadFrom(response.Body)
	return answer{response.StatusCode, response.Header, body.String()}, err
}

// During all of it the provider gets no request that the policies have not let pass: it would not have the header that
// route sets, and without it Envoy finds no way.
func TestPoliciesFailClosedWhenTheirHostIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g := prepare(t, policies, ports{}.of(url))
	socket := socketPath(t)
	g.serveHost(socket)
	g.envoy(g.renderExtProc("--host", socket))
	var passed, refused, broken, dead atomic.Int64
	stop := g.load(func(a answer, err error) {
		switch {
		case err != nil:
			broken.Add(1) // a stream that was under way
		case a.Status == 200:
			passed.Add(1)
		case a.Status >= 500:
			refused.Add(1)
		default:
			t.Errorf("got %d %.200s, want an answer of the provider or an error of the server", a.Status, a.Body)
		}
	})
	nettest.Eventually(t, "requests to pass", func() bool { return passed.Load() > 100 })
	g.end(syscall.SIGKILL)
	nettest.Eventually(t, "requests to be refused", func() bool { return refused.Load() > 100 })
	for range 20 {
		if a, err := roundTrip(http.DefaultTransport, g.request(chatBody("say: nobody looks", false))); err == nil && a.Status < 500 {
			t.Errorf("without the host: got %d %.200s, want an error", a.Status, a.Body)
		}
		dead.Add(1)
	}
	before := passed.Load()
	g.serveHost(socket)
	nettest.Eventually(t, "requests to pass again", func() bool { return passed.Load() > before+100 })
	stop()
	if strings.Contains(received(t, url), "nobody looks") {
		t.Error("a request that no policy has seen reached the provider")
	}
	t.Logf("%d passed, %d refused, %d broken off", passed.Load(), refused.Load(), broken.Load())
}

func TestPoliciesFailClosedWhenTheirHostHangs(t *testing.T) {
	t.Parallel()
	_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g := startModuleHost(t, policies, ports{}.of(url))
	if a := g.chat("say: hi"); a.Status != 200 {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	halt(t, g.command.Process)
	began := time.Now()
	a := g.chat("say: nobody looks")
	if took := time.Since(began); a.Status < 500 || took > 2*time.Minute {
		t.Errorf("got %d %s after %s, want an error in about 15 s, when Envoy's pings have not been answered", a.Status, a.Body, took)
	}
	if err := g.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	nettest.Eventually(t, "requests to pass again", func() bool { return g.chat("say: hi").Status == 200 })
	if strings.Contains(received(t, url), "nobody looks") {
		t.Error("a request that no policy has seen reached the provider")
	}
}

// halt stops a process, and waits until none of its threads runs any more: one of them is told, and has to find a processor before it tells the others.
func halt(t testing.TB, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	nettest.Eventually(t, "all threads to stop", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid)) // none where there is no /proc
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(threads, func(path string) bool {
			stat, _ := os.ReadFile(path) //nolint:gosec // from the glob; of a thread that has ended it is empty
			_, state, _ := strings.Cut(string(stat), ") ")
			return !strings.HasPrefix(state, "T") && state != ""
		})
	})
}

func TestInspectorsFailOpenWhenTheirHostIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	_, url := startProvider(t, mock.Options{Control: true})
	g := prepare(t, policies, ports{}.of(url))
	socket := socketPath(t)
	g.serveHost(socket, "--modules", "inspectors")
	g.envoy(g.paste(g.renderExtProc("--host", socket, "--modules", "inspectors"), ownEnvoy{}))
	var passed atomic.Int64
	stop := g.load(func(a answer, err error) {
		if err != nil || a.Status != 200 || !strings.Contains(a.Body, "load") {
			t.Errorf("got %d %.200s, %v, want the provider's answer, whatever becomes of the inspectors", a.Status, a.Body, err)
			return
		}
		passed.Add(1)
	})
	more := func(what string) {
		t.Helper()
		before := passed.Load()
		nettest.Eventually(t, what, func() bool { return t.Failed() || passed.Load() > before+200 })
	}
	more("requests to pass")
	g.end(syscall.SIGKILL)
	more("requests to pass without the host")
	g.serveHost(socket, "--modules", "inspectors")
	more("requests to pass with the next host")
	stop()
	g.chat("say: seen again")
	if r := g.exchange("seen again"); r["model"] != "gpt-4o-mini" || r["status"] != 200.0 || r["outcome"] != "ok" || r["output_tokens"] != 2.0 {
		t.Errorf("the exchange is recorded as %v", r)
	}
}
