package envoy

import (
	"maps"
	"slices"
	"strconv"
	"time"

	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/config"
)

// Where a route asks the next target also because one takes long, Envoy has several attempts under way. It sends all of these to the same
// cluster, so there is a step in between, in which each finds its own target: an internal listener, which every hedged route leads to
// (docs/decisions/107-hedged-attempts-by-a-step-between.md).

// hedgeName is that listener, and the cluster that leads to it.
const hedgeName = "leash.hedge"

// hedged lets a route have several attempts under way, each begun when the one before has not begun its answer after a time.
func hedged(action *route.RouteAction, after config.Duration) {
	action.ClusterSpecifier = &route.RouteAction_Cluster{Cluster: hedgeName}
	action.HedgePolicy = &route.HedgePolicy{HedgeOnPerTryTimeout: true}
	action.RetryPolicy.PerTryTimeout = durationpb.New(time.Duration(after))
	action.RetryPolicy.RefreshClusterOnRetry = false
}

// hedges says whether any route does so.
func (t *translation) hedges() bool {
	for _, lane := range t.c.Lanes() {
		if lane.Hedge > 0 {
			return true
		}
	}
	return false
}

// hedge is the internal listener.
func (t *translation) hedge() *listener.Listener {
	return t.internalListener(&hcm.HttpConnectionManager{
		StatPrefix:       hedgeName,
		HttpFilters:      []*hcm.HttpFilter{httpFilter("envoy.filters.http.router", &router.Router{SuppressEnvoyHeaders: true})},
		RouteSpecifier:   &hcm.HttpConnectionManager_RouteConfig{RouteConfig: t.hedgeRoutes()},
		LocalReplyConfig: repliesTo(failures, config.NextHeader),
	})
}

// hedgeRoutes lead each attempt to its target. How long its answer may take to begin is bounded here, where that is not the time after
// which the next one is asked.
func (t *translation) hedgeRoutes() *route.RouteConfiguration {
	byAttempt := map[string]*xdsmatcher.Matcher_OnMatch{}
	for attempt := 1; attempt <= maxAttempts; attempt++ {
		byAttempt[strconv.Itoa(attempt)] = t.targetOf(attempt)
	}
	bounds := map[config.Duration]bool{0: true}
	for _, lane := range t.c.Lanes() {
		if lane.Hedge > 0 {
			bounds[lane.Timeouts.FirstByte] = true
		}
	}
	var routes []*route.Route
	for _, bound := range slices.Backward(slices.Sorted(maps.Keys(bounds))) { // the one without comes last
		match := &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}
		to := &route.RouteAction{ClusterSpecifier: byMatch(config.AttemptHeader, byAttempt, nil), Timeout: durationpb.New(0), IdleTimeout: durationpb.New(0)}
		if bound > 0 {
			match.Headers = []*route.HeaderMatcher{exactHeader(config.PatienceHeader, strconv.FormatInt(time.Duration(bound).Milliseconds(), 10))}
			to.RetryPolicy = &route.RetryPolicy{NumRetries: wrapperspb.UInt32(0), PerTryTimeout: durationpb.New(time.Duration(bound))}
		}
		routes = append(routes, &route.Route{Match: match, Action: &route.Route_Route{Route: to}})
	}
	return &route.RouteConfiguration{
		Name:             hedgeName,
		ValidateClusters: wrapperspb.Bool(false), // carriers come and go with their providers
		VirtualHosts:     []*route.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: routes}},
		ResponseHeadersToAdd: []*core.HeaderValueOption{{
			Header:       &core.HeaderValue{Key: config.AnsweredHeader, Value: "%REQ(" + config.AttemptHeader + ")%"},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}
}
