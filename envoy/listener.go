package envoy

import (
	"math"
	"net"
	"strconv"
	"time"

	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	early "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	xff "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/xff/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	listenerName = "leash"
	routesName   = "leash"
	// wasmType is what a filter slot is filled with.
	wasmType = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
)

// requestTimeout is how long a client may take to send a request.
const requestTimeout = time.Minute

// bufferLimit lets the modules be the first to find a body too large: theirs is the better error.
func (t *translation) bufferLimit(bytes int64) uint32 {
	const slack = 1 << 20
	return uint32(min(bytes+slack, math.MaxUint32)) //nolint:gosec // bounded
}

// clientBufferLimit is that of what is held for a client, in either direction.
func (t *translation) clientBufferLimit() uint32 {
	return t.bufferLimit(max(int64(t.c.Limits.RequestBytes), int64(t.c.Limits.ResponseBytes)))
}

func (t *translation) listener(r *Resources) *listener.Listener {
	host, port, _ := net.SplitHostPort(t.c.Listen) // config has checked it
	number, _ := strconv.ParseUint(port, 10, 16)
	return &listener.Listener{
		Name:                          listenerName,
		Address:                       address(host, uint32(number)),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(t.clientBufferLimit()),
		// Clients of LLMs keep few connections for long: where the kernel gives most of them to one worker, that one is busy
		// while the others have nothing to do.
		ConnectionBalanceConfig: &listener.Listener_ConnectionBalanceConfig{
			BalanceType: &listener.Listener_ConnectionBalanceConfig_ExactBalance_{ExactBalance: &listener.Listener_ConnectionBalanceConfig_ExactBalance{}},
		},
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(t.connectionManager(r))},
		}}}},
	}
}

// maxWindow is the largest window that HTTP/2 has: https://www.rfc-editor.org/rfc/rfc9113#section-6.9.1
const maxWindow = math.MaxInt32

func (t *translation) connectionManager(r *Resources) *hcm.HttpConnectionManager {
	m := &hcm.HttpConnectionManager{
		StatPrefix:  listenerName,
		HttpFilters: t.filters(r),
		// One spelling of a path, or none: what the modules and the route table compare is what the provider reads.
		NormalizePath:                wrapperspb.Bool(true),
		MergeSlashes:                 true,
		PathWithEscapedSlashesAction: hcm.HttpConnectionManager_REJECT_REQUEST,
		CommonHttpProtocolOptions: &core.HttpProtocolOptions{
			// x_leash_route is not x-leash-route, but some servers behind make one of the other.
			HeadersWithUnderscoresAction: core.HttpProtocolOptions_DROP_HEADER,
			IdleTimeout:                  durationpb.New(10 * time.Minute),
		},
		// Otherwise each answer with 400 of a module costs the client its connection.
		HttpProtocolOptions: &core.Http1ProtocolOptions{OverrideStreamErrorOnInvalidHttpMessage: wrapperspb.Bool(true)},
		Http2ProtocolOptions: &core.Http2ProtocolOptions{
			MaxConcurrentStreams: wrapperspb.UInt32(1024),
			// Of an HTTP/2 stream Envoy lets filters hold as much as its window is, and takes no heed of the connection's limit:
			// what is longer would be 413 or 500 of its own.
			InitialStreamWindowSize:     wrapperspb.UInt32(min(t.clientBufferLimit(), maxWindow)),
			InitialConnectionWindowSize: wrapperspb.UInt32(8 << 20),
		},
		RequestHeadersTimeout:         durationpb.New(10 * time.Second),
		RequestTimeout:                durationpb.New(requestTimeout),
		StreamIdleTimeout:             durationpb.New(t.longestIdle()),
		AlwaysSetRequestIdInResponse:  true,
		EarlyHeaderMutationExtensions: []*core.TypedExtensionConfig{t.withoutSteering()},
		LocalReplyConfig:              localReplies(),
		AccessLog:                     unreachedLog(),
	}
	t.clientAddress(m)
	if t.o.Static {
		m.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: r.Routes}
	} else {
		m.RouteSpecifier = &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: routesName, ConfigSource: adsSource()}}
	}
	return m
}

// clientAddress has the peer's own address be the client's, unless the peer is a proxy that is trusted: X-Forwarded-For is believed from
// there only.
func (t *translation) clientAddress(m *hcm.HttpConnectionManager) {
	if len(t.c.TrustedProxies) == 0 {
		m.UseRemoteAddress = wrapperspb.Bool(true)
		return
	}
	trusted := &xff.XffTrustedCidrs{}
	for _, n := range t.c.TrustedProxies {
		trusted.Cidrs = append(trusted.Cidrs, &core.CidrRange{AddressPrefix: n.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(n.Bits()))}) //nolint:gosec // 1 to 128
	}
	m.OriginalIpDetectionExtensions = []*core.TypedExtensionConfig{{
		Name:        "envoy.http.original_ip_detection.xff",
		TypedConfig: pack(&xff.XffConfig{XffTrustedCidrs: trusted, SkipXffAppend: wrapperspb.Bool(false)}),
	}}
}

// longestIdle is the longest that any provider may be silent; routes bound it for theirs.
func (t *translation) longestIdle() time.Duration {
	longest := time.Minute
	for _, p := range t.c.Providers {
		longest = max(longest, time.Duration(p.Timeouts.Idle))
	}
	return longest
}

// longestTotal is the longest that any provider may take.
func (t *translation) longestTotal() time.Duration {
	longest := time.Minute
	for _, p := range t.c.Providers {
		longest = max(longest, time.Duration(p.Timeouts.Total))
	}
	return longest
}

// filters are the modules and Envoy's router.
func (t *translation) filters(r *Resources) []*hcm.HttpFilter {
	var filters []*hcm.HttpFilter
	for _, e := range r.Extensions {
		if t.o.Static {
			filters = append(filters, &hcm.HttpFilter{Name: e.GetName(), ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: e.GetTypedConfig()}})
			continue
		}
		filters = append(filters, slot(e.GetName()))
	}
	return append(filters, httpFilter("envoy.filters.http.router", &router.Router{SuppressEnvoyHeaders: true}))
}

func httpFilter(name string, config proto.Message) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(config)}}
}

// withoutSteering takes the headers out of a client's request that modules and routes steer by, and those that an Envoy does, this one or one in
// front of a provider, before any filter sees it.
func (t *translation) withoutSteering() *core.TypedExtensionConfig {
	var mutations []*mutation.HeaderMutation
	if len(t.c.TrustedProxies) > 0 { // without use_remote_address Envoy would take these two from whoever sends them
		for _, name := range []string{"x-request-id", "x-forwarded-proto"} {
			mutations = append(mutations, &mutation.HeaderMutation{Action: &mutation.HeaderMutation_Remove{Remove: name}})
		}
	}
	for _, prefix := range []string{"x-leash-", "x-envoy-"} {
		mutations = append(mutations, &mutation.HeaderMutation{
			Action: &mutation.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: &mutation.HeaderMutation_RemoveOnMatch{
				KeyMatcher: &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Prefix{Prefix: prefix}, IgnoreCase: true},
			}},
		})
	}
	return &core.TypedExtensionConfig{
		Name:        "envoy.http.early_header_mutation.header_mutation",
		TypedConfig: pack(&early.HeaderMutation{Mutations: mutations}),
	}
}
