package gateway

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/internal/nettest"
)

// certificateFile holds what vouches for a server.
func certificateFile(t testing.TB, s *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestProvidersAreSpokenToOverTLS(t *testing.T) {
	for protocol, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(protocol, func(t *testing.T) {
			upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				_, _ = io.WriteString(w, r.Proto+" "+r.Header.Get("Authorization")+" "+string(body))
			}))
			upstream.EnableHTTP2 = http2
			upstream.StartTLS()
			t.Cleanup(upstream.Close)
			b := startOn(t, setup{}, upstream)
			if a := b.do(b.request("POST", "/v1/raw", "x")); a.body != protocol+" Bearer "+providerKey+" x" {
				t.Errorf("got %d %q, want it over %s", a.status, a.body, protocol)
			}
		})
	}
}

// interceptDial has every dial of the provider pass through f, with the number of the attempt.
func (b *bench) interceptDial(f func(attempt int32) error) *atomic.Int32 {
	p := b.current.providers["openai"]
	dial, count := p.transport.DialContext, new(atomic.Int32)
	p.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := f(count.Add(1)); err != nil {
			p.counts.connectFailures.Add(1)
			return nil, dialError{err}
		}
		return dial(ctx, network, address)
	}
	return count
}

func TestOnlyWhatHasNotReachedTheProviderIsSentAgain(t *testing.T) {
	refused := errors.New("connection refused")
	var requests atomic.Int32
	provider := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests.Add(1)
		if r.Header.Get("X-Drop") != "" {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(body)
	}
	tests := map[string]struct {
		fails           int32 // dials
		drop            string
		long            bool
		status          int
		dials, requests int32
	}{
		"the provider is there":                      {0, "", false, 200, 1, 1},
		"no connection comes about once":             {1, "", false, 200, 2, 1},
		"likewise, and the body is on its way":       {1, "", true, 200, 2, 1},
		"no connection comes about at all":           {9, "", false, 503, 2, 0},
		"the provider breaks off before it answers":  {0, "yes", false, 503, 1, 1},
		"likewise, and the body was long":            {0, "yes", true, 503, 1, 1},
		"it breaks off after a connection came late": {1, "yes", false, 503, 2, 1},
	}
	b := start(t, setup{}, provider)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b.apply(setup{}) // with connections of its own
			requests.Store(0)
			before := b.metrics.upstream("openai").connectFailures.Load()
			dials := b.interceptDial(func(attempt int32) error {
				if attempt <= tc.fails {
					return refused
				}
				return nil
			})
			body := "body"
			if tc.long {
				body = strings.Repeat("long ", 100_000)
			}
			r := b.request("POST", "/v1/raw", body)
			r.Header.Set("X-Drop", tc.drop)
			r.Header.Set("Idempotency-Key", "a-client-of-openai-sends-it") // no reason to send a chat twice
			a := b.do(r)
			if a.status != tc.status || a.status == 200 && a.body != body {
				t.Errorf("got %d and %d bytes, want %d", a.status, len(a.body), tc.status)
			}
			if dials.Load() != tc.dials || requests.Load() != tc.requests {
				t.Errorf("%d dials and %d requests, want %d and %d", dials.Load(), requests.Load(), tc.dials, tc.requests)
			}
			if got := b.metrics.upstream("openai").connectFailures.Load() - before; got != int64(min(tc.fails, 2)) {
				t.Errorf("%d failed connections are counted, want %d", got, min(tc.fails, 2))
			}
		})
	}
}

func TestProvidersAreWaitedForOnlySoLong(t *testing.T) {
	tests := map[string]struct {
		timeouts string
		begin    bool
	}{
		"in all":                        {"total: 50ms", false},
		"for the first sign of life":    {"idle: 50ms", false},
		"in all, in a stream":           {"total: 200ms", true},
		"for the next piece, in stream": {"idle: 200ms", true},
	}
	b := start(t, setup{}, nil)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			b.apply(setup{timeouts: tc.timeouts})
			before := b.metrics.upstream("openai").timeouts.Load()
			b.answer(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if tc.begin {
					_, _ = io.WriteString(w, "begun")
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
				close(left)
			})
			response, err := b.client.Do(b.request("POST", "/v1/raw", "x"))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if tc.begin && (err == nil || string(body) != "begun") {
				t.Errorf("read %q (%v), want what had come and an error", body, err)
			}
			if !tc.begin && (response.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(body), "provider_timeout")) {
				t.Errorf("got %d %s, want 504 provider_timeout", response.StatusCode, body)
			}
			receive(t, left, "the provider to be left")
			if got := b.metrics.upstream("openai").timeouts.Load() - before; got != 1 {
				t.Errorf("%d timeouts are counted, want 1", got)
			}
		})
	}
}

// TestAnAnswerThatComesSlowlyIsWaitedFor: each piece is a sign of life, also of an answer that is read in whole before it goes on. On a machine that is
// busy a piece may come too late, so it tries again.
func TestAnAnswerThatComesSlowlyIsWaitedFor(t *testing.T) {
	const idle, pieces = 2 * time.Second, 6
	tests := map[string]struct {
		path   string
		status int
	}{
		"a short answer": {"/v1/raw", http.StatusOK},
		"an error":       {"/v1/raw", http.StatusTeapot},
		"an attempt":     {"/v1/chat/completions", http.StatusTeapot},
	}
	oneOfOne := strings.Replace(open, `model: "gpt-*"`, `stream_errors: true, model: "gpt-*"`, 1)
	b := start(t, setup{config: oneOfOne, timeouts: "idle: " + idle.String()}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", strconv.Itoa(pieces))
		status, _ := strconv.Atoi(r.Header.Get("X-Status"))
		w.WriteHeader(status)
		paced := time.NewTicker(idle / 4)
		defer paced.Stop()
		for range pieces {
			<-paced.C
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
	})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a answer
			for tries := 0; a.status != tc.status && tries < 5; tries++ {
				r := b.request("POST", tc.path, chat)
				r.Header.Set("X-Status", strconv.Itoa(tc.status))
				a = b.do(r)
			}
			if a.status != tc.status {
				t.Errorf("got %d %s, want the provider's %d", a.status, a.body, tc.status)
			}
		})
	}
}

func TestABrokenAnswerNeverSeemsWhole(t *testing.T) {
	b := start(t, setup{}, nil)
	for name, length := range map[string]string{"in chunks": "", "a short one": "1000", "a long one": "10000000"} {
		t.Run(name, func(t *testing.T) {
			b.answer(func(w http.ResponseWriter, _ *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				_, _ = io.WriteString(w, "begun")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
			for protocol, client := range clients(t) {
				t.Run(protocol, func(t *testing.T) {
					response, err := client.Do(b.request("POST", "/v1/raw", "x"))
					if err != nil {
						return // nothing of it has come
					}
					defer response.Body.Close()
					if body, err := io.ReadAll(response.Body); err == nil && response.StatusCode == http.StatusOK {
						t.Errorf("the answer is %q", body)
					}
				})
			}
		})
	}
}

// TestAnswersWhoseHeadersCannotBeReadAreNone: as in Envoy (e2e: "answers that break off or are none are errors in the client's form").
func TestAnswersWhoseHeadersCannotBeReadAreNone(t *testing.T) {
	const rest = "Content-Length: 2\r\n\r\nhi"
	b := start(t, setup{}, nil)
	for name, tc := range map[string]struct {
		headers string
		want    int
	}{
		"100 headers":              {strings.Repeat("X-A: b\r\n", 99) + rest, 200},
		"101 headers":              {strings.Repeat("X-A: b\r\n", 100) + rest, 502},
		"70 KiB of headers":        {"X-A: " + strings.Repeat("b", 70<<10) + "\r\n" + rest, 200},
		"90 KiB of headers":        {"X-A: " + strings.Repeat("b", 90<<10) + "\r\n" + rest, 502},
		"a space in a name":        {"X A: b\r\n" + rest, 502},
		"a space behind a name":    {"Content-Length : 2\r\n\r\nhi", 502},
		"half a line of headers":   {"X-A", 502},
		"half a value in a header": {"X-A: b", 502},
		"no end of the headers":    {"X-A: b\r\n", 502},
	} {
		t.Run(name, func(t *testing.T) {
			url := nettest.ServeRaw(t, func(w io.Writer, _ *http.Request) { _, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\n"+tc.headers) })
			b.apply(setup{config: strings.NewReplacer(`"%s"`, fmt.Sprintf(`"%s/v1"`, url), "{%s}", "{%[2]s}").Replace(open) + "# not %[1]s\n"})
			if a := b.do(b.request("POST", "/v1/raw", "x")); a.status != tc.want {
				t.Errorf("got %d %.200s, want %d", a.status, a.body, tc.want)
			}
		})
	}
}

func TestModulesCallProviders(t *testing.T) {
	type call struct{ target, key, body, host string }
	seen := make(chan call, 1)
	b := start(t, setup{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/slow":
			<-r.Context().Done()
			return
		case "/long":
			_, _ = w.Write(make([]byte, maxCallBytes+1))
			return
		}
		seen <- call{r.RequestURI, r.Header.Get("Authorization"), string(body), r.Host}
		w.Header().Set("X-Answer", "yes")
		_, _ = io.WriteString(w, "answer")
	})
	c := (*caller)(b.current)
	ask := func(cluster, path string, timeout time.Duration, extra ...string) (*abi.HTTPAnswer, error) {
		answers := make(chan *abi.HTTPAnswer, 1)
		h := abi.NewHeaders(append([]string{":path", path, ":method", "POST", ":authority", "asked.test"}, extra...)...)
		err := c.HTTPCall(t.Context(), &abi.HTTPCall{Cluster: cluster, Headers: h, Body: []byte("question"), Timeout: timeout}, func(a *abi.HTTPAnswer) { answers <- a })
		if err != nil {
			return nil, err
		}
		return receive(t, answers, "the answer"), nil
	}
	a, err := ask("provider.openai", "/v1/a%2Fb/c?d=%20e", 0, "authorization", "Bearer mine", "", "nameless", "connection", "close")
	if err != nil || string(a.Body) != "answer" || a.Headers.Value(":status") != "200" || a.Headers.Value("x-answer") != "yes" {
		t.Errorf("got %v (%v)", a, err)
	}
	want := call{"/v1/a%2Fb/c?d=%20e", "Bearer " + providerKey, "question", "asked.test"}
	if got := receive(t, seen, "the call"); got != want {
		t.Errorf("the provider got %+v, want %+v", got, want)
	}
	for _, cluster := range []string{"openai", "provider.", "provider.other", ""} {
		if _, err := ask(cluster, "/", 0); !errors.Is(err, abi.ErrUnknownCluster) {
			t.Errorf("cluster %q: got %v, want ErrUnknownCluster", cluster, err)
		}
	}
	for _, path := range []string{"", "relative", "http://elsewhere/x", "/%zz", "/ \x00"} {
		if a, err := ask("provider.openai", path, 0); err == nil {
			t.Errorf("path %q: got %v, want an error", path, a)
		}
	}
	if a, err := ask("provider.openai", "/slow", 20*time.Millisecond); err != nil || a.Headers.Value(":status") != "504" {
		t.Errorf("a slow one: got %v (%v), want 504", a, err)
	}
	if a, err := ask("provider.openai", "/long", 0); err != nil || a.Headers.Value(":status") != "503" {
		t.Errorf("a long one: got %v (%v), want 503", a, err)
	}
}

func TestErrorsOfProvidersDoNotHoldTheCredential(t *testing.T) {
	const repeats = `{"error":{"message":"wrong key: ` + providerKey + `, ` + providerKey + `"}}`
	tests := map[string]struct {
		encoding, body, want string
	}{
		"it is repeated":                     {"", repeats, `{"error":{"message":"wrong key: [redacted], [redacted]"}}`},
		"it is not":                          {"", `{"error":{"message":"wrong key"}}`, `{"error":{"message":"wrong key"}}`},
		"the error is long":                  {"", strings.Repeat(" ", 100_000) + providerKey, strings.Repeat(" ", 100_000) + "[redacted]"},
		"it is encoded though asked for not": {"br", repeats, config.WithheldError},
		"it is said to be plain":             {"identity", providerKey, "[redacted]"},
		"it is said to be plain, and is not": {"identity\nbr", repeats, config.WithheldError},
		"nobody says how it is encoded":      {"\nbr", repeats, config.WithheldError},
		"it is empty":                        {"", "", ""},
	}
	b := start(t, setup{}, nil)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b.answer(func(w http.ResponseWriter, r *http.Request) {
				if accepts := r.Header.Get("Accept-Encoding"); accepts != "" {
					t.Errorf("the provider is told that %q is accepted", accepts)
				}
				w.Header().Set("X-Key", providerKey)
				if tc.encoding != "" {
					w.Header()["Content-Encoding"] = strings.Split(tc.encoding, "\n")
				}
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, tc.body)
			})
			r := b.request("POST", "/v1/raw", "x")
			r.Header.Set("Accept-Encoding", "br")
			if a := b.do(r); a.status != 401 || a.body != tc.want || a.header.Get("X-Key") != "[redacted]" {
				t.Errorf("got %d %v %q, want %q", a.status, a.header, a.body, tc.want)
			}
		})
	}
}

func TestNoAnswerHoldsTheCredentialWhereOnlyErrorsAreExpectedTo(t *testing.T) {
	b := start(t, setup{}, nil)
	for name, status := range map[string]int{"a success": 200, "a redirection": 307, "an error": 400} {
		t.Run(name, func(t *testing.T) {
			b.answer(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Key", "Bearer "+providerKey)
				w.Header().Set("Trailer", "X-Sum")
				w.WriteHeader(status)
				if status != 200 {
					_, _ = io.WriteString(w, providerKey)
				}
				_, _ = io.WriteString(w, " and more")
				w.(http.Flusher).Flush() //nolint:forcetypeassert // the server's
				w.Header().Set("X-Sum", providerKey)
			})
			response, err := http.DefaultTransport.RoundTrip(b.request("POST", "/v1/raw", "x"))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // read to its end
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != status || strings.Contains(string(body), providerKey) || response.Header.Get("X-Key") != "Bearer [redacted]" || response.Trailer.Get("X-Sum") != "[redacted]" {
				t.Errorf("got %d %v %q, trailers %v (%v)", response.StatusCode, response.Header, body, response.Trailer, err)
			}
		})
	}
}

func TestTheTokenOfASessionIsACredential(t *testing.T) {
	const token = "session/token+1=" //nolint:gosec // none
	response := &http.Response{StatusCode: http.StatusForbidden, ContentLength: -1, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(token + ` session\/token+1=`))}
	request := &http.Request{Header: http.Header{"x-amz-security-token": {token}}}
	redact(response, (*signature)(nil).credential(request), 1<<10)
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "[redacted] [redacted]" {
		t.Errorf("got %q (%v)", body, err)
	}
	response.Body = io.NopCloser(strings.NewReader(strings.Repeat(token, 100)))
	redact(response, token, 1<<10)
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("got %q of an error that is too long", body)
	}
}
