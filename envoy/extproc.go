package envoy

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/config"
)

// An ExtProc is a Module Host in the place of modules in Envoy itself.
type ExtProc struct {
	// Address is where the host listens: unix:/PATH or HOST:PORT.
	Address string
	// Pipeline is its name in the host; empty for the host's own default.
	Pipeline string
	// Policy says that a policy is in the pipeline: requests are refused while the host cannot be asked. Otherwise Envoy
	// goes on without it, and waits for nothing that it says.
	Policy bool
	// CAFile vouches for the host's certificate (PEM); empty for plain text.
	CAFile string
	// CertFile and KeyFile are what Envoy proves itself with to a host that asks for it.
	CertFile, KeyFile string
	// What the pipeline looks at; nothing else is sent. The request's headers always are.
	RequestBody, ResponseHeaders, ResponseBody bool
	// Metadata are the namespaces of dynamic metadata of filters before this one that modules may read.
	Metadata []string
}

// Check says what is wrong with the address.
func (e ExtProc) Check() error {
	_, _, err := e.endpoint()
	return err
}

const (
	hostFilter  = "leash.host"
	hostCluster = "leash.host"
	// hostMetadata is the namespace of dynamic metadata under which Envoy gets what modules have set.
	hostMetadata = "leash"
)

// hostAttributes are what modules may ask for and headers do not tell. Each costs a little at every exchange.
var hostAttributes = []string{"source.address", "source.port", "destination.address", "destination.port", "request.protocol", "connection.mtls"}

// CheckExtProc says which routes cannot be served where modules run in a Module Host: those that ask one provider after the other, those
// to a provider that reads nothing as clients send it, and those whose streams end with errors. Such requests, and those that are to be translated, take a step of their own to each
// provider, through a module that only Envoy itself or the embedded gateway runs there (docs/decisions/040-no-attempts-behind-a-module-host.md).
func CheckExtProc(c *config.Config) error {
	var all []error
	const instead = "run the modules in Envoy (leash up, leash render --target envoy) or without one (leash up --engine embedded)"
	for i := range c.Routes {
		r, at := &c.Routes[i], "routes["+strconv.Itoa(i)+"]"
		if n := len(r.Targets); n > 1 {
			all = append(all, c.Errorf(at+".targets", "a module host cannot ask %d targets one after the other (each key of a provider counts): that happens behind it. Name one provider with one key here, or "+instead, n))
			continue
		}
		if p := c.Providers[r.AllTargets()[0].Provider]; r.Path == "" && !p.Description().Plain() {
			all = append(all, c.Errorf(at, "a module host cannot make requests what a provider of the kind %s reads: that happens behind it. Name another provider here, or "+instead, p.Kind))
		}
		if r.StreamErrors {
			all = append(all, c.Errorf(at+".stream_errors", "a module host cannot end a stream that breaks off with an error: that happens behind it. Leave it out, or "+instead))
		}
	}
	return errors.Join(all...)
}

// RenderExtProc makes a static bootstrap like Render's, in which the pipeline runs in a Module Host. What an Envoy with a
// configuration of its own needs of it is the filter and the cluster that are called leash.host. There is nothing in it that
// translates: providers are sent what they take as clients send it, and other requests are refused. Its error is CheckExtProc's where
// the host is to route.
func RenderExtProc(c *config.Config, o Options, e ExtProc) ([]byte, error) {
	if e.Policy {
		if err := CheckExtProc(c); err != nil {
			return nil, err
		}
	}
	o.Static, o.Secrets, o.withoutCarriers = true, nil, true
	t := &translation{c: c, o: o}
	r, err := Translate(c, o)
	if err != nil {
		return nil, err
	}
	host, err := e.cluster()
	if err != nil {
		return nil, err
	}
	r.Extensions = []*core.TypedExtensionConfig{{Name: hostFilter, TypedConfig: pack(e.filter())}}
	r.Listener = t.listener(r)
	r.Clusters = append(r.Clusters, host)
	return render(c, r)
}

// filter is Envoy's side of the protocol. In full duplex the host answers when it likes: nothing is held back in Envoy,
// a stream flows through, and the headers can wait for the body.
func (e ExtProc) filter() *extproc.ExternalProcessor {
	f := &extproc.ExternalProcessor{
		StatPrefix:        "leash",
		GrpcService:       e.service(),
		ProcessingMode:    e.mode(extproc.ProcessingMode_FULL_DUPLEX_STREAMED),
		RequestAttributes: hostAttributes,
		// By it answers of filters before this one, to requests that the modules have not seen, are told from the provider's.
		ResponseAttributes: []string{"response.code_details"},
		MetadataOptions:    e.metadata(),
		// What a module sets and Envoy may not do ends the exchange instead of being left out.
		// The module route sets the header of retries for what is translated, which then meets the route that answers 501.
		MutationRules: &mutation.HeaderMutationRules{
			AllowAllRouting: wrapperspb.Bool(true), DisallowIsError: wrapperspb.Bool(true),
			AllowExpression: &matcher.RegexMatcher{Regex: config.RetriesHeader},
		},
		StatusOnError: &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
	}
	if !e.Policy {
		f.FailureModeAllow, f.ObservabilityMode = true, true
		f.ProcessingMode = e.mode(extproc.ProcessingMode_STREAMED)
		f.MutationRules, f.StatusOnError, f.ResponseAttributes = nil, nil, nil // of what is not waited for
		f.MetadataOptions.ReceivingNamespaces = nil
	}
	return f
}

func (e ExtProc) metadata() *extproc.MetadataOptions {
	o := &extproc.MetadataOptions{ReceivingNamespaces: &extproc.MetadataOptions_MetadataNamespaces{Untyped: []string{hostMetadata}}}
	if len(e.Metadata) > 0 {
		o.ForwardingNamespaces = &extproc.MetadataOptions_MetadataNamespaces{Untyped: e.Metadata}
	}
	return o
}

func (e ExtProc) service() *core.GrpcService {
	s := &core.GrpcService{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: hostCluster, Authority: e.authority()},
	}}
	if e.Pipeline != "" {
		s.InitialMetadata = []*core.HeaderValue{{Key: "x-leash-pipeline", Value: e.Pipeline}}
	}
	return s
}

func (e ExtProc) authority() string {
	if strings.HasPrefix(e.Address, "unix:") {
		return "leash-host"
	}
	return e.Address
}

// mode sends what is needed. Full duplex requires that trailers are sent with a body.
func (e ExtProc) mode(body extproc.ProcessingMode_BodySendMode) *extproc.ProcessingMode {
	m := &extproc.ProcessingMode{
		RequestHeaderMode:  extproc.ProcessingMode_SEND,
		RequestTrailerMode: extproc.ProcessingMode_SKIP, ResponseTrailerMode: extproc.ProcessingMode_SKIP,
		ResponseHeaderMode: extproc.ProcessingMode_SKIP,
	}
	if e.RequestBody {
		m.RequestBodyMode, m.RequestTrailerMode = body, extproc.ProcessingMode_SEND
	}
	if e.ResponseHeaders || e.ResponseBody {
		m.ResponseHeaderMode = extproc.ProcessingMode_SEND
	}
	if e.ResponseBody {
		m.ResponseBodyMode, m.ResponseTrailerMode = body, extproc.ProcessingMode_SEND
	}
	return m
}

// cluster is the host. Pings find out that it hangs: in full duplex no message has a deadline of its own.
func (e ExtProc) cluster() (*cluster.Cluster, error) {
	c := &cluster.Cluster{
		Name:                 hostCluster,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS},
		DnsLookupFamily:      cluster.Cluster_V4_PREFERRED,
		ConnectTimeout:       durationpb.New(time.Second),
		CircuitBreakers: &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
			MaxConnections: wrapperspb.UInt32(maxExchanges), MaxPendingRequests: wrapperspb.UInt32(maxExchanges),
			MaxRequests: wrapperspb.UInt32(maxExchanges),
		}}},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{protocolOptions: pack(&upstreams.HttpProtocolOptions{
			UpstreamProtocolOptions: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_{
				ExplicitHttpConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig{
					ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
						Http2ProtocolOptions: &core.Http2ProtocolOptions{
							InitialStreamWindowSize:     wrapperspb.UInt32(1 << 20),
							InitialConnectionWindowSize: wrapperspb.UInt32(8 << 20),
							// Each piece of a body is a message, and a client may send pieces of one byte. At Envoy's bound of 10,000 frames it would
							// end the connection, and all exchanges on it with 503.
							MaxOutboundFrames: wrapperspb.UInt32(1 << 20),
							ConnectionKeepalive: &core.KeepaliveSettings{
								Interval: durationpb.New(10 * time.Second), Timeout: durationpb.New(5 * time.Second),
							},
						},
					},
				},
			},
		})},
	}
	at, name, err := e.endpoint()
	if err != nil {
		return nil, err
	}
	if at.GetPipe() != nil || net.ParseIP(name) != nil {
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}
	}
	if at.GetPipe() == nil {
		c.HealthChecks = []*core.HealthCheck{healthCheck()}
	}
	c.LoadAssignment = &endpoint.ClusterLoadAssignment{ClusterName: hostCluster, Endpoints: []*endpoint.LocalityLbEndpoints{{
		LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: at}}}},
	}}}
	if e.CAFile != "" {
		c.TransportSocket = e.tlsSocket(name)
	}
	return c, nil
}

// healthCheck turns Envoy away from a host that drains or hangs, where there are several behind a name. Of one alone Envoy
// goes on asking: fewer healthy ones than half, and it takes no heed of their health.
func healthCheck() *core.HealthCheck {
	return &core.HealthCheck{
		Timeout: durationpb.New(time.Second), Interval: durationpb.New(2 * time.Second), NoTrafficInterval: durationpb.New(2 * time.Second),
		UnhealthyThreshold: wrapperspb.UInt32(1), HealthyThreshold: wrapperspb.UInt32(1),
		HealthChecker: &core.HealthCheck_GrpcHealthCheck_{GrpcHealthCheck: &core.HealthCheck_GrpcHealthCheck{}},
	}
}

// endpoint is the host's address, and its name for certificates.
func (e ExtProc) endpoint() (at *core.Address, name string, err error) {
	if path, isSocket := strings.CutPrefix(e.Address, "unix:"); isSocket {
		if !filepath.IsAbs(path) {
			return nil, "", fmt.Errorf("address of the module host: %q is not absolute: unix:/PATH", path)
		}
		return &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: path}}}, "leash-host", nil
	}
	name, port, err := net.SplitHostPort(e.Address)
	if err != nil {
		return nil, "", fmt.Errorf("address of the module host: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, "", fmt.Errorf("address of the module host: %w", err)
	}
	return address(name, uint32(number)), name, nil
}

func (e ExtProc) tlsSocket(name string) *core.TransportSocket {
	kind, sni := tls.SubjectAltNameMatcher_DNS, name
	if net.ParseIP(name) != nil {
		kind, sni = tls.SubjectAltNameMatcher_IP_ADDRESS, ""
	}
	common := &tls.CommonTlsContext{
		TlsParams:     &tls.TlsParameters{TlsMinimumProtocolVersion: tls.TlsParameters_TLSv1_2},
		AlpnProtocols: []string{"h2"},
		ValidationContextType: &tls.CommonTlsContext_ValidationContext{ValidationContext: &tls.CertificateValidationContext{
			TrustedCa:                 &core.DataSource{Specifier: &core.DataSource_Filename{Filename: e.CAFile}},
			MatchTypedSubjectAltNames: []*tls.SubjectAltNameMatcher{sanMatcher(kind, name)},
		}},
	}
	if e.CertFile != "" {
		common.TlsCertificates = []*tls.TlsCertificate{{
			CertificateChain: &core.DataSource{Specifier: &core.DataSource_Filename{Filename: e.CertFile}},
			PrivateKey:       &core.DataSource{Specifier: &core.DataSource_Filename{Filename: e.KeyFile}},
		}}
	}
	return &core.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &core.TransportSocket_TypedConfig{
		TypedConfig: pack(&tls.UpstreamTlsContext{Sni: sni, CommonTlsContext: common}),
	}}
}
