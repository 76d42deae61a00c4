// Package control is what an operator asks a running Leash: is it alive, is it ready, what does it count.
//
// It serves /healthz, /readyz and /metrics, to whoever reaches its address: it listens on loopback unless it is told
// otherwise.
package control

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Options configure the handler.
type Options struct {
	// Ready says why the gateway does not serve yet, with an error for each reason joined (errors.Join); nil when it does.
	// It is called for every /readyz. A nil Ready is always ready.
	Ready func() error
	// EnvoyAdmin is the address (host:port) of Envoy's admin, whose metrics /metrics shows with its own. Empty: without Envoy's.
	EnvoyAdmin string
	// Provider is the name in leash.yaml of a provider, by the one that it has in Envoy's statistics (config.StatName). Nil: the same.
	Provider func(statName string) string
	// IsGone tells whether leash.yaml has a provider no more, whose state is then not shown: only what was counted of it is. Nil: none is.
	IsGone func(provider string) bool
	// Metrics are the metrics of this process (see NewRegistry). Nil: without them.
	Metrics prometheus.Gatherer
	// Log tells why Envoy's metrics are missing. Nil: nobody.
	Log *slog.Logger
}

// NewHandler returns the control service:
//
//	GET /healthz   200 as long as the process lives
//	GET /readyz    200 {"ready":true}, or 503 {"ready":false,"reasons":["..."]}
//	GET /metrics   the metrics of Leash, its modules and Envoy, in Prometheus' format (docs/reference/metrics.md)
//
// An Envoy that cannot be asked is told by leash_envoy_scrape_up; the page is served all the same.
func NewHandler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n")) // an error is a client that has left
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { serveReady(w, o.Ready) })
	mux.Handle("GET /metrics", newMetrics(o))
	return mux
}

// readiness is the body of /readyz.
type readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty"`
}

func serveReady(w http.ResponseWriter, ready func() error) {
	status, body := http.StatusOK, readiness{Ready: true}
	if ready != nil {
		if err := ready(); err != nil {
			// errors.Join puts a line break between its errors.
			status, body = http.StatusServiceUnavailable, readiness{Reasons: strings.Split(err.Error(), "\n")}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error is a client that has left
}
