package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/server"
)

// metrics are those of the registry itself, after something has been done.
func metrics(t *testing.T, r *registry) []*dto.MetricFamily {
	t.Helper()
	_, text := r.get(t, "/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var list []*dto.MetricFamily
	for name, f := range families {
		if strings.HasPrefix(name, "leash_") {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return list
}

func TestReferenceOfMetricsIsCurrent(t *testing.T) {
	t.Parallel()
	r := trying(t, nil)
	nettest.Eventually(t, "the canary's metrics", func() bool {
		_, text := r.get(t, "/metrics")
		return strings.Contains(text, "leash_registry_canary_envoys{")
	})
	var b strings.Builder
	b.WriteString("# Metrics of the registry\n\nWhat `leash registry serve` counts, at `/metrics`, besides what Go tells of the process. This page is generated from the code\n" +
		"(`go test ./registry/server -update`). Metrics with the label `module` are told to those who may promote it, where `access` says who may what: give\n" +
		"Prometheus a token.\n\n| metric | kind | labels | what |\n|---|---|---|---|\n")
	for _, f := range metrics(t, r) {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	golden.Assert(t, b.String(), "../../../docs/reference/registry-metrics.md")
}

func TestMetricsCountWhatHappens(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
	r.mustPush(t, "team/hello:1.1.0", module(t, "1.1.0"))
	if _, err := r.Catalog().Yank(t.Context(), me, "team/hello", "1.1.0", "bad"); err != nil {
		t.Fatal(err)
	}
	_, text := r.get(t, "/metrics")
	for _, want := range []string{
		`leash_registry_versions{state="released"} 1`, `leash_registry_versions{state="yanked"} 1`, `leash_registry_modules 1`,
		`leash_registry_pushes_total{result="released"} 2`, `leash_registry_requests_total{code="201",what="manifest"} 2`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(text, "team/hello") {
		t.Error("metrics name modules: there may be thousands")
	}
}

func TestClientsThatSendTooMuchAreToldToWait(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *server.Options) { o.Limits = server.Limits{RequestsPerSecond: 1, Burst: 3} })
	refused := 0
	for range 6 {
		answer, err := http.Get("http://" + r.address + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusTooManyRequests && answer.Header.Get("Retry-After") == "1" {
			refused++
		}
	}
	if refused < 2 {
		t.Errorf("%d of 6 were refused", refused)
	}
	if status, _ := r.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("and health checks: %d", status)
	}
}

// A page in a browser whose name is made to point at this machine must not write to a registry that is open to it.
func TestAnOpenRegistryIsNotSpokenToByAnotherName(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	for host, want := range map[string]int{"evil.example.com": http.StatusMisdirectedRequest, "localhost:5050": http.StatusOK, "[::1]:5050": http.StatusOK, "registry.example.com": http.StatusOK} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address+"/v2/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, answer.StatusCode, want)
		}
	}
}

// A page of another site may have a browser begin an upload without asking here first: a form with text is enough.
func TestPagesOfOtherSitesWriteNothing(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	for name, tc := range map[string]struct {
		header http.Header
		want   int
	}{
		"another site":        {http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		"in an older browser": {http.Header{"Origin": {"http://evil.example.com"}}, http.StatusForbidden},
		"this one":            {http.Header{"Origin": {"http://" + r.address}}, http.StatusAccepted},
		"no browser":          {nil, http.StatusAccepted},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.address+"/v2/team/hello/blobs/uploads/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if tc.header != nil {
			request.Header = tc.header
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != tc.want {
			t.Errorf("%s: %d, want %d", name, answer.StatusCode, tc.want)
		}
	}
}

func TestARegistryIsReadyWhenItServes(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	if status, _ := r.get(t, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("before it serves: %d", status)
	}
}
