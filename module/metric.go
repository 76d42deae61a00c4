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
// Its values carry one value for each label. Labels are bounded: past maxSeries combinations of one metric in one
// plugin, new ones are counted under the value "other", so that no client can fill the memory with names.
type Metric struct {
	kind   MetricKind
	name   string
	labels []string
}

// maxSeries bounds the label combinations of one metric.
const maxSeries = 500

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

// appendName writes the metric's name with its labels, in the form that Envoy's stats_tags take apart again:
// NAME.[key=value].[key=value].
func (m *Metric) appendName(dst []byte, values []string) []byte {
	dst = append(dst, m.name...)
	for i, label := range m.labels {
		value := ""
		if i < len(values) {
			value = values[i]
		}
		dst = append(dst, ".["...)
		dst = append(dst, label...)
		dst = append(dst, '=')
		if value == "" {
			value = "none"
		}
		for j := 0; j < len(value) && j < maxLabelBytes; j++ {
			c := value[j]
			if c < '!' || c > '~' || c == '[' || c == ']' {
				c = '_'
			}
			dst = append(dst, c)
		}
		dst = append(dst, ']')
	}
	return dst
}

const maxLabelBytes = 100

// series remembers the label combinations of one plugin, so that a known one costs no allocation.
type series struct {
	names  map[string]string
	counts map[*Metric]int
	buf    []byte
}

func (s *series) name(m *Metric, values []string) string {
	s.buf = m.appendName(s.buf[:0], values)
	if name, known := s.names[string(s.buf)]; known {
		return name
	}
	if s.names == nil {
		s.names, s.counts = map[string]string{}, map[*Metric]int{}
	}
	if s.counts[m] >= maxSeries {
		others := make([]string, len(m.labels))
		for i := range others {
			others[i] = "other"
		}
		return string(m.appendName(nil, others))
	}
	s.counts[m]++
	name := string(s.buf)
	s.names[name] = name
	return name
}
