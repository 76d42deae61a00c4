package envoy

import (
	"slices"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
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
	after.Carriers = union(next.Carriers, previous.Carriers, (*listener.Listener).GetName)
	after.Secrets = union(next.Secrets, previous.Secrets, (*tls.Secret).GetName)
	after.Routes = unionRoutes(next.Routes, previous.Routes)
	before := after
	before.Listener, before.Extensions = previous.Listener, previous.Extensions
	return overlap{&before, &after}
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
	routes := union(host.GetRoutes(), chosen, (*route.Route).GetName)
	// What meets nothing else is refused by the last one.
	last := len(host.GetRoutes()) - 1
	host.Routes = slices.Concat(routes[:last], routes[last+1:], routes[last:last+1])
	return all
}
