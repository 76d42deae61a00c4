package envoy

import (
	"slices"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/leash-gateway/leash/config"
)

// Envoy shows the head of a request as it was sent, with the provider's key, to each filter that asks for it while the answer comes back. What goes through a carrier has a
// head of its own. What goes to a provider directly gets one where the pipeline has a module that is not Leash's: it takes a step to an internal listener, which sends it on
// as it is (docs/decisions/135-keys-apart-from-modules-of-others.md).

// holdsOthers says that a module that is not Leash's is in the pipeline.
func holdsOthers(c *config.Config) bool {
	return slices.ContainsFunc(c.Pipeline, func(m config.Module) bool { return m.Own() })
}

// takesStep says whether what is sent to a provider directly takes the step.
func (t *translation) takesStep(provider string) bool {
	return t.apart && !t.o.withoutCarriers && (t.hasKey(provider) || t.signs(provider))
}

// apartName is the internal listener on the direct way to a provider, and the cluster that leads to it.
func apartName(provider string) string { return "apart." + provider }

// direct is a route to a provider for what goes there as the client has sent it.
func (t *translation) direct(provider string, bounds config.RouteTimeouts, r *route.Route) *route.Route {
	to := t.toProvider(provider, t.c.ConnectBound(provider, bounds))
	within(to.Route, bounds)
	r.Action = to
	r.RequestHeadersToRemove = t.notForProviders()
	r.RequestHeadersToAdd = t.headersOf(provider)
	r.ResponseHeadersToRemove = notOfProviders
	if t.takesStep(provider) {
		t.steps[provider] = append(t.steps[provider], &route.Route{
			Match: &route.RouteMatch{
				PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"},
				Headers:       []*route.HeaderMatcher{exactHeader(config.RouteHeader, r.GetName())},
			},
			Action: proto.CloneOf(r).GetAction().(*route.Route_Route), //nolint:forcetypeassert,errcheck // as it is above
		})
		// What is behind is bounded likewise, and has to be the first: it tries again, and what becomes of the request is counted there.
		to.Route.Timeout = durationpb.New(to.Route.GetTimeout().AsDuration() + exitSlack)
		to.Route.IdleTimeout = durationpb.New(to.Route.GetIdleTimeout().AsDuration() + exitSlack)
		to.Route.RetryPolicy = nil
		to.Route.ClusterSpecifier = &route.RouteAction_Cluster{Cluster: apartName(provider)}
		r.RequestHeadersToAdd = append(r.GetRequestHeadersToAdd(), &core.HeaderValueOption{
			Header:       &core.HeaderValue{Key: config.RouteHeader, Value: r.GetName()},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return r
}

// step is the listener, and the cluster that leads to it. Over xDS they are always there: when a module comes, the routes only have to lead through them.
func (t *translation) step(provider string) (*listener.Listener, *cluster.Cluster) {
	name := apartName(provider)
	return t.internalListener(t.lastStep(name, provider, t.steps[provider])), toInternal(name)
}
