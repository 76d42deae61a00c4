package e2e

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

var limitTests = []sharedTest{
	{"a limit answers 429 with Retry-After, and is free again after it", testRateLimit},
	{"the limit's headers stand in each answer", testLimitHeaders},
	{"workers share a limit", testLimitOfAllWorkers},
}

var sharedLimitTests = []changeTest{{"limits by address and by header count whom they name", testWhoSharesALimit}}

// testWhoSharesALimit has a client that says on each connection that it is another one.
func testWhoSharesALimit(t *testing.T, g *gateway) {
	_, url := startProvider(t, mock.Options{Key: upstreamKey})
	g.change(head+`pipeline:
  - module: auth
  - module: ratelimit
    config:
      limits: [{name: by-address, by: address, requests: 3, window: 1h}, {name: by-app, by: "header:x-app", requests: 1, window: 1h}]
`, url)
	for i, ask := range []struct {
		app   string
		want  int
		limit string
	}{{"one", 200, ""}, {"one", 429, "by-app"}, {"two", 200, ""}, {"three", 200, ""}, {"four", 429, "by-address"}} {
		r := g.request(chatBody("say: hi", false))
		r.Close = true
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Envoy-External-Address", "X-Envoy-Original-Dst-Host", "True-Client-Ip"} {
			r.Header.Set(name, "203.0.113."+strconv.Itoa(i))
		}
		r.Header.Set("X-App", ask.app)
		if a := do(t, r); a.Status != ask.want || !strings.Contains(a.Body, ask.limit) {
			t.Errorf("request %d: got %d %s, want %d of %s", i, a.Status, a.Body, ask.want, ask.limit)
		}
	}
}

// testLimitOfAllWorkers asks on many connections, which Envoy's workers share out among them.
func testLimitOfAllWorkers(t *testing.T, g *gateway, _ *mock.Provider) {
	const limit, window = 2, 2 * time.Second // of the tenant trial
	time.Sleep(window)                       // so that all of it is there
	began := time.Now()
	var all sync.WaitGroup
	var passed atomic.Int64
	for range 60 {
		all.Go(func() {
			r := g.request(chatBody("say: hi", false))
			r.Header.Set("Authorization", "Bearer "+trialKey)
			r.Close = true
			if a := do(t, r); a.Status == 200 {
				passed.Add(1)
			} else if a.Status != 429 {
				t.Errorf("got %d %s, want 200 or 429", a.Status, a.Body)
			}
		})
	}
	all.Wait()
	if most := limit + int64(time.Since(began)/(window/limit)); passed.Load() < limit || passed.Load() > most {
		t.Errorf("%d of 60 requests passed, want %d to %d", passed.Load(), limit, most)
	}
}

func testRateLimit(t *testing.T, g *gateway, _ *mock.Provider) {
	ask := func() answer {
		r := g.request(chatBody("say: hi", false))
		r.Header.Set("Authorization", "Bearer "+trialKey)
		return do(t, r)
	}
	var limited answer
	nettest.Eventually(t, "the third of three quick requests to be refused", func() bool {
		limited = ask()
		return limited.Status != 200
	})
	if limited.Status != 429 || limited.errorCode() != "rate_limit_exceeded" {
		t.Fatalf("got %d %s, want 429 rate_limit_exceeded", limited.Status, limited.Body)
	}
	seconds, err := strconv.Atoi(limited.Header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 2 {
		t.Errorf("Retry-After is %q, want 1 or 2 seconds", limited.Header.Get("Retry-After"))
	}
	for header, want := range map[string]string{"x-ratelimit-limit-requests": "2", "x-ratelimit-remaining-requests": "0"} {
		if got := limited.Header.Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	if other := g.chat("say: hi"); other.Status != 200 {
		t.Errorf("another key: got %d, want 200: limits are by key", other.Status)
	}
	time.Sleep(time.Duration(seconds) * time.Second) // what Retry-After asked for is what is tested
	if again := ask(); again.Status != 200 {
		t.Errorf("after Retry-After: got %d %s, want 200", again.Status, again.Body)
	}
}

func testLimitHeaders(t *testing.T, g *gateway, _ *mock.Provider) {
	for name, stream := range map[string]bool{"whole": false, "streamed": true} {
		a := do(t, g.request(chatBody("say: hi", stream)))
		for _, header := range []string{
			"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
			"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
		} {
			if a.Header.Get(header) == "" {
				t.Errorf("%s: the answer has no %s", name, header)
			}
		}
	}
}
