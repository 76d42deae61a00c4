package extproc

import (
	"fmt"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leash-gateway/leash/host/abi"
)

// TestReferenceOfMetricsIsCurrent compares docs/reference/host-metrics.md with what there is.
func TestReferenceOfMetricsIsCurrent(t *testing.T) {
	host, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close(t.Context()) })
	m := host.metrics
	m.exchanges.WithLabelValues("default", "done").Inc()
	m.failures.WithLabelValues("default").Inc()
	host.pipelines["default"] = &pipeline{host: host, spec: Spec{Name: "default"}}
	defer delete(host.pipelines, "default")
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Metrics of the Module Host\n\nWhat `leash host serve` counts itself, at `/metrics` of its `--http` address. What modules count stands there too, under the names\n" +
		"in [metrics.md](metrics.md). This page is generated from the code (`go test ./host/extproc -update`).\n\n| metric | kind | labels | what |\n|---|---|---|---|\n")
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	golden.Assert(t, b.String(), "../../../docs/reference/host-metrics.md")
}

func TestMutationMakesOfEnvoysHeadersWhatModulesMadeOfThem(t *testing.T) {
	for name, tc := range map[string]struct {
		had  []string
		make func(*abi.Headers)
		want string
	}{
		"nothing":                  {[]string{"a", "1", "b", "2"}, func(*abi.Headers) {}, ""},
		"a value":                  {[]string{"a", "1", "b", "2"}, func(h *abi.Headers) { h.Set("b", "3") }, "set b=3"},
		"a new one":                {[]string{"a", "1"}, func(h *abi.Headers) { h.Add("b", "") }, "set b="},
		"one less":                 {[]string{"a", "1", "b", "2"}, func(h *abi.Headers) { h.Remove("a") }, "remove a"},
		"a second value":           {[]string{"a", "1"}, func(h *abi.Headers) { h.Add("a", "2") }, "set a=1 append a=2"},
		"one of two values":        {[]string{"a", "1", "a", "2"}, func(h *abi.Headers) { h.Set("a", "1") }, "set a=1"},
		"both of two values":       {[]string{"a", "1", "b", "x", "a", "2"}, func(h *abi.Headers) { h.Remove("a") }, "remove a"},
		"the second of two values": {[]string{"b", "x", "a", "1", "a", "2"}, func(h *abi.Headers) { h.Set("a", "1") }, "set a=1"},
		"one less, one more":       {[]string{"b", "x", "a", "1", "c", "2"}, func(h *abi.Headers) { h.Remove("a"); h.Add("d", "3") }, "set d=3 remove a"},
		"another order":            {[]string{"b", "x", "a", "1"}, func(h *abi.Headers) { h.Remove("b"); h.Add("b", "x") }, ""},
		"two values as they were":  {[]string{"a", "1", "b", "x", "a", "2"}, func(*abi.Headers) {}, ""},
	} {
		had := headerMapOf(tc.had)
		h := fromEnvoy(had)
		tc.make(h)
		m := mutationOf(had, h)
		var got []string
		for _, s := range m.GetSetHeaders() {
			verb := "set "
			if s.GetAppendAction() == core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
				verb = "append "
			}
			got = append(got, verb+s.GetHeader().GetKey()+"="+string(s.GetHeader().GetRawValue()))
		}
		for _, r := range m.GetRemoveHeaders() {
			got = append(got, "remove "+r)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %v, want %s", name, got, tc.want)
		}
	}
}

func headerMapOf(namesAndValues []string) *core.HeaderMap {
	m := &core.HeaderMap{}
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		m.Headers = append(m.GetHeaders(), &core.HeaderValue{Key: namesAndValues[i], RawValue: []byte(namesAndValues[i+1])})
	}
	return m
}

func BenchmarkMutation(b *testing.B) {
	var had []string
	for i := range 20 {
		had = append(had, fmt.Sprintf("x-header-%d", i), "value")
	}
	envoys := headerMapOf(had)
	next := fromEnvoy(envoys)
	next.Set("x-header-7", "other")
	next.Add("x-new", "value")
	for b.Loop() {
		mutationOf(envoys, next)
	}
}
