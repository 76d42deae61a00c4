package envoy

import (
	"encoding/json"
	"net"
	"net/url"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/config"
)

// routeHeader carries the provider that the module route has picked.
const routeHeader = "x-leash-route"

// modelPaths are the paths that are routed by model.
var modelPaths = []string{"/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings"}

// routes is Envoy's route table: what the modules have not given a route to meets an error at its end.
func (t *translation) routes() *route.RouteConfiguration {
	var routes []*route.Route
	models := map[string]bool{} // the providers that models go to
	for _, r := range t.c.Routes {
		if r.Path != "" {
			routes = append(routes, t.pathRoute(r))
		} else {
			models[r.Provider] = true
		}
	}
	for _, provider := range sortedKeys(models) {
		for _, path := range modelPaths {
			routes = append(routes, t.modelRoute(provider, path))
		}
	}
	routes = append(routes, refusal("/", 404, "unknown_url", "this gateway does not serve this path: check the method and the exact path"))
	return &route.RouteConfiguration{
		Name:         routesName,
		VirtualHosts: []*route.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: routes}},
		// What a client sends to prove who it is, and what only Leash and Envoy need to know, is not for providers.
		RequestHeadersToRemove: []string{
			routeHeader, "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie",
			"openai-organization", "openai-project", "x-forwarded-for", "x-forwarded-proto", "x-envoy-external-address",
		},
		// What a provider tells about the operator's account is not for clients.
		ResponseHeadersToRemove: []string{"openai-organization", "openai-project", "set-cookie"},
	}
}

func (t *translation) modelRoute(provider, path string) *route.Route {
	return &route.Route{
		Name: provider + " " + path,
		Match: &route.RouteMatch{
			PathSpecifier: &route.RouteMatch_Path{Path: path},
			Headers: []*route.HeaderMatcher{
				exactHeader(routeHeader, provider), exactHeader(":method", "POST"),
			},
		},
		Action:                 t.toProvider(provider, path),
		RequestHeadersToRemove: t.withoutKey(provider),
	}
}

// isModelRoute says that a route is only taken where a module has chosen its provider.
func isModelRoute(r *route.Route) bool {
	return len(r.GetMatch().GetHeaders()) > 0
}

func (t *translation) pathRoute(r config.Route) *route.Route {
	return &route.Route{
		Name:                   r.Path,
		Match:                  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Path{Path: r.Path}},
		Action:                 t.toProvider(r.Provider, r.Path),
		RequestHeadersToRemove: t.withoutKey(r.Provider),
	}
}

// withoutKey removes the client's own key. Where the provider has one it takes that place.
func (t *translation) withoutKey(provider string) []string {
	if t.hasKey(provider) {
		return nil
	}
	return []string{"authorization"}
}

func exactHeader(name, value string) *route.HeaderMatcher {
	return &route.HeaderMatcher{Name: name, HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{
		StringMatch: &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: value}},
	}}
}

func (t *translation) toProvider(name, path string) *route.Route_Route {
	provider, base := t.c.Providers[name], t.baseURL(name)
	return &route.Route_Route{Route: &route.RouteAction{
		ClusterSpecifier:     &route.RouteAction_Cluster{Cluster: clusterName(name)},
		PrefixRewrite:        rewritten(base, path),
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
