package envoy

import (
	"encoding/json"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/config"
)

// routes is Envoy's route table: what the modules have not given a route to meets an error at its end.
func (t *translation) routes() *route.RouteConfiguration {
	var routes []*route.Route
	for _, r := range t.c.Routes {
		if r.Path == "" {
			continue
		}
		if len(routes) == 0 { // who answers TRACE repeats the request, with the provider's key
			trace := unknownURL()
			trace.Match.Headers = []*route.HeaderMatcher{exactHeader(":method", "TRACE")}
			routes = append(routes, trace)
		}
		routes = append(routes, t.pathRoute(r))
	}
	for _, lane := range t.c.Lanes() {
		switch {
		case lane.Provider != "":
			routes = append(routes, t.directRoutes(lane)...)
		case t.o.withoutCarriers:
			untranslated := refusal("/", 501, "not_translatable",
				"the provider of this model has another API, or there are several: this gateway does not translate, nor try one after the other")
			untranslated.Name, untranslated.Match.Headers = lane.Name, []*route.HeaderMatcher{exactHeader(config.RouteHeader, lane.Name)}
			routes = append(routes, untranslated)
		default:
			routes = append(routes, t.carriedRoute(lane))
		}
	}
	routes = append(routes, unknownURL())
	return &route.RouteConfiguration{
		Name: routesName,
		// All stands in the virtual host, which somebody may put beside others of their own: what is taken away here, those may need.
		VirtualHosts: []*route.VirtualHost{{
			Name: "all", Domains: []string{"*"}, Routes: routes, IncludeRequestAttemptCount: true,
			// What a client sends to prove who it is is not for providers.
			RequestHeadersToRemove:  clientsOwn,
			ResponseHeadersToRemove: notForClients,
		}},
	}
}

// clientsOwn are headers that tell of clients.
var clientsOwn = slices.Concat(config.ClientHeaders, []string{"x-envoy-external-address"})

// notForClients is what a provider tells about the operator's account, and what only Envoy is to know.
var notForClients = slices.Concat(config.AccountHeaders, []string{config.NextHeader})

// notOfProviders is what only modules say of answers.
var notOfProviders = []string{config.SpanHeader, config.AnsweredHeader}

// notForProviders is what only Leash and Envoy need to know.
func (t *translation) notForProviders() []string {
	names := []string{
		config.RouteHeader, config.PatienceHeader, config.LabelHeader, config.BudgetHeader, config.HedgeHeader, config.MidStreamHeader,
		config.RestHeader, config.RetriesHeader, config.AttemptHeader, "x-forwarded-proto", "x-envoy-original-host", "x-envoy-expected-rq-timeout-ms",
	}
	for attempt := 1; attempt <= maxAttempts; attempt++ {
		names = append(names, config.TargetHeader+strconv.Itoa(attempt), config.ModelHeader+strconv.Itoa(attempt))
	}
	if !t.c.Tracing.Propagate {
		names = append(names, config.TraceHeaders...)
	}
	return names
}

// directRoutes are taken by requests that go to a provider as the client has sent them. OpenAI's clients have the version
// of the API in the base URL, the others in the path.
func (t *translation) directRoutes(lane config.Lane) []*route.Route {
	kind := t.c.Providers[lane.Provider].Description()
	prefixes := []string{"/v1/", "/v1beta/"}
	if kind.Versioned() {
		prefixes = prefixes[:1]
	}
	var routes []*route.Route
	for _, prefix := range prefixes {
		r := t.direct(lane.Provider, lane.Timeouts, &route.Route{
			Name: lane.Name + " " + prefix,
			Match: &route.RouteMatch{
				PathSpecifier: &route.RouteMatch_Prefix{Prefix: prefix},
				Headers:       []*route.HeaderMatcher{exactHeader(config.RouteHeader, lane.Name), exactHeader(":method", "POST")},
			},
		})
		r.GetRoute().PrefixRewrite = kind.PathAt(t.basePath(lane.Provider), prefix)
		routes = append(routes, r)
	}
	return routes
}

// within sets those bounds that are given.
func within(to *route.RouteAction, bounds config.RouteTimeouts) {
	if bounds.Total > 0 {
		to.Timeout = durationpb.New(time.Duration(bounds.Total))
	}
	if bounds.Idle > 0 {
		to.IdleTimeout = durationpb.New(time.Duration(bounds.Idle))
	}
	if bounds.FirstByte > 0 {
		to.RetryPolicy.PerTryTimeout = durationpb.New(time.Duration(bounds.FirstByte))
	}
}

// isModelRoute says that a route is only taken where a module has chosen its provider.
func isModelRoute(r *route.Route) bool {
	return len(r.GetMatch().GetHeaders()) > 0
}

func (t *translation) pathRoute(r config.Route) *route.Route {
	to := t.direct(r.Provider, r.Timeouts, &route.Route{
		Name:  r.Path,
		Match: &route.RouteMatch{PathSpecifier: &route.RouteMatch_Path{Path: r.Path}},
	})
	to.GetRoute().PrefixRewrite = t.c.Providers[r.Provider].Description().PathAt(t.basePath(r.Provider), r.Path)
	return to
}

// basePath is the path of a provider's base URL, without a slash at its end.
func (t *translation) basePath(provider string) string {
	return strings.TrimRight(t.baseURL(provider).EscapedPath(), "/")
}

// headersOf are the headers that every request to a provider needs.
func (t *translation) headersOf(provider string) []*core.HeaderValueOption {
	var headers []*core.HeaderValueOption
	needed := t.c.Providers[provider].Description().Headers
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		headers = append(headers, &core.HeaderValueOption{
			Header: &core.HeaderValue{Key: name, Value: needed[name]}, AppendAction: core.HeaderValueOption_ADD_IF_ABSENT,
		})
	}
	return headers
}

func exactHeader(name, value string) *route.HeaderMatcher {
	return &route.HeaderMatcher{Name: name, HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{
		StringMatch: &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: value}},
	}}
}

// toProvider leads to a provider, to which a connection comes about within a bound; 0 is the provider's own.
func (t *translation) toProvider(name string, connect config.Duration) *route.Route_Route {
	provider, base := t.c.Providers[name], t.baseURL(name)
	return &route.Route_Route{Route: &route.RouteAction{
		ClusterSpecifier:     &route.RouteAction_Cluster{Cluster: clusterWithin(name, connect)},
		HostRewriteSpecifier: &route.RouteAction_HostRewriteLiteral{HostRewriteLiteral: authority(base)},
		Timeout:              durationpb.New(time.Duration(provider.Timeouts.Total)),
		IdleTimeout:          durationpb.New(time.Duration(provider.Timeouts.Idle)),
		// Only what has certainly not reached the provider is sent again: a chat is not idempotent, and it costs.
		RetryPolicy: &route.RetryPolicy{RetryOn: "connect-failure,refused-stream", NumRetries: wrapperspb.UInt32(1)},
	}}
}

// authority is the Host header for a URL.
func authority(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

// unknownURL is met by what no other route takes.
func unknownURL() *route.Route {
	return refusal("/", 404, "unknown_url", "this gateway does not serve this path: check the method and the exact path")
}

// refusal answers in OpenAI's form.
func refusal(prefix string, status uint32, code, message string) *route.Route {
	body, _ := json.Marshal(map[string]any{"error": map[string]any{
		"message": message, "type": "invalid_request_error", "param": nil, "code": code,
	}}) // strings only
	return &route.Route{
		Match: &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: prefix}},
		Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
			Status: status,
			Body:   &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: string(body)}},
		}},
		ResponseHeadersToAdd: []*core.HeaderValueOption{{
			Header:       &core.HeaderValue{Key: "content-type", Value: "application/json"},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}
}
