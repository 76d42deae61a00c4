package distribution

import (
	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
)

// Helps say what is counted, by the names of the metrics.
var Helps = map[string]string{
	"leash_registry_envoys":                     "Envoys that are connected, by the ids of their nodes.",
	"leash_registry_envoy_streams":              "Subscriptions of Envoys. Without ADS an Envoy has one for each slot.",
	"leash_registry_envoy_sent_total":           "Modules that were sent to Envoys.",
	"leash_registry_envoy_refusals_total":       "Modules that Envoys have refused, or not answered in time.",
	"leash_registry_envoy_load_seconds":         "How long Envoys took from when a module was sent to when they ran it, or had it on standby.",
	"leash_registry_envoy_switch_seconds":       "How long promotions took from when the channel was moved to when all Envoys ran the version, or at most the 5 s that are waited for it.",
	"leash_registry_envoy_taken_back_total":     "Versions that the registry has taken back by itself: channels that went back, and canaries that ended.",
	"leash_registry_envoy_slots":                "Slots of Envoys that are connected, by what they run (version and digest are empty for nothing) and by their state, as leash registry status tells it.",
	"leash_registry_canary_envoys":              "Envoys that try a canary.",
	"leash_registry_canary_requests":            "Requests that were served since a canary began, with it and by the others.",
	"leash_registry_canary_error_ratio":         "The share of the requests since a canary began, with it and by the others, that were answered with 5xx.",
	"leash_registry_canary_latency_p95_seconds": "The 95th percentile of the time of requests since a canary began, with it and by the others.",
}

// counters are the metrics that what Envoys do changes.
type counters struct {
	sent, refusals, takenBack prometheus.Counter
	loads, switches           prometheus.Histogram
}

func newCounters() *counters {
	counter := func(name string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: Helps[name]})
	}
	const least, factor, steps = 0.005, 2, 14 // 5 ms to 41 s
	histogram := func(name string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: Helps[name], Buckets: prometheus.ExponentialBuckets(least, factor, steps)})
	}
	return &counters{
		sent: counter("leash_registry_envoy_sent_total"), refusals: counter("leash_registry_envoy_refusals_total"), takenBack: counter("leash_registry_envoy_taken_back_total"),
		loads: histogram("leash_registry_envoy_load_seconds"), switches: histogram("leash_registry_envoy_switch_seconds"),
	}
}

func describe(name string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, Helps[name], labels, nil)
}

var (
	envoysMetric         = describe("leash_registry_envoys")
	streamsMetric        = describe("leash_registry_envoy_streams")
	slotsMetric          = describe("leash_registry_envoy_slots", "module", "channel", "standby", "version", "digest", "state")
	canaryEnvoysMetric   = describe("leash_registry_canary_envoys", "module", "channel", "version")
	canaryRequestsMetric = describe("leash_registry_canary_requests", "module", "channel", "version", "envoys")
	canaryErrorsMetric   = describe("leash_registry_canary_error_ratio", "module", "channel", "version", "envoys")
	canaryLatencyMetric  = describe("leash_registry_canary_latency_p95_seconds", "module", "channel", "version", "envoys")
)

// Totals are the metrics that name no module.
func (s *Server) Totals() prometheus.Collector { return totals{s} }

type totals struct{ s *Server }

// Describe implements prometheus.Collector.
func (t totals) Describe(to chan<- *prometheus.Desc) {
	to <- envoysMetric
	to <- streamsMetric
	for _, one := range t.s.metrics.all() {
		one.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (t totals) Collect(to chan<- prometheus.Metric) {
	t.s.mu.Lock()
	nodes, streams := len(t.s.nodes), len(t.s.streams)
	t.s.mu.Unlock()
	to <- prometheus.MustNewConstMetric(envoysMetric, prometheus.GaugeValue, float64(nodes))
	to <- prometheus.MustNewConstMetric(streamsMetric, prometheus.GaugeValue, float64(streams))
	for _, one := range t.s.metrics.all() {
		one.Collect(to)
	}
}

func (c *counters) all() []prometheus.Collector {
	return []prometheus.Collector{c.sent, c.refusals, c.takenBack, c.loads, c.switches}
}

// Modules are the metrics of the modules that may be told of.
func (s *Server) Modules(told func(module string) bool) prometheus.Collector { return modules{s, told} }

type modules struct {
	s    *Server
	told func(string) bool
}

// Describe implements prometheus.Collector.
func (modules) Describe(to chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{slotsMetric, canaryEnvoysMetric, canaryRequestsMetric, canaryErrorsMetric, canaryLatencyMetric} {
		to <- one
	}
}

// Collect implements prometheus.Collector.
func (m modules) Collect(to chan<- prometheus.Metric) {
	type key struct {
		module, channel, standby, version string
		digest                            digest.Digest
		state                             State
	}
	counts := map[key]int{}
	for _, one := range m.s.Envoys() {
		slot, err := ParseSlot(one.Slot)
		if err != nil || one.State == Gone || !m.told(slot.Module) {
			continue
		}
		standby := "false"
		if slot.Standby {
			standby = "true"
		}
		counts[key{slot.Module, slot.Channel, standby, one.Version, one.Digest, one.State}]++
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for k, n := range counts {
		gauge(slotsMetric, float64(n), k.module, k.channel, k.standby, k.version, k.digest.String(), string(k.state))
	}
	for _, p := range m.s.Canaries() {
		if !m.told(p.Module) {
			continue
		}
		gauge(canaryEnvoysMetric, float64(p.Envoys), p.Module, p.Channel, p.Version)
		for envoys, served := range map[string]Served{"canary": p.Canary, "others": p.Others} {
			gauge(canaryRequestsMetric, float64(served.Requests), p.Module, p.Channel, p.Version, envoys)
			gauge(canaryErrorsMetric, served.ErrorRate, p.Module, p.Channel, p.Version, envoys)
			gauge(canaryLatencyMetric, served.Latency.Seconds(), p.Module, p.Channel, p.Version, envoys)
		}
	}
}
