package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"
)

// Bounds of what is taken from Envoy.
const (
	scrapeTimeout  = 3 * time.Second
	maxScrapeBytes = 32 << 20
	maxSeries      = 10_000 // of one metric
)

// envoyFilter is which of Envoy's own names (before its Prometheus form) are asked for. Modules' names come after wasmcustom. A
// provider's cluster is called provider.NAME; an attempt of several goes by the cluster carry.NAME, and from there by the listener exit.NAME.
// https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--stats-prometheus
const envoyFilter = `^(wasmcustom\.leash_` +
	`|http\..*\.downstream_rq_([1-5]xx|active)$` +
	`|cluster\.(provider\.)?[^.]+\.(membership_(healthy|total)|upstream_rq_[1-5]xx|upstream_cx_connect_fail|upstream_rq(_per_try)?_timeout|upstream_rq_retry(_overflow)?)$` +
	`|cluster\.carry\..*\.upstream_rq_per_try_timeout$` +
	`|http\.exit\..*\.downstream_rq_idle_timeout$` +
	`|wasm\..*\.vm_reload_` +
	`|wasm\.envoy\.wasm\.runtime\.v8\.active$` +
	`|server\.memory_allocated$)`

// envoyStats asks an Envoy for its metrics.
type envoyStats struct {
	url      string
	log      *slog.Logger
	provider func(statName string) string // nil: the name stays
	isGone   func(provider string) bool   // nil: none is
	client   http.Client
}

func newEnvoyStats(o Options, log *slog.Logger) *envoyStats {
	return &envoyStats{
		provider: o.Provider,
		isGone:   o.IsGone,
		url:      "http://" + o.EnvoyAdmin + "/stats/prometheus?filter=" + url.QueryEscape(envoyFilter),
		log:      log,
		client: http.Client{
			Timeout: scrapeTimeout,
			// A transport of its own: Envoy's admin is never behind a proxy of the environment.
			Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: scrapeTimeout}).DialContext, MaxIdleConns: maxScrapes, IdleConnTimeout: time.Minute},
		},
	}
}

// gather returns the families to show; they say themselves whether Envoy could be asked.
func (s *envoyStats) gather(ctx context.Context) []*dto.MetricFamily {
	var families []*dto.MetricFamily
	var dropped int
	text, err := s.scrape(ctx)
	if err == nil {
		families, dropped, err = translate(text)
	}
	if err != nil {
		s.log.WarnContext(ctx, "metrics of envoy are missing", "error", err)
		return []*dto.MetricFamily{gauge("leash_envoy_scrape_up", 0)}
	}
	if s.provider != nil {
		rename(families, s.provider)
	}
	if s.isGone != nil {
		families = withoutGone(families, s.isGone)
	}
	families = append(families, derived(families, time.Now())...)
	return append(families, gauge("leash_envoy_scrape_up", 1), gauge("leash_envoy_scrape_dropped_series", float64(dropped)))
}

func (s *envoyStats) scrape(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask envoy for its metrics: %w", err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask envoy for its metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask envoy for its metrics: status %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxScrapeBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read envoy's metrics: %w", err)
	}
	if len(text) > maxScrapeBytes {
		return nil, fmt.Errorf("read envoy's metrics: more than %d bytes", maxScrapeBytes)
	}
	return text, nil
}

// A translation gives a metric of Envoy's a name that stays, whatever Envoy calls it. Over labels that it does not name is
// summed.
type translation struct {
	envoy  *regexp.Regexp // Envoy's name; its groups become the values of captures
	name   string
	labels map[string]string // ours by Envoy's
	// captures are the names of the labels that the pattern's groups are the values of, where they are not empty. They go
	// before those of labels.
	captures []string
}

var translations = []translation{
	{regexp.MustCompile(`^envoy_http_downstream_rq_xx$`), "leash_envoy_requests_total", map[string]string{classLabel: "class"}, nil},
	{regexp.MustCompile(`^envoy_http_downstream_rq_active$`), "leash_envoy_requests_active", nil, nil},
	ofProvider("upstream_rq_xx", "leash_envoy_upstream_requests_total"),
	ofProvider("upstream_cx_connect_fail", "leash_envoy_upstream_connect_failures_total"),
	ofProvider("upstream_rq_timeout", "leash_envoy_upstream_timeouts_total"),
	ofProvider("upstream_rq_per_try_timeout", "leash_envoy_upstream_timeouts_total"),
	{regexp.MustCompile(`^envoy_http_(.+)_downstream_rq_idle_timeout$`), "leash_envoy_upstream_timeouts_total", nil, []string{providerLabel}},
	ofProvider("upstream_rq_retry", "leash_envoy_upstream_retries_total"),
	ofProvider("upstream_rq_retry_overflow", "leash_envoy_upstream_retries_refused_total"),
	ofProvider("membership_total", "leash_envoy_endpoints"),
	ofProvider("membership_healthy", "leash_envoy_endpoints_healthy"),
	{regexp.MustCompile(`^envoy_wasm_envoy_wasm_runtime_v8_active$`), "leash_envoy_wasm_vms", nil, nil},
	{regexp.MustCompile(`^envoy_wasm_(.+)_vm_reload_(success|failure|backoff)$`), "leash_envoy_wasm_reloads_total", nil, []string{"plugin", "result"}},
	{regexp.MustCompile(`^envoy_server_memory_allocated$`), "leash_envoy_memory_bytes", nil, nil},
}

// ofProvider is a metric of a provider's cluster. Envoy takes the cluster for a label up to its first dot, so that the
// provider's name is in the metric's, unless the cluster has a name of its own for statistics.
func ofProvider(envoy, name string) translation {
	return translation{
		regexp.MustCompile(`^envoy_cluster_(?:(.+)_)?` + envoy + `$`), name,
		map[string]string{clusterLabel: providerLabel, classLabel: "class"}, []string{providerLabel},
	}
}

// Labels that Envoy takes out of its names.
const (
	classLabel    = "envoy_response_code_class"
	clusterLabel  = "envoy_cluster_name"
	providerLabel = "provider" // ours
	prefixLabel   = "envoy_http_conn_manager_prefix"
	adminPrefix   = "admin" // requests to Envoy's admin are none of the gateway's
)

// translate reads what Envoy tells, keeps what modules and translations name, and says how many series it left out.
func translate(text []byte) (families []*dto.MetricFamily, dropped int, err error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, 0, fmt.Errorf("read envoy's metrics: %w", err)
	}
	sums := map[string]*sum{}
	for _, name := range slices.Sorted(maps.Keys(parsed)) {
		family := parsed[name]
		if strings.HasPrefix(name, "leash_") && !strings.HasPrefix(name, "leash_envoy_") { // those are ours to give
			if over := len(family.Metric) - maxSeries; over > 0 {
				family.Metric, dropped = family.Metric[:maxSeries], dropped+over
			}
			family.Help = proto.String(describe(name).help)
			families = append(families, family)
			continue
		}
		for i := range translations {
			if groups := translations[i].envoy.FindStringSubmatch(name); groups != nil {
				dropped += addTo(sums, &translations[i], groups[1:], family)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if len(sums[name].series) > 0 { // there may be none but those that are left out
			families = append(families, sums[name].family())
		}
	}
	return families, dropped, nil
}

// rename calls providers in Envoy's own metrics what the modules' call them, so that both can be put together in a query.
func rename(families []*dto.MetricFamily, provider func(string) string) {
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "leash_envoy_") {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, pair := range m.GetLabel() {
				if pair.GetName() == providerLabel {
					pair.Value = proto.String(provider(pair.GetValue()))
				}
			}
		}
	}
}

// withoutGone leaves out the state of providers that are gone, which Envoy and the modules keep as it was last: a breaker would be half open for ever.
func withoutGone(families []*dto.MetricFamily, isGone func(provider string) bool) []*dto.MetricFamily {
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
		if f.GetType() != dto.MetricType_GAUGE {
			return false
		}
		f.Metric = slices.DeleteFunc(f.GetMetric(), func(m *dto.Metric) bool {
			provider := labelOf(m, providerLabel)
			return provider != "" && isGone(provider)
		})
		return len(f.GetMetric()) == 0
	})
}

// A sum adds up the series of Envoy's that become one of ours.
type sum struct {
	description
	series map[string]*series
}

type series struct {
	labels []*dto.LabelPair // sorted by name
	value  float64
}

func addTo(sums map[string]*sum, t *translation, captured []string, family *dto.MetricFamily) (dropped int) {
	s := sums[t.name]
	if s == nil {
		s = &sum{describe(t.name), map[string]*series{}}
		sums[t.name] = s
	}
	for _, metric := range family.Metric {
		labels := map[string]string{}
		skip := false
		for _, pair := range metric.Label {
			skip = skip || pair.GetName() == prefixLabel && pair.GetValue() == adminPrefix
			if ours, ok := t.labels[pair.GetName()]; ok {
				labels[ours] = pair.GetValue()
				if pair.GetName() == classLabel {
					labels[ours] += "xx"
				}
			}
		}
		for i, name := range t.captures {
			if captured[i] != "" {
				labels[name] = captured[i]
			}
		}
		if !skip && !s.add(labels, metric.GetCounter().GetValue()+metric.GetGauge().GetValue()) {
			dropped++
		}
	}
	return dropped
}

// add is false when there are too many series.
func (s *sum) add(labels map[string]string, value float64) bool {
	var key strings.Builder
	pairs := make([]*dto.LabelPair, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, &dto.LabelPair{Name: proto.String(name), Value: proto.String(labels[name])})
		key.WriteString(labels[name] + "\x00")
	}
	if known := s.series[key.String()]; known != nil {
		known.value += value
		return true
	}
	if len(s.series) >= maxSeries {
		return false
	}
	s.series[key.String()] = &series{pairs, value}
	return true
}

func (s *sum) family() *dto.MetricFamily {
	f := &dto.MetricFamily{Name: proto.String(s.name), Help: proto.String(s.help), Type: s.kind.Enum()}
	for _, key := range slices.Sorted(maps.Keys(s.series)) {
		metric := &dto.Metric{Label: s.series[key].labels}
		if s.kind == dto.MetricType_COUNTER {
			metric.Counter = &dto.Counter{Value: proto.Float64(s.series[key].value)}
		} else {
			metric.Gauge = &dto.Gauge{Value: proto.Float64(s.series[key].value)}
		}
		f.Metric = append(f.Metric, metric)
	}
	return f
}
