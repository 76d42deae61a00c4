package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// hurried is a gateway whose routes ask the next target also where one takes long: soon, or practically never.
const hurried = `
listen: 127.0.0.1:{{.Listen}}
control: {listen: 127.0.0.1:{{.Control}}}
envoy: {admin: 127.0.0.1:{{.Admin}}, concurrency: 2}
providers:
  first: {kind: openai, base_url: "{{.Provider}}", api_key: {env: LEASH_TEST_KEY}, breaker: {consecutive: 1000, percent: 100, volume: 1000}}
  second: {kind: anthropic, base_url: "{{.Fleet.second.Server}}", api_key: {env: LEASH_TEST_KEY_SECOND}, breaker: {consecutive: 1000, percent: 100, volume: 1000}}
tenants:
  demo:
    keys: [{name: laptop, sha256: 12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405}]
routes:
  - {model: soon, failover: {hedge: 100ms}, targets: [{provider: first, model: gpt-4o-mini}, {provider: second, model: claude-sonnet-4-5}]}
  - {model: late, failover: {hedge: 10m}, targets: [{provider: first, model: gpt-4o-mini}, {provider: second, model: claude-sonnet-4-5}]}
  - {model: bounded, failover: {hedge: 100ms, on: [429]}, timeouts: {first_byte: 1s}, targets: [{provider: first, model: gpt-4o-mini}, {provider: second, model: claude-sonnet-4-5}]}
pipeline:
  - module: costtracker
  - module: logger
  - module: auth
`

// A watched provider counts the requests that it has got, and those that have ended.
type watched struct {
	*mock.Provider

	asked, ended atomic.Int64
	// after says whether it may begin; nil: at once. A time alone may be over before another is asked, on a machine that is busy.
	after atomic.Pointer[func() bool]
}

func (w *watched) ServeHTTP(to http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	defer w.ended.Add(1)
	for after := w.after.Load(); after != nil && !(*after)() && r.Context().Err() == nil; {
		time.Sleep(5 * time.Millisecond) // a poll
	}
	w.Provider.ServeHTTP(to, r)
}

func TestTheNextTargetIsAskedTooWhereOneTakesLong(t *testing.T) {
	t.Parallel()
	onEngines(t, testTheNextTargetIsAskedTooWhereOneTakesLong)
}

func testTheNextTargetIsAskedTooWhereOneTakesLong(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "second")
	first, second := &watched{Provider: mock.New(mock.Options{Control: true, Key: upstreamKey})}, p.Fleet["second"]
	server := httptest.NewServer(first)
	t.Cleanup(server.Close)
	g := start(t, hurried, p.of(server.URL+"/v1"))
	const soon, never = "soon", "late"
	tests := map[string]struct {
		model           string
		first, second   mock.Behavior
		status          int
		by              string // who has answered
		asked, otherToo int64  // how often the first is asked, and the second
	}{
		"the first is quick":                        {never, mock.Behavior{}, mock.Behavior{}, 200, "first", 1, 0},
		"the first hangs":                           {soon, mock.Behavior{Hang: true}, mock.Behavior{}, 200, "second", 1, 1},
		"the first fails at once":                   {never, mock.Behavior{Status: 503}, mock.Behavior{}, 200, "second", 1, 1},
		"the first is slow, and the second fails":   {soon, mock.Behavior{Delay: 300 * time.Millisecond}, mock.Behavior{Status: 429}, 200, "first", 1, 1},
		"the first is slow, the second yet slower":  {soon, mock.Behavior{Delay: 300 * time.Millisecond}, mock.Behavior{Hang: true}, 200, "first", 1, 1},
		"the first is slow, the second has garbage": {soon, mock.Behavior{Delay: 300 * time.Millisecond}, mock.Behavior{Garbage: mock.GarbageBody}, 200, "first", 1, 1},
		"the first is slow, and fails at last":      {soon, mock.Behavior{Delay: 300 * time.Millisecond, Status: 503}, mock.Behavior{Delay: 3 * time.Second / 2}, 200, "second", 1, 1},
		"both fail":                                 {soon, mock.Behavior{Delay: 300 * time.Millisecond, Status: 503}, mock.Behavior{Status: 503}, 503, "", 1, 1},
		"neither begins in time":                    {"bounded", mock.Behavior{Hang: true}, mock.Behavior{Hang: true}, 504, "", 1, 1},
		"the first does not begin in time":          {"bounded", mock.Behavior{Hang: true}, mock.Behavior{Delay: 3 * time.Second / 2}, 504, "", 1, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			first.SetFaults(tc.first)
			second.SetFaults(tc.second)
			for _, stream := range []bool{false, true} {
				for _, d := range []dialect{dialectNamed("chat"), dialectNamed("messages")} {
					g := g.with(t)
					asked, other := first.asked.Load(), int64(len(second.Requests()))
					var after *func() bool
					if tc.first.Delay > 0 {
						otherAsked := func() bool { return int64(len(second.Requests())) > other }
						after = &otherAsked
					}
					first.after.Store(after)
					a := do(t, d.request(g, tc.model, "say: well done", stream))
					want := d.answers
					switch {
					case tc.status != 200:
						want = d.failure
					case stream:
						want = d.events
					}
					if a.Status != tc.status {
						t.Fatalf("%s: got %d %s, want %d", d.name, a.Status, a.Body, tc.status)
					}
					wantAll(t, a.Body, want)
					for header := range a.Header {
						if strings.HasPrefix(header, "X-Leash-") || strings.HasPrefix(header, "X-Envoy-") {
							t.Errorf("%s: the client reads %v", d.name, a.Header)
						}
					}
					if line := g.exchange(a.Header.Get("X-Request-Id")); tc.by != "" && line["provider"] != tc.by {
						t.Errorf("%s: the log says %v, want %s", d.name, line, tc.by)
					}
					if n, m := first.asked.Load()-asked, int64(len(second.Requests()))-other; n != tc.asked || m != tc.otherToo {
						t.Errorf("%s: they were asked %d and %d times, want %d and %d", d.name, n, m, tc.asked, tc.otherToo)
					}
					nettest.Eventually(t, "the first to be left alone", func() bool { return first.ended.Load() == first.asked.Load() })
				}
			}
		})
	}
	g.wantMetrics(
		`leash_attempts_total{provider="first",status="0"} +`, `leash_attempt_errors_total{provider="first",class="canceled"} +`,
		`leash_attempt_errors_total{provider="second",class="canceled"} +`, `leash_attempts_total{provider="second",status="200"} +`,
		`leash_attempt_errors_total{provider="first",class="timeout"} +`, `leash_failovers_total{provider="second"} +`,
	)
	p.Fleet.wantKeysKept(t)
	for _, r := range first.Requests() {
		if s := written(r); strings.Contains(s, keyOf("second")) || strings.Contains(s, demoKey) || strings.Contains(strings.ToLower(s), "x-leash-") {
			t.Errorf("the first has got %s", s)
		}
	}
}
