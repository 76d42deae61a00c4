package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// underLoad asks from several sides until the returned function is called, which returns how many requests were answered. One that was not
// fails the test.
func underLoad(t *testing.T, g *gateway) (stop func() int64) {
	t.Helper()
	var count atomic.Int64
	var failed sync.Once
	end := g.load(func(a answer, err error) {
		if err == nil && a.Status == http.StatusOK {
			count.Add(1)
			return
		}
		failed.Do(func() { t.Errorf("under load: got %d %.200s (%v), want 200", a.Status, a.Body, err) })
	})
	return func() int64 {
		end()
		return count.Load()
	}
}

func testChangedConfiguration(t *testing.T, g *gateway) {
	stop := underLoad(t, g)
	for _, word := range []string{"nightingale", "kingfisher", "goldcrest"} {
		if a := g.chat("say: " + word); a.Status != 200 {
			t.Fatalf("%s before the change: got %d %s", word, a.Status, a.Body)
		}
		g.block(word)
	}
	if n := stop(); n < 100 {
		t.Errorf("only %d requests were sent under load", n)
	}
}

// block changes the rule of policies, and waits until that holds.
func (g *gateway) block(word string) {
	g.t.Helper()
	g.write(strings.Replace(policies, "project bluebird", word, 1))
	nettest.Eventually(g.t, "the new rule", func() bool { return g.chat("say: "+word).Status == 400 })
}

// BenchmarkAChangedConfigurationIsApplied measures from the moment in which the file is written.
func BenchmarkAChangedConfigurationIsApplied(b *testing.B) {
	for _, engine := range []string{"envoy", "embedded", moduleHost} {
		b.Run(engine, func(b *testing.B) {
			p := ports{Engine: engine, Timed: true}
			_, p.Provider = startProvider(b, mock.Options{Key: upstreamKey})
			g := start(b, policies, p)
			for i := 0; b.Loop(); i++ {
				g.block("nightingale" + strconv.Itoa(i))
			}
		})
	}
}

var reloadTests = []changeTest{
	{"streams end under the configuration they began with", testStreamsEndUnderTheConfigurationTheyBeganWith},
	{"SIGHUP reads the secrets again", testSIGHUPReadsTheSecretsAgain},
	{"an invalid configuration is never deployed", testInvalidConfigurationIsNeverDeployed},
	{"providers come and go under load", testProvidersComeAndGoUnderLoad},
	{"open connections go the new way", testOpenConnectionsGoTheNewWay},
	{"the gateway moves to another address", testGatewayMovesToAnotherAddress}, // which the others do not know
}

func testStreamsEndUnderTheConfigurationTheyBeganWith(t *testing.T, g *gateway) {
	provider, url := startProvider(t, mock.Options{Key: upstreamKey})
	g.change(policies, url)
	provider.SetFaults(mock.Behavior{Pace: 100 * time.Millisecond, Times: 1})
	const text = "one two three four five six seven eight nine ten goldcrest"
	response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("say: "+text, true)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	if _, err := io.ReadFull(response.Body, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	g.write(strings.Replace(policies, "project bluebird", "goldcrest", 1))
	nettest.Eventually(t, "the new rule for new exchanges", func() bool { return g.chat("say: goldcrest").Status == 400 })
	rest, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(rest), "goldcrest") || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("the stream ended with %v: %s", err, rest)
	}
	if r := g.exchange(response.Header.Get("X-Request-Id")); r["outcome"] != "ok" {
		t.Errorf("logged as %v, want ok", r)
	}
}

func testSIGHUPReadsTheSecretsAgain(t *testing.T, g *gateway) {
	provider, url := startProvider(t, mock.Options{Control: true})
	_ = provider
	key := filepath.Join(g.dir(), "key")
	if err := os.WriteFile(key, []byte("sk-first-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.change(strings.Replace(policies, "{env: LEASH_TEST_KEY}", "{file: "+key+"}", 1), url)
	g.chat("say: hi")
	if err := os.WriteFile(key, []byte("sk-second-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = g.command.Process.Signal(syscall.SIGHUP)
	nettest.Eventually(t, "the second key at the provider", func() bool {
		g.chat("say: hi")
		return strings.Contains(received(t, url), "sk-second-key")
	})
	wantNowhere(t, g, map[string]string{"the first key": "sk-first-key", "the second key": "sk-second-key"}, map[string]string{"the rendered bootstrap": render(t, g)})
}

func testInvalidConfigurationIsNeverDeployed(t *testing.T, g *gateway) {
	_, url := startProvider(t, mock.Options{Key: upstreamKey})
	file, err := buildCrash()
	if err != nil {
		t.Fatalf("build the module crash: %v\n%s", err, file)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nobody connects
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("neither Wasm nor PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.change(policies, url)
	stop, place := underLoad(t, g), regexp.MustCompile(regexp.QuoteMeta(g.Config)+`:\d+:\d+: `)
	for name, tc := range map[string]struct{ old, changed, want string }{
		"an unknown field":          {"limits: {request_bytes", "limits: {request_bites", ":19:10: limits.request_bites: unknown field (did you mean request_bytes?)"},
		"a wrong type":              {"request_bytes: 1MiB", "request_bytes: [1]", "limits.request_bytes"},
		"an unknown provider":       {"provider: openai}", "provider: opnai}", "did you mean openai?"},
		"a module's own complaint":  {"action: block}", "action: blok}", "pipeline[4].config.rules[0]"},
		"a broken pattern":          {`\bseal-`, `(seal-`, "pipeline[4].config.rules[3]"},
		"a module that cannot load": {"pipeline:", "pipeline:\n  - {module: crash-policy, file: " + file + ", kind: policy, config: {fail: true}}", "pipeline[0]"},
		"a file that is no Wasm":    {"pipeline:", "pipeline:\n  - {module: own, file: " + text + ", kind: policy}", "pipeline[0]"},
		"a certificate that is none": {`{base_url: "{{.Provider}}", api_key: {env: LEASH_TEST_KEY}}`,
			`{base_url: "https://127.0.0.1:1/v1", ca_file: ` + text + `}`, "providers.openai"},
		"an address that is taken": {"listen: 127.0.0.1:{{.Listen}}", "listen: " + taken.Addr().String(), ":2:9: listen: "},
		"a fixed address":          {"admin: 127.0.0.1:{{.Admin}}", "admin: 127.0.0.1:9", "cannot change while leash runs"},
		"no file at all":           {"pipeline:", "pipeline:\n  - {module: own, file: nowhere.wasm, kind: policy}", "pipeline[0].file"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(policies, tc.old, tc.changed, 1)
			if changed == policies {
				t.Fatalf("%q is not in the configuration", tc.old)
			}
			before := len(g.stderr())
			g.write(changed)
			nettest.Eventually(t, "the error on standard error", func() bool {
				return strings.Contains(g.stderr()[before:], "the old one goes on") && place.MatchString(g.stderr()[before:])
			})
			if got := g.stderr()[before:]; !strings.Contains(got, tc.want) {
				t.Errorf("the error is %s, want it to contain %q", got, tc.want)
			}
			if a := g.with(t).chat("say: project bluebird"); a.Status != 400 {
				t.Errorf("the old configuration: got %d, want its rule in force", a.Status)
			}
		})
	}
	g.write(strings.Replace(policies, "project bluebird", "goldcrest", 1))
	nettest.Eventually(t, "a valid configuration after all", func() bool { return g.chat("say: goldcrest").Status == 400 })
	stop()
}

func testProvidersComeAndGoUnderLoad(t *testing.T, g *gateway) {
	_, url := startProvider(t, mock.Options{Key: upstreamKey})
	_, second := startProvider(t, mock.Options{Key: upstreamKey})
	alone := strings.Replace(policies, "{model: gpt-4o-mini, provider: openai}", "{model: gpt-4o-mini, targets: [{provider: openai}, {provider: openai, model: gpt-4o}]}", 1)
	for name, failover := range map[string]string{"one after the other": "{}", "two at once": "{hedge: 1m}"} {
		t.Run(name, func(t *testing.T) {
			both := strings.Replace(strings.Replace(policies, "providers:\n", "providers:\n  other: {base_url: "+strconv.Quote(second)+", api_key: {env: LEASH_TEST_KEY}}\n", 1),
				"{model: gpt-4o-mini, provider: openai}", "{model: gpt-4o-mini, failover: "+failover+", targets: [{provider: other}, {provider: openai}]}", 1)
			alone := strings.Replace(alone, "targets: [{provider: openai}", "failover: "+failover+", targets: [{provider: openai}", 1)
			g := g.with(t)
			g.change(alone, url)
			stop := underLoad(t, g)
			for range 4 {
				g.change(both, url)
				g.change(alone, url)
			}
			stop()
		})
	}
}

// testOpenConnectionsGoTheNewWay: Envoy keeps connections within itself, on the way to a provider that requests are translated for or that is
// not the only one, and what such a connection leads to is fixed when it begins.
func testOpenConnectionsGoTheNewWay(t *testing.T, g *gateway) {
	const together = 8
	seen := make(chan string, 2*together)
	var answering atomic.Pointer[chan struct{}] // is closed when all have arrived: so none of them can share a connection
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := *answering.Load()
		seen <- r.URL.Path
		<-begin
		w.Header().Set("content-type", "application/json")
		_, _ = io.WriteString(w, `{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`)
	}))
	t.Cleanup(server.Close)
	config := strings.Replace(policies, "{model: gpt-4o-mini, provider: openai}", "{model: gpt-4o-mini, targets: [{provider: openai}, {provider: openai, model: gpt-4o}]}", 1)
	for _, base := range []string{"/first", "/second", "/third"} {
		begin := make(chan struct{})
		answering.Store(&begin)
		g.change(config, server.URL+base)
		var clients sync.WaitGroup
		for range together {
			clients.Go(func() {
				response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("say: hi", false)))
				if err == nil {
					_ = response.Body.Close()
				}
				if err != nil || response.StatusCode != http.StatusOK {
					seen <- fmt.Sprint("an error: ", response, err)
				}
			})
		}
		for range together {
			if got, want := <-seen, base+"/chat/completions"; got != want {
				t.Errorf("got %s, want a request to %s", got, want)
			}
		}
		close(begin)
		clients.Wait()
	}
}

func testGatewayMovesToAnotherAddress(t *testing.T, g *gateway) {
	_, url := startProvider(t, mock.Options{Key: upstreamKey})
	g.change(policies, url)
	old := g.URL
	g.ports.Listen = nettest.FreePort(t)
	g.URL = fmt.Sprintf("http://127.0.0.1:%d", g.ports.Listen)
	g.write(policies)
	nettest.Eventually(t, "the gateway at its new address", func() bool {
		response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("say: hi", false)))
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	nettest.Eventually(t, "the old address to be free", func() bool {
		response, err := http.Get(old)
		if err == nil {
			_ = response.Body.Close()
		}
		return err != nil
	})
}

// TestEnvoyIsStartedAgainWhenItDies is for Envoy alone: the embedded gateway has no process that could die by itself, and its VMs are
// the business of TestPolicyThatFails… and TestInspectorThatFails….
func TestEnvoyIsStartedAgainWhenItDies(t *testing.T) {
	t.Parallel()
	_, url := startProvider(t, mock.Options{Key: upstreamKey})
	g := start(t, policies, ports{Provider: url})
	pid := childOf(t, g.command.Process.Pid)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	nettest.Eventually(t, "another Envoy", func() bool {
		response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("say: hi", false)))
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	if childOf(t, g.command.Process.Pid) == pid {
		t.Error("the old process is still there")
	}
}
