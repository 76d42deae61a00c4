package envoy

import (
	"fmt"
	"net"
	"strconv"
	"time"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	metrics "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	overload "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	internal "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/internal_listener/v3"
	downstream "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	"github.com/leash-gateway/leash/config"
)

// labels are the keys of the modules' metric labels; package module writes them into the name of a metric.
var labels = []string{"tenant", "model", "provider", "module", "code", "status", "kind", "action", "rule", "class"}

// xdsCluster is where a running Envoy gets its resources from.
const xdsCluster = "leash.xds"

// Render makes a static bootstrap for operators who run Envoy themselves, as YAML. Secrets stand in it by reference.
func Render(c *config.Config, o Options) ([]byte, error) {
	o.Static, o.Secrets = true, nil
	r, err := Translate(c, o)
	if err != nil {
		return nil, err
	}
	return render(c, r)
}

// render writes static resources as a bootstrap.
func render(c *config.Config, r *Resources) ([]byte, error) {
	b, err := base(c)
	if err != nil {
		return nil, err
	}
	b.StaticResources = &bootstrap.Bootstrap_StaticResources{
		Listeners: append([]*listener.Listener{r.Listener}, r.Carriers...), Clusters: r.Clusters, Secrets: r.Secrets,
	}
	encoded, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode bootstrap: %w", err)
	}
	return yaml.JSONToYAML(encoded)
}

// dynamicBootstrap is the bootstrap of an Envoy that gets everything else over the Unix socket.
func dynamicBootstrap(c *config.Config, socket string) ([]byte, error) {
	b, err := base(c)
	if err != nil {
		return nil, err
	}
	b.Node = &core.Node{Id: nodeID, Cluster: "leash"}
	b.DynamicResources = &bootstrap.Bootstrap_DynamicResources{
		LdsConfig: adsSource(),
		CdsConfig: adsSource(),
		AdsConfig: &core.ApiConfigSource{
			ApiType:             core.ApiConfigSource_GRPC,
			TransportApiVersion: core.ApiVersion_V3,
			GrpcServices: []*core.GrpcService{{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: xdsCluster},
			}}},
		},
	}
	b.StaticResources = &bootstrap.Bootstrap_StaticResources{Clusters: []*cluster.Cluster{{
		Name:                 xdsCluster,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(time.Second),
		LoadAssignment: &endpoint.ClusterLoadAssignment{ClusterName: xdsCluster, Endpoints: []*endpoint.LocalityLbEndpoints{{
			LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
				Address: &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: socket}}},
			}}}},
		}}},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{protocolOptions: pack(&upstreams.HttpProtocolOptions{
			UpstreamProtocolOptions: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_{
				ExplicitHttpConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig{
					ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
						Http2ProtocolOptions: &core.Http2ProtocolOptions{},
					},
				},
			},
		})},
	}}}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(b)
}

// base is what both bootstraps have in common.
func base(c *config.Config) (*bootstrap.Bootstrap, error) {
	host, port, err := net.SplitHostPort(c.Envoy.Admin)
	if err != nil {
		return nil, fmt.Errorf("envoy.admin: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("envoy.admin: %w", err)
	}
	stats := &metrics.StatsConfig{HistogramBucketSettings: []*metrics.HistogramBucketSettings{{
		Match:   &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Prefix{Prefix: "wasmcustom."}}, // what modules measure
		Buckets: config.HistogramBounds[:],
	}}}
	for _, label := range labels {
		stats.StatsTags = append(stats.StatsTags, &metrics.TagSpecifier{
			TagName:  label,
			TagValue: &metrics.TagSpecifier_Regex{Regex: `^wasmcustom\..*?(\.\[` + label + `=([^\]]*)\])`},
		})
	}
	return &bootstrap.Bootstrap{
		Admin:       &bootstrap.Admin{Address: address(host, uint32(number))},
		StatsConfig: stats,
		BootstrapExtensions: []*core.TypedExtensionConfig{{
			Name: "envoy.bootstrap.internal_listener", TypedConfig: pack(&internal.InternalListener{}),
		}},
		// What breaks off between two internal listeners ends like all else there, or no answer would reach the module to its end: exit.go.
		LayeredRuntime: &bootstrap.LayeredRuntime{Layers: []*bootstrap.RuntimeLayer{{
			Name: "leash", LayerSpecifier: &bootstrap.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
				"envoy.reloadable_features.enable_send_rst_on_user_space_socket": structpb.NewBoolValue(false),
			}}},
		}}},
		// Histograms are merged at each flush: a page of metrics is at most this old.
		StatsFlushInterval: durationpb.New(time.Second),
		OverloadManager: &overload.OverloadManager{ResourceMonitors: []*overload.ResourceMonitor{{
			Name: "envoy.resource_monitors.global_downstream_max_connections",
			ConfigType: &overload.ResourceMonitor_TypedConfig{TypedConfig: pack(&downstream.DownstreamConnectionsConfig{
				MaxActiveDownstreamConnections: maxExchanges,
			})},
		}}},
	}, nil
}
