package extproc

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leash-gateway/leash/host/abi"
)

// maxSeries bounds how many metrics modules may make; what comes after is counted nowhere.
const maxSeries = 10_000

// buckets are Envoy's own, so that a dashboard is the same for both.
// https://github.com/envoyproxy/envoy/blob/v1.40.0/source/common/stats/histogram_impl.cc
var buckets = []float64{
	0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
}

// Metrics are what the Host and its modules count. It is a Prometheus collector.
type Metrics struct {
	modules             *moduleMetrics
	exchanges, failures *prometheus.CounterVec
	active              *prometheus.GaugeVec
	droppedSeries       prometheus.CounterFunc
	host                []prometheus.Collector
}

var _ prometheus.Collector = (*Metrics)(nil)

func newMetrics() *Metrics {
	m := &Metrics{
		modules: &moduleMetrics{series: map[string]*series{}},
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leash_host_exchanges_total", Help: "Exchanges that ended, by how: done, or error where the stream to Envoy ended with one.",
		}, []string{"pipeline", "result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leash_host_vm_failures_total", Help: "VMs that died and were replaced.",
		}, []string{"pipeline"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leash_host_exchanges_active", Help: "Exchanges that are under way.",
		}, []string{"pipeline"}),
	}
	m.droppedSeries = prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "leash_host_dropped_series_total", Help: "Metrics of modules that are counted nowhere because there are too many.",
	}, func() float64 { return float64(m.modules.dropped.Load()) })
	m.host = []prometheus.Collector{m.exchanges, m.failures, m.active, m.droppedSeries}
	return m
}

// Describe describes nothing: what modules count is not known ahead.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect gives everything that has been counted.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.host {
		c.Collect(to)
	}
	m.modules.collect(to)
}

// moduleMetrics are the metrics of modules, by their names.
type moduleMetrics struct {
	mu      sync.Mutex
	series  map[string]*series
	dropped atomic.Int64
}

var _ abi.Metrics = (*moduleMetrics)(nil)

// Define is a metric by name. A name has its labels in it: "leash_tokens_total.[tenant=demo].[kind=input]".
func (m *moduleMetrics) Define(kind abi.MetricKind, name string) abi.Metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := strconv.Itoa(int(kind)) + name
	if s := m.series[key]; s != nil {
		return s
	}
	s := newSeries(kind, name)
	if s == nil || len(m.series) >= maxSeries {
		m.dropped.Add(1)
		return &series{kind: kind, counts: make([]atomic.Uint64, len(buckets)+1)}
	}
	m.series[key] = s
	return s
}

func (m *moduleMetrics) collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	all := make([]*series, 0, len(m.series))
	for _, s := range m.series {
		all = append(all, s)
	}
	m.mu.Unlock()
	for _, s := range all {
		to <- s.metric()
	}
}

// series is one metric of modules.
type series struct {
	kind   abi.MetricKind
	desc   *prometheus.Desc
	values []string // of the labels
	value  atomic.Uint64
	counts []atomic.Uint64 // of a histogram, by bucket
	sum    atomic.Uint64
}

var _ abi.Metric = (*series)(nil)

// newSeries reads a name; nil if that is none that Prometheus knows.
func newSeries(kind abi.MetricKind, name string) *series {
	parts := strings.Split(name, ".[")
	s := &series{kind: kind, counts: make([]atomic.Uint64, len(buckets)+1)}
	var labels []string
	for _, part := range parts[1:] {
		label, value, _ := strings.Cut(strings.TrimSuffix(part, "]"), "=")
		if slices.Contains(labels, label) {
			return nil
		}
		labels, s.values = append(labels, label), append(s.values, strings.ToValidUTF8(value, "?"))
	}
	base := strings.Map(plain, parts[0])
	if strings.HasPrefix(base, "leash_host_") || strings.HasPrefix(base, "go_") || strings.HasPrefix(base, "process_") {
		return nil // the Host's own
	}
	s.desc = prometheus.NewDesc(base, "Counted by modules.", labels, nil)
	if _, err := prometheus.NewConstMetric(s.desc, prometheus.GaugeValue, 0, s.values...); err != nil {
		return nil
	}
	return s
}

func plain(r rune) rune {
	if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return '_'
}

// Add adds to a counter or gauge.
func (s *series) Add(delta int64) { s.value.Add(uint64(delta)) } //nolint:gosec // two's complement: a negative delta subtracts

// Record sets a gauge or takes a histogram's sample.
func (s *series) Record(value uint64) {
	if s.kind != abi.Histogram {
		s.value.Store(value)
		return
	}
	at, _ := slices.BinarySearch(buckets, float64(value))
	s.counts[at].Add(1)
	s.sum.Add(value)
}

// Value is the sum or level.
func (s *series) Value() uint64 { return s.value.Load() }

func (s *series) metric() prometheus.Metric {
	kind, value := prometheus.CounterValue, float64(s.Value())
	switch s.kind {
	case abi.Gauge:
		kind, value = prometheus.GaugeValue, float64(int64(s.Value())) //nolint:gosec // as it was added
	case abi.Histogram:
		var count uint64
		cumulative := make(map[float64]uint64, len(buckets))
		for i := range s.counts {
			count += s.counts[i].Load()
			if i < len(buckets) {
				cumulative[buckets[i]] = count
			}
		}
		return prometheus.MustNewConstHistogram(s.desc, count, float64(s.sum.Load()), cumulative, s.values...)
	default:
	}
	return prometheus.MustNewConstMetric(s.desc, kind, value, s.values...)
}
