package control

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/leash-gateway/leash/control/tracing"
)

// A Registry holds the metrics of the process that runs Envoy.
type Registry struct {
	*prometheus.Registry
	reloads  *prometheus.CounterVec
	current  prometheus.Gauge
	restarts prometheus.Counter
	spans    *prometheus.CounterVec
}

// NewRegistry returns the metrics of this process: its version, the Go runtime's and the operating system's, and those that the
// methods count.
func NewRegistry(version string) *Registry {
	r := &Registry{
		Registry: prometheus.NewRegistry(),
		reloads:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leash_config_loads_total", Help: describe("leash_config_loads_total").help}, []string{"result"}),
		current:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "leash_config_current", Help: describe("leash_config_current").help}),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{Name: "leash_envoy_restarts_total", Help: describe("leash_envoy_restarts_total").help}),
	}
	r.spans = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leash_trace_spans_total", Help: describe("leash_trace_spans_total").help}, []string{"result"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "leash_build_info", Help: describe("leash_build_info").help, ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	for _, result := range []string{resultApplied, resultRejected} {
		r.reloads.WithLabelValues(result) // shown from the start, so that its growth is seen
	}
	for _, result := range []string{tracing.Taken, tracing.Sent, tracing.Failed} {
		r.spans.WithLabelValues(result) // likewise
	}
	r.MustRegister(build, r.reloads, r.current, r.restarts, r.spans, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Values of the label result of leash_config_loads_total.
const (
	resultApplied  = "applied"
	resultRejected = "rejected"
)

// ConfigLoaded counts a configuration that was read: err says why it is not in force, nil that it is.
func (r *Registry) ConfigLoaded(err error) {
	if err != nil {
		r.reloads.WithLabelValues(resultRejected).Inc()
		r.current.Set(0)
		return
	}
	r.reloads.WithLabelValues(resultApplied).Inc()
	r.current.Set(1)
}

// EnvoyRestarted counts an Envoy that was started again because the one before it had died.
func (r *Registry) EnvoyRestarted() { r.restarts.Inc() }

// Spans counts spans of traces, by what became of them.
func (r *Registry) Spans(result string, n int) { r.spans.WithLabelValues(result).Add(float64(n)) }
