package e2e

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/leash-gateway/leash/internal/nettest"
)

// A receiver is a collector of traces, over gRPC and HTTP.
type receiver struct {
	collector.UnimplementedTraceServiceServer

	grpc, http string // addresses

	mu       sync.Mutex
	spans    map[string][]*traces.Span // by the trace's id
	services map[string]bool
	keys     map[string]bool // that the sender has proved itself with
}

func startReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{spans: map[string][]*traces.Span{}, services: map[string]bool{}, keys: map[string]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	other := httptest.NewServer(http.HandlerFunc(r.overHTTP))
	t.Cleanup(other.Close)
	r.grpc, r.http = "http://"+listener.Addr().String(), other.URL
	return r
}

// Export takes spans over gRPC.
func (r *receiver) Export(ctx context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	key := ""
	if values := metadata.ValueFromIncomingContext(ctx, "x-collector-key"); len(values) == 1 {
		key = values[0]
	}
	r.take(request, key)
	return &collector.ExportTraceServiceResponse{}, nil
}

// overHTTP takes them over HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp
func (r *receiver) overHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	sent := &collector.ExportTraceServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(body, sent)
	}
	if err != nil || request.URL.Path != "/v1/traces" || request.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
		return
	}
	r.take(sent, request.Header.Get("X-Collector-Key"))
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *receiver) take(request *collector.ExportTraceServiceRequest, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[key] = true
	for _, of := range request.GetResourceSpans() {
		r.services[attributesOf(of.GetResource().GetAttributes())["service.name"]] = true
		for _, scope := range of.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := fmt.Sprintf("%x", span.GetTraceId())
				r.spans[id] = append(r.spans[id], span)
			}
		}
	}
}

// wait waits for a trace with an exchange and so many attempts, and returns them in the order in which they began.
func (r *receiver) wait(t testing.TB, trace string, attempts int) (exchange span, all []span) {
	t.Helper()
	var got []span
	defer func() {
		if t.Failed() {
			t.Logf("trace %s has %v", trace, got)
		}
	}()
	nettest.Eventually(t, fmt.Sprintf("trace %s with %d attempts", trace, attempts), func() bool {
		got = r.of(trace)
		return len(got) >= 1+attempts
	})
	for _, s := range got {
		if s.kind == traces.Span_SPAN_KIND_SERVER {
			exchange = s
		} else {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	if len(all) != attempts || exchange.id == "" {
		t.Fatalf("got %d spans of attempts, want %d, and an exchange", len(all), attempts)
	}
	for _, s := range all {
		if s.parent != exchange.id || s.kind != traces.Span_SPAN_KIND_CLIENT {
			t.Errorf("the parent of %s is %s, want the exchange's, %s", s.name, s.parent, exchange.id)
		}
		if s.start < exchange.start || s.end > exchange.end+uint64(1e9) || s.end < s.start {
			t.Errorf("%s is from %d to %d, the exchange from %d to %d", s.name, s.start, s.end, exchange.start, exchange.end)
		}
	}
	return exchange, all
}

func (r *receiver) of(trace string) (all []span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans[trace] {
		all = append(all, span{
			name: s.GetName(), kind: s.GetKind(), id: fmt.Sprintf("%x", s.GetSpanId()), parent: fmt.Sprintf("%x", s.GetParentSpanId()), state: s.GetTraceState(),
			start: s.GetStartTimeUnixNano(), end: s.GetEndTimeUnixNano(), failed: s.GetStatus().GetCode() == traces.Status_STATUS_CODE_ERROR,
			attributes: attributesOf(s.GetAttributes()),
		})
	}
	return all
}

// all is everything that has been received, for tests that look for what must not be there.
func (r *receiver) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.spans)
}

// A span is one as a test reads it.
type span struct {
	name, id, parent, state string
	kind                    traces.Span_SpanKind
	start, end              uint64
	failed                  bool
	attributes              map[string]string // with the type where it is no text, such as int:3
}

func attributesOf(pairs []*common.KeyValue) map[string]string {
	attributes := map[string]string{}
	for _, pair := range pairs {
		attributes[pair.GetKey()] = valueOf(pair.GetValue())
	}
	return attributes
}

func valueOf(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return fmt.Sprint("int:", v.IntValue)
	case *common.AnyValue_BoolValue:
		return fmt.Sprint("bool:", v.BoolValue)
	case *common.AnyValue_DoubleValue:
		return fmt.Sprint("double:", v.DoubleValue)
	case *common.AnyValue_ArrayValue:
		var all []string
		for _, one := range v.ArrayValue.GetValues() {
			all = append(all, valueOf(one))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	return "?"
}

// want fails where an attribute is another. + stands for any value, and - for none.
func (s span) want(t testing.TB, attributes map[string]string) {
	t.Helper()
	for name, want := range attributes {
		got, there := s.attributes[name]
		if want == "-" && there || want == "+" && !there || want != "-" && want != "+" && got != want {
			t.Errorf("%s: %s is %q, want %q; all are %v", s.name, name, got, want, s.attributes)
		}
	}
}
