package e2e

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

var faultTests = []sharedTest{
	{"errors of the provider pass in its own words", testProviderErrors},
	{"a provider that breaks off before it answers is a 503", testProviderDrops},
	{"a provider that cuts a stream is told to the client and counted", testProviderCuts},
	{"what a provider breaks off in the middle of an answer is counted as the client read it", testProviderBreaksOff},
	{"a slow provider is waited for, event by event", testProviderSlow},
	{"an answer that cannot be read is not passed on", testUnreadableAnswer},
	{"malformed requests are told so in the API's form", testMalformed},
	{"a body over the bound is refused with 413", testTooLarge},
}

func testProviderErrors(t *testing.T, g *gateway, provider *mock.Provider) {
	for _, status := range []int{400, 401, 429, 500, 503} {
		provider.SetFaults(mock.Behavior{Status: status})
		a := g.chat("say: hi")
		if a.Status != status || !strings.Contains(a.Body, `"error"`) {
			t.Errorf("got %d %s, want the provider's %d", a.Status, a.Body, status)
		}
		if r := g.exchange(a.Header.Get("X-Request-Id")); r["outcome"] != "error" || r["cost_picodollars"] != nil {
			t.Errorf("logged as %v, want an error without cost", r)
		}
	}
	provider.SetFaults(mock.Behavior{Status: 500, AsOK: true})
	a := g.chat("say: hi")
	if r := g.exchange(a.Header.Get("X-Request-Id")); a.Status != 200 || r["outcome"] != "error" || r["code"] != "error_in_answer" || r["cost_picodollars"] != nil {
		t.Errorf("an error with status %d is logged as %v, want one without cost", a.Status, r)
	}
}

func testProviderDrops(t *testing.T, g *gateway, provider *mock.Provider) {
	provider.SetFaults(mock.Behavior{Drop: true})
	a := g.chat("say: hi")
	if a.Status != 503 || a.errorCode() != "provider_unavailable" {
		t.Errorf("got %d %s, want 503 provider_unavailable in OpenAI's form", a.Status, a.Body)
	}
	if strings.Contains(a.Body, "127.0.0.1") {
		t.Errorf("the error tells the provider's address: %s", a.Body)
	}
}

func testProviderCuts(t *testing.T, g *gateway, provider *mock.Provider) {
	// At a pace at which the answer has begun before it is cut: else Envoy may still put an error in its place.
	provider.SetFaults(mock.Behavior{CutAfter: 5, Pace: 20 * time.Millisecond})
	response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("lorem: 50", true)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("the stream ends as if it were whole: %s", body)
	}
	r := g.exchange(response.Header.Get("X-Request-Id"))
	if r["outcome"] != "aborted" || r["usage_estimated"] != true {
		t.Errorf("logged as %v, want aborted with an estimated usage", r)
	}
}

func testProviderBreaksOff(t *testing.T, g *gateway, provider *mock.Provider) {
	provider.SetFaults(mock.Behavior{CutAfter: 50})
	a := g.chat("say: hi")
	r := g.exchange(a.Header.Get("X-Request-Id"))
	status, outcome := 502.0, "error"
	if g.ports.Engine == moduleHost { // which Envoy does not tell what it has answered
		status, outcome = 0, "aborted"
	}
	if a.Status != 502 || r["status"] != status || r["outcome"] != outcome {
		t.Errorf("got %d, logged as %v, want 502, logged as %v %s", a.Status, r, status, outcome)
	}

	provider.SetFaults(mock.Behavior{HangAfter: 50})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("say: early goodbye", false)).WithContext(ctx))
		if err == nil {
			_ = response.Body.Close()
			t.Errorf("got %s, and the client was to leave before", response.Status)
		}
	}()
	nettest.Eventually(t, "the provider's having begun to answer", func() bool {
		requests := provider.Requests()
		return strings.Contains(string(requests[len(requests)-1].Body), "say: early goodbye")
	})
	leave()
	<-left
	if r := g.exchange("early goodbye"); r["status"] != 0.0 || r["outcome"] != "aborted" {
		t.Errorf("logged as %v, want an aborted one without a status", r)
	}
}

func testProviderSlow(t *testing.T, g *gateway, provider *mock.Provider) {
	provider.SetFaults(mock.Behavior{Delay: 200 * time.Millisecond, Pace: 100 * time.Millisecond})
	var early, all time.Duration
	for range 5 { // on a machine that is busy the first event may come late
		response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("say: a b c d e f", true)))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // read to its end
		first := make([]byte, 6)
		began := time.Now()
		if _, err := io.ReadFull(response.Body, first); err != nil {
			t.Fatal(err)
		}
		early = time.Since(began)
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		all = time.Since(began)
		if r := g.exchange(response.Header.Get("X-Request-Id")); r["time_to_first_token_ms"].(float64) < 200 {
			t.Errorf("the time to the first token is logged as %v ms, want at least 200", r["time_to_first_token_ms"])
		}
		if early*2 <= all {
			return
		}
	}
	t.Errorf("the first event took %s of %s: the stream is held back", early, all)
}

func testUnreadableAnswer(t *testing.T, g *gateway, provider *mock.Provider) {
	provider.SetFaults(mock.Behavior{InvalidJSON: true})
	if a := g.chat("say: hi"); a.Status != 502 || a.errorCode() != "unreadable_answer" {
		t.Errorf("got %d %s, want 502 unreadable_answer", a.Status, a.Body)
	}
	s := do(t, g.request(chatBody("say: a b c d e f", true)))
	if !strings.Contains(s.Body, `"unreadable_answer"`) || !strings.HasSuffix(s.Body, "data: [DONE]\n\n") {
		t.Errorf("a stream that cannot be read is passed on as %s", s.Body)
	}
}

func testMalformed(t *testing.T, g *gateway, _ *mock.Provider) {
	for name, tc := range map[string]struct{ body, code string }{
		"empty":             {"", "invalid_json"},
		"not JSON":          {"hello", "invalid_json"},
		"cut off":           {`{"model":"gpt-4o-mini","messages":[`, "invalid_json"},
		"trailing data":     {chatBody("hi", false) + "{}", "invalid_json"},
		"no model":          {`{"messages":[{"role":"user","content":"hi"}]}`, "invalid_request"},
		"no messages":       {`{"model":"gpt-4o-mini"}`, "invalid_request"},
		"messages a string": {`{"model":"gpt-4o-mini","messages":"hi"}`, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			a := do(t, g.request(tc.body))
			if a.Status != 400 || a.errorCode() != tc.code {
				t.Errorf("got %d %s, want 400 %s", a.Status, a.Body, tc.code)
			}
		})
	}
}

func testTooLarge(t *testing.T, g *gateway, _ *mock.Provider) {
	big := chatBody(strings.Repeat("x", 2<<20), false)
	for name, change := range map[string]func(*http.Request){
		"with its length told": func(*http.Request) {},
		"in chunks":            func(r *http.Request) { r.ContentLength = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := g.request(big)
			change(r)
			a := do(t, r)
			if a.Status != 413 || a.errorCode() != "request_too_large" {
				t.Errorf("got %d %.200s, want 413 request_too_large", a.Status, a.Body)
			}
		})
	}
	within := do(t, g.request(chatBody("say: "+strings.Repeat("x", 900<<10), false)))
	if within.Status != 200 {
		t.Errorf("a body within the bound: got %d %.200s", within.Status, within.Body)
	}
}

// unreachableTests come first: nothing listens where the provider should be.
var unreachableTests = []changeTest{
	{"the provider is down", testProviderIsDown},
	{"the provider takes too long", testProviderTimeout},
}

func testProviderIsDown(t *testing.T, g *gateway) {
	a := g.chat("hi")
	if a.Status != 503 || a.errorCode() != "provider_unavailable" {
		t.Errorf("got %d %s, want 503 provider_unavailable", a.Status, a.Body)
	}
	nettest.Eventually(t, "the log to tell why", func() bool { return g.told("openai", "it refuses connections") > 0 })
	if r := g.exchange(a.Header.Get("X-Request-Id")); r["status"] != 503.0 || r["outcome"] != "error" {
		t.Errorf("logged as %v", r)
	}
}

// testProviderTimeout needs timeouts that are short.
func testProviderTimeout(t *testing.T, g *gateway) {
	provider, url := startProvider(t, mock.Options{})
	config := strings.Replace(policies, "api_key: {env: LEASH_TEST_KEY}", "timeouts: {total: 300ms, idle: 300ms}", 1)
	g.change(config, url)
	provider.SetFaults(mock.Behavior{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a := do(t, g.request(chatBody("hi", false)).WithContext(ctx))
	if a.Status != 504 || a.errorCode() != "provider_timeout" {
		t.Errorf("got %d %s, want 504 provider_timeout", a.Status, a.Body)
	}
}
