package envoy_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
	"github.com/leash-gateway/leash/internal/nettest"
)

// modules is the folder with the probe as every file that a configuration can name.
var modules string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "leash-envoy-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	modules = dir
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", filepath.Join(dir, config.AllFile), ".")
	build.Dir = "testdata/probe" // a Go module of its own, as others write them
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the probe: %v\n%s", err, out)
		return 1
	}
	for _, name := range append([]string{"probe", "provider"}, config.Builtin...) {
		if err := os.Link(filepath.Join(dir, config.AllFile), filepath.Join(dir, name+".wasm")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// A gateway is an Envoy that takes its configuration from a Server, as leash up runs it.
type gateway struct {
	t       testing.TB
	ports   map[string]string // what $NAME stands for in configurations
	server  *envoy.Server
	options envoy.Options
	allow   []string // what the module contentfilter may use
	log     *nettest.Log
	records *nettest.Log
	stop    func() // ends Envoy and waits for it
	runner  *envoy.Runner
}

const minimal = `
listen: 127.0.0.1:$LISTEN
control: {listen: 127.0.0.1:$CONTROL}
envoy: {admin: 127.0.0.1:$ADMIN, concurrency: 2}
providers:
  one: {base_url: $PROVIDER, timeouts: {connect: 1s, idle: 2s, total: 5s}}
allow_anonymous: true
routes: [{model: "*", provider: one}]
pipeline: [{module: contentfilter, config: {say: first}}]
`

// start runs Envoy on a configuration and waits until it has been taken.
func start(t testing.TB, text, provider string) *gateway {
	t.Helper()
	g := prepare(t, text, provider)
	if err := g.apply(text); err != nil {
		t.Fatalf("apply the first configuration: %v\n%s", err, g.log)
	}
	g.waitListening()
	return g
}

// patience is longer than Envoy compiles the probe while other tests run beside it, in which time it does not answer.
const patience = 40 * time.Second

// prepare runs Envoy without a configuration yet; text only says with what it is started.
func prepare(t testing.TB, text, provider string) *gateway {
	t.Helper()
	port := func() string { return strconv.Itoa(nettest.FreePort(t)) }
	g := &gateway{
		t: t, ports: map[string]string{"LISTEN": port(), "CONTROL": port(), "ADMIN": port(), "PROVIDER": provider, "MODULES": modules},
		options: envoy.Options{ModulesDir: modules, CAFile: "/etc/ssl/certs/ca-certificates.crt"},
		log:     &nettest.Log{}, records: &nettest.Log{},
	}
	log := slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if g.server, err = envoy.Serve(ctx, log); err != nil {
		t.Fatal(err)
	}
	g.runner = &envoy.Runner{Path: nettest.Envoy(t), Config: g.parse(text), Server: g.server, Log: log, Records: g.records, Patience: patience, Grace: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- g.runner.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run Envoy: %v", err)
			}
		case <-time.After(2 * time.Minute):
			t.Error("Envoy does not end")
		}
		if err := g.server.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
	})
	t.Cleanup(func() {
		g.stop()
		if t.Failed() {
			log := g.log.String()
			t.Logf("the end of the log:\n%s", log[max(0, len(log)-8000):])
		}
	})
	return g
}

func (g *gateway) parse(text string) *config.Config {
	g.t.Helper()
	c, err := config.Parse("leash.yaml", []byte(os.Expand(text, func(name string) string { return g.ports[name] })), os.LookupEnv)
	if err != nil {
		g.t.Fatal(err)
	}
	c.Admit("contentfilter", config.Admitted{Allow: g.allow})
	return c
}

// apply gives Envoy another configuration.
func (g *gateway) apply(text string) error {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	r, err := envoy.Translate(g.parse(text), g.options)
	if err != nil {
		return err
	}
	return g.server.Apply(ctx, r)
}

func (g *gateway) url() string { return "http://127.0.0.1:" + g.ports["LISTEN"] }

// waitListening waits until the gateway takes connections.
func (g *gateway) waitListening() {
	g.t.Helper()
	nettest.Eventually(g.t, "the gateway to listen", func() bool {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+g.ports["LISTEN"], time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// An answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// chat sends a chat with more headers, as names and values.
func (g *gateway) chat(headers ...string) (answer, error) {
	request, err := http.NewRequest(http.MethodPost, g.url()+"/v1/chat/completions", strings.NewReader(`{"model":"m"}`))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return send(request)
}

// mustChat is a chat that is answered, in whatever way.
func (g *gateway) mustChat(headers ...string) answer {
	g.t.Helper()
	a, err := g.chat(headers...)
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// client opens a connection for each request, so that none meets a listener that is gone.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       30 * time.Second,
}

func send(request *http.Request) (answer, error) {
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body)}, err
}

// provider is one that tells what it received.
func provider(t testing.TB, name string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(echo(name))
	t.Cleanup(s.Close)
	return s
}

// echo answers with what was received; the headers come in x-got-NAME.
func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("x-provider", name)
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"method": r.Method, "path": r.URL.String(), "host": r.Host, "headers": r.Header, "body": string(body), "proto": r.Proto,
		})
	})
}

// received is what echo told.
type received struct {
	Method, Path, Host, Body, Proto string
	Headers                         http.Header
}

func (a answer) received(t testing.TB) received {
	t.Helper()
	var r received
	if err := json.Unmarshal([]byte(a.body), &r); err != nil || a.status != http.StatusOK {
		t.Fatalf("got %d %s (%v), want what the provider received", a.status, a.body, err)
	}
	return r
}
