package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// wantMetrics waits until the page of metrics shows all of the series, with these labels among others and in any order, and this value;
// + stands for any but 0.
func (g *gateway) wantMetrics(series ...string) {
	g.t.Helper()
	missing, shown := "", false
	defer func() {
		if !shown {
			g.t.Logf("missing was %s in\n%s", missing, interesting(get(g.t, g.Control+"/metrics").Body))
		}
	}()
	nettest.Eventually(g.t, "the metrics "+strings.Join(series, ", "), func() bool {
		page := get(g.t, g.Control+"/metrics").Body
		for _, missing = range series {
			name, rest, _ := strings.Cut(missing, "{")
			labels, value, _ := strings.Cut(rest, "} ")
			got, want := present(g.t, page, name+"{", strings.Split(labels, ","))
			if number, _ := strconv.ParseFloat(value, 64); !want || value == "+" && got == 0 || value != "+" && got != number {
				return false
			}
		}
		shown = true
		return true
	})
}

// present is the sum of the series with these labels, and whether there are any.
func present(t testing.TB, page, metric string, labels []string) (total float64, there bool) {
	t.Helper()
	for line := range strings.Lines(page) {
		there = there || strings.HasPrefix(line, metric) && !slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(line, label) })
	}
	return sum(t, page, metric, labels...), there
}

// interesting is what a page of metrics says of providers.
func interesting(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "leash_") && strings.Contains(line, "provider=") && !strings.Contains(line, "_bucket{") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestMetricsTellHowProvidersDo reads all that the page of metrics is to tell of a provider and its models.
func TestMetricsTellHowProvidersDo(t *testing.T) {
	t.Parallel()
	onEngines(t, testMetricsTellHowProvidersDo)
}

func testMetricsTellHowProvidersDo(t *testing.T, p ports) {
	p.Fleet = startFleet(t, "openai", "anthropic", "google")
	pattern := "routes:\n  - {model: \"gpt-5*\", targets: [{provider: google}, {provider: openai}]}\n" +
		"  - {model: hasty, timeouts: {first_byte: 3s}, targets: [{provider: anthropic, model: claude-haiku-4-5}, {provider: openai, model: gpt-4o-mini}]}\n" +
		"  - {model: hasty-alone, timeouts: {first_byte: 300ms}, provider: anthropic, upstream_model: claude-haiku-4-5}\n" +
		"  - {model: hasty-throughout, timeouts: {first_byte: 300ms, idle: 300ms}, provider: anthropic, upstream_model: claude-haiku-4-5}\n"
	g := start(t, strings.Replace(pairs(), "routes:\n", pattern, 1), p)
	chat := dialectNamed("chat")
	ask := func(t *testing.T, model string, stream bool, status int) {
		t.Helper()
		if a := do(t, chat.request(g.with(t), model, "lorem: 40", stream)); a.Status != status {
			t.Fatalf("got %d %s, want %d", a.Status, a.Body, status)
		}
	}
	t.Run("requests, latency, time to first token, tokens per second", func(t *testing.T) {
		p.Fleet["openai"].SetFaults(mock.Behavior{Pace: 2 * time.Millisecond})
		ask(t, "gpt-4o-mini", false, 200)
		ask(t, "gpt-4o-mini", true, 200)
		p.Fleet["openai"].ClearFaults()
		labels := `{model="gpt-4o-mini",provider="openai"} +`
		g.with(t).wantMetrics(`leash_requests_total{tenant="demo",model="gpt-4o-mini",provider="openai",status="200"} 2`,
			"leash_request_duration_milliseconds_count"+labels, "leash_time_to_first_token_milliseconds_count"+labels,
			"leash_output_tokens_per_second_count"+labels, "leash_output_tokens_per_second_sum"+labels,
			`leash_request_duration_milliseconds_bucket{model="gpt-4o-mini",provider="openai",le="90000"} +`,
			`leash_envoy_upstream_requests_total{class="2xx",provider="openai"} 2`, `leash_provider_healthy{provider="openai"} 1`)
	})
	t.Run("errors by class", func(t *testing.T) {
		for status, class := range map[int]string{429: "rate_limited", 401: "authentication", 500: "server_error", 400: "invalid_request"} {
			p.Fleet["openai"].SetFaults(mock.Behavior{Status: status})
			ask(t, "gpt-4o-mini", false, status)
			g.with(t).wantMetrics(fmt.Sprintf(`leash_errors_total{model="gpt-4o-mini",provider="openai",class=%q} 1`, class))
		}
		p.Fleet["openai"].ClearFaults()
	})
	t.Run("retries, failovers, the breaker and health", func(t *testing.T) {
		p.Fleet["google"].SetFaults(mock.Behavior{Status: 503})
		for range 5 {
			ask(t, "google-or-openai", false, 200)
		}
		g.with(t).wantMetrics(`leash_breaker_state{provider="google"} 2`, `leash_provider_healthy{provider="google"} 0`,
			`leash_attempts_total{model="gemini-2.5-flash",provider="google",status="503"} 5`,
			`leash_attempt_errors_total{model="gemini-2.5-flash",provider="google",class="unavailable"} 5`,
			`leash_retries_total{model="gpt-4o-mini",provider="openai"} 5`, `leash_failovers_total{model="gpt-4o-mini",provider="openai"} 5`,
			`leash_attempt_first_byte_milliseconds_count{model="gpt-4o-mini",provider="openai"} +`,
			`leash_breaker_state{provider="openai"} 0`, `leash_provider_healthy{provider="openai"} 1`)
		p.Fleet["google"].ClearFaults()
		g.with(t).wantMetrics(`leash_breaker_state{provider="google"} 1`) // once it has been open for a second
		ask(t, "google-or-openai", false, 200)
		g.with(t).wantMetrics(`leash_breaker_state{provider="google"} 0`, `leash_provider_healthy{provider="google"} 1`,
			`leash_attempts_total{model="gemini-2.5-flash",provider="google",status="200"} 1`)
	})
	t.Run("an answer that does not begin in time", func(t *testing.T) {
		p.Fleet["anthropic"].SetFaults(mock.Behavior{Hang: true})
		ask(t, "hasty", false, 200)
		ask(t, "hasty-alone", false, 504)
		ask(t, "hasty-throughout", false, 504)
		if a := do(t, dialectNamed("messages").request(g.with(t), "hasty-alone", "say: hi", false)); a.Status != 504 { // as the client sends it
			t.Errorf("got %d %s, want 504", a.Status, a.Body)
		}
		p.Fleet["anthropic"].ClearFaults()
		g.with(t).wantMetrics(`leash_attempts_total{model="claude-haiku-4-5",provider="anthropic",status="0"} 3`,
			`leash_attempt_errors_total{model="claude-haiku-4-5",provider="anthropic",class="timeout"} 3`,
			`leash_envoy_upstream_timeouts_total{provider="anthropic"} 4`)
		page := get(t, g.Control+"/metrics").Body
		if sum(t, page, "leash_attempts_total", `provider="anthropic"`) != 3 || sum(t, page, "leash_envoy_upstream_timeouts_total", `provider="anthropic"`) != 4 {
			t.Errorf("the page tells other attempts too:\n%s", interesting(page))
		}
	})
	t.Run("no HTTP", func(t *testing.T) {
		p.Fleet["anthropic"].SetFaults(mock.Behavior{Garbage: mock.GarbageHTTP})
		ask(t, "anthropic-or-google", false, 200)
		p.Fleet["anthropic"].ClearFaults()
		g.with(t).wantMetrics(`leash_attempts_total{provider="anthropic",status="502"} 1`)
	})
	t.Run("a name that a client makes up is no label", func(t *testing.T) {
		for i := range 3 {
			ask(t, fmt.Sprintf("gpt-5-made-up-%d", i), false, 200)
		}
		g.with(t).wantMetrics(`leash_attempts_total{model="gpt-5*",provider="google",status="200"} 3`)
		if page := get(t, g.Control+"/metrics").Body; strings.Contains(page, "made-up") {
			t.Errorf("the page holds the clients' names:\n%s", interesting(page))
		}
	})
	t.Run("a provider that is gone has been, and is in no state", func(t *testing.T) {
		g.with(t).changeFleet(totals, startFleet(t, "openai", "spare"))
		page := get(t, g.Control+"/metrics").Body
		if _, there := present(t, page, "leash_attempts_total{", []string{`provider="google"`}); !there {
			t.Errorf("what was counted is gone:\n%s", interesting(page))
		}
		for _, state := range []string{"leash_breaker_state{", "leash_provider_healthy{", "leash_breaker_open_until_milliseconds{", "leash_envoy_endpoints{"} {
			if _, there := present(t, page, state, []string{`provider="google"`}); there {
				t.Errorf("the page shows %s:\n%s", state, interesting(page))
			}
		}
	})
}
