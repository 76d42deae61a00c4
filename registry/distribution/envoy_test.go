package distribution_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/catalog/catalogtest"
	"github.com/leash-gateway/leash/registry/distribution"
)

// bootstrap is somebody else's: what is Leash's comes from the snippet.
const bootstrap = `
node: {id: %s, cluster: edge}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
stats_flush_interval: 0.2s
%s
static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          route_config:
            virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}]
          http_filters:
%s
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - {name: app, load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}}
%s
`

// compose puts snippets into the bootstrap. They have the cluster and the sink in common.
func compose(t testing.TB, node string, admin, port, app int, snippets ...distribution.Snippet) string {
	t.Helper()
	filters, clusters, sinks := "", "", ""
	for _, s := range snippets {
		text, err := s.Render()
		if err != nil {
			t.Fatal(err)
		}
		head, rest, _ := strings.Cut(string(text), "clusters: # of static_resources\n")
		_, filter, _ := strings.Cut(head, "before the router\n")
		clusters, sinks, _ = strings.Cut(rest, "stats_sinks:")
		filters += indented(filter, 10) + "\n"
	}
	return fmt.Sprintf(bootstrap, node, admin, "stats_sinks:"+sinks, port, filters, app, indented(clusters, 2))
}

// policySlot is the snippet of most tests: one that refuses until its module is there, from the beginning on. It is alone, so that it is known
// when what is loaded.
func (r *registry) policySlot() distribution.Snippet {
	return distribution.Snippet{Slot: slot(r.t, "leash/"+module+"@stable"), Kind: manifest.Policy, Registry: r.Address, NoStandby: true}
}

func slot(t testing.TB, name string) distribution.Slot {
	t.Helper()
	s, err := distribution.ParseSlot(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// An envoy is a running one.
type envoy struct {
	URL, Admin string

	t       testing.TB
	command *exec.Cmd
	log     *os.File
	app     *app
}

// An app is what is behind the Envoys: it answers with the version that the module has told it.
type app struct {
	port int
	// held is closed when /held was asked, and is answered when release is called.
	held    chan struct{}
	release func()
}

func newApp(t testing.TB) *app {
	t.Helper()
	released := make(chan struct{})
	a := &app{held: make(chan struct{}), release: sync.OnceFunc(func() { close(released) })}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			close(a.held)
			<-released
		}
		_, _ = io.WriteString(w, "asked with "+r.Header.Get("X-Version"))
	}))
	t.Cleanup(server.Close)
	t.Cleanup(a.release)
	a.port = server.Listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert,errorlint // a TCP listener has it
	return a
}

// startEnvoy starts one and waits until it answers. The end of the test ends it.
func startEnvoy(t testing.TB, node string, snippets ...distribution.Snippet) *envoy {
	t.Helper()
	admin, port := nettest.FreePort(t), nettest.FreePort(t)
	app := newApp(t)
	return startEnvoyOn(t, compose(t, node, admin, port, app.port, snippets...), admin, port, app)
}

func startEnvoyOn(t testing.TB, bootstrap string, admin, port int, app *app) *envoy {
	t.Helper()
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(file + ".log")
	if err != nil {
		t.Fatal(err)
	}
	e := &envoy{URL: fmt.Sprintf("http://127.0.0.1:%d", port), Admin: fmt.Sprintf("http://127.0.0.1:%d", admin), t: t, log: log, app: app}
	e.command = exec.Command(nettest.Envoy(t), "-c", file, "--disable-hot-restart", "--concurrency", "2", "-l", "warning", "--component-log-level", "wasm:info")
	e.command.Stderr = log
	if err := e.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.kill)
	nettest.Eventually(t, "envoy to listen", func() bool { return e.get() != "" })
	return e
}

func (e *envoy) kill() {
	if e.command.ProcessState != nil {
		return
	}
	_ = e.command.Process.Kill()
	_ = e.command.Wait()
	if e.t.Failed() {
		text, _ := os.ReadFile(e.log.Name())
		e.t.Logf("log of envoy:\n%s", text)
	}
	_ = e.log.Close()
}

// get is status, version and body of an answer; "" if there is none.
func (e *envoy) get() string { return e.ask("/") }

func (e *envoy) ask(path string) string {
	response, err := http.Get(e.URL + path)
	if err != nil {
		return ""
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", response.StatusCode, response.Header.Get("X-Version"), bytes.TrimSpace(body)))
}

// ready says whether Envoy says that it takes traffic.
func (e *envoy) ready() bool {
	response, err := http.Get(e.Admin + "/ready")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// A load asks all the time, from several sides.
type load struct {
	ended atomic.Bool
	all   sync.WaitGroup

	mu     sync.Mutex
	counts map[string]int64
}

// underLoad begins a load, and waits until there is one.
func (e *envoy) underLoad() *load {
	l := &load{counts: map[string]int64{}}
	for range 4 {
		l.all.Go(func() {
			for !l.ended.Load() {
				got := e.get()
				l.mu.Lock()
				l.counts[got]++
				l.mu.Unlock()
			}
		})
	}
	nettest.Eventually(e.t, "load", func() bool { return l.total() > 20 })
	return l
}

func (l *load) total() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.counts {
		n += one
	}
	return n
}

// of is how often there was an answer.
func (l *load) of(answer string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[answer]
}

// stop ends the load, and fails the test if there was any answer but those.
func (l *load) stop(t testing.TB, answers ...string) {
	t.Helper()
	l.ended.Store(true)
	l.all.Wait()
	for got, n := range l.counts {
		if !slices.Contains(answers, got) {
			t.Errorf("%d requests under load were answered %q", n, got)
		}
	}
}

// with is what an Envoy answers whose module is of a version.
func with(version string) string { return "200 " + version + " asked with " + version }

// waitFor waits until all of Envoy's workers answer so: one has what is new some milliseconds before the other. Which of them a connection gets is
// chance, so it takes several.
func (e *envoy) waitFor(want string) {
	e.t.Helper()
	nettest.Eventually(e.t, "envoy to answer "+want, func() bool {
		for range 20 {
			http.DefaultClient.CloseIdleConnections()
			if e.get() != want {
				return false
			}
		}
		return true
	})
}

func TestPromotionReachesSomebodyElsesEnvoyWithoutAFailedRequestOrAMixedExchange(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good))
	e := startEnvoy(t, "edge-1", r.policySlot())
	if got := e.get(); !strings.HasPrefix(got, "503") || !strings.Contains(got, "policy_not_loaded") {
		t.Errorf("a policy's slot without a module answers %s", got)
	}
	r.promote("1.0.0")
	e.waitFor(with("1.0.0"))
	held := make(chan string, 1)
	go func() { held <- e.ask("/held") }()
	<-e.app.held
	// The promise is a time, and others may keep the machine busy: the best of several tries.
	best := time.Hour
	for i := 0; i < 3 || best > time.Second && i < 20; i++ {
		version := []string{"1.1.0", "1.0.0"}[i%2]
		l := e.underLoad()
		began := time.Now()
		r.promote(version)
		e.waitFor(with(version))
		best = min(best, time.Since(began))
		n := l.of(with(version))
		nettest.Eventually(t, "load with the new version", func() bool { return l.of(with(version)) > n+100 })
		l.stop(t, with("1.0.0"), with("1.1.0"))
	}
	t.Logf("a promotion took %s", best)
	if best > time.Second {
		t.Errorf("a promotion took %s, want at most 1s", best)
	}
	e.app.release()
	if got := <-held; got != with("1.0.0") {
		t.Errorf("an exchange that began before is answered %q, want that it ends with the version that it began with", got)
	}
}

func TestEnvoysSubscribeInEveryWay(t *testing.T) {
	t.Parallel()
	const ads = "\ndynamic_resources: {ads_config: {api_type: %s, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: leash.registry}}]}}\n"
	for name, tc := range map[string]struct {
		ads   string
		plain string
	}{
		"plain, incremental":        {"", "DELTA_GRPC"},
		"plain, state of the world": {"", "GRPC"},
		"ADS, incremental":          {"DELTA_GRPC", ""},
		"ADS, state of the world":   {"GRPC", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil, distribution.Options{})
			r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good), greeter(t, "1.2.0", "policy", trapsOnConfigure))
			r.promote("1.0.0")
			admin, port, app := nettest.FreePort(t), nettest.FreePort(t), newApp(t)
			first, second := r.policySlot(), r.policySlot()
			second.Slot.Channel = "next"
			first.ADS, second.ADS = tc.ads != "", tc.ads != ""
			first.NoStandby = false
			text := strings.ReplaceAll(compose(t, "edge-1", admin, port, app.port, first, second), "api_type: DELTA_GRPC", "api_type: "+tc.plain)
			if tc.ads != "" {
				text += fmt.Sprintf(ads, tc.ads)
			}
			e := startEnvoyOn(t, text, admin, port, app)
			nettest.Eventually(t, "the slot on standby to refuse the newest", func() bool {
				return strings.Contains(r.status(onStandby).Reason, "Unable to create Wasm") || r.running(onStandby) == "1.0.0"
			})
			// One slot's filling is not held up by another's, which has nothing yet.
			nettest.Eventually(t, "the first slot", func() bool {
				return strings.Contains(e.get(), "policy_not_loaded") && r.state("leash/acme/greeter@stable") == distribution.Current
			})
			if _, err := r.Catalogue.Promote(t.Context(), catalogtest.Me, catalog.Promotion{Module: module, Channel: "next", Version: "1.1.0"}); err != nil {
				t.Fatal(err)
			}
			nettest.Eventually(t, "both slots", func() bool { return strings.HasPrefix(e.get(), "200") })
			r.promote("1.2.0")
			nettest.Eventually(t, "the rollback", func() bool { return r.points("stable") == "1.0.0" })
			address := r.Address
			r.stop()
			r.start(address)
			nettest.Eventually(t, "both slots after a restart", func() bool {
				return r.state("leash/acme/greeter@stable") == distribution.Current && r.state("leash/acme/greeter@next") == distribution.Current
			})
			r.promote("1.1.0")
			nettest.Eventually(t, "a promotion after a restart", func() bool {
				return strings.HasPrefix(e.get(), "200 1.1.0") && r.running("leash/acme/greeter@stable") == "1.1.0"
			})
		})
	}
}

func TestPolicyRefusesAndInspectorPassesWhileThereIsNoModule(t *testing.T) {
	t.Parallel()
	nowhere := nettest.FreeAddress(t) // the registry is down
	for name, tc := range map[string]struct {
		kind manifest.Kind
		wait time.Duration
		ads  bool
		want string
	}{
		"a policy":                         {manifest.Policy, 0, false, "503"},
		"a policy that is waited for":      {manifest.Policy, 300 * time.Millisecond, false, "503"},
		"an inspector":                     {manifest.Inspector, 0, false, "200  asked with"},
		"an inspector is never waited for": {manifest.Inspector, time.Hour, false, "200  asked with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := distribution.Snippet{Slot: slot(t, "leash/acme/greeter@stable"), Kind: tc.kind, Registry: nowhere, Wait: tc.wait}
			e := startEnvoy(t, "edge-1", s)
			nettest.Eventually(t, "envoy to be ready", e.ready)
			if got := e.get(); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestEnvoyBecomesReadyThoughItsChannelPointsAtNothing, and though it waits for its module: an answer that there is none made Envoy 1.40 wait
// for ever.
func TestEnvoyBecomesReadyThoughItsChannelPointsAtNothing(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	s := r.policySlot()
	s.Wait = time.Second
	e := startEnvoy(t, "edge-1", s)
	nettest.Eventually(t, "envoy to be ready", e.ready)
	if got := e.get(); !strings.Contains(got, "policy_not_loaded") {
		t.Errorf("got %s", got)
	}
	r.publish(greeter(t, "1.0.0", "policy", trapsOnConfigure), greeter(t, "1.0.1", "policy", good))
	r.promote("1.0.0")
	another := startEnvoy(t, "edge-2", s) // whose module does not load
	nettest.Eventually(t, "envoy to be ready with a module that does not load", another.ready)
	r.promote("1.0.1")
	e.waitFor(with("1.0.1"))
	another.waitFor(with("1.0.1"))
}

func TestRegistryThatIsDownChangesNothingInEnvoysThatRun(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good), greeter(t, "1.1.0", "policy", good))
	r.promote("1.0.0")
	e := startEnvoy(t, "edge-1", r.policySlot())
	e.waitFor(with("1.0.0"))
	l := e.underLoad()
	address := r.Address
	r.stop()
	n := l.total()
	nettest.Eventually(t, "requests without a registry", func() bool { return l.total() > n+500 })
	l.stop(t, with("1.0.0"))
	r.promote("1.1.0") // by another process, say
	l = e.underLoad()
	r.start(address)
	e.waitFor(with("1.1.0"))
	l.stop(t, with("1.0.0"), with("1.1.0"))
}

// TestEnvoyReachesARegistryByItsName: one that has an address of IPv6 too, at which nobody listens, as localhost has for Envoy.
func TestEnvoyReachesARegistryByItsName(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil, distribution.Options{})
	r.publish(greeter(t, "1.0.0", "policy", good))
	r.promote("1.0.0")
	s := r.policySlot()
	_, port, _ := strings.Cut(s.Registry, ":")
	s.Registry = "localhost:" + port
	startEnvoy(t, "edge-1", s).waitFor(with("1.0.0"))
}
