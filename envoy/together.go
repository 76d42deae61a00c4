package envoy

import (
	"slices"

	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	specifier "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/matcher/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
)

// overlap is two configurations in force together.
type overlap struct {
	before *Resources // with the modules and the listener of the previous one; nil if there is none
	after  *Resources // with those of the next one
}

// together has the providers of both configurations, the next one's where both have one. Of routes, only those that a
// module must choose are kept from the previous one: a path that is no longer let through must not be.
func together(previous, next *Resources) overlap {
	if previous == nil {
		return overlap{after: next}
	}
	after := *next
	after.Clusters = union(next.Clusters, previous.Clusters, (*cluster.Cluster).GetName)
	after.Carriers = union(hedgingBoth(next.Carriers, previous.Carriers), previous.Carriers, (*listener.Listener).GetName)
	after.Secrets = union(next.Secrets, previous.Secrets, (*tls.Secret).GetName)
	after.Routes = unionRoutes(next.Routes, previous.Routes)
	before := after
	before.Listener, before.Extensions = previous.Listener, previous.Extensions
	before.Clusters = union(previous.steps(), after.Clusters, (*cluster.Cluster).GetName) // until the listeners that they lead to have changed
	return overlap{&before, &after}
}

// steps are the clusters that lead to internal listeners.
func (r *Resources) steps() (all []*cluster.Cluster) {
	for _, c := range r.Clusters {
		if r.behind(c) != nil {
			all = append(all, c)
		}
	}
	return all
}

// union is all of the first list, and of the second what is named differently.
func union[T any](first, second []T, name func(T) string) []T {
	all := slices.Clone(first)
	for _, candidate := range second {
		if !slices.ContainsFunc(first, func(one T) bool { return name(one) == name(candidate) }) {
			all = append(all, candidate)
		}
	}
	return all
}

func unionRoutes(next, previous *route.RouteConfiguration) *route.RouteConfiguration {
	all := proto.CloneOf(next)
	host := all.GetVirtualHosts()[0]
	var chosen []*route.Route
	for _, r := range previous.GetVirtualHosts()[0].GetRoutes() {
		if isModelRoute(r) {
			chosen = append(chosen, r)
		}
	}
	for _, r := range host.GetRoutes() {
		for _, other := range chosen {
			if r.GetName() == other.GetName() {
				reachBoth(r, other)
			}
		}
	}
	routes := union(host.GetRoutes(), chosen, (*route.Route).GetName)
	// What meets nothing else is refused by the last one.
	last := len(host.GetRoutes()) - 1
	host.Routes = slices.Concat(routes[:last], routes[last+1:], routes[last:last+1])
	return all
}

// hedgingBoth is the listeners with that of hedged attempts leading to the providers of both configurations.
func hedgingBoth(next, previous []*listener.Listener) []*listener.Listener {
	hedge := func(l *listener.Listener) bool { return l.GetName() == hedgeName }
	own, other := slices.IndexFunc(next, hedge), slices.IndexFunc(previous, hedge)
	if own < 0 || other < 0 {
		return next
	}
	was := &hcm.HttpConnectionManager{}
	unpack(previous[other].GetFilterChains()[0].GetFilters()[0].GetTypedConfig(), was)
	widened := proto.CloneOf(next[own])
	filter := widened.GetFilterChains()[0].GetFilters()[0]
	is := &hcm.HttpConnectionManager{}
	unpack(filter.GetTypedConfig(), is)
	for _, r := range is.GetRouteConfig().GetVirtualHosts()[0].GetRoutes() { // which differ in what they wait for only
		reachBoth(r, was.GetRouteConfig().GetVirtualHosts()[0].GetRoutes()[0])
	}
	filter.ConfigType = &listener.Filter_TypedConfig{TypedConfig: pack(is)}
	all := slices.Clone(next)
	all[own] = widened
	return all
}

// reachBoth lets a route whose cluster is chosen by headers lead to all that the previous one of its name leads to: requests come by it that the
// previous modules have sent on their way, to a provider that goes.
func reachBoth(next, previous *route.Route) {
	is := next.GetRoute().GetInlineClusterSpecifierPlugin().GetExtension()
	was := previous.GetRoute().GetInlineClusterSpecifierPlugin().GetExtension()
	if is == nil || was == nil {
		return
	}
	own, other := &specifier.MatcherClusterSpecifier{}, &specifier.MatcherClusterSpecifier{}
	unpack(is.GetTypedConfig(), own)
	unpack(was.GetTypedConfig(), other)
	matchBoth(own.GetClusterMatcher(), other.GetClusterMatcher())
	is.TypedConfig = pack(own)
}

// matchBoth adds the values of headers that only the previous matcher knows.
func matchBoth(next, previous *xdsmatcher.Matcher) {
	if next == nil || previous == nil {
		return
	}
	known := next.GetMatcherTree().GetExactMatchMap().GetMap()
	for value, was := range previous.GetMatcherTree().GetExactMatchMap().GetMap() {
		if is, both := known[value]; both {
			matchBoth(is.GetMatcher(), was.GetMatcher())
		} else {
			known[value] = was
		}
	}
	matchBoth(next.GetOnNoMatch().GetMatcher(), previous.GetOnNoMatch().GetMatcher())
}
