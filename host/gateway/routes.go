package gateway

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/config"
)

// routeHeader carries the provider that the module route has picked.
const routeHeader = "x-leash-route"

// modelPaths are the paths that are routed by model.
var modelPaths = []string{"/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings"}

// routes is the route table. What it does not know is answered with unknownURL.
type routes struct {
	paths  map[string]target            // let through as they are
	models map[string]map[string]target // by provider and path
}

// A target is where an exchange goes.
type target struct {
	provider string
	path     string // at the provider
}

func newRoutes(c *config.Config, o Options) *routes {
	t := &routes{paths: map[string]target{}, models: map[string]map[string]target{}}
	for _, r := range c.Routes {
		base := baseURL(r.Provider, c, o)
		switch {
		case r.Path == "":
			t.models[r.Provider] = map[string]target{}
			for _, path := range modelPaths {
				t.models[r.Provider][path] = target{r.Provider, rewritten(base, path)}
			}
		case t.paths[r.Path].provider == "": // the first that matches is taken
			t.paths[r.Path] = target{r.Provider, rewritten(base, r.Path)}
		}
	}
	return t
}

// find is where a request goes whose modules have chosen a provider ("" for none).
func (t *routes) find(method, path, chosen string) (target, bool) {
	if to, ok := t.paths[path]; ok {
		return to, true
	}
	if method != "POST" {
		return target{}, false
	}
	to, ok := t.models[chosen][path]
	return to, ok
}

// baseURL is where a provider's requests go.
func baseURL(provider string, c *config.Config, o Options) *url.URL {
	if mock := o.Mock[provider]; mock != nil {
		return mock
	}
	return &c.Providers[provider].BaseURL.URL
}

// rewritten is a client's path as the provider's base URL has it: /v1/models is BASE/models.
func rewritten(base *url.URL, path string) string {
	return strings.TrimRight(base.EscapedPath(), "/") + strings.TrimPrefix(path, "/v1")
}

// authority is the Host header for a URL.
func authority(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

// What a client sends to prove who it is, and what only Leash needs to know, is not for providers.
var notForProviders = []string{
	routeHeader, "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie",
	"openai-organization", "openai-project", "x-forwarded-for", "x-forwarded-proto",
}

// What a provider tells about the operator's account, or about itself, is not for clients.
var notForClients = []string{"openai-organization", "openai-project", "set-cookie", "server"}

// hopByHop are headers for one connection: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
var hopByHop = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade", "http2-settings", "expect"}

func isHopByHop(name string) bool { return slices.Contains(hopByHop, name) }
