package envoy

import (
	"cmp"
	"slices"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/tcp/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/config"
)

// Where an answer breaks off, Envoy ends the exchange, and no filter can say a word. So the module that carries it sends the request as
// the bytes of HTTP/1.0, whose answers end with their connection, to this internal listener, which sends it to the provider's
// cluster: what becomes of that, the module sees an answer that ends (docs/decisions/105-answers-that-break-off.md).

// rateLimitedHeader is in answers: Envoy asks nobody else behind one that another Envoy in front of a provider has refused.
const rateLimitedHeader = "x-envoy-ratelimited"

// exitName is the listener behind a provider's carrier, and the cluster that leads to it.
func exitName(provider string) string { return "exit." + provider }

// exitSlack is how much later than here what stands before ends an exchange that takes too long.
const exitSlack = time.Second

// toExit is the cluster that takes bytes to the listener.
func toExit(provider string) *cluster.Cluster {
	c := toInternal(exitName(provider))
	c.UpstreamConfig = &core.TypedExtensionConfig{Name: "envoy.filters.connection_pools.tcp.generic", TypedConfig: pack(&tcp.TcpConnectionPoolProto{})}
	return c
}

// exit is the listener.
func (t *translation) exit(provider string) *listener.Listener {
	m := t.lastStep(exitName(provider), provider, t.exitRoutes(provider))
	m.HttpProtocolOptions = &core.Http1ProtocolOptions{AcceptHttp_10: true}
	table := m.GetRouteConfig()
	table.RequestHeadersToAdd = t.headersOf(provider)
	table.ResponseHeadersToRemove = slices.Concat(notOfProviders, []string{rateLimitedHeader}, notForClients)
	return t.internalListener(m)
}

// lastStep is what an internal listener right ahead of a provider's cluster does, by the first of the routes that fits, or as the provider is bounded.
func (t *translation) lastStep(name, provider string, routes []*route.Route) *hcm.HttpConnectionManager {
	return &hcm.HttpConnectionManager{
		StatPrefix:  name,
		HttpFilters: []*hcm.HttpFilter{httpFilter("envoy.filters.http.router", &router.Router{SuppressEnvoyHeaders: true})},
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
			Name:             name,
			ValidateClusters: wrapperspb.Bool(false), // the provider's may still look for its address
			VirtualHosts: []*route.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: append(slices.Clone(routes), &route.Route{
				Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
				Action: t.toProvider(provider, 0),
			})}},
			RequestHeadersToRemove: t.notForProviders(),
		}},
		DelayedCloseTimeout: durationpb.New(0), // the end of an answer, also where it breaks off, is the end of the connection
		LocalReplyConfig:    t.carrierReplies(provider),
		AccessLog:           unreachedLog(),
	}
}

// exitRoutes lead to the provider's cluster, within the bounds of the route that the request has come by.
func (t *translation) exitRoutes(provider string) (routes []*route.Route) {
	bounds := t.c.ConnectBounds(provider)
	for _, lane := range t.c.Lanes() {
		connect := t.c.ConnectBound(provider, lane.Timeouts)
		if !slices.Contains(bounds, connect) {
			connect = 0 // the lane does not lead there
		}
		both := lane.Timeouts.FirstByte != 0 && lane.Timeouts.FirstByte == cmp.Or(lane.Timeouts.Idle, t.c.Providers[provider].Timeouts.Idle)
		if lane.Provider != "" || lane.Timeouts.Idle == 0 && lane.Timeouts.Total == 0 && connect == 0 && !both {
			continue
		}
		to := t.toProvider(provider, connect)
		within(to.Route, lane.Timeouts)
		to.Route.RetryPolicy.PerTryTimeout = nil // that is for the attempt as a whole
		if both {                                // or both would pass, and be counted
			to.Route.IdleTimeout = durationpb.New(time.Duration(lane.Timeouts.FirstByte) + config.IdleSlack)
		}
		routes = append(routes, &route.Route{
			Match: &route.RouteMatch{
				PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"},
				Headers:       []*route.HeaderMatcher{exactHeader(config.RouteHeader, lane.Name)},
			},
			Action: to,
		})
	}
	return routes
}
