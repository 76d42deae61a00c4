package control

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func get(t *testing.T, h http.Handler, target string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody))
	return w.Code, w.Body.String()
}

func TestHealthAndReadiness(t *testing.T) {
	notReady := func() error {
		return errors.Join(errors.New("envoy: is not started"), errors.New("config: is not applied"))
	}
	tests := map[string]struct {
		target string
		ready  func() error
		status int
		body   string
	}{
		"alive":               {"/healthz", notReady, 200, "ok\n"},
		"ready":               {"/readyz", func() error { return nil }, 200, `{"ready":true}` + "\n"},
		"nothing to wait for": {"/readyz", nil, 200, `{"ready":true}` + "\n"},
		"not ready":           {"/readyz", notReady, 503, `{"ready":false,"reasons":["envoy: is not started","config: is not applied"]}` + "\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			status, body := get(t, NewHandler(Options{Ready: tc.ready}), tc.target)
			if status != tc.status || body != tc.body {
				t.Errorf("got %d %q, want %d %q", status, body, tc.status, tc.body)
			}
		})
	}
	w := httptest.NewRecorder()
	NewHandler(Options{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/readyz", http.NoBody))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d, want 405", w.Code)
	}
}

// envoy is an Envoy's admin that tells what a function writes.
func envoy(t *testing.T, answer http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// lines of a page, without those of other metrics and of buckets.
func linesOf(page, prefix string) string {
	var kept []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, prefix) && !strings.Contains(line, "_bucket{") {
			kept = append(kept, strings.TrimSpace(line))
		}
	}
	return strings.Join(kept, "\n")
}

// Envoy counts a wait that was too long in the cluster of the provider, in that of its attempts, or in the listener between both.
func TestAllTimeoutsOfAProviderAreCountedTogether(t *testing.T) {
	address := envoy(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# TYPE envoy_cluster_upstream_rq_timeout counter\n" +
			"envoy_cluster_upstream_rq_timeout{envoy_cluster_name=\"my_llm\"} 1\n" +
			"# TYPE envoy_cluster_my_llm_upstream_rq_per_try_timeout counter\n" +
			"envoy_cluster_my_llm_upstream_rq_per_try_timeout{envoy_cluster_name=\"carry\"} 2\n" +
			"# TYPE envoy_http_my_llm_downstream_rq_idle_timeout counter\n" +
			"envoy_http_my_llm_downstream_rq_idle_timeout{envoy_http_conn_manager_prefix=\"exit\"} 4\n"))
	})
	_, page := get(t, NewHandler(Options{EnvoyAdmin: address}), "/metrics")
	if want := "leash_envoy_upstream_timeouts_total{provider=\"my_llm\"} 7\n"; !strings.Contains(page, want) {
		t.Errorf("want %s in\n%s", want, linesOf(page, "leash_"))
	}
}

func TestMetricsOfEnvoyAndItsModulesAreShownUnderStableNames(t *testing.T) {
	recorded, err := os.ReadFile("testdata/envoy.prom") // what Envoy 1.40 told after four exchanges
	if err != nil {
		t.Fatal(err)
	}
	var asked string
	address := envoy(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " " + r.URL.Query().Get("filter")
		_, _ = w.Write(recorded)
	})
	status, page := get(t, NewHandler(Options{EnvoyAdmin: address, Metrics: NewRegistry("v1")}), "/metrics")
	if status != 200 {
		t.Fatalf("got %d %s", status, page)
	}
	if want := "/stats/prometheus " + envoyFilter; asked != want {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	want := `leash_build_info{version="v1"} 1
leash_config_current 0
leash_config_loads_total{result="applied"} 0
leash_config_loads_total{result="rejected"} 0
leash_cost_picodollars_total{tenant="demo",model="gpt-4o-mini"} 2.55e+06
leash_envoy_endpoints{provider="openai"} 1
leash_envoy_endpoints_healthy{provider="openai"} 1
leash_envoy_memory_bytes 5.1467872e+07
leash_envoy_requests_active 0
leash_envoy_requests_total{class="1xx"} 0
leash_envoy_requests_total{class="2xx"} 2
leash_envoy_requests_total{class="3xx"} 0
leash_envoy_requests_total{class="4xx"} 1
leash_envoy_requests_total{class="5xx"} 1
leash_envoy_restarts_total 0
leash_envoy_scrape_dropped_series 0
leash_envoy_scrape_up 1
leash_envoy_upstream_connect_failures_total{provider="openai"} 0
leash_envoy_upstream_requests_total{class="2xx",provider="openai"} 2
leash_envoy_upstream_requests_total{class="5xx",provider="openai"} 1
leash_envoy_upstream_timeouts_total{provider="openai"} 0
leash_envoy_wasm_reloads_total{plugin="leash_costtracker",result="backoff"} 0
leash_envoy_wasm_reloads_total{plugin="leash_costtracker",result="failure"} 0
leash_envoy_wasm_reloads_total{plugin="leash_costtracker",result="success"} 0
leash_envoy_wasm_vms 4
leash_provider_healthy{provider="openai"} 1
leash_refusals_total{tenant="demo",module="route",code="model_not_found"} 1
leash_request_duration_milliseconds_sum{model="gpt-*",provider="openai"} 1.0476190476190477
leash_request_duration_milliseconds_count{model="gpt-*",provider="openai"} 1
leash_request_duration_milliseconds_sum{model="gpt-4o-mini",provider="openai"} 7.097205824478552
leash_request_duration_milliseconds_count{model="gpt-4o-mini",provider="openai"} 2
leash_requests_total{tenant="demo",model="gpt-*",provider="openai",status="500"} 1
leash_requests_total{tenant="demo",model="gpt-4o-mini",provider="openai",status="200"} 2
leash_requests_total{tenant="demo",model="unknown",provider="none",status="404"} 1
leash_time_to_first_token_milliseconds_sum{model="gpt-4o-mini",provider="openai"} 1.0476190476190477
leash_time_to_first_token_milliseconds_count{model="gpt-4o-mini",provider="openai"} 1
leash_tokens_total{tenant="demo",model="gpt-4o-mini",kind="input"} 5
leash_tokens_total{tenant="demo",model="gpt-4o-mini",kind="output"} 3
leash_trace_spans_total{result="failed"} 0
leash_trace_spans_total{result="sent"} 0
leash_trace_spans_total{result="taken"} 0`
	if got := linesOf(page, "leash_"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, other := range []string{"\nenvoy_", "admin"} {
		if strings.Contains(page, other) {
			t.Errorf("the page holds %q, which is Envoy's own", other)
		}
	}
	for _, help := range []string{"# HELP leash_tokens_total Tokens used.", "# TYPE leash_tokens_total counter", "# TYPE go_goroutines gauge", "# HELP process_open_fds"} {
		if !strings.Contains(page, help) {
			t.Errorf("the page lacks %q", help)
		}
	}
}

func TestEnvoyThatCannotBeAskedBreaksNothing(t *testing.T) {
	tests := map[string]http.HandlerFunc{
		"an error":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"no metrics": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"half a page": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("leash_requests_total{tenant=\"a"))
		},
		"too much": func(w http.ResponseWriter, _ *http.Request) {
			line := []byte("# " + strings.Repeat("x", 1<<20) + "\n")
			for range maxScrapeBytes>>20 + 1 {
				_, _ = w.Write(line)
			}
		},
		"a cut answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			checkDown(t, envoy(t, answer))
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		address := strings.TrimPrefix(server.URL, "http://")
		server.Close()
		checkDown(t, address)
	})
}

func checkDown(t *testing.T, address string) {
	t.Helper()
	status, page := get(t, NewHandler(Options{EnvoyAdmin: address, Metrics: NewRegistry("v1")}), "/metrics")
	if status != 200 || !strings.Contains(page, "\nleash_envoy_scrape_up 0\n") || !strings.Contains(page, "\nleash_build_info") {
		t.Errorf("got %d and\n%s\nwant 200, leash_envoy_scrape_up 0 and our own metrics", status, linesOf(page, "leash_"))
	}
}

func TestModulesCannotTakeNamesNorFillThePage(t *testing.T) {
	var text strings.Builder
	text.WriteString("# TYPE leash_mine_total counter\n")
	for i := range maxSeries + 7 {
		text.WriteString("leash_mine_total{n=\"" + strings.Repeat("i", i%100) + "_" + string(rune('a'+i%26)) + "_" + strconv.Itoa(i) + "\"} 1\n")
	}
	text.WriteString("# TYPE leash_build_info gauge\nleash_build_info{version=\"forged\"} 1\n")
	text.WriteString("# TYPE leash_envoy_scrape_up gauge\nleash_envoy_scrape_up{} 0\n")
	text.WriteString("# TYPE other_total counter\nother_total{} 1\n")
	address := envoy(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text.String())) })
	_, page := get(t, NewHandler(Options{EnvoyAdmin: address, Metrics: NewRegistry("v1")}), "/metrics")

	if got := strings.Count(page, "\nleash_mine_total{"); got != maxSeries {
		t.Errorf("got %d series, want %d", got, maxSeries)
	}
	for _, line := range []string{"leash_envoy_scrape_dropped_series 7", "leash_envoy_scrape_up 1", `leash_build_info{version="v1"} 1`,
		"# HELP leash_mine_total A metric of a module that is not part of Leash."} {
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("the page lacks %q", line)
		}
	}
	if strings.Contains(page, "forged") || strings.Contains(page, "other_total") {
		t.Error("the page holds what it should not")
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(page)); err != nil {
		t.Errorf("the page is not Prometheus' format: %v", err)
	}
}

func TestProviderIsNamedHoweverEnvoyTakesItsClusterApart(t *testing.T) {
	for name, text := range map[string]string{
		"in the metric's name": "# TYPE envoy_cluster_my_llm_membership_total gauge\nenvoy_cluster_my_llm_membership_total{envoy_cluster_name=\"provider\"} 2\n",
		"in the label":         "# TYPE envoy_cluster_membership_total gauge\nenvoy_cluster_membership_total{envoy_cluster_name=\"my_llm\"} 2\n",
	} {
		t.Run(name, func(t *testing.T) {
			address := envoy(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
			_, page := get(t, NewHandler(Options{EnvoyAdmin: address}), "/metrics")
			if got, want := linesOf(page, "leash_envoy_endpoints"), `leash_envoy_endpoints{provider="my_llm"} 2`; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestRegistryCounts(t *testing.T) {
	r := NewRegistry("v1")
	r.ConfigLoaded(nil)
	r.ConfigLoaded(errors.New("line 3: no"))
	r.EnvoyRestarted()
	_, page := get(t, NewHandler(Options{Metrics: r}), "/metrics")
	want := `leash_build_info{version="v1"} 1
leash_config_current 0
leash_config_loads_total{result="applied"} 1
leash_config_loads_total{result="rejected"} 1
leash_envoy_restarts_total 1
leash_trace_spans_total{result="failed"} 0
leash_trace_spans_total{result="sent"} 0
leash_trace_spans_total{result="taken"} 0`
	if got := linesOf(page, "leash_"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
