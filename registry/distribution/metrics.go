package distribution

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	metrics "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	prometheus "github.com/prometheus/client_model/go"

	"github.com/leash-gateway/leash/registry/access"
)

// traffic is what an Envoy has counted since it was started.
type traffic struct {
	requests, errors, refusals int64
	// buckets count requests that took at most so many milliseconds.
	buckets map[float64]int64
	// at is when it was received.
	at time.Time
}

func (t *traffic) add(other traffic) {
	t.requests += other.requests
	t.errors += other.errors
	t.refusals += other.refusals
	if t.buckets == nil {
		t.buckets = map[float64]int64{}
	}
	for bound, n := range other.buckets {
		t.buckets[bound] += n
	}
}

// since is what has come since before.
func (t *traffic) since(before traffic) traffic {
	d := traffic{
		requests: t.requests - before.requests, errors: t.errors - before.errors, refusals: t.refusals - before.refusals, buckets: maps.Clone(t.buckets),
	}
	for bound, n := range before.buckets {
		d.buckets[bound] -= n
	}
	return d
}

// served are the rates, and the 95th percentile: the bound of the bucket that holds it.
func (t *traffic) served() Served {
	s := Served{Requests: t.requests}
	if t.requests > 0 {
		s.ErrorRate, s.RefusalRate = float64(t.errors)/float64(t.requests), float64(t.refusals)/float64(t.requests)
	}
	bounds := slices.Sorted(maps.Keys(t.buckets))
	if len(bounds) == 0 {
		return s
	}
	const quantile = 0.95
	wanted := int64(math.Ceil(quantile * float64(t.buckets[bounds[len(bounds)-1]])))
	for _, bound := range bounds {
		if t.buckets[bound] >= wanted {
			s.Latency = time.Duration(bound * float64(time.Millisecond))
			break
		}
	}
	return s
}

// metering takes what Envoys count, from the stats sink envoy.stat_sinks.metrics_service.
type metering struct {
	metrics.UnimplementedMetricsServiceServer
	s *Server
}

// StreamMetrics takes one Envoy's, as long as it sends.
func (m *metering) StreamMetrics(g metrics.MetricsService_StreamMetricsServer) error {
	who, err := m.s.authenticate(g.Context())
	if err != nil {
		return err
	}
	node := ""
	listeners := map[string]traffic{} // by the prefix of their metrics
	for {
		in, err := g.Recv()
		if err == io.EOF { //nolint:errorlint // gRPC documents it bare
			return g.SendAndClose(&metrics.StreamMetricsResponse{})
		}
		if err != nil {
			return err
		}
		node = cmp.Or(in.GetIdentifier().GetNode().GetId(), node)
		if node == "" {
			continue
		}
		take(listeners, in.GetEnvoyMetrics()) // one flush may come in several messages
		all := traffic{at: m.s.o.Now()}
		for _, one := range listeners {
			all.add(one)
		}
		m.s.mu.Lock()
		if m.s.connected(node, who) {
			m.s.meters[node] = all
		}
		m.s.mu.Unlock()
	}
}

// connected says whether an Envoy has a slot here, so that nobody else speaks for it. s.mu is held.
func (s *Server) connected(node string, who *access.Principal) bool {
	for st := range s.streams {
		if st.id() == node && st.who.Name == who.Name {
			return true
		}
	}
	return false
}

// take reads the counters of Envoy's listeners: http.PREFIX.downstream_rq_…, all prefixes but that of its admin interface.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/stats
func take(listeners map[string]traffic, families []*prometheus.MetricFamily) {
	for _, f := range families {
		name, found := strings.CutPrefix(f.GetName(), "http.")
		at := strings.LastIndexByte(name, '.')
		if !found || at < 0 || name[:at] == "admin" || name[:at] == "async-client" || len(f.GetMetric()) == 0 {
			continue
		}
		one, metric := listeners[name[:at]], f.GetMetric()[0]
		switch name[at+1:] {
		case "downstream_rq_completed":
			one.requests = int64(metric.GetCounter().GetValue())
		case "downstream_rq_5xx":
			one.errors = int64(metric.GetCounter().GetValue())
		case "downstream_rq_4xx":
			one.refusals = int64(metric.GetCounter().GetValue())
		case "downstream_rq_time":
			buckets := map[float64]int64{}
			for _, b := range metric.GetHistogram().GetBucket() {
				buckets[b.GetUpperBound()] = int64(b.GetCumulativeCount()) //nolint:gosec // a count
			}
			if len(buckets) > 0 { // it also comes as a summary
				one.buckets = buckets
			}
		default:
			continue
		}
		listeners[name[:at]] = one
	}
}

func versionText(major, minor, patch uint32) string {
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

func sortProgress(list []Progress) {
	slices.SortFunc(list, func(a, b Progress) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Channel, b.Channel))
	})
}
