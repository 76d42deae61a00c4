package distribution

import (
	"context"
	"slices"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extension "github.com/envoyproxy/go-control-plane/envoy/service/extension/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// plain is the service that a slot names as its config source.
type plain struct {
	extension.UnimplementedExtensionConfigDiscoveryServiceServer
	s *Server
}

// StreamExtensionConfigs serves the state-of-the-world form.
func (p *plain) StreamExtensionConfigs(g extension.ExtensionConfigDiscoveryService_StreamExtensionConfigsServer) error {
	return p.s.whole(g, resource.ExtensionConfigType)
}

// DeltaExtensionConfigs serves the incremental form.
func (p *plain) DeltaExtensionConfigs(g extension.ExtensionConfigDiscoveryService_DeltaExtensionConfigsServer) error {
	return p.s.incremental(g, resource.ExtensionConfigType)
}

// FetchExtensionConfigs is not served: an Envoy that polls would not say what it runs.
func (p *plain) FetchExtensionConfigs(context.Context, *discovery.DiscoveryRequest) (*discovery.DiscoveryResponse, error) {
	return nil, status.Error(codes.Unimplemented, "slots are not polled: use api_type GRPC or DELTA_GRPC")
}

// aggregated is ADS, for Envoys that have no other.
type aggregated struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	s *Server
}

// StreamAggregatedResources serves the state-of-the-world form.
func (a *aggregated) StreamAggregatedResources(g discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return a.s.whole(g, "")
}

// DeltaAggregatedResources serves the incremental form.
func (a *aggregated) DeltaAggregatedResources(g discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return a.s.incremental(g, "")
}

// stream of gRPC, as far as both forms have it in common.
type transport[R any] interface {
	Context() context.Context
	Recv() (*R, error)
	SendMsg(m any) error
}

// whole serves the state-of-the-world form. kind is the type of requests that do not name one.
func (s *Server) whole(g transport[discovery.DiscoveryRequest], kind string) error {
	var names []string
	receive := func() (*request, error) {
		in, err := g.Recv()
		if err != nil {
			return nil, err
		}
		r := &request{node: in.GetNode(), kind: in.GetTypeUrl(), nonce: in.GetResponseNonce(), refusal: in.GetErrorDetail(), version: in.GetVersionInfo()}
		if r.kind == "" {
			r.kind = kind
		}
		if r.kind == resource.ExtensionConfigType {
			r.subscribe, r.unsubscribe = in.GetResourceNames(), without(names, in.GetResourceNames())
			names = in.GetResourceNames()
		}
		return r, nil
	}
	return s.run(g.Context(), false, receive, func(m *message) error { return g.SendMsg(m) })
}

// incremental serves the incremental form.
func (s *Server) incremental(g transport[discovery.DeltaDiscoveryRequest], kind string) error {
	receive := func() (*request, error) {
		in, err := g.Recv()
		if err != nil {
			return nil, err
		}
		r := &request{
			node: in.GetNode(), kind: in.GetTypeUrl(), nonce: in.GetResponseNonce(), refusal: in.GetErrorDetail(),
			subscribe: in.GetResourceNamesSubscribe(), unsubscribe: in.GetResourceNamesUnsubscribe(), running: in.GetInitialResourceVersions(),
		}
		if r.kind == "" {
			r.kind = kind
		}
		return r, nil
	}
	return s.run(g.Context(), true, receive, func(m *message) error { return g.SendMsg(m) })
}

// without are those of all that are not in some.
func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(some, name) })
}

func wholeAnswer(version string, f *filter, nonce string) (*message, error) {
	return wholeResponse(&discovery.DiscoveryResponse{VersionInfo: version, TypeUrl: resource.ExtensionConfigType, Nonce: nonce}, f.encoded)
}

func deltaAnswer(name string, f *filter, nonce string) (*message, error) {
	return deltaResponse(&discovery.DeltaDiscoveryResponse{TypeUrl: resource.ExtensionConfigType, Nonce: nonce}, name, f.version, f.encoded)
}
