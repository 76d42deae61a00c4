package gateway

import (
	"net"
	"net/url"
	"slices"

	"github.com/leash-gateway/leash/config"
)

// routeHeader carries the provider that the module route has picked.
const routeHeader = "x-leash-route"

// routes is the route table. What it does not know is answered with unknownURL.
type routes struct {
	paths  map[string]target    // let through as they are
	models map[string]placement // the providers that models go to
}

// A placement is where a provider has the paths of its API.
type placement struct {
	kind *config.Kind
	base string
}

// A target is where an exchange goes.
type target struct {
	provider string
	path     string // at the provider
}

func newRoutes(c *config.Config, o Options) *routes {
	t := &routes{paths: map[string]target{}, models: map[string]placement{}}
	for _, r := range c.Routes {
		at := placement{c.Providers[r.Provider].Description(), baseURL(r.Provider, c, o).EscapedPath()}
		switch {
		case r.Path == "":
			t.models[r.Provider] = at
		case t.paths[r.Path].provider == "": // the first that matches is taken
			t.paths[r.Path] = target{r.Provider, at.kind.PathAt(at.base, r.Path)}
		}
	}
	return t
}

// find is where a request goes whose modules have chosen a provider ("" for none).
func (t *routes) find(method, path, chosen string) (target, bool) {
	if to, ok := t.paths[path]; ok {
		return to, true
	}
	at, ok := t.models[chosen]
	if method != "POST" || !ok {
		return target{}, false
	}
	return target{chosen, at.kind.PathAt(at.base, path)}, true
}

// baseURL is where a provider's requests go.
func baseURL(provider string, c *config.Config, o Options) *url.URL {
	if mock := o.Mock[provider]; mock != nil {
		return mock
	}
	return &c.Providers[provider].BaseURL.URL
}

// authority is the Host header for a URL.
func authority(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

// What a client sends to prove who it is, and what only Leash needs to know (x-leash-...), is not for providers.
var notForProviders = []string{
	"authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie",
	"openai-organization", "openai-project", "x-forwarded-for", "x-forwarded-proto", "x-envoy-attempt-count",
}

// What a provider tells about the operator's account, or about itself, is not for clients.
var notForClients = []string{"openai-organization", "openai-project", "anthropic-organization-id", "set-cookie", "server"}

// hopByHop are headers for one connection: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
var hopByHop = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade", "http2-settings", "expect"}

func isHopByHop(name string) bool { return slices.Contains(hopByHop, name) }
