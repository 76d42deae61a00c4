// Package tracing makes OpenTelemetry's spans of what the modules tell about exchanges, and sends them to a collector.
//
// The modules tracer and provider write a record for each exchange and each attempt into the log of what they run in. Here the records
// become spans: nothing of this stands on the way of a request, and no engine has to know of it.
package tracing

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/credentials"

	"github.com/leash-gateway/leash/config"
)

// A Tracer takes records and sends spans. Its zero value takes them to nowhere; it is safe for concurrent use.
//
// Prepare makes a Sender for a configuration, which Use puts in force. Close of either sends what waits, within its context.
type Tracer struct {
	// Log tells of spans that could not be sent or read. Nil: nobody.
	Log *slog.Logger
	// Count is told how many spans were taken, sent, and given up. Nil: nobody.
	Count func(result string, n int)

	mu      sync.RWMutex
	current *Sender // nil: nothing is traced
}

// Results of spans, for Count.
const (
	Taken  = "taken"  // of which those that were neither sent nor given up wait, or were too many
	Sent   = "sent"   // the collector has taken them
	Failed = "failed" // it has not
)

// Options are what tracing needs besides the configuration.
type Options struct {
	// Headers are the values of tracing.headers, by name.
	Headers map[string]config.SecretValue
	// CAFile are the certificates that vouch for a collector without a ca_file of its own.
	CAFile string
	// Mock, by the name of a provider, is the base URL of the mock that answers in its place.
	Mock map[string]*url.URL
	// Version is the gateway's.
	Version string
}

// A Sender sends spans under one configuration.
type Sender struct {
	provider *sdk.TracerProvider
	tracer   api.Tracer
	targets  map[string]target // by the provider's name
}

// Prepare makes a Sender, which is nil where nothing is to be traced. Use it, or Close it.
func (t *Tracer) Prepare(ctx context.Context, c *config.Config, o Options) (*Sender, error) {
	if !c.Tracing.On() {
		return nil, nil //nolint:nilnil // nothing is to be traced
	}
	exporter, err := exporter(ctx, &c.Tracing, o)
	if err != nil {
		return nil, err
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(&reporting{SpanExporter: exporter, tracer: t}, sdk.WithBatchTimeout(batchTime), sdk.WithMaxQueueSize(maxWaiting)),
		sdk.WithSampler(sdk.AlwaysSample()), // what is not to be traced is not told
		sdk.WithIDGenerator(given{}),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", c.Tracing.Service), attribute.String("service.version", o.Version))),
	)
	s := &Sender{provider: provider, tracer: provider.Tracer("github.com/leash-gateway/leash"), targets: map[string]target{}}
	for name := range c.Providers {
		s.targets[name] = targetOf(c.Providers[name], o.Mock[name])
	}
	return s, nil
}

const (
	// batchTime is how long a span waits for others at the most.
	batchTime = time.Second
	// maxWaiting is how many spans wait while a collector does not answer; more are dropped.
	maxWaiting = 8192
	// sendTimeout is for one attempt to send.
	sendTimeout = 10 * time.Second
)

func exporter(ctx context.Context, t *config.Tracing, o Options) (sdk.SpanExporter, error) {
	var trusted *tls.Config // nil: without TLS
	if t.Endpoint.Scheme == "https" {
		pool, err := config.Certificates(cmp.Or(t.CAFile, o.CAFile))
		if err != nil {
			return nil, err
		}
		trusted = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	headers := map[string]string{}
	for name, value := range o.Headers {
		headers[strings.ToLower(name)] = value.Reveal()
	}
	host, port := config.HostPort(&t.Endpoint.URL)
	address := net.JoinHostPort(host, strconv.Itoa(int(port)))
	if t.Protocol == "http" {
		security := otlptracehttp.WithInsecure()
		if trusted != nil {
			security = otlptracehttp.WithTLSClientConfig(trusted)
		}
		return otlptracehttp.New(ctx, security, otlptracehttp.WithEndpoint(address), otlptracehttp.WithURLPath(cmp.Or(t.Endpoint.Path, "/v1/traces")),
			otlptracehttp.WithHeaders(headers), otlptracehttp.WithTimeout(sendTimeout))
	}
	security := otlptracegrpc.WithInsecure()
	if trusted != nil {
		security = otlptracegrpc.WithTLSCredentials(credentials.NewTLS(trusted))
	}
	return otlptracegrpc.New(ctx, security, otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithHeaders(headers), otlptracegrpc.WithTimeout(sendTimeout))
}

// Use puts a Sender in force, nil too, and returns the one before, which is to be closed.
func (t *Tracer) Use(s *Sender) (before *Sender) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, t.current = t.current, s
	return before
}

// Close sends what waits. It may be called of a nil Sender.
func (s *Sender) Close(ctx context.Context) {
	if s != nil {
		_ = s.provider.Shutdown(ctx) // what could not be sent has been told
	}
}

// Close sends what waits.
func (t *Tracer) Close(ctx context.Context) { t.Use(nil).Close(ctx) }

// Write takes records, each in a line. It never waits for a collector, and never fails.
func (t *Tracer) Write(lines []byte) (int, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.current == nil {
		return len(lines), nil
	}
	for line := range bytes.Lines(lines) {
		n, err := t.current.record(bytes.TrimSpace(line))
		if t.count(Taken, n); err != nil && t.Log != nil {
			t.Log.Warn("a record of a module is no span", "error", err)
		}
	}
	return len(lines), nil
}

func (t *Tracer) count(result string, n int) {
	if t.Count != nil && n > 0 {
		t.Count(result, n)
	}
}

// reporting tells what becomes of spans.
type reporting struct {
	sdk.SpanExporter

	tracer *Tracer
	told   time.Time // only ExportSpans, which is called by one goroutine
}

// ExportSpans sends, and tells at most once a minute that a collector takes nothing.
func (r *reporting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		r.tracer.count(Sent, len(spans))
		return nil
	}
	r.tracer.count(Failed, len(spans))
	if now := time.Now(); r.tracer.Log != nil && now.Sub(r.told) > time.Minute {
		r.told = now
		r.tracer.Log.Warn("the collector of tracing.endpoint does not take spans", "error", err)
	}
	return nil // it has been told
}

// Resolve reads the values of tracing.headers.
func Resolve(c *config.Config, env func(string) (string, bool)) (map[string]config.SecretValue, error) {
	values := map[string]config.SecretValue{}
	for _, name := range slices.Sorted(maps.Keys(c.Tracing.Headers)) {
		value, err := c.Tracing.Headers[name].Resolve(env)
		if err != nil {
			return nil, c.SecretError("tracing.headers."+name, err)
		}
		values[name] = value
	}
	return values, nil
}
