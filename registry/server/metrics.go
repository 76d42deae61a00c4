package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/catalog"
)

// helps say what is counted.
var helps = map[string]string{
	"leash_registry_requests_total":     "Requests by what they were about (manifest, blob, upload, tags, referrers, ping, token, api, page, health, other) and by the status of the answer.",
	"leash_registry_request_seconds":    "How long requests took.",
	"leash_registry_answer_bytes_total": "Bytes of answers' bodies.",
	"leash_registry_pushes_total":       "Modules that were pushed: released, pending, refused.",
	"leash_registry_try_seconds":        "How long modules were tried in the sandbox.",
	"leash_registry_modules":            "Modules in the catalogue.",
	"leash_registry_versions":           "Versions by their state: pending, released, deprecated, yanked.",
	"leash_registry_events_total":       "Events in the catalogue's log.",
	"leash_registry_tampered_total":     "How often something in the store was not what was pushed. Every one is worth a look.",
	"leash_build_info":                  "1; the version is that of the program.",
}

// metrics are those that requests change.
type metrics struct {
	all      *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	pushes   *prometheus.CounterVec
	tries    prometheus.Histogram
	tampered prometheus.Counter
}

func newMetrics(s *Server) *metrics {
	counter := func(name string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: helps[name]}, labels)
	}
	m := &metrics{
		all:      prometheus.NewRegistry(),
		requests: counter("leash_registry_requests_total", "what", "code"),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "leash_registry_request_seconds", Help: helps["leash_registry_request_seconds"]}, []string{"what"}),
		bytes:    counter("leash_registry_answer_bytes_total", "what"),
		pushes:   counter("leash_registry_pushes_total", "result"),
		tries:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "leash_registry_try_seconds", Help: helps["leash_registry_try_seconds"], Buckets: prometheus.ExponentialBuckets(0.01, 2, 14)}),
		tampered: prometheus.NewCounter(prometheus.CounterOpts{Name: "leash_registry_tampered_total", Help: helps["leash_registry_tampered_total"]}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "leash_build_info", Help: helps["leash_build_info"], ConstLabels: prometheus.Labels{"version": s.options.Version}})
	info.Set(1)
	m.all.MustRegister(m.requests, m.seconds, m.bytes, m.pushes, m.tries, m.tampered, info, states{s.catalog},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// metricsPage is /metrics. What names modules is told to those who may promote them, as in the API.
func (s *Server) metricsPage(w http.ResponseWriter, r *http.Request) {
	from := prometheus.Gatherers{s.metrics.all}
	if s.envoys != nil {
		who, err := s.options.Access.Authenticate(r)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the credentials are not known here, or cannot be judged now", http.StatusUnauthorized)
			return
		}
		of := prometheus.NewRegistry()
		of.MustRegister(s.envoys.Modules(func(module string) bool { return who.May(access.Promote, module) }))
		from = append(from, of)
	}
	promhttp.HandlerFor(from, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// states tells of the catalogue when it is asked.
type states struct{ catalog *catalog.Catalog }

var (
	modulesMetric  = prometheus.NewDesc("leash_registry_modules", helps["leash_registry_modules"], nil, nil)
	versionsMetric = prometheus.NewDesc("leash_registry_versions", helps["leash_registry_versions"], []string{"state"}, nil)
	eventsMetric   = prometheus.NewDesc("leash_registry_events_total", helps["leash_registry_events_total"], nil, nil)
)

// Describe implements prometheus.Collector.
func (states) Describe(to chan<- *prometheus.Desc) {
	to <- modulesMetric
	to <- versionsMetric
	to <- eventsMetric
}

// Collect implements prometheus.Collector.
func (c states) Collect(to chan<- prometheus.Metric) {
	names := c.catalog.Modules()
	count := map[catalog.State]int{catalog.Pending: 0, catalog.Released: 0, catalog.Deprecated: 0, catalog.Yanked: 0}
	for _, name := range names {
		versions, err := c.catalog.Versions(name)
		if err != nil {
			continue // it has just gone
		}
		for _, b := range versions {
			count[b.State]++
		}
	}
	to <- prometheus.MustNewConstMetric(modulesMetric, prometheus.GaugeValue, float64(len(names)))
	for state, n := range count {
		to <- prometheus.MustNewConstMetric(versionsMetric, prometheus.GaugeValue, float64(n), string(state))
	}
	to <- prometheus.MustNewConstMetric(eventsMetric, prometheus.CounterValue, float64(c.catalog.Seq()))
}
