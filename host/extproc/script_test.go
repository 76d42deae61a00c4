package extproc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	modes "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/extproc"
	"github.com/leash-gateway/leash/host/internal/asm"
	"github.com/leash-gateway/leash/internal/nettest"
)

// Body modes, as short as a table wants them.
const (
	none     = modes.ProcessingMode_NONE
	streamed = modes.ProcessingMode_STREAMED
	buffered = modes.ProcessingMode_BUFFERED
	partial  = modes.ProcessingMode_BUFFERED_PARTIAL
	duplex   = modes.ProcessingMode_FULL_DUPLEX_STREAMED
)

// A step is a message of Envoy and the answers that must come before the next one, written as describe writes them.
type step struct {
	send *pb.ProcessingRequest
	want []string
}

// filters are the modules of a test as a pipeline. They say that they are made with the kit: those that hold headers hold the body too.
func filters(modules []asm.Module, policy bool) extproc.Spec {
	spec := extproc.Spec{Name: extproc.DefaultPipeline}
	for i, m := range modules {
		m = maps.Clone(m)
		m["leash_kit"] = asm.Callback{}
		spec.Filters = append(spec.Filters, extproc.Filter{Name: fmt.Sprintf("f%d", i), Wasm: m.Build(), Policy: policy})
	}
	return spec
}

// A server is a Host that is served on a Unix socket.
type server struct {
	Host   *extproc.Host
	Client *grpc.ClientConn
	Log    *nettest.Log
	Stop   context.CancelFunc // begins to drain
	Socket string
	served chan error
}

// serve serves specs until the end of the test.
func serve(t testing.TB, o extproc.Options, so extproc.ServiceOptions, specs ...extproc.Spec) *server {
	t.Helper()
	s := &server{Log: &nettest.Log{}, served: make(chan error, 1)}
	o.Log = slog.New(slog.NewTextHandler(s.Log, nil))
	host, err := extproc.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.Host = host
	for _, spec := range specs {
		if _, err := host.Load(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	s.Stop = stop
	listener, path := listen(t)
	s.Socket = path
	go func() { s.served <- extproc.NewService(host, so).Serve(ctx, listener) }()
	s.Client = dial(t, "unix:"+s.Socket)
	t.Cleanup(func() {
		_ = s.Client.Close()
		stop()
		if err := <-s.served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := host.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func dial(t testing.TB, target string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	if len(options) == 0 {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// open begins an exchange; the pipeline's name may be empty.
func (s *server) open(t testing.TB, pipeline string) pb.ExternalProcessor_ProcessClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	if pipeline != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, extproc.PipelineHeader, pipeline)
	}
	stream, err := pb.NewExternalProcessorClient(s.Client).Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// begin begins an exchange whose request has no body, and has it answered; mode is how Envoy would send bodies.
func (s *server) begin(t testing.TB, mode modes.ProcessingMode_BodySendMode) pb.ExternalProcessor_ProcessClient {
	t.Helper()
	stream := s.open(t, "")
	if err := stream.Send(first(requestHeaders(true), mode, mode)); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	return stream
}

// play sends what Envoy would and compares what comes back. It returns how the stream ended: "" for well, or the error.
func play(t testing.TB, stream pb.ExternalProcessor_ProcessClient, steps []step) string {
	t.Helper()
	for i, s := range steps {
		if err := stream.Send(s.send); err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("step %d: %v", i, err)
		}
		for _, want := range s.want {
			m, err := stream.Recv()
			if err != nil {
				t.Fatalf("step %d: got %v, want %s", i, err, want)
			}
			if got := describe(m); got != want {
				t.Errorf("step %d: got\n\t%s\nwant\n\t%s", i, got, want)
			}
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	m, err := stream.Recv()
	switch {
	case err == nil:
		t.Errorf("an answer too many: %s", describe(m))
	case !errors.Is(err, io.EOF):
		return status.Code(err).String() + ": " + status.Convert(err).Message()
	}
	return ""
}

// first is a first message: it tells the modes.
func first(m *pb.ProcessingRequest, request, response modes.ProcessingMode_BodySendMode) *pb.ProcessingRequest {
	m.ProtocolConfig = &pb.ProtocolConfiguration{RequestBodyMode: request, ResponseBodyMode: response}
	return m
}

func headerMap(namesAndValues []string) *core.HeaderMap {
	m := &core.HeaderMap{}
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		m.Headers = append(m.GetHeaders(), &core.HeaderValue{Key: namesAndValues[i], RawValue: []byte(namesAndValues[i+1])})
	}
	return m
}

func requestHeaders(end bool, more ...string) *pb.ProcessingRequest {
	all := append([]string{":method", "POST", ":path", "/", ":authority", "x"}, more...)
	return &pb.ProcessingRequest{Request: &pb.ProcessingRequest_RequestHeaders{RequestHeaders: &pb.HttpHeaders{Headers: headerMap(all), EndOfStream: end}}}
}

func requestBody(body string, end bool) *pb.ProcessingRequest {
	return &pb.ProcessingRequest{Request: &pb.ProcessingRequest_RequestBody{RequestBody: &pb.HttpBody{Body: []byte(body), EndOfStream: end}}}
}

func requestTrailers(namesAndValues ...string) *pb.ProcessingRequest {
	return &pb.ProcessingRequest{Request: &pb.ProcessingRequest_RequestTrailers{RequestTrailers: &pb.HttpTrailers{Trailers: headerMap(namesAndValues)}}}
}

func responseHeaders(end bool, more ...string) *pb.ProcessingRequest {
	all := append([]string{":status", "200"}, more...)
	return &pb.ProcessingRequest{Request: &pb.ProcessingRequest_ResponseHeaders{ResponseHeaders: &pb.HttpHeaders{Headers: headerMap(all), EndOfStream: end}}}
}

func responseBody(body string, end bool) *pb.ProcessingRequest {
	return &pb.ProcessingRequest{Request: &pb.ProcessingRequest_ResponseBody{ResponseBody: &pb.HttpBody{Body: []byte(body), EndOfStream: end}}}
}

func responseTrailers(namesAndValues ...string) *pb.ProcessingRequest {
	return &pb.ProcessingRequest{Request: &pb.ProcessingRequest_ResponseTrailers{ResponseTrailers: &pb.HttpTrailers{Trailers: headerMap(namesAndValues)}}}
}

// describe writes an answer as a line.
func describe(m *pb.ProcessingResponse) string {
	var b strings.Builder
	switch r := m.GetResponse().(type) {
	case *pb.ProcessingResponse_RequestHeaders:
		b.WriteString("request headers" + describeCommon(r.RequestHeaders.GetResponse()))
	case *pb.ProcessingResponse_RequestBody:
		b.WriteString("request body" + describeCommon(r.RequestBody.GetResponse()))
	case *pb.ProcessingResponse_RequestTrailers:
		b.WriteString("request trailers" + describeMutation(r.RequestTrailers.GetHeaderMutation()))
	case *pb.ProcessingResponse_ResponseHeaders:
		b.WriteString("response headers" + describeCommon(r.ResponseHeaders.GetResponse()))
	case *pb.ProcessingResponse_ResponseBody:
		b.WriteString("response body" + describeCommon(r.ResponseBody.GetResponse()))
	case *pb.ProcessingResponse_ResponseTrailers:
		b.WriteString("response trailers" + describeMutation(r.ResponseTrailers.GetHeaderMutation()))
	case *pb.ProcessingResponse_ImmediateResponse:
		i := r.ImmediateResponse
		fmt.Fprintf(&b, "immediate %d%s %q", i.GetStatus().GetCode(), describeMutation(i.GetHeaders()), i.GetBody())
		if i.GetGrpcStatus() != nil {
			fmt.Fprintf(&b, " grpc %d", i.GetGrpcStatus().GetStatus())
		}
	}
	if o := m.GetModeOverride(); o != nil {
		fmt.Fprintf(&b, " mode %s/%s/%s/%s/%s", o.GetRequestBodyMode(), o.GetRequestTrailerMode(), o.GetResponseHeaderMode(), o.GetResponseBodyMode(), o.GetResponseTrailerMode())
	}
	for namespace, value := range m.GetDynamicMetadata().GetFields() {
		for name, v := range value.GetStructValue().GetFields() {
			fmt.Fprintf(&b, " metadata %s.%s=%s", namespace, name, v.GetStringValue())
		}
	}
	return b.String()
}

func describeCommon(r *pb.CommonResponse) string {
	out := describeMutation(r.GetHeaderMutation())
	switch m := r.GetBodyMutation().GetMutation().(type) {
	case *pb.BodyMutation_Body:
		out += fmt.Sprintf(" %q", m.Body)
	case *pb.BodyMutation_StreamedResponse:
		out += fmt.Sprintf(" piece %q", m.StreamedResponse.GetBody())
		if m.StreamedResponse.GetEndOfStream() {
			out += " end"
		}
	}
	if r.GetClearRouteCache() {
		out += " reroute"
	}
	return out
}

func describeMutation(m *pb.HeaderMutation) (out string) {
	for _, h := range m.GetSetHeaders() {
		sign := "="
		if h.GetAppendAction() == core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
			sign = "+="
		}
		out += " " + h.GetHeader().GetKey() + sign + string(h.GetHeader().GetRawValue())
	}
	for _, name := range m.GetRemoveHeaders() {
		out += " -" + name
	}
	return out
}

func structOf(t testing.TB, values map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(values)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Modules of the tests.

func add(which abi.MapType, name, value string) asm.Step {
	return asm.Drop("proxy_add_header_map_value", asm.Word(uint32(which)), asm.Text(name), asm.Text(value))
}

func refuse(code uint32, body string) asm.Step {
	return asm.Drop("proxy_send_local_response", asm.Word(code), asm.Text(""), asm.Text(body), asm.Pairs("x-why", "policy"), asm.Word(0xffffffff))
}

func setBody(which abi.BufferType, body string) asm.Step {
	return asm.Drop("proxy_set_buffer_bytes", asm.Word(uint32(which)), asm.Word(0), asm.Word(1<<30), asm.Text(body))
}

// marks changes headers and lets everything pass as it comes.
func marks() asm.Module {
	return asm.Module{
		"proxy_on_request_headers":   {Do: []asm.Step{add(abi.RequestHeaders, "x-way", "there")}},
		"proxy_on_request_body":      {},
		"proxy_on_request_trailers":  {Do: []asm.Step{add(abi.RequestTrailers, "x-t", "there")}},
		"proxy_on_response_headers":  {Do: []asm.Step{add(abi.ResponseHeaders, "x-way", "back")}},
		"proxy_on_response_body":     {},
		"proxy_on_response_trailers": {Do: []asm.Step{add(abi.ResponseTrailers, "x-t", "back")}},
	}
}

// whole holds headers and body until all is there, and then changes both.
func whole() asm.Module {
	return asm.Module{
		"proxy_on_request_headers":  {Return: asm.Pause},
		"proxy_on_request_body":     {Do: append(atEnd(add(abi.RequestHeaders, "x-way", "there"), setBody(abi.RequestBody, "new question")), asm.PauseUntilEnd())},
		"proxy_on_response_headers": {Return: asm.Pause},
		"proxy_on_response_body":    {Do: append(atEnd(add(abi.ResponseHeaders, "x-way", "back"), setBody(abi.ResponseBody, "new answer")), asm.PauseUntilEnd())},
	}
}

// atEnd does the steps of a callback for a body only with its last piece.
func atEnd(steps ...asm.Step) []asm.Step {
	return slices.Concat([]asm.Step{asm.IfEnd()}, steps, []asm.Step{asm.EndIf()})
}

func attributes(t testing.TB, values map[string]any) map[string]*structpb.Struct {
	t.Helper()
	return map[string]*structpb.Struct{"envoy.filters.http.ext_proc": structOf(t, values)}
}

func metadataOf(t testing.TB, namespace string, values map[string]any) *core.Metadata {
	t.Helper()
	return &core.Metadata{FilterMetadata: map[string]*structpb.Struct{namespace: structOf(t, values)}}
}
