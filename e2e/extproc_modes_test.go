package e2e

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// startOwn runs `leash host serve` and an own Envoy that asks it.
func startOwn(t testing.TB, config string, own ownEnvoy, flags ...string) (g *gateway, provider *mock.Provider) {
	t.Helper()
	provider, url := startProvider(t, mock.Options{Control: true})
	g = prepare(t, config, ports{}.of(url))
	socket := socketPath(t)
	g.serveHost(socket)
	g.envoy(g.paste(g.renderExtProc(append(flags, "--host", socket)...), own))
	return g, provider
}

// mode is a filter whose bodies are sent so.
func mode(request, response string, more map[string]any) ownEnvoy {
	changes := map[string]any{"processing_mode": map[string]any{
		"request_body_mode": request, "response_body_mode": response, "request_trailer_mode": "SKIP", "response_trailer_mode": "SKIP",
	}, "allow_mode_override": true, "message_timeout": "2s"}
	merge(changes, more)
	return ownEnvoy{filter: changes}
}

func TestPoliciesWorkInEachBodyModeThatSuitsThem(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]ownEnvoy{
		"full duplex":          {},
		"buffered":             mode("BUFFERED", "BUFFERED", nil),
		"streamed, in advance": mode("STREAMED", "STREAMED", map[string]any{"send_body_without_waiting_for_header_response": true}),
	} {
		t.Run(name, func(t *testing.T) {
			g, provider := startOwn(t, policies, own)
			if got := content(t, g.chat("my card is 4111 1111 1111 1111, thanks")); got != "You said: my card is [card], thanks" {
				t.Errorf("the provider read %q", got)
			}
			if a := g.chat("tell me of Project Bluebird"); a.Status != 400 || a.errorCode() != "content_blocked" {
				t.Errorf("a blocked request: got %d %s", a.Status, a.Body)
			}
			if a := answered(t, g, provider, false, "the code is seal-12345 and done"); content(t, a) != "the code is [seal] and done" {
				t.Errorf("a redacted answer: got %s", a.Body)
			}
			if a := g.chat("say: an osprey"); a.Status != 400 || a.errorCode() != "content_blocked" {
				t.Errorf("a blocked answer: got %d %s", a.Status, a.Body)
			}
			if s := g.stream("say: the code is seal-12345 and seal-67890"); s.Text != "the code is [seal] and [seal]" {
				t.Errorf("a stream: got %q in %s", s.Text, s.Body)
			}
			if r := g.exchange("seal-12345"); r["status"] != 200.0 || r["outcome"] != "ok" {
				t.Errorf("recorded as %v", r)
			}
			long := strings.Repeat("x", 300<<10)
			if a := g.chat("say: " + long); content(t, a) != long {
				t.Errorf("a long body: got %d %.100s", a.Status, a.Body)
			}
			wantUpgradesRefused(t, g)
		})
	}
}

func TestPoliciesInABodyModeThatDoesNotSuitThemRefuse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		own ownEnvoy
		why string
	}{
		"no request body":        {mode("NONE", "BUFFERED", nil), "request_body_mode"},
		"no response body":       {mode("BUFFERED", "NONE", nil), "response_body_mode"},
		"a part of the body":     {mode("BUFFERED_PARTIAL", "BUFFERED", nil), "BUFFERED_PARTIAL"},
		"streamed, step by step": {mode("STREAMED", "STREAMED", nil), "send_body_without_waiting_for_header_response"},
		"observability":          {mode("STREAMED", "STREAMED", map[string]any{"observability_mode": true, "failure_mode_allow": true}), "observability_mode"},
	} {
		t.Run(name, func(t *testing.T) {
			g, _ := startOwn(t, policies, tc.own)
			if a := g.chat("say: hi"); a.Status < 500 && name != "observability" { // where Envoy does not wait, a complaint is all there is
				t.Errorf("got %d %s, want an error of the server", a.Status, a.Body)
			}
			nettest.Eventually(t, "the log to tell why", func() bool { return strings.Contains(g.stderr(), tc.why) })
		})
	}
}

func TestEnvoyIsAskedForNoMoreThanThePipelineNeeds(t *testing.T) {
	t.Parallel()
	// Requests are looked at for the model; in answers, ratelimit sets headers.
	const requestsOnly = head + `
pipeline:
  - module: auth
  - module: ratelimit
    config: {limits: [{by: key, requests: 1000, window: 1m}]}
`
	g, _ := startOwn(t, requestsOnly, mode("BUFFERED", "BUFFERED", map[string]any{"processing_mode": map[string]any{"response_header_mode": "SEND"}}))
	if a := g.chat("say: hi"); content(t, a) != "hi" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	stats := get(t, g.Admin+"/stats?filter=ext_proc").Body
	if !strings.Contains(stats, "http.own.ext_proc.leash.stream_msgs_sent: 3\n") {
		t.Errorf("Envoy has sent others than the request's headers, its body and the answer's headers:\n%s", stats)
	}
}

func TestDynamicMetadataGoesToModulesAndBack(t *testing.T) {
	t.Parallel()
	g, _ := startOwn(t, crashing(t, "policy"), ownEnvoy{
		before: []string{`{"name": "set", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
			"metadata": [{"metadata_namespace": "own", "value": {"who": "alice"}}]}}`},
		access: "own log: %RESPONSE_CODE% %DYNAMIC_METADATA(leash:leash.fact.who)% %DYNAMIC_METADATA(leash:leash.refused)%",
	}, "--host-metadata", "own")
	if a := g.chat("say: metadata"); a.Status != 200 {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	if got := strings.ToLower(received(t, g.ports.Provider)); !strings.Contains(got, "alice") {
		t.Error("the module has not read the metadata of the filter before it")
	}
	nettest.Eventually(t, "Envoy's own log to have what the module has set", func() bool { return strings.Contains(g.stderr(), "own log: 200 alice -") })
	g.chat("say: refuse later")
	nettest.Eventually(t, "Envoy's own log to have who refused", func() bool { return strings.Contains(g.stderr(), "own log: 403 - crash-policy refused_later") })
}

func TestAnswersOfEarlierFiltersPassTheModuleHost(t *testing.T) {
	t.Parallel()
	g, _ := startOwn(t, policies, ownEnvoy{before: []string{
		`{"name": "fault", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
			"abort": {"http_status": 418, "percentage": {"numerator": 100}}, "headers": [{"name": "x-teapot", "present_match": true}]}}`,
	}})
	r := g.request(chatBody("say: hi", false))
	r.Header.Set("X-Teapot", "yes")
	if a := do(t, r); a.Status != 418 || a.Body != "fault filter abort" {
		t.Errorf("got %d %s, want the other filter's answer", a.Status, a.Body)
	}
	if a := g.chat("say: hi"); a.Status != 200 {
		t.Errorf("another request: got %d %s", a.Status, a.Body)
	}
}

func TestModuleHostAndEnvoyProveThemselvesToEachOther(t *testing.T) {
	t.Parallel()
	ours, others := nettest.NewAuthority(t), nettest.NewAuthority(t)
	dir := t.TempDir()
	hostCert, hostKey := ours.IssueFiles(t, dir, "localhost")
	envoyCert, envoyKey := ours.IssueFiles(t, dir, "envoy")
	otherCert, otherKey := others.IssueFiles(t, dir, "intruder")
	for name, tc := range map[string]struct {
		flags []string
		want  int
	}{
		"both do":                           {[]string{"--host-ca", ours.File, "--host-cert", envoyCert, "--host-key", envoyKey}, 200},
		"an Envoy without a certificate":    {[]string{"--host-ca", ours.File}, 503},
		"an Envoy of somebody else":         {[]string{"--host-ca", ours.File, "--host-cert", otherCert, "--host-key", otherKey}, 503},
		"an Envoy that trusts another host": {[]string{"--host-ca", others.File, "--host-cert", envoyCert, "--host-key", envoyKey}, 503},
		"an Envoy in plain text":            {nil, 503},
	} {
		t.Run(name, func(t *testing.T) {
			_, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
			g := prepare(t, policies, ports{}.of(url))
			port := strconv.Itoa(nettest.FreePort(t))
			g.serveHost("127.0.0.1:"+port, "--tls-cert", hostCert, "--tls-key", hostKey, "--tls-client-ca", ours.File)
			g.envoy(g.renderExtProc(append(tc.flags, "--host", "localhost:"+port)...))
			var a answer
			nettest.Eventually(t, "an answer that does not come of the start", func() bool { a = g.chat("say: hi"); return a.Status == tc.want })
			if a.Status != tc.want {
				t.Errorf("got %d %s, want %d", a.Status, a.Body, tc.want)
			}
		})
	}
}

func TestModuleHostThatIsToEndLetsExchangesUnderWayEnd(t *testing.T) {
	t.Parallel()
	provider, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
	g := startModuleHost(t, policies, ports{}.of(url))
	provider.SetFaults(mock.Behavior{Pace: 50 * time.Millisecond})
	response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("say: a b c d e f g h i j k l m n o p", true)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	if err := g.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	nettest.Eventually(t, "readiness to be taken back", func() bool {
		r, err := http.Get(g.Control + "/readyz")
		if err != nil {
			return true // the stream has ended, and the host too
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusServiceUnavailable
	})
	body, err := io.ReadAll(response.Body)
	if s := readStream(t, answer{Status: response.StatusCode, Body: string(body)}); err != nil || s.Text != "a b c d e f g h i j k l m n o p" {
		t.Errorf("the stream under way: got %q, %v", s.Text, err)
	}
	<-g.ended
	if err := g.command.Wait(); err != nil {
		t.Errorf("the host ended with %v", err)
	}
	if r := g.exchange("a b c d e f"); r["outcome"] != "ok" {
		t.Errorf("recorded as %v", r)
	}
}

func TestChangedConfigurationIsAppliedByTheModuleHost(t *testing.T) {
	_, url := startProvider(t, mock.Options{Key: upstreamKey})
	testChangedConfiguration(t, start(t, policies, ports{Engine: moduleHost, Provider: url}))
}

// TestModuleHostLoadsAnewWhatIsBuiltAnewAndAtSIGHUP: both are as with `leash up`; a SIGHUP ended the host.
func TestModuleHostLoadsAnewWhatIsBuiltAnewAndAtSIGHUP(t *testing.T) {
	t.Parallel()
	_, url := startProvider(t, mock.Options{})
	g := prepare(t, policies, ports{}.of(url))
	hello := filepath.Join(t.TempDir(), "hello.wasm")
	wasm, err := os.ReadFile(filepath.Join(root(t), "build", "modules", "hello.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	build := func(wasm []byte) {
		t.Helper()
		if err := os.WriteFile(hello, wasm, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build(wasm)
	g.write(strings.Replace(policies, "pipeline:\n", "pipeline:\n  - {module: hello, kind: inspector, file: "+hello+"}\n", 1))
	g.serveHost(socketPath(t))
	loaded := func(generation int) {
		t.Helper()
		nettest.Eventually(t, "generation "+strconv.Itoa(generation), func() bool {
			return strings.Contains(get(t, g.Control+"/metrics").Body, "leash_host_pipeline_generation{pipeline=\"default\"} "+strconv.Itoa(generation)+"\n")
		})
	}
	loaded(1)
	build(append(wasm, 0, 5, 3, 'n', 'e', 'w', 1)) // a section of its own that says nothing
	loaded(2)
	if err := g.command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	loaded(3)
}

func TestManagementOfTheModuleHostIsForItsOwnUser(t *testing.T) {
	t.Parallel()
	_, url := startProvider(t, mock.Options{})
	g := prepare(t, policies, ports{}.of(url))
	socket, admin := socketPath(t), socketPath(t)
	g.serveHost(socket, "--admin", admin)
	for path, want := range map[string]string{socket: "660", admin: "600"} {
		out, err := exec.Command("stat", "-c", "%a", strings.TrimPrefix(path, "unix:")).Output() //nolint:gosec // our own socket
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("the socket %s has the mode %s, want %s (%v)", path, got, want, err)
		}
	}
}
