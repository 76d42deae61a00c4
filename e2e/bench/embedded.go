package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"
)

// The embedded gateway is measured against Envoy with the same pipeline, and against what any gateway written with net/http adds: a
// reverse proxy of the standard library, with no code of ours in it.
const (
	embeddedName     = "embedded gateway, six modules, one file"
	reverseProxyName = "plain net/http reverse proxy"
)

// goals of the embedded gateway.
const (
	goalEmbedded    = 0.5                    // of Envoy's throughput with the same pipeline
	goalEmbeddedP50 = 300 * time.Microsecond // added to the reverse proxy's
)

func embedded(p pipeline) func(ctx context.Context, dir, provider string) (*server, error) {
	return func(ctx context.Context, dir, provider string) (*server, error) {
		return up(ctx, dir, "embedded", p.config(provider))
	}
}

// reverseProxyEnv tells a process of this program that it is the reverse proxy, and of what; its first argument is where it listens.
const reverseProxyEnv = "LEASH_BENCH_REVERSE_PROXY"

// startReverseProxy runs this program again, because what is measured has a process of its own.
func startReverseProxy(ctx context.Context, _, provider string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	command := exec.CommandContext(ctx, self, address) //nolint:gosec // ourselves
	command.Env = append(os.Environ(), reverseProxyEnv+"="+strings.TrimSuffix(provider, "/v1"))
	s, err := launch(ctx, "http://"+address+"/v1/models", command)
	if err != nil {
		return nil, err
	}
	s.url = "http://" + address + "/v1"
	return s, nil
}

// reverseProxy serves at an address, and ends with the process.
func reverseProxy(address, of string) error {
	to, err := url.Parse(of)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1024},
		FlushInterval: -1, // events of a stream go on at once, as a gateway's must
	}
	// Without full duplex, an answer that comes before the request's end has been read cuts the connection to the provider.
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		proxy.ServeHTTP(w, r)
	})
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// embeddedGoals tells whether the embedded gateway meets its goals.
func (r report) embeddedGoals(row func(goal, asked, measured string, met bool)) {
	one, envoy, proxy := r.find(embeddedName), r.find(oneFileName), r.find(reverseProxyName)
	ratio, added := one.ofPlain()/envoy.ofPlain(), one.added(0)-proxy.added(0)
	row("embedded gateway: throughput", fmt.Sprintf("≥ %.2f of Envoy with the same pipeline", goalEmbedded), fmt.Sprintf("%.2f", ratio), ratio >= goalEmbedded)
	row("embedded gateway: added at p50, to a plain net/http reverse proxy", "≤ "+ms(goalEmbeddedP50), ms(added), added <= goalEmbeddedP50)
}
