package harness

import (
	"maps"
	"slices"
	"sync"

	"github.com/leash-gateway/leash/host/abi"
)

// metrics remembers what modules count.
type metrics struct {
	mu  sync.Mutex
	all map[string]*metric
}

type metric struct {
	mu      *sync.Mutex
	kind    abi.MetricKind
	value   uint64
	samples []uint64
}

var (
	_ abi.Metrics = (*metrics)(nil)
	_ abi.Metric  = (*metric)(nil)
)

// Define is a metric by name.
func (m *metrics) Define(kind abi.MetricKind, name string) abi.Metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]*metric{}
	}
	if m.all[name] == nil {
		m.all[name] = &metric{mu: &m.mu, kind: kind}
	}
	return m.all[name]
}

func (m *metrics) values() map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	values := map[string]int64{}
	for _, name := range slices.Sorted(maps.Keys(m.all)) {
		one := m.all[name]
		values[name] = int64(one.value) //nolint:gosec // levels may be negative
		if one.kind == abi.Histogram {
			values[name] = int64(len(one.samples))
		}
	}
	return values
}

// Add adds.
func (m *metric) Add(delta int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value += uint64(delta) //nolint:gosec // two's complement
}

// Record sets, or remembers a sample.
func (m *metric) Record(value uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kind == abi.Histogram {
		m.samples = append(m.samples, value)
		return
	}
	m.value = value
}

// Value is the sum or level.
func (m *metric) Value() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.value
}
