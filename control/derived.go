package control

import (
	"maps"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// States of a breaker, as numbers that grow with the trouble.
const (
	closed = iota
	halfOpen
	open
)

// derived are the metrics that follow from others at the time when the page is asked for: a breaker that is open becomes half open by the
// passing of time, while nothing is counted.
func derived(families []*dto.MetricFamily, now time.Time) []*dto.MetricFamily {
	ms := float64(now.UnixMilli())
	states, endpoints := map[string]int{}, map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			provider, value := labelOf(m, providerLabel), m.GetGauge().GetValue()
			switch f.GetName() {
			case "leash_breaker_open_until_milliseconds":
				states[provider] = max(states[provider], stateUntil(value, ms, halfOpen))
			case "leash_cool_down_until_milliseconds":
				states[provider] = max(states[provider], stateUntil(value, ms, closed))
			case "leash_envoy_endpoints_healthy":
				endpoints[provider] = value
			}
		}
	}
	breakers := family("leash_breaker_state")
	for _, provider := range slices.Sorted(maps.Keys(states)) {
		breakers.Metric = append(breakers.Metric, ofProviderGauge(provider, float64(states[provider])))
	}
	healthy := family("leash_provider_healthy")
	for _, provider := range slices.Sorted(maps.Keys(endpoints)) {
		value := 0.0
		if endpoints[provider] > 0 && states[provider] != open {
			value = 1
		}
		healthy.Metric = append(healthy.Metric, ofProviderGauge(provider, value))
	}
	return slices.DeleteFunc([]*dto.MetricFamily{breakers, healthy}, func(f *dto.MetricFamily) bool { return len(f.Metric) == 0 })
}

// stateUntil is open until a time, and then another state; 0 is no time.
func stateUntil(until, now float64, then int) int {
	switch {
	case until == 0:
		return closed
	case now < until:
		return open
	default:
		return then
	}
}

func labelOf(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

func family(name string) *dto.MetricFamily {
	return &dto.MetricFamily{Name: proto.String(name), Help: proto.String(describe(name).help), Type: dto.MetricType_GAUGE.Enum()}
}

func ofProviderGauge(provider string, value float64) *dto.Metric {
	return &dto.Metric{
		Label: []*dto.LabelPair{{Name: proto.String(providerLabel), Value: proto.String(provider)}},
		Gauge: &dto.Gauge{Value: proto.Float64(value)},
	}
}
