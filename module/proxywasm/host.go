package proxywasm

import (
	"slices"
	"time"

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

func (sharedData) Set(key string, value []byte, version uint32) bool {
	return sdk.SetSharedData(key, value, version) == nil
}

// tick is how exactly timers fire. The host ticks only while there are any.
const tick = 5 * time.Millisecond

type timer struct {
	at time.Time
	f  func()
}

type timers struct{ pending []timer }

func (t *timers) add(at time.Time, f func()) {
	if len(t.pending) == 0 {
		_ = sdk.SetTickPeriodMilliSeconds(uint32(tick / time.Millisecond))
	}
	t.pending = append(t.pending, timer{at, f})
}

func (t *timers) fire(now time.Time) {
	var due []timer
	t.pending = slices.DeleteFunc(t.pending, func(one timer) bool {
		if one.at.After(now) {
			return false
		}
		due = append(due, one)
		return true
	})
	for _, one := range due {
		func() {
			defer contain()
			one.f()
		}()
	}
	if len(t.pending) == 0 {
		_ = sdk.SetTickPeriodMilliSeconds(0)
	}
}
