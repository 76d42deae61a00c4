package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
)

// checked is two with a check of the first provider, and a route that leads to it alone.
var checked = strings.NewReplacer(
	`/first", `, `/first", health_check: {path: /health, interval: 10ms, timeout: 5s}, `, "routes: [", "routes: [{model: alone, provider: openai}, ",
).Replace(two)

// healthy is a server with two providers, whose first answers its health check with a status (0: it breaks off). It counts what each is asked.
type healthy struct {
	status        atomic.Int32
	checks        atomic.Int32
	first, second atomic.Int32
	withKey       atomic.Bool // a check had the key
}

func (h *healthy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/v1/first/health" && r.Method == http.MethodGet:
		h.checks.Add(1)
		h.withKey.CompareAndSwap(false, r.Header.Get("Authorization") != "")
		if h.status.Load() == 0 {
			hijack(w, "")
			return
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(int(h.status.Load()))
	case strings.HasPrefix(r.URL.Path, "/v1/first/"):
		h.first.Add(1)
		_, _ = io.WriteString(w, strings.Replace(fromSecond, "second", "first", 1))
	default:
		h.second.Add(1)
		_, _ = io.WriteString(w, fromSecond)
	}
}

// afterChecks waits until some more checks have been answered.
func (h *healthy) afterChecks(t *testing.T) {
	t.Helper()
	from := h.checks.Load()
	nettest.Eventually(t, "checks", func() bool { return h.checks.Load() >= from+4 }) // two, and those that were under way
}

func TestAProviderThatDoesNotAnswerItsHealthCheckIsSentNothing(t *testing.T) {
	for name, status := range map[string]int32{"an error": 500, "unavailable": 503, "nothing": 0} {
		t.Run(name, func(t *testing.T) {
			h := &healthy{}
			h.status.Store(200)
			b := start(t, setup{config: checked}, h.ServeHTTP)
			chatOf := func(model string) answer {
				return b.do(b.request("POST", "/v1/chat/completions", strings.Replace(chat, "gpt-4o-mini", model, 1)))
			}
			h.afterChecks(t)
			if a := chatOf("gpt-4o-mini"); !strings.Contains(a.body, "from the first") {
				t.Errorf("while all is well: got %d %s", a.status, a.body)
			}
			h.status.Store(status)
			h.afterChecks(t)
			before := h.first.Load()
			if a := chatOf("gpt-4o-mini"); !strings.Contains(a.body, "from the second") {
				t.Errorf("while the first is absent: got %d %s", a.status, a.body)
			}
			if a := chatOf("alone"); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "provider_unavailable") {
				t.Errorf("where there is no other: got %d %s", a.status, a.body)
			}
			if n := h.first.Load() - before; n != 0 {
				t.Errorf("it was sent %d requests", n)
			}
			if page := metricsPage(b); !strings.Contains(page, `envoy_cluster_membership_healthy{envoy_cluster_name="openai"} 0`) {
				t.Errorf("the metrics say %s", page)
			}
			h.status.Store(404) // something answers
			h.afterChecks(t)
			if a := chatOf("gpt-4o-mini"); !strings.Contains(a.body, "from the first") {
				t.Errorf("when it is there again: got %d %s", a.status, a.body)
			}
			if h.withKey.Load() {
				t.Error("a check had the provider's key")
			}
		})
	}
}

func metricsPage(b *bench) string {
	w := httptest.NewRecorder()
	b.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil))
	return w.Body.String()
}

func TestRedirectionsAreAnswersToAHealthCheck(t *testing.T) {
	h := &healthy{}
	h.status.Store(302)
	b := start(t, setup{config: checked}, h.ServeHTTP)
	h.afterChecks(t)
	if a := b.do(b.request("POST", "/v1/chat/completions", chat)); !strings.Contains(a.body, "from the first") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if h.second.Load() != 0 {
		t.Error("the redirection was followed")
	}
}

func TestAHealthCheckThatIsTakenAwayHoldsNothingBack(t *testing.T) {
	h := &healthy{}
	b := start(t, setup{config: checked}, h.ServeHTTP)
	h.afterChecks(t)
	if a := b.do(b.request("POST", "/v1/chat/completions", chat)); !strings.Contains(a.body, "from the second") {
		t.Errorf("while it is absent: got %d %s", a.status, a.body)
	}
	b.apply(setup{config: checked}) // the same again: what is known stays
	if !b.metrics.upstream("openai").absent.Load() {
		t.Error("another configuration forgets that it is absent")
	}
	b.apply(setup{config: two})
	if a := b.do(b.request("POST", "/v1/chat/completions", chat)); !strings.Contains(a.body, "from the first") {
		t.Errorf("without a check: got %d %s", a.status, a.body)
	}
	nettest.Eventually(t, "the last check, which may have been under way", func() bool {
		from := h.checks.Load()
		time.Sleep(200 * time.Millisecond) //nolint:forbidigo // that nothing comes is what is waited for: there would be twenty
		return h.checks.Load() == from
	})
}
