package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
)

// two is a route to two providers, which are one server: the first below /first, the second below /second. However often the first
// fails, it stays the first.
const two = `
listen: 127.0.0.1:8080
providers:
  openai: {base_url: "%[1]s/first", api_key: {env: KEY}, breaker: {consecutive: 1000, volume: 1000}}
  second: {base_url: "%[1]s/second", timeouts: {%[2]s}}
allow_anonymous: true
routes: [{model: "gpt-*", timeouts: {first_byte: 2s}, targets: [{provider: openai}, {provider: second, model: other}]}]
pipeline: [{module: route}]
`

const fromSecond = `{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"from the second"},"finish_reason":"stop"}]}`

func hijack(w http.ResponseWriter, begin string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_, _ = io.WriteString(c, begin)
		_ = c.Close()
	}
}

func TestTheNextProviderIsAskedAsLongAsNothingHasGoneToTheClient(t *testing.T) {
	tests := map[string]struct {
		first  http.HandlerFunc
		status int // 0: the connection breaks
		want   string
		asked  int32 // the second provider, how often
	}{
		"an error": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, 200, "from the second", 1},
		"silence": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, 200, "from the second", 1},
		"a connection that closes": {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "") }, 200, "from the second", 1},
		"no HTTP":                  {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "hello\r\n\r\n") }, 200, "from the second", 1},
		"an answer that breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{")
		}, 200, "from the second", 1},
		"what is the client's fault, half of it": {func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 422 Oh\r\nContent-Length: 900\r\n\r\n{")
		}, 200, "from the second", 1},
		"garbage":                    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "\x00\x01") }, 200, "from the second", 1},
		"what is the client's fault": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) }, 422, "", 0},
		"a stream that has begun": {func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: "+
				`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}`+"\n\n")
		}, 200, "", 0},
	}
	var second atomic.Int32
	var key, body atomic.Value
	var first atomic.Pointer[http.HandlerFunc]
	b := start(t, setup{config: two}, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/first/") {
			(*first.Load())(w, r)
			return
		}
		second.Add(1)
		sent, _ := io.ReadAll(r.Body)
		key.Store(fmt.Sprint(r.Header))
		body.Store(string(sent))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, fromSecond)
	})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			first.Store(&tc.first)
			second.Store(0)
			a := b.do(b.request("POST", "/v1/chat/completions", chat))
			if a.status != tc.status || !strings.Contains(a.body, tc.want) || second.Load() != tc.asked {
				t.Errorf("got %d %s, the second was asked %d times", a.status, a.body, second.Load())
			}
			if a.header.Get("X-Leash-Next") != "" {
				t.Errorf("the client reads %v", a.header)
			}
			if tc.asked == 0 {
				return
			}
			if sent := body.Load().(string); sent != strings.Replace(chat, "gpt-4o-mini", "other", 1) { //nolint:forcetypeassert // stored above
				t.Errorf("the second was sent %s", sent)
			}
			if got := key.Load().(string); strings.Contains(got, providerKey) || strings.Contains(got, demoKey) || strings.Contains(strings.ToLower(got), "x-leash") { //nolint:forcetypeassert // likewise
				t.Errorf("the second was sent %s", got)
			}
		})
	}
}

func TestAStreamThatBreaksOffBeforeItsTrailersEndsWithAnError(t *testing.T) {
	b := start(t, setup{config: two}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"well"}}]}`+"\n\n")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("X-Sum", "42")
	})
	if a := b.do(b.request("POST", "/v1/chat/completions", chat)); !strings.Contains(a.body, "well") || !strings.Contains(a.body, "stream_cut") {
		t.Errorf("got %d %q, want an error behind what has come", a.status, a.body)
	}
}

func TestNobodyElseIsAskedForAClientThatHasLeft(t *testing.T) {
	asked, second := make(chan struct{}, 1), atomic.Int32{}
	b := start(t, setup{config: strings.Replace(two, "first_byte: 2s", "total: 1m", 1)}, func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/second/") {
			second.Add(1)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-r.Context().Done()
	})
	leave, left := b.askInVain(t)
	receive(t, asked, "the first provider")
	leave()
	receive(t, left, "the client")
	nettest.Eventually(t, "the exchange to end", func() bool { return b.metrics.active.Load() == 0 })
	if n := second.Load(); n != 0 {
		t.Errorf("the second provider was asked %d times", n)
	}
}

func TestTheRequestIsForgottenOnceAnAnswerGoesOn(t *testing.T) {
	for missed, want := range map[bool]bool{true: true, false: false} {
		a := &attempt{x: &exchange{kept: []byte("x")}, decided: make(chan struct{})}
		a.decide(missed)
		if got := a.x.kept != nil; got != want {
			t.Errorf("missed %v: kept %v, want %v", missed, got, want)
		}
	}
}

// TestAllAttemptsHaveOneTimeInAll: what a route allows is for the exchange, not for each of its targets.
func TestAllAttemptsHaveOneTimeInAll(t *testing.T) {
	b := start(t, setup{config: strings.Replace(two, "first_byte: 2s", "total: 500ms", 1)}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	began := time.Now()
	a := b.do(b.request("POST", "/v1/chat/completions", chat))
	if a.status != http.StatusGatewayTimeout || !strings.Contains(a.body, "provider_timeout") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("was given up after %s", took)
	}
}

func TestWhatIsBeyondAProvidersLimitGoesToTheNext(t *testing.T) {
	asked, answered := make(chan struct{}, 2), make(chan struct{})
	config := strings.Replace(two, `/first", `, `/first", limits: {requests: 1}, `, 1)
	b := start(t, setup{config: strings.Replace(config, "first_byte: 2s", "total: 1m", 1)}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(r.URL.Path, "/v1/first/") {
			asked <- struct{}{}
			<-answered
			_, _ = io.WriteString(w, strings.Replace(fromSecond, "second", "first", 1))
			return
		}
		_, _ = io.WriteString(w, fromSecond)
	})
	first := make(chan answer, 1)
	go func() { first <- b.do(b.request("POST", "/v1/chat/completions", chat)) }()
	receive(t, asked, "the first provider")
	if a := b.do(b.request("POST", "/v1/chat/completions", chat)); a.status != http.StatusOK || !strings.Contains(a.body, "from the second") {
		t.Errorf("while the first is at its limit: got %d %s", a.status, a.body)
	}
	close(answered)
	if a := receive(t, first, "the answer of the first"); !strings.Contains(a.body, "from the first") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := b.do(b.request("POST", "/v1/chat/completions", chat)); !strings.Contains(a.body, "from the first") {
		t.Errorf("afterwards: got %d %s", a.status, a.body)
	}
}

// TestACallThatOutlivesItsConfigurationLoadsNothingAgain: what asks for the rest of a stream is nobody's exchange, and the modules that it
// runs in may be gone when it ends.
func TestACallThatOutlivesItsConfigurationLoadsNothingAgain(t *testing.T) {
	asked := make(chan struct{}, 1)
	s := setup{config: strings.Replace(two, "timeouts: {first_byte: 2s}", "failover: {mid_stream: true}", 1)}
	b := start(t, s, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasPrefix(r.URL.Path, "/v1/second/") {
			asked <- struct{}{}
			<-r.Context().Done()
			return
		}
		hijack(w, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: "+
			`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}`+"\n\n")
	})
	former := b.current
	for _, w := range former.workers {
		w.Do(func() {
			for i := range w.slots {
				w.slots[i].loaded = time.Time{} // long ago: what has died would be loaded again at once
			}
		})
	}
	ctx, leave := context.WithCancel(t.Context())
	response, err := b.client.Do(b.request("POST", "/v1/chat/completions", strings.Replace(chat, "{", `{"stream":true,`, 1)).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	receive(t, asked, "the second provider to be asked for the rest")
	leave()
	_ = response.Body.Close()
	b.apply(s)
	b.retired.Wait()
	for _, w := range former.workers {
		w.Do(func() {
			w.mend() // as the call does that ended last, if it was on this worker
			for i := range w.slots {
				if w.slots[i].vm.Err() == nil {
					t.Error("a VM runs for a configuration that is gone")
				}
			}
		})
	}
}
