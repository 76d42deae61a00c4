package abi

import (
	"sync"
	"sync/atomic"
)

// A MetricKind is what a metric does with numbers.
type MetricKind uint32

// The kinds.
const (
	Counter MetricKind = iota
	Gauge
	Histogram
	metricKinds
)

func (k MetricKind) String() string {
	return nameOf([]string{"counter", "gauge", "histogram"}, uint32(k))
}

// Metrics make metrics. Define is called whenever a VM defines one, and gives the same metric for the same kind and name. It may be
// called from several workers at once.
type Metrics interface {
	Define(kind MetricKind, name string) Metric
}

// A Metric takes numbers, from several workers at once. Add is for counters (delta is positive) and gauges, Record sets
// a gauge or takes a histogram's sample, Value is the sum or level (of histograms it is not asked).
type Metric interface {
	Add(delta int64)
	Record(value uint64)
	Value() uint64
}

// metrics are those that one VM has defined. Ids are as in Envoy: the kind is in the two lowest bits. A metric that is defined again has the
// id that it had, so that a module may do so in each exchange.
type metrics struct {
	byID  [metricKinds][]Metric
	known map[metricName]uint32
}

// define is the id of a metric; false: there are too many.
func (m *metrics) define(kind MetricKind, name string, in Metrics) (uint32, bool) {
	if id, known := m.known[metricName{kind, name}]; known {
		return id, true
	}
	if len(m.byID[kind]) >= maxMetrics {
		return 0, false
	}
	m.byID[kind] = append(m.byID[kind], in.Define(kind, name))
	id := uint32(len(m.byID[kind])-1)<<2 | uint32(kind) //nolint:gosec // bounded above
	if m.known == nil {
		m.known = map[metricName]uint32{}
	}
	m.known[metricName{kind, name}] = id
	return id, true
}

func (m *metrics) find(id uint32) (Metric, MetricKind) {
	kind := MetricKind(id & 3)
	if kind >= metricKinds || int(id>>2) >= len(m.byID[kind]) {
		return nil, kind
	}
	return m.byID[kind][id>>2], kind
}

// A MetricSet remembers metrics in memory, for tests and harnesses. It is safe for concurrent use.
type MetricSet struct {
	mu    sync.Mutex
	names map[metricName]*memoryMetric
}

type metricName struct {
	kind MetricKind
	name string
}

// NewMetricSet is an empty set.
func NewMetricSet() *MetricSet { return &MetricSet{names: map[metricName]*memoryMetric{}} }

// Define is a metric by name.
func (s *MetricSet) Define(kind MetricKind, name string) Metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := metricName{kind, name}
	if s.names[key] == nil {
		s.names[key] = &memoryMetric{}
	}
	return s.names[key]
}

// Value is the sum of a counter or the level of a gauge, 0 if there is none of that name.
func (s *MetricSet) Value(kind MetricKind, name string) uint64 {
	s.mu.Lock()
	m := s.names[metricName{kind, name}]
	s.mu.Unlock()
	if m == nil {
		return 0
	}
	return m.Value()
}

// A memoryMetric is a number: of a histogram the last that it was given, which no module can ask for.
type memoryMetric struct{ value atomic.Uint64 }

func (m *memoryMetric) Add(delta int64)     { m.value.Add(uint64(delta)) } //nolint:gosec // two's complement: a negative delta subtracts
func (m *memoryMetric) Record(value uint64) { m.value.Store(value) }
func (m *memoryMetric) Value() uint64       { return m.value.Load() }
