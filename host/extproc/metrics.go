package extproc

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
)

// maxSeries bounds how many metrics modules may make; what comes after is counted nowhere.
const maxSeries = 10_000

var buckets = config.HistogramBounds[:]

// Metrics are what the Host and its modules count. It is a Prometheus collector.
type Metrics struct {
	modules             *moduleMetrics
	exchanges, failures *prometheus.CounterVec
	refused             prometheus.Counter
	host                []prometheus.Collector
}

var _ prometheus.Collector = (*Metrics)(nil)

func newMetrics(h *Host) *Metrics {
	m := &Metrics{
		modules: &moduleMetrics{names: map[string]*series{}, series: map[string]*series{}, kinds: map[string]abi.MetricKind{}},
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leash_host_exchanges_total",
			Help: "Exchanges that ended, by how: done; error, where the host has ended the stream with one; stalled, where Envoy and a module waited for each other.",
		}, []string{"pipeline", "result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leash_host_vm_failures_total", Help: "Exchanges at whose end a VM of theirs was dead; it is replaced.",
		}, []string{"pipeline"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leash_host_exchanges_refused_total", Help: "Exchanges that were not taken: their pipeline is not loaded, or there are too many.",
		}),
	}
	m.host = []prometheus.Collector{
		m.exchanges, m.failures, m.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "leash_host_exchanges_active", Help: "Exchanges that are under way.",
		}, func() float64 { return float64(h.exchanges.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "leash_host_dropped_series_total", Help: "Metrics of modules that are counted nowhere: there are too many, or their names contradict each other.",
		}, func() float64 { return float64(m.modules.dropped.Load()) }),
		pipelineGauges{h},
	}
	return m
}

// pipelineGauges are what List tells.
type pipelineGauges struct{ host *Host }

var (
	memoryDesc     = prometheus.NewDesc("leash_host_vm_memory_bytes", "Memory of the VMs of a pipeline.", []string{"pipeline"}, nil)
	generationDesc = prometheus.NewDesc("leash_host_pipeline_generation", "How often a pipeline has been loaded.", []string{"pipeline"}, nil)
)

// Describe names both.
func (pipelineGauges) Describe(to chan<- *prometheus.Desc) { to <- memoryDesc; to <- generationDesc }

// Collect asks the Host.
func (g pipelineGauges) Collect(to chan<- prometheus.Metric) {
	for _, s := range g.host.List() {
		to <- prometheus.MustNewConstMetric(memoryDesc, prometheus.GaugeValue, float64(s.Memory), s.Name)
		to <- prometheus.MustNewConstMetric(generationDesc, prometheus.GaugeValue, float64(s.Generation), s.Name)
	}
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
	names   map[string]*series        // as modules write them
	series  map[string]*series        // by key
	kinds   map[string]abi.MetricKind // by the name without labels, of which Prometheus takes one kind only
	dropped atomic.Int64
}

var _ abi.Metrics = (*moduleMetrics)(nil)

// Define is a metric by name. A name has its labels in it: "leash_tokens_total.[tenant=demo].[kind=input]".
func (m *moduleMetrics) Define(kind abi.MetricKind, name string) abi.Metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = strconv.Itoa(int(kind)) + name
	if s := m.names[name]; s != nil {
		return s
	}
	s := newSeries(kind, name[1:])
	if known := m.series[s.key]; known != nil && known.kind == kind {
		s = known // under another name
	}
	if s.desc == nil || len(m.names) >= maxSeries || !m.agrees(s) {
		m.dropped.Add(1)
		return &series{kind: kind, counts: s.counts}
	}
	m.names[name], m.series[s.key] = s, s
	return s
}

// agrees tells whether no module has given the same name to a metric of another kind.
func (m *moduleMetrics) agrees(s *series) bool {
	kind, found := m.kinds[s.base]
	if !found {
		m.kinds[s.base] = s.kind
	}
	return !found || kind == s.kind
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
	base   string // the name without labels
	key    string // base and labels, the same in whatever order these were written
	desc   *prometheus.Desc
	values []string // of the labels
	value  atomic.Uint64
	counts []atomic.Uint64 // of a histogram, by bucket
	sum    atomic.Uint64
}

var _ abi.Metric = (*series)(nil)

// newSeries reads a name; desc is nil if that is none that Prometheus knows, or one of the Host's own.
func newSeries(kind abi.MetricKind, name string) *series {
	parts := strings.Split(name, ".[")
	s := &series{kind: kind, base: strings.Map(plain, parts[0]), counts: make([]atomic.Uint64, len(buckets)+1)}
	labels := map[string]string{}
	for _, part := range parts[1:] {
		label, value, _ := strings.Cut(strings.TrimSuffix(part, "]"), "=")
		if _, twice := labels[label]; twice {
			return s
		}
		labels[label] = strings.ToValidUTF8(value, "?")
	}
	for _, own := range []string{"leash_host_", "go_", "process_", "promhttp_"} {
		if strings.HasPrefix(s.base, own) {
			return s
		}
	}
	names := slices.Sorted(maps.Keys(labels)) // the same labels in another order are the same
	s.key = s.base
	for _, label := range names {
		s.values = append(s.values, labels[label])
		s.key += "\x00" + label + "\x00" + labels[label]
	}
	desc := prometheus.NewDesc(s.base, "Counted by modules.", names, nil)
	if _, err := prometheus.NewConstMetric(desc, prometheus.GaugeValue, 0, s.values...); err == nil {
		s.desc = desc
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
