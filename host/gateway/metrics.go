package gateway

import (
	"bytes"
	"cmp"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/outage"
)

// maxSeries bounds how many metrics modules may make, as those of a module host. A VM may make as many, but one that dies of it is started
// again, and the next one makes others.
const maxSeries = 10_000

// metrics are what modules and the gateway itself count. Their page has the names that Envoy's has, so that whoever reads
// the one reads the other.
type metrics struct {
	vms    atomic.Int64
	active atomic.Int64
	byType [6]atomic.Int64 // answers, by the first digit of their status

	log  *slog.Logger
	full sync.Once

	mu        sync.Mutex
	series    map[seriesKey]*series
	upstreams map[string]*upstreamCounts
	reloads   map[[2]string]int64 // by plugin and result
}

type seriesKey struct {
	kind abi.MetricKind
	name string
}

// upstreamCounts are a provider's.
type upstreamCounts struct {
	connectFailures, timeouts, retries, refusedRetries atomic.Int64
	byType                                             [6]atomic.Int64
	absent                                             atomic.Bool // it does not answer its health check
	outage                                             outage.Teller
}

func newMetrics(log *slog.Logger) *metrics {
	return &metrics{log: log, series: map[seriesKey]*series{}, upstreams: map[string]*upstreamCounts{}, reloads: map[[2]string]int64{}}
}

var _ abi.Metrics = (*metrics)(nil)

// Define is the metric of a name with labels: NAME.[key=value].[key=value]. Of more than maxSeries those that come last are on no page.
func (m *metrics) Define(kind abi.MetricKind, name string) abi.Metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := seriesKey{kind, name}
	if s := m.series[key]; s != nil {
		return s
	}
	s := newSeries(kind, name)
	if len(m.series) >= maxSeries {
		m.full.Do(func() {
			m.log.Warn("modules make too many metrics: the page of metrics leaves new ones out", "most", maxSeries, "metric", s.name)
		})
		return s
	}
	m.series[key] = s
	return s
}

func (m *metrics) upstream(provider string) *upstreamCounts {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.upstreams[provider] == nil {
		m.upstreams[provider] = &upstreamCounts{}
	}
	return m.upstreams[provider]
}

func (m *metrics) reload(plugin, result string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reloads[[2]string{plugin, result}]++
}

func (m *metrics) answered(status int)        { count(&m.byType, status) }
func (u *upstreamCounts) answered(status int) { count(&u.byType, status) }

func count(byType *[6]atomic.Int64, status int) {
	if status >= 100 && status < 600 {
		byType[status/100].Add(1)
	}
}

// series is one metric with one value for each label.
type series struct {
	kind   abi.MetricKind
	name   string
	labels []*dto.LabelPair

	value   atomic.Uint64                  // of counters and gauges; of histograms their sum
	buckets [len(bounds) + 1]atomic.Uint64 // of histograms: samples up to a bound, and the others
}

var bounds = config.HistogramBounds

func newSeries(kind abi.MetricKind, full string) *series {
	name, rest, _ := strings.Cut(full, ".[")
	s := &series{kind: kind, name: sanitize(name)}
	for _, label := range strings.Split(strings.TrimSuffix(rest, "]"), "].[") {
		if key, value, ok := strings.Cut(label, "="); ok {
			s.labels = append(s.labels, labelPair(key, value))
		}
	}
	slices.SortFunc(s.labels, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return s
}

func labelPair(name, value string) *dto.LabelPair {
	return &dto.LabelPair{Name: proto.String(sanitize(name)), Value: proto.String(value)}
}

// sanitize makes a name of Prometheus: https://prometheus.io/docs/concepts/data_model
func sanitize(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == ':' {
			return r
		}
		return '_'
	}, name)
}

// Add adds to a counter or gauge.
func (s *series) Add(delta int64) { s.value.Add(uint64(delta)) } //nolint:gosec // two's complement: a negative delta subtracts

// Record sets a gauge or takes a sample.
func (s *series) Record(value uint64) {
	if s.kind != abi.Histogram {
		s.value.Store(value)
		return
	}
	s.value.Add(value)
	at, _ := slices.BinarySearch(bounds[:], float64(value))
	s.buckets[at].Add(1)
}

// Value is the sum or level.
func (s *series) Value() uint64 { return s.value.Load() }

func (s *series) metric() *dto.Metric {
	m := &dto.Metric{Label: s.labels}
	switch s.kind {
	case abi.Counter:
		m.Counter = &dto.Counter{Value: proto.Float64(float64(s.Value()))}
	case abi.Gauge:
		m.Gauge = &dto.Gauge{Value: proto.Float64(float64(int64(s.Value())))} //nolint:gosec // as it was added
	default:
		h := &dto.Histogram{SampleSum: proto.Float64(float64(s.Value()))}
		var total uint64
		for i := range bounds {
			total += s.buckets[i].Load()
			h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: proto.Float64(bounds[i]), CumulativeCount: proto.Uint64(total)})
		}
		h.SampleCount = proto.Uint64(total + s.buckets[len(bounds)].Load())
		m.Histogram = h
	}
	return m
}

// families are all metrics by name.
type families map[string]*dto.MetricFamily

func (f families) add(name string, kind dto.MetricType, m *dto.Metric) {
	if f[name] == nil {
		f[name] = &dto.MetricFamily{Name: proto.String(name), Type: kind.Enum()}
	}
	if f[name].GetType() == kind { // a module's mistake does not spoil the page
		f[name].Metric = append(f[name].Metric, m)
	}
}

func (f families) count(name string, value int64, labels ...*dto.LabelPair) {
	f.add(name, dto.MetricType_COUNTER, &dto.Metric{Label: labels, Counter: &dto.Counter{Value: proto.Float64(float64(value))}})
}

func (f families) gauge(name string, value int64, labels ...*dto.LabelPair) {
	f.add(name, dto.MetricType_GAUGE, &dto.Metric{Label: labels, Gauge: &dto.Gauge{Value: proto.Float64(float64(value))}})
}

var types = map[abi.MetricKind]dto.MetricType{
	abi.Counter: dto.MetricType_COUNTER, abi.Gauge: dto.MetricType_GAUGE, abi.Histogram: dto.MetricType_HISTOGRAM,
}

func (m *metrics) gather() families {
	f := families{}
	server := labelPair("envoy_http_conn_manager_prefix", "leash")
	for class := 1; class < len(m.byType); class++ {
		f.count("envoy_http_downstream_rq_xx", m.byType[class].Load(), server, labelPair("envoy_response_code_class", strconv.Itoa(class)))
	}
	f.gauge("envoy_http_downstream_rq_active", m.active.Load(), server)
	f.gauge("envoy_wasm_envoy_wasm_runtime_v8_active", m.vms.Load())
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.series {
		f.add(s.name, types[s.kind], s.metric())
	}
	for name, u := range m.upstreams {
		cluster := labelPair("envoy_cluster_name", strings.ReplaceAll(name, ".", "_"))
		for class := 1; class < len(u.byType); class++ {
			f.count("envoy_cluster_upstream_rq_xx", u.byType[class].Load(), cluster, labelPair("envoy_response_code_class", strconv.Itoa(class)))
		}
		f.count("envoy_cluster_upstream_cx_connect_fail", u.connectFailures.Load(), cluster)
		f.count("envoy_cluster_upstream_rq_timeout", u.timeouts.Load(), cluster)
		f.count("envoy_cluster_upstream_rq_retry", u.retries.Load(), cluster)
		f.count("envoy_cluster_upstream_rq_retry_overflow", u.refusedRetries.Load(), cluster)
		f.gauge("envoy_cluster_membership_total", 1, cluster)
		healthy := int64(1)
		if u.absent.Load() {
			healthy = 0
		}
		f.gauge("envoy_cluster_membership_healthy", healthy, cluster)
	}
	for key, n := range m.reloads {
		f.count("envoy_wasm_"+sanitize(key[0])+"_vm_reload_"+key[1], n)
	}
	return f
}

func (m *metrics) page() ([]byte, error) {
	all := m.gather()
	var page bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if _, err := expfmt.MetricFamilyToText(&page, all[name]); err != nil {
			return nil, err
		}
	}
	return page.Bytes(), nil
}

// Admin answers on the address that is Envoy's admin's where Envoy runs, as far as Leash itself asks there:
//
//	GET /ready               200 once there is a configuration
//	GET /stats/prometheus    the metrics of the modules, and those of the gateway under the names of Envoy
func (g *Gateway) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		g.mu.RLock()
		defer g.mu.RUnlock()
		if g.current == nil {
			http.Error(w, "INITIALIZING", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("LIVE\n")) // an error is a client that has left
	})
	mux.HandleFunc("GET /stats/prometheus", func(w http.ResponseWriter, _ *http.Request) {
		page, err := g.metrics.page()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
		_, _ = w.Write(page) // likewise
	})
	return mux
}
