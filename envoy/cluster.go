package envoy

import (
	"cmp"
	"net"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/config"
)

// clusterName is the cluster of a provider.
func clusterName(provider string) string { return "provider." + provider }

// protocolOptions is the name under which a cluster's HTTP options are found.
const protocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// cluster is a provider, to which connections come about within a bound; 0 is the provider's own.
func (t *translation) cluster(name string, connect config.Duration) *cluster.Cluster {
	provider, base := t.c.Providers[name], t.baseURL(name)
	host, port := config.HostPort(base)
	c := &cluster.Cluster{
		Name:                 clusterWithin(name, connect),
		AltStatName:          config.StatName(name),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS},
		ConnectTimeout:       durationpb.New(time.Duration(cmp.Or(connect, provider.Timeouts.Connect))),
		DnsLookupFamily:      cluster.Cluster_V4_PREFERRED,
		LoadAssignment: &endpoint.ClusterLoadAssignment{
			ClusterName: clusterWithin(name, connect),
			Endpoints: []*endpoint.LocalityLbEndpoints{{LbEndpoints: []*endpoint.LbEndpoint{{
				HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
					Hostname: host, Address: address(host, uint32(port)),
				}},
			}}}},
		},
		CircuitBreakers:               limited(provider.Limits),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(t.bufferLimit(int64(t.c.Limits.ResponseBytes))),
	}
	if net.ParseIP(host) != nil {
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}
	} else {
		c.OutlierDetection = passedOver()
	}
	t.checkHealth(c, name)
	options := &upstreams.HttpProtocolOptions{HttpFilters: t.upstreamFilters(name)}
	if base.Scheme == "https" {
		c.TransportSocket = t.tlsSocket(name, host)
		options.UpstreamProtocolOptions = &upstreams.HttpProtocolOptions_AutoConfig{AutoConfig: &upstreams.HttpProtocolOptions_AutoHttpConfig{}}
	} else {
		options.UpstreamProtocolOptions = &upstreams.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{},
			},
		}
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{protocolOptions: pack(options)}
	return c
}

// passedOver keeps away, where a name has several addresses, from one that cannot be reached. How providers fail is the business
// of the module provider.
func passedOver() *cluster.OutlierDetection {
	return &cluster.OutlierDetection{
		SplitExternalLocalOriginErrors: true, ConsecutiveLocalOriginFailure: wrapperspb.UInt32(3),
		EnforcingConsecutiveLocalOriginFailure: wrapperspb.UInt32(100), EnforcingLocalOriginSuccessRate: wrapperspb.UInt32(0),
		EnforcingConsecutive_5Xx: wrapperspb.UInt32(0), EnforcingConsecutiveGatewayFailure: wrapperspb.UInt32(0),
		EnforcingSuccessRate: wrapperspb.UInt32(0), EnforcingFailurePercentage: wrapperspb.UInt32(0),
		BaseEjectionTime: durationpb.New(5 * time.Second), MaxEjectionPercent: wrapperspb.UInt32(50),
	}
}

// checkHealth asks a provider that has something free to ask for. While it does not answer it is sent nothing.
func (t *translation) checkHealth(c *cluster.Cluster, name string) {
	check, path := t.c.Providers[name].HealthCheck, t.c.Providers[name].CheckPath()
	if path == "" || t.o.Mock[name] != nil {
		return
	}
	c.HealthChecks = []*core.HealthCheck{{
		Timeout: durationpb.New(time.Duration(check.Timeout)), Interval: durationpb.New(time.Duration(check.Interval)),
		NoTrafficInterval:  durationpb.New(time.Duration(check.Interval)),
		UnhealthyThreshold: wrapperspb.UInt32(2), HealthyThreshold: wrapperspb.UInt32(1),
		HealthChecker: &core.HealthCheck_HttpHealthCheck_{HttpHealthCheck: &core.HealthCheck_HttpHealthCheck{
			Host: authority(t.baseURL(name)), Path: t.basePath(name) + path,
			ExpectedStatuses: []*typev3.Int64Range{{Start: 200, End: 500}},
		}},
	}}
	c.CommonLbConfig = &cluster.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 0}}
}

// limited bounds what is under way at once. Envoy's defaults of 1,024 would refuse an exchange where a provider takes long over many.
func limited(l config.ProviderLimits) *cluster.CircuitBreakers {
	c := unlimited()
	if l.Connections > 0 {
		c.GetThresholds()[0].MaxConnections = wrapperspb.UInt32(uint32(l.Connections)) //nolint:gosec // config has checked it
	}
	if l.Requests > 0 {
		c.GetThresholds()[0].MaxRequests = wrapperspb.UInt32(uint32(l.Requests))        //nolint:gosec // likewise
		c.GetThresholds()[0].MaxPendingRequests = wrapperspb.UInt32(uint32(l.Requests)) //nolint:gosec // likewise
	}
	if b := l.RetryBudget; b.Percent > 0 {
		c.GetThresholds()[0].RetryBudget = &cluster.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent: &typev3.Percent{Value: float64(b.Percent)}, MinRetryConcurrency: wrapperspb.UInt32(uint32(b.Least)), //nolint:gosec // likewise
		}
	}
	return c
}

// maxExchanges bounds what one provider may have open.
const maxExchanges = 50_000

func address(host string, port uint32) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port},
	}}}
}

// tlsSocket verifies the provider's certificate and that it is for the name that was asked for.
func (t *translation) tlsSocket(name, host string) *core.TransportSocket {
	ca := t.c.Providers[name].CAFile
	if ca == "" {
		ca = t.o.CAFile
	}
	validation := &tls.CertificateValidationContext{}
	context := &tls.UpstreamTlsContext{Sni: host}
	if net.ParseIP(host) != nil {
		context.Sni = "" // https://www.rfc-editor.org/rfc/rfc6066#section-3: no addresses
		validation.MatchTypedSubjectAltNames = []*tls.SubjectAltNameMatcher{sanMatcher(tls.SubjectAltNameMatcher_IP_ADDRESS, host)}
	} else {
		validation.MatchTypedSubjectAltNames = []*tls.SubjectAltNameMatcher{sanMatcher(tls.SubjectAltNameMatcher_DNS, host)}
	}
	context.CommonTlsContext = &tls.CommonTlsContext{TlsParams: &tls.TlsParameters{TlsMinimumProtocolVersion: tls.TlsParameters_TLSv1_2}}
	if _, sent := t.o.Authorities[ca]; sent {
		t.trusted[ca] = true
		context.CommonTlsContext.ValidationContextType = &tls.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tls.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         validation,
				ValidationContextSdsSecretConfig: &tls.SdsSecretConfig{Name: authoritiesName(ca), SdsConfig: adsSource()},
			},
		}
	} else {
		validation.TrustedCa = &core.DataSource{Specifier: &core.DataSource_Filename{Filename: ca}}
		context.CommonTlsContext.ValidationContextType = &tls.CommonTlsContext_ValidationContext{ValidationContext: validation}
	}
	return &core.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: pack(context)}}
}

// authoritiesName is a file of certificates among the secrets. One for all providers: that of the system has hundreds.
func authoritiesName(file string) string { return "ca." + file }

func authorities(file string, pem []byte) *tls.Secret {
	return &tls.Secret{Name: authoritiesName(file), Type: &tls.Secret_ValidationContext{ValidationContext: &tls.CertificateValidationContext{
		TrustedCa: &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: pem}},
	}}}
}

func sanMatcher(kind tls.SubjectAltNameMatcher_SanType, name string) *tls.SubjectAltNameMatcher {
	return &tls.SubjectAltNameMatcher{SanType: kind, Matcher: &matcher.StringMatcher{
		MatchPattern: &matcher.StringMatcher_Exact{Exact: name},
	}}
}

// adsSource says that something comes over the one xDS stream.
func adsSource() *core.ConfigSource {
	return &core.ConfigSource{
		ResourceApiVersion:    core.ApiVersion_V3,
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
		// Without it Envoy starts after 15 s without what has not come yet: many modules take longer to compile.
		InitialFetchTimeout: durationpb.New(0),
	}
}
