package module

// MetricKind is how a metric's values are put together.
type MetricKind uint8

// The kinds, as proxy-wasm numbers them.
const (
	CounterMetric MetricKind = iota
	GaugeMetric
	HistogramMetric
)

// A Metric describes a time series family. Declare it once, as a package variable:
//
//	var tokens = module.Counter("leash_tokens_total", "kind", "tenant", "model")
//
// Its values carry one value for each label, and the word none in the place of an empty one. Labels are bounded: past maxSeries combinations of one metric in one
// plugin, new ones are counted under the value "other", so that no client can fill the memory with names.
//
// Metrics whose names begin with leash_ are on the gateway's metrics page; others are among Envoy's own only. Envoy knows these labels: tenant, model,
// provider, module, code, status, kind, action, rule and class; of others, name and value become a part of the metric's name there.
type Metric struct {
	kind   MetricKind
	name   string
	labels []string
}

// maxSeries bounds the label combinations of one metric: 40 tenants with nine models and four kinds of tokens, say. What is beyond it is missing from
// its own series. The half dozen metrics that tell tenants apart fit into the 10,000 that Leash's own hosts let a VM have.
const maxSeries = 1500

// Counter describes a count that only grows.
func Counter(name string, labels ...string) *Metric { return newMetric(CounterMetric, name, labels) }

// Gauge describes a value that goes up and down.
func Gauge(name string, labels ...string) *Metric { return newMetric(GaugeMetric, name, labels) }

// Histogram describes a distribution; the unit belongs into the name.
func Histogram(name string, labels ...string) *Metric {
	return newMetric(HistogramMetric, name, labels)
}

func newMetric(kind MetricKind, name string, labels []string) *Metric {
	return &Metric{kind: kind, name: name, labels: labels}
}

// A Series is a metric with a value for each of its labels. A module may keep what [Exchange.Series] returns as long as it
// lives: adding to it then looks nothing up.
type Series struct {
	// Kind and Name are for hosts. Name carries the labels, in the form that Envoy's stats_tags take apart again:
	// NAME.[key=value].[key=value].
	Kind MetricKind
	Name string
	// ID and Pending are kept by the host: its number for the series plus 1, and what it has not been told yet.
	ID      uint32
	Pending int64
}

// newSeries makes the name of a metric with labels.
func newSeries(m *Metric, values []string) *Series {
	name := []byte(m.name)
	for i, label := range m.labels {
		value := valueOf(values, i)
		name = append(name, ".["...)
		name = append(name, label...)
		name = append(name, '=')
		if value == "" {
			value = "none"
		}
		for _, c := range []byte(value) {
			if c < '!' || c > '~' || c == '[' || c == ']' {
				c = '_'
			}
			name = append(name, c)
		}
		name = append(name, ']')
	}
	return &Series{Kind: m.kind, Name: string(name)}
}

const maxLabelBytes = 100

// valueOf is a label's value, bounded; "" where there is none.
func valueOf(values []string, i int) string {
	if i >= len(values) {
		return ""
	}
	return values[i][:min(len(values[i]), maxLabelBytes)]
}

// families remembers the series of one plugin's metrics.
type families struct {
	of  map[*Metric]*family
	key []byte
}

// family is the series of one metric, by the values of the labels.
type family struct {
	series map[string]*Series
	others *Series // past maxSeries
}

func (f *families) series(m *Metric, values []string) *Series {
	fam := f.of[m]
	if fam == nil {
		if f.of == nil {
			f.of = map[*Metric]*family{}
		}
		fam = &family{series: map[string]*Series{}}
		f.of[m] = fam
	}
	f.key = f.key[:0]
	for i := range m.labels {
		f.key = append(append(f.key, valueOf(values, i)...), 0)
	}
	if s := fam.series[string(f.key)]; s != nil {
		return s
	}
	if len(fam.series) < maxSeries {
		s := newSeries(m, values)
		fam.series[string(f.key)] = s
		return s
	}
	if fam.others == nil {
		others := make([]string, len(m.labels))
		for i := range others {
			others[i] = "other"
		}
		fam.others = newSeries(m, others)
	}
	return fam.others
}
