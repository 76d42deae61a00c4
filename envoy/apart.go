package envoy

import (
	"slices"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/config"
)

// Envoy shows the head of a request as it was sent, with the provider's key, to each filter that asks for it while the answer comes back. What goes through a carrier has a
// head of its own. What goes to a provider directly gets one where the pipeline has a module that is not Leash's: it takes a step to an internal listener, which sends it on
// as it is (docs/decisions/135-keys-apart-from-modules-of-others.md).

// apart says whether what is sent to a provider directly takes the step.
func (t *translation) apart(provider string) bool {
	return !t.o.withoutCarriers && (t.hasKey(provider) || t.signs(provider)) &&
		slices.ContainsFunc(t.c.Pipeline, func(m config.Module) bool { return m.Own() })
}

// apartName is the internal listener ahead of one of a provider's clusters, and the cluster that leads to it.
func apartName(of string) string { return "apart." + of }

// direct leads to a provider what goes there as the client has sent it.
func (t *translation) direct(provider string, bounds config.RouteTimeouts) *route.Route_Route {
	to := t.toProvider(provider, t.c.ConnectBound(provider, bounds))
	if t.apart(provider) {
		to.Route.ClusterSpecifier = &route.RouteAction_Cluster{Cluster: apartName(to.Route.GetCluster())}
	}
	within(to.Route, bounds)
	return to
}

// steps are the listeners and clusters between the main listener and a provider's clusters.
func (t *translation) steps(provider string) (listeners []*listener.Listener, clusters []*cluster.Cluster) {
	if !t.apart(provider) {
		return nil, nil
	}
	for _, bound := range append(t.c.ConnectBounds(provider), 0) {
		name := apartName(clusterWithin(provider, bound))
		to := t.toProvider(provider, bound)
		to.Route.Timeout, to.Route.IdleTimeout = durationpb.New(0), durationpb.New(0) // those of the main listener hold
		listeners = append(listeners, t.internalListener(&hcm.HttpConnectionManager{
			StatPrefix:  name,
			HttpFilters: []*hcm.HttpFilter{httpFilter("envoy.filters.http.router", &router.Router{SuppressEnvoyHeaders: true})},
			RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
				Name:             name,
				ValidateClusters: wrapperspb.Bool(false), // the provider's may still look for its address
				VirtualHosts: []*route.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*route.Route{{
					Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
					Action: to,
				}}}},
				RequestHeadersToRemove: t.notForProviders(),
			}},
			LocalReplyConfig: t.carrierReplies(provider),
		}))
		clusters = append(clusters, toInternal(name))
	}
	return listeners, clusters
}
