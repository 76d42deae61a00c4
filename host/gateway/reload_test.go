package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/internal/nettest"
)

func TestStreamsOutliveTheConfigurationTheyBeganUnder(t *testing.T) {
	next := make(chan string)
	b := start(t, setup{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for piece := range next {
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
	})
	response, err := b.client.Do(b.request("POST", "/v1/raw", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	before := b.current
	if got, want := b.metrics.vms.Load(), int64(2); got != want {
		t.Errorf("%d VMs run, want %d", got, want)
	}
	b.apply(setup{config: strings.Replace(open, "path: /v1/raw", "path: /v1/other", 1)})
	if a := b.do(b.request(http.MethodGet, "/v1/raw", "")); a.status != http.StatusNotFound {
		t.Errorf("a new exchange: got %d, want the new configuration's 404", a.status)
	}
	if a := b.do(b.request(http.MethodGet, "/v1/other", "")); a.status != http.StatusOK {
		t.Errorf("a new exchange: got %d, want the new configuration's route", a.status)
	}
	if got, want := b.metrics.vms.Load(), int64(4); got != want {
		t.Errorf("%d VMs run while the stream does, want %d", got, want)
	}
	for _, piece := range []string{"still ", "here"} {
		next <- piece
	}
	close(next)
	if got, err := io.ReadAll(response.Body); err != nil || string(got) != "still here" {
		t.Errorf("the stream is %q (%v)", got, err)
	}
	before.exchanges.Wait()
	nettest.Eventually(t, "the former VMs to be freed", func() bool { return b.metrics.vms.Load() == 2 })
}

func TestConfigurationsAreChangedUnderLoadWithoutAFailedExchange(t *testing.T) {
	b := start(t, setup{config: guarded}, repeat)
	b.client = speak(t, "HTTP/2")
	done := make(chan struct{})
	var all sync.WaitGroup
	var count atomic.Int64
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				response, err := b.client.Do(b.request(http.MethodGet, "/v1/models", ""))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK {
					t.Errorf("got %d", response.StatusCode)
				}
				count.Add(1)
			}
		})
	}
	for range 5 {
		from := count.Load()
		b.apply(setup{config: guarded})
		nettest.Eventually(t, "exchanges under the new configuration", func() bool { return count.Load() > from+10 })
	}
	close(done)
	all.Wait()
}

func TestAConfigurationThatCannotRunChangesNothing(t *testing.T) {
	b := start(t, setup{}, says("here"))
	broken := filepath.Join(t.TempDir(), "broken.wasm")
	if err := os.WriteFile(broken, []byte("no module"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := func(file string) string {
		return strings.Replace(open, "pipeline: [", "pipeline: [{module: own, kind: policy, file: "+file+"}, ", 1)
	}
	tests := map[string]struct{ config, place string }{
		"a file that is no module": {own(broken), "own"},
		"a module that refuses it": {strings.Replace(open, "{module: route}", "{module: contentfilter, config: {rules: 1}}", 1), "leash.pipeline~"},
		"certificates that are no": {"# %s" + strings.Replace(open, `"%s"`, `"https://provider.test/v1", ca_file: "`+broken+`"`, 1), "provider.openai"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			vms := b.metrics.vms.Load()
			err := b.tryApply(setup{config: tc.config})
			refused, ok := errors.AsType[*Refused](err)
			if !ok || !strings.Contains(refused.Place(), tc.place) {
				t.Fatalf("got %v, want it refused for %s", err, tc.place)
			}
			if a := b.do(b.request("POST", "/v1/raw", "x")); a.body != "here" {
				t.Errorf("got %d %s, want the old configuration in force", a.status, a.body)
			}
			if got := b.metrics.vms.Load(); got != vms || len(b.programs) != 1 {
				t.Errorf("%d VMs and %d modules are kept, want %d and 1", got, len(b.programs), vms)
			}
		})
	}
}

func TestWithoutAConfigurationItIsUnavailable(t *testing.T) {
	g, err := New(context.Background(), Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close(context.Background())
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(chat)))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "provider_unavailable") {
		t.Errorf("got %d %s, want 503", w.Code, w.Body)
	}
	for path, want := range map[string]int{"/ready": 503, "/stats/prometheus": 200} {
		w := httptest.NewRecorder()
		if g.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
}

func TestClosingWaitsForWhatRuns(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	b := start(t, setup{}, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		_, _ = io.WriteString(w, "late")
	})
	got := make(chan fetched, 1)
	go func() {
		response, err := b.client.Do(b.request("POST", "/v1/raw", "x"))
		if err != nil {
			got <- fetched{err: err}
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		got <- fetched{string(body), err}
	}()
	receive(t, asked, "the provider to be asked")
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		b.replace(nil)
		b.retired.Wait()
	}()
	nettest.Eventually(t, "new exchanges to be refused", func() bool {
		b.mu.RLock()
		defer b.mu.RUnlock()
		return b.current == nil
	})
	select {
	case <-closed:
		t.Error("it is closed while an exchange runs")
	default:
	}
	close(answer)
	if a := receive(t, got, "the answer"); a.err != nil || a.body != "late" {
		t.Errorf("got %q (%v)", a.body, a.err)
	}
	receive(t, closed, "the end")
	b.apply(setup{})
}

type fetched struct {
	body string
	err  error
}

func TestTheMetricsPageHasTheNamesOfEnvoys(t *testing.T) {
	b := start(t, setup{config: guarded}, says("no completion"))
	b.do(b.request("POST", "/v1/chat/completions", chat))
	page := func() string {
		w := httptest.NewRecorder()
		b.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil))
		return w.Body.String()
	}
	for _, want := range []string{
		`envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="leash",envoy_response_code_class="5"} 1`,
		`envoy_cluster_upstream_rq_xx{envoy_cluster_name="openai",envoy_response_code_class="2"} 1`,
		`envoy_cluster_membership_healthy{envoy_cluster_name="openai"} 1`,
		"envoy_wasm_envoy_wasm_runtime_v8_active 2",
	} {
		// A client may have its answer before the exchange is counted.
		nettest.Eventually(t, want+" on the page", func() bool { return strings.Contains(page(), want) })
	}
}

func TestHistogramsAreCountedInTheirBuckets(t *testing.T) {
	m := newMetrics(slog.New(slog.DiscardHandler))
	h := m.Define(abi.Histogram, "leash_seconds.[tenant=demo].[model=m]")
	for _, value := range []uint64{0, 1, 7, 4_000_000} {
		h.Record(value)
	}
	m.Define(abi.Gauge, "leash_gauge").Record(7)
	m.Define(abi.Gauge, "leash_gauge").Add(-9)
	m.Define(abi.Counter, "leash_gauge").Add(1) // a module's mistake
	page, err := m.page()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`leash_seconds_bucket{model="m",tenant="demo",le="0.5"} 1`, `le="1"} 2`, `le="10"} 3`, `le="+Inf"} 4`,
		`leash_seconds_sum{model="m",tenant="demo"} 4.000008e+06`,
	} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %s:\n%s", want, page)
		}
	}
}

func TestAModuleCannotFillTheMachineWithMetrics(t *testing.T) {
	var told bytes.Buffer
	m := newMetrics(slog.New(slog.NewTextHandler(&told, nil)))
	m.Define(abi.Counter, "leash_kept").Add(1)
	for i := range 2 * maxSeries {
		m.Define(abi.Counter, "leash_flood.[n="+strconv.Itoa(i)+"]").Add(1)
	}
	m.Define(abi.Counter, "leash_kept").Add(1)
	page, err := m.page()
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(page, []byte("\nleash_flood{")); got != maxSeries-1 || !bytes.Contains(page, []byte("\nleash_kept 2\n")) {
		t.Errorf("%d metrics of the flood are on the page, want %d, beside what was there before", got, maxSeries-1)
	}
	if got := strings.Count(told.String(), "too many metrics"); got != 1 {
		t.Errorf("the operator is told %d times, want once", got)
	}
}

func TestSecretsDoNotStandInErrors(t *testing.T) {
	b := start(t, setup{}, says(""))
	b.interceptDial(func(int32) error { return &net.OpError{Op: "dial", Err: errors.New("refused " + b.provider.URL)} })
	a := b.do(b.request("POST", "/v1/raw", "x"))
	if a.status != 503 || strings.Contains(a.body, b.provider.URL) || strings.Contains(a.body, providerKey) {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if err := (&Refused{Provider: "openai", Err: errors.New("why")}); err.Error() != "provider openai: why" || !errors.Is(err, err.Err) {
		t.Errorf("the error is %v", err)
	}
	var _ config.SecretValue
}
