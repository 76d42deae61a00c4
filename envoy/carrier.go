package envoy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	specifier "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/matcher/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/config"
)

// A request that is to be translated, or may have to go to several providers, takes a second step within Envoy: to an internal
// listener of the provider, which holds the module that carries exchanges. So each attempt begins with the request as the modules have
// left it: what one provider was sent, its key above all, is nowhere for the next one to see
// (docs/decisions/070-attempts-by-internal-listeners.md). From there it goes on as bytes, by a second one (exit.go), to the provider's cluster.

// carrierName is a provider's internal listener, and the cluster that leads to it.
func carrierName(provider string) string { return "carry." + provider }

// toInternal is the cluster that leads to the internal listener of its name. It always has its endpoint, so that a provider without one
// is an answer like any other, after which the next one is asked.
func toInternal(name string) *cluster.Cluster {
	return &cluster.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		LoadAssignment: &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpoint.LocalityLbEndpoints{{
			LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
				Address: &core.Address{Address: &core.Address_EnvoyInternalAddress{EnvoyInternalAddress: &core.EnvoyInternalAddress{
					AddressNameSpecifier: &core.EnvoyInternalAddress_ServerListenerName{ServerListenerName: name},
				}}},
			}}}},
		}}},
		CircuitBreakers: unlimited(),
	}
}

// markSteps writes into the clusters that lead to internal listeners what these have in them. What a connection to one leads to is fixed when it
// begins, and Envoy's own drain ends it only behind one more request. A cluster that changes has new connections.
func (r *Resources) markSteps() error {
	for _, c := range r.Clusters {
		behind := r.behind(c)
		if behind == nil {
			continue
		}
		version, err := versionOf([]types.Resource{behind})
		if err != nil {
			return fmt.Errorf("version %s: %w", c.GetName(), err)
		}
		c.Metadata = &core.Metadata{FilterMetadata: map[string]*structpb.Struct{
			"leash": {Fields: map[string]*structpb.Value{"listener": structpb.NewStringValue(version)}},
		}}
	}
	return nil
}

// behind is the internal listener that a cluster leads to, if it does.
func (r *Resources) behind(c *cluster.Cluster) *listener.Listener {
	for _, l := range r.Carriers {
		if l.GetName() == c.GetName() {
			return l
		}
	}
	return nil
}

// unlimited is for what other bounds hold.
func unlimited() *cluster.CircuitBreakers {
	return &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
		MaxConnections: wrapperspb.UInt32(maxExchanges), MaxPendingRequests: wrapperspb.UInt32(maxExchanges),
		MaxRequests: wrapperspb.UInt32(maxExchanges), MaxRetries: wrapperspb.UInt32(maxExchanges),
	}}}
}

// carrier is a provider's internal listener.
func (t *translation) carrier(provider string) (*listener.Listener, error) {
	module, err := t.module(t.c.Carrier(provider, t.basePath(provider), true))
	if err != nil {
		return nil, err
	}
	return t.internalListener(&hcm.HttpConnectionManager{
		StatPrefix: carrierName(provider),
		HttpFilters: []*hcm.HttpFilter{
			{Name: module.GetName(), ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: module.GetTypedConfig()}},
			httpFilter("envoy.filters.http.router", &router.Router{SuppressEnvoyHeaders: true}),
		},
		RouteSpecifier: onlyRoute(carrierName(provider), &route.RouteAction{
			ClusterSpecifier: &route.RouteAction_Cluster{Cluster: exitName(provider)},
			Timeout:          durationpb.New(0), // that of what is behind it holds
		}),
		LocalReplyConfig: t.carrierReplies(provider),
	}), nil
}

// internalListener is the listener that is named like the prefix of its statistics. It changes no headers of its own.
func (t *translation) internalListener(m *hcm.HttpConnectionManager) *listener.Listener {
	m.GenerateRequestId = wrapperspb.Bool(false)
	m.StreamIdleTimeout = durationpb.New(0) // routes have theirs
	m.ServerHeaderTransformation = hcm.HttpConnectionManager_PASS_THROUGH
	return &listener.Listener{
		Name:                          m.GetStatPrefix(),
		ListenerSpecifier:             &listener.Listener_InternalListener{InternalListener: &listener.Listener_InternalListenerConfig{}},
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(t.clientBufferLimit()),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(m)},
		}}}},
	}
}

// onlyRoute is a route table of one.
func onlyRoute(name string, action *route.RouteAction) *hcm.HttpConnectionManager_RouteConfig {
	return &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
		Name:             name,
		ValidateClusters: wrapperspb.Bool(false), // it may come at the same time
		VirtualHosts: []*route.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*route.Route{{
			Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
			Action: &route.Route_Route{Route: action},
		}}}},
	}}
}

// maxAttempts is how many targets a request may have.
const maxAttempts = config.MaxTargets

// carriedRoute leads from one provider to the next: the header of the attempt says to which.
func (t *translation) carriedRoute(lane config.Lane) *route.Route {
	byAttempt := map[string]*xdsmatcher.Matcher_OnMatch{}
	for attempt := 1; attempt < maxAttempts; attempt++ { // the header holds the number of the attempt that has failed
		byAttempt[strconv.Itoa(attempt)] = t.targetOf(attempt + 1)
	}
	action := &route.RouteAction{
		ClusterSpecifier: byMatch(config.AttemptHeader, byAttempt, t.targetOf(1)),
		Timeout:          durationpb.New(t.longestTotal()),
		IdleTimeout:      durationpb.New(t.longestIdle()),
		RetryPolicy:      failover(lane.On),
	}
	within(action, lane.Timeouts)
	// What is behind is bounded likewise, and has to be the first: it can still end a stream with an error.
	action.Timeout = durationpb.New(action.GetTimeout().AsDuration() + exitSlack)
	action.IdleTimeout = durationpb.New(action.GetIdleTimeout().AsDuration() + exitSlack)
	if lane.Hedge > 0 {
		hedged(action, lane.Hedge)
	}
	return &route.Route{
		Name: lane.Name,
		Match: &route.RouteMatch{
			PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"},
			Headers:       []*route.HeaderMatcher{exactHeader(config.RouteHeader, lane.Name), exactHeader(":method", "POST")},
		},
		Action: &route.Route_Route{Route: action},
	}
}

// byMatch chooses the cluster by the value of a header.
func byMatch(header string, values map[string]*xdsmatcher.Matcher_OnMatch, otherwise *xdsmatcher.Matcher_OnMatch) *route.RouteAction_InlineClusterSpecifierPlugin {
	return &route.RouteAction_InlineClusterSpecifierPlugin{InlineClusterSpecifierPlugin: &route.ClusterSpecifierPlugin{
		Extension: &core.TypedExtensionConfig{
			Name: "envoy.router.cluster_specifier_plugin.matcher",
			TypedConfig: pack(&specifier.MatcherClusterSpecifier{ClusterMatcher: &xdsmatcher.Matcher{
				MatcherType: tree(header, values), OnNoMatch: otherwise,
			}}),
		},
	}}
}

// missed are statuses, besides those of the provider's own errors, that say nothing about the request: another provider may serve it.
var missed = []uint32{401, 402, 403, 404, 408, 429}

// failover asks the next provider. How many there are is told by the request's header x-envoy-max-retries; each is asked once, so
// the wait between two is only there to keep many requests from coming at the same instant.
func failover(on []int) *route.RetryPolicy {
	p := &route.RetryPolicy{
		RetryOn:              "reset,connect-failure,refused-stream,retriable-headers,retriable-status-codes",
		NumRetries:           wrapperspb.UInt32(0),
		RetriableStatusCodes: missed,
		RetriableHeaders: []*route.HeaderMatcher{{
			Name: config.NextHeader, HeaderMatchSpecifier: &route.HeaderMatcher_PresentMatch{PresentMatch: true},
		}},
		RetryBackOff: &route.RetryPolicy_RetryBackOff{
			BaseInterval: durationpb.New(5 * time.Millisecond), MaxInterval: durationpb.New(50 * time.Millisecond),
		},
		RefreshClusterOnRetry: true,
	}
	if len(on) == 0 {
		p.RetryOn = "5xx," + p.GetRetryOn()
		return p
	}
	p.RetriableStatusCodes = nil
	for _, status := range on {
		p.RetriableStatusCodes = append(p.RetriableStatusCodes, uint32(status)) //nolint:gosec // config has checked it
	}
	return p
}

// targetOf finds the cluster for the target of an attempt.
func (t *translation) targetOf(attempt int) *xdsmatcher.Matcher_OnMatch {
	clusters := map[string]*xdsmatcher.Matcher_OnMatch{}
	for _, provider := range slices.Sorted(maps.Keys(t.c.Providers)) {
		clusters[provider] = &xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Action{Action: &xdscore.TypedExtensionConfig{
			Name: "cluster", TypedConfig: pack(&specifier.ClusterAction{Cluster: carrierName(provider)}),
		}}}
	}
	return &xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Matcher{
		Matcher: &xdsmatcher.Matcher{MatcherType: tree(config.TargetHeader+strconv.Itoa(attempt), clusters)},
	}}
}

// tree decides by the value of a header.
func tree(header string, values map[string]*xdsmatcher.Matcher_OnMatch) *xdsmatcher.Matcher_MatcherTree_ {
	return &xdsmatcher.Matcher_MatcherTree_{MatcherTree: &xdsmatcher.Matcher_MatcherTree{
		Input: &xdscore.TypedExtensionConfig{
			Name: "header", TypedConfig: pack(&matcher.HttpRequestHeaderMatchInput{HeaderName: header}),
		},
		TreeType: &xdsmatcher.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &xdsmatcher.Matcher_MatcherTree_MatchMap{Map: values}},
	}}
}
