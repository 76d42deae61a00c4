package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/internal/nettest"
)

const (
	demoKey     = "sk-leash-demo"
	demoSHA256  = "dab3d8f1dd8779081d1d3d277bce527d52ab534b88700d61f3d3ed54fb16e8b3"
	providerKey = "sk-provider-key"
)

// open is a configuration without policies: what it shows is the gateway's own doing. /v1/raw goes through unread.
const open = `
listen: 127.0.0.1:8080
providers: {openai: {base_url: "%s", api_key: {env: KEY}, timeouts: {%s}}}
allow_anonymous: true
routes: [{model: "gpt-*", provider: openai}, {path: /v1/raw, provider: openai}]
pipeline: [{module: route}]
`

// guarded asks for a key, and blocks a word.
const guarded = `
listen: 127.0.0.1:8080
providers: {openai: {base_url: "%s", api_key: {env: KEY}, timeouts: {%s}}}
tenants: {demo: {keys: [{name: test, sha256: ` + demoSHA256 + `}]}}
routes: [{model: "gpt-*", provider: openai}]
pipeline:
  - module: logger
  - module: auth
  - {module: contentfilter, config: {rules: [{name: bird, keywords: [osprey], action: block}]}}
`

const chat = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`

// A bench is a gateway on a socket, between a client and a provider that are the test's.
type bench struct {
	*Gateway
	t        testing.TB
	url      string
	provider *httptest.Server
	handler  *atomic.Pointer[http.HandlerFunc] // the provider's
	client   *http.Client
	records  *nettest.Log
}

type setup struct {
	config   string // open
	timeouts string // of the provider
	settings Settings
	write    time.Duration // how long a client may read nothing
}

// start begins a bench whose provider answers as the handler does.
func start(t *testing.T, s setup, provider http.HandlerFunc) *bench {
	t.Helper()
	handler := new(atomic.Pointer[http.HandlerFunc])
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler.Load())(w, r) }))
	t.Cleanup(upstream.Close)
	b := startOn(t, s, upstream)
	b.handler = handler
	b.answer(provider)
	return b
}

// answer has the provider answer as the handler does, from now on.
func (b *bench) answer(provider http.HandlerFunc) { b.handler.Store(&provider) }

func startOn(t *testing.T, s setup, upstream *httptest.Server) *bench {
	t.Helper()
	checkGoroutines(t)
	b := &bench{t: t, provider: upstream, records: &nettest.Log{}}
	s.settings.CacheDir, s.settings.Workers, s.settings.Records = abi.DefaultCacheDir(), 2, b.records
	g, err := New(context.Background(), s.settings)
	if err != nil {
		t.Fatal(err)
	}
	b.Gateway = g
	b.apply(s)
	server := &Server{Handler: g, writeTimeout: s.write}
	listener, err := server.Bind(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.url = "http://" + listener.Addr().String()
	server.Serve(listener, "127.0.0.1:0")
	transport := &http.Transport{}
	b.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close(10 * time.Second)
		if err := g.Close(context.Background()); err != nil {
			t.Errorf("close the gateway: %v", err)
		}
		upstream.Client().CloseIdleConnections()
	})
	return b
}

// apply applies a configuration with the bench's provider.
func (b *bench) apply(s setup) {
	b.t.Helper()
	if err := b.tryApply(s); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) tryApply(s setup) error {
	if s.config == "" {
		s.config = open
	}
	env := func(name string) (string, bool) { return providerKey, name == "KEY" }
	c, err := config.Parse("leash.yaml", fmt.Appendf(nil, s.config, b.provider.URL+"/v1", s.timeouts), env)
	if err != nil {
		b.t.Fatal(err)
	}
	o := Options{ModulesDir: "../../build/modules", Secrets: map[string]config.SecretValue{}}
	if b.provider.TLS != nil {
		o.CAFile = certificateFile(b.t, b.provider)
	}
	if o.Secrets["openai"], err = c.Providers["openai"].APIKey.Resolve(env); err != nil {
		b.t.Fatal(err)
	}
	return b.Apply(context.Background(), c, o)
}

// checkGoroutines fails the test when goroutines are left of it at its end.
func checkGoroutines(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		// What has ended may not be off the list yet; what has not never will be.
		for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d goroutines more than before:\n%s", runtime.NumGoroutine()-before, stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
	})
}

// askInVain sends a chat whose client leaves when it is told to; left is closed when it has.
func (b *bench) askInVain(t *testing.T) (leave context.CancelFunc, left chan struct{}) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	left = make(chan struct{})
	go func() {
		defer close(left)
		if response, err := b.client.Do(b.request("POST", "/v1/chat/completions", chat).WithContext(ctx)); err == nil {
			_ = response.Body.Close()
		}
	}()
	return leave, left
}

func (b *bench) request(method, path, body string) *http.Request {
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+demoKey)
	r.Header.Set("Content-Type", "application/json")
	return r
}

// an answer is what a client has read.
type answer struct {
	status int
	header http.Header
	body   string
	trail  http.Header
}

func (b *bench) do(r *http.Request) answer {
	b.t.Helper()
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return read(b.t, response)
}

func read(t testing.TB, response *http.Response) answer {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read the answer: %v after %q", err, body)
	}
	return answer{response.StatusCode, response.Header, string(body), response.Trailer}
}

// raw writes bytes to the gateway and reads one answer.
func (b *bench) raw(request string) answer {
	b.t.Helper()
	c := b.dial()
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		b.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		b.t.Fatalf("read the answer to %.100q: %v", request, err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body) // a connection that is cut behind a refusal may take the rest of it
	return answer{response.StatusCode, response.Header, string(body), response.Trailer}
}

func (b *bench) dial() net.Conn {
	b.t.Helper()
	c, err := (&net.Dialer{}).DialContext(b.t.Context(), "tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// patience bounds what a test waits for.
const patience = 2 * time.Minute

func receive[T any](t testing.TB, c <-chan T, what string) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(patience):
		t.Fatalf("timed out waiting for %s", what)
	}
	return value
}

// speak is a client of one protocol.
func speak(t *testing.T, protocol string) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(protocol == "HTTP/1.1")
	protocols.SetUnencryptedHTTP2(protocol == "HTTP/2")
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// clients are one for each protocol.
func clients(t *testing.T) map[string]*http.Client {
	t.Helper()
	all := map[string]*http.Client{}
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		all[protocol] = speak(t, protocol)
	}
	return all
}

// repeat answers with the request's body.
func repeat(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // first: net/http reads no more once it writes
	_, _ = w.Write(body)
}

// says answers every request with a text.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestAnExchangeGoesToItsProviderAndBack(t *testing.T) {
	seen := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	b := start(t, setup{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- string(body)
		seen <- r
		w.Header().Set("X-Provider", "yes")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	})
	for protocol, client := range clients(t) {
		t.Run(protocol, func(t *testing.T) {
			b.client = client
			a := b.do(b.request("POST", "/v1/chat/completions?user=1", chat))
			if a.status != http.StatusTeapot || a.body != "short and stout" || a.header.Get("X-Provider") != "yes" {
				t.Errorf("got %d %q %v, want the provider's answer", a.status, a.body, a.header)
			}
			r := receive(t, seen, "the request at the provider")
			for what, got := range map[string]string{
				r.URL.String():                "/v1/chat/completions",
				r.Host:                        strings.TrimPrefix(b.provider.URL, "http://"),
				r.Header.Get("Authorization"): "Bearer " + providerKey,
				receive(t, bodies, "a body"):  chat,
				r.Header.Get("Content-Type"):  "application/json",
			} {
				if what != got {
					t.Errorf("the provider got %q, want %q", what, got)
				}
			}
		})
	}
}

func TestAnswersWithoutABodyArePassed(t *testing.T) {
	tests := map[string]struct {
		method string
		status int
	}{
		"nothing to say":    {"POST", http.StatusNoContent},
		"not modified":      {"GET", http.StatusNotModified},
		"an empty one":      {"POST", http.StatusOK},
		"only about it":     {"HEAD", http.StatusOK},
		"an error about it": {"HEAD", http.StatusNotFound},
	}
	b := start(t, setup{}, func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscan(r.Header.Get("X-Want"), &status)
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", "12345")
		}
		w.WriteHeader(status)
	})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := b.request(tc.method, "/v1/raw", "")
			r.Header.Set("X-Want", fmt.Sprint(tc.status))
			if a := b.do(r); a.status != tc.status || a.body != "" {
				t.Errorf("got %d %q, want %d and nothing", a.status, a.body, tc.status)
			}
		})
	}
}

func TestStreamsArePassedPieceByPieceBothWays(t *testing.T) {
	b := start(t, setup{}, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for buffer := make([]byte, 100); ; {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(buffer[:n])
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	})
	for protocol, client := range clients(t) {
		t.Run(protocol, func(t *testing.T) {
			reader, writer := io.Pipe()
			r := b.request("POST", "/v1/raw", "")
			r.Body, r.ContentLength = reader, -1
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			for _, piece := range []string{"first", "second", "third"} {
				if _, err := io.WriteString(writer, piece); err != nil {
					t.Fatal(err)
				}
				// It must come back before the next is sent.
				back := make([]byte, len(piece))
				if _, err := io.ReadFull(response.Body, back); err != nil || string(back) != piece {
					t.Fatalf("got %q (%v), want %q", back, err, piece)
				}
			}
			_ = writer.Close()
			if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
				t.Errorf("got %q (%v) behind it", rest, err)
			}
		})
	}
}

func TestLongBodiesArePassedWhole(t *testing.T) {
	b := start(t, setup{}, repeat)
	for name, length := range map[string]int64{"its length told": 0, "in chunks": -1} {
		t.Run(name, func(t *testing.T) {
			long := strings.Repeat("0123456789abcdef", 300<<10) // more than may wait
			r := b.request("POST", "/v1/raw", long)
			if length < 0 {
				r.ContentLength = -1
			}
			if a := b.do(r); a.body != long {
				t.Errorf("%d bytes came back of %d", len(a.body), len(long))
			}
		})
	}
}

func TestTrailersOfTheProviderReachTheClient(t *testing.T) {
	b := start(t, setup{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, Set-Cookie")
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("X-Sum", "42")
		w.Header().Set("Set-Cookie", "a=b")
	})
	for protocol, client := range clients(t) {
		t.Run(protocol, func(t *testing.T) {
			b.client = client
			a := b.do(b.request("POST", "/v1/raw", "x"))
			if a.body != "body" || a.trail.Get("X-Sum") != "42" || a.trail.Get("Set-Cookie") != "" {
				t.Errorf("got %q and the trailers %v, want X-Sum alone", a.body, a.trail)
			}
		})
	}
}

func TestWhatModulesRefuseNeverReachesTheProvider(t *testing.T) {
	asked := make(chan struct{}, 8)
	b := start(t, setup{config: guarded}, func(http.ResponseWriter, *http.Request) { asked <- struct{}{} })
	wrongKey := b.request("POST", "/v1/chat/completions", chat)
	wrongKey.Header.Set("Authorization", "Bearer sk-wrong")
	for name, tc := range map[string]struct {
		request *http.Request
		want    int
		code    string
	}{
		"a wrong key":      {wrongKey, 401, "invalid_api_key"},
		"a forbidden word": {b.request("POST", "/v1/chat/completions", strings.Replace(chat, "hi", "osprey", 1)), 400, "content_blocked"},
		"an unknown path":  {b.request("POST", "/v1/nothing", chat), 404, "unknown_url"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.do(tc.request)
			if a.status != tc.want || !strings.Contains(a.body, tc.code) {
				t.Errorf("got %d %s, want %d %s", a.status, a.body, tc.want, tc.code)
			}
			if a.header.Get("X-Request-Id") == "" {
				t.Error("the answer has no request id")
			}
		})
	}
	if len(asked) > 0 {
		t.Errorf("%d requests reached the provider", len(asked))
	}
	nettest.Eventually(t, "a record of each exchange", func() bool { return strings.Count(b.records.String(), `"event":"exchange"`) == 3 })
	if got := b.records.String(); strings.Contains(got, demoKey) || strings.Contains(got, providerKey) {
		t.Errorf("a key stands in the records: %s", got)
	}
}

func TestManyExchangesAtOnceAreNotMixedUp(t *testing.T) {
	b := start(t, setup{}, repeat)
	b.client = speak(t, "HTTP/2")
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			want := strings.Repeat(fmt.Sprint(i, " "), 1+i*10)
			r := b.request("POST", "/v1/raw", want)
			response, err := b.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if got, err := io.ReadAll(response.Body); err != nil || string(got) != want {
				t.Errorf("exchange %d: got %.40q (%v), want %.40q", i, got, err, want)
			}
		})
	}
	all.Wait()
}
