package gateway

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/leash-gateway/leash/config"
)

// routes is the route table. What it does not know is answered with unknownURL.
type routes struct {
	paths map[string]target // let through as they are
	lanes map[string]lane   // of models, by name
}

// A lane is how exchanges go whose model has been looked at.
type lane struct {
	provider string // where they go as they are; "": by the module provider, to where the headers of the module route say
	kind     *config.Kind
	base     string // path of the base URL
	timeouts timeouts
	own      config.RouteTimeouts // what of them the route says
	on       []int                // the statuses after which the next target is asked; none: the usual ones
	hedge    time.Duration        // after which that is asked too; 0: never
}

// A target is where an exchange goes.
type target struct {
	provider string // "": to where the headers of the module route say, by the module provider
	path     string // at the provider
	timeouts timeouts
	own      config.RouteTimeouts
	on       []int
	hedge    time.Duration
}

// timeouts bound an exchange: until there is a connection (0: the provider's own bound), until its answer begins (0: no bound of its own),
// between two pieces of it, and in all.
type timeouts struct{ connect, first, idle, total time.Duration }

func newRoutes(c *config.Config, o Options) *routes {
	t := &routes{paths: map[string]target{}, lanes: map[string]lane{}}
	var longest timeouts
	for _, p := range c.Providers {
		longest.idle = max(longest.idle, time.Duration(p.Timeouts.Idle))
		longest.total = max(longest.total, time.Duration(p.Timeouts.Total))
	}
	for _, r := range c.Routes {
		if r.Path != "" && t.paths[r.Path].provider == "" { // the first that matches is taken
			p := c.Providers[r.Provider]
			t.paths[r.Path] = target{
				provider: r.Provider, path: p.Description().PathAt(baseURL(r.Provider, c, o).EscapedPath(), r.Path),
				timeouts: ofProvider(p).within(r.Timeouts),
			}
		}
	}
	for _, l := range c.Lanes() {
		one := lane{provider: l.Provider, timeouts: longest.within(l.Timeouts), own: l.Timeouts, on: l.On, hedge: time.Duration(l.Hedge)}
		if p := c.Providers[l.Provider]; p != nil {
			one.kind, one.base, one.timeouts = p.Description(), baseURL(l.Provider, c, o).EscapedPath(), ofProvider(p).within(l.Timeouts)
		}
		t.lanes[l.Name] = one
	}
	return t
}

func ofProvider(p *config.Provider) timeouts {
	return timeouts{idle: time.Duration(p.Timeouts.Idle), total: time.Duration(p.Timeouts.Total)}
}

// within sets those that a route gives.
func (t timeouts) within(r config.RouteTimeouts) timeouts {
	return timeouts{
		connect: time.Duration(r.Connect), first: time.Duration(r.FirstByte),
		idle:  cmp.Or(time.Duration(r.Idle), t.idle),
		total: cmp.Or(time.Duration(r.Total), t.total),
	}
}

// find is where a request goes whose modules have chosen a lane ("" for none).
func (t *routes) find(method, path, chosen string) (target, bool) {
	if to, ok := t.paths[path]; ok {
		return to, method != "TRACE" && method != "CONNECT" // who answers these repeats the request, with the provider's key, or becomes a tunnel
	}
	l, ok := t.lanes[chosen]
	if method != "POST" || !ok {
		return target{}, false
	}
	to := target{provider: l.provider, timeouts: l.timeouts, own: l.own, on: l.on, hedge: l.hedge}
	if l.provider != "" {
		to.path = l.kind.PathAt(l.base, path)
	}
	return to, true
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

// What tells of a client, and what only Leash needs to know (x-leash-...), is not for providers.
var notForProviders = slices.Concat(config.ClientHeaders, []string{config.AttemptHeader, config.RetriesHeader})

// What a provider tells about the operator's account, or about itself, is not for clients.
var notForClients = slices.Concat(config.AccountHeaders, []string{"server", config.NextHeader, config.SpanHeader, config.AnsweredHeader})

// hopByHop are headers for one connection: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
var hopByHop = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade", "http2-settings", "expect"}

func isHopByHop(name string) bool { return slices.Contains(hopByHop, name) }
