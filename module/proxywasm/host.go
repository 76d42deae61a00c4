package proxywasm

import (
	"math"

	sdk "github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"

	"github.com/leash-gateway/leash/module"
)

// metrics remembers the host's ids of the metrics that have been defined.
type metrics struct {
	counters   map[string]sdk.MetricCounter
	gauges     map[string]sdk.MetricGauge
	histograms map[string]sdk.MetricHistogram
}

func (m *metrics) add(kind module.MetricKind, name string, value int64) {
	switch kind {
	case module.CounterMetric:
		id, known := m.counters[name]
		if !known {
			id = remember(&m.counters, name, sdk.DefineCounterMetric(name))
		}
		id.Increment(uint64(value)) //nolint:gosec // module.Exchange.Count lets only positive values through
	case module.GaugeMetric:
		id, known := m.gauges[name]
		if !known {
			id = remember(&m.gauges, name, sdk.DefineGaugeMetric(name))
		}
		id.Add(value - id.Value())
	case module.HistogramMetric:
		id, known := m.histograms[name]
		if !known {
			id = remember(&m.histograms, name, sdk.DefineHistogramMetric(name))
		}
		id.Record(uint64(value)) //nolint:gosec // module.Exchange.Observe lets no negative value through
	}
}

func remember[T any](ids *map[string]T, name string, id T) T {
	if *ids == nil {
		*ids = map[string]T{}
	}
	(*ids)[name] = id
	return id
}

// sharedData is the host's shared data, by compare-and-swap.
type sharedData struct{}

func (sharedData) Get(key string) ([]byte, uint32) {
	value, version, err := sdk.GetSharedData(key)
	if err != nil {
		return nil, 0
	}
	return value, version
}

// Set takes care that two workers which both find nothing do not both set: the host overwrites whatever is there for
// version 0, and for any other it refuses only where there is something.
// https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/shared_data.cc
func (sharedData) Set(key string, value []byte, version uint32) bool {
	if version == 0 {
		version = math.MaxUint32
	}
	return sdk.SetSharedData(key, value, version) == nil
}
