package control

import (
	"cmp"
	"log/slog"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// maxScrapes bounds how many pages are made at once: each asks Envoy, whose admin has one thread.
const maxScrapes = 4

// newMetrics returns the page of all metrics.
func newMetrics(o Options) http.Handler {
	var envoy *envoyStats
	if o.EnvoyAdmin != "" {
		log := o.Log
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		envoy = newEnvoyStats(o, log)
	}
	limit := make(chan struct{}, maxScrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case limit <- struct{}{}:
			defer func() { <-limit }()
		case <-r.Context().Done():
			return
		}
		gather := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			var own, scraped []*dto.MetricFamily
			var err error
			if o.Metrics != nil {
				own, err = o.Metrics.Gather()
			}
			if envoy != nil {
				scraped = envoy.gather(r.Context())
			}
			return merge(own, scraped), err
		})
		// What could be gathered is shown, whatever else could not.
		promhttp.HandlerFor(gather, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, r)
	})
}

// merge puts both together, sorted by name. What this process counts itself is not to be overwritten by a module.
func merge(own, scraped []*dto.MetricFamily) []*dto.MetricFamily {
	taken := make(map[string]bool, len(own))
	for _, f := range own {
		taken[f.GetName()] = true
	}
	all := slices.Clone(own)
	for _, f := range scraped {
		if !taken[f.GetName()] {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all
}

// gauge is a family of one gauge without labels.
func gauge(name string, value float64) *dto.MetricFamily {
	return &dto.MetricFamily{
		Name: proto.String(name), Help: proto.String(describe(name).help), Type: dto.MetricType_GAUGE.Enum(),
		Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: proto.Float64(value)}}},
	}
}
