package extproc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// ServiceOptions are how a Host is served. The zero value is safe on a Unix socket or the loopback.
type ServiceOptions struct {
	// TLS is what the server proves itself with, and with ClientAuth what clients must. Default: plain text.
	TLS *tls.Config
	// MaxMessageBytes bounds one message: of Envoy, which holds a whole body where that is buffered; of whoever loads a
	// pipeline, its modules. Default 64 MiB.
	MaxMessageBytes int
	// MaxStreams bounds the exchanges at one time on one connection of Envoy. Default 4096.
	MaxStreams uint32
	// KeepAlive is how long a connection may be silent before the peer is asked whether it lives. Default 30 s.
	KeepAlive time.Duration
	// DrainDelay is how long exchanges are still taken after the end of ctx, while health checks are told already that
	// the host goes, so that Envoy can turn to others. Default none.
	DrainDelay time.Duration
	// DrainTimeout is how long exchanges under way may go on after that. Default 30 s.
	DrainTimeout time.Duration
}

// A Service serves one side of a Host over gRPC: exchanges to Envoys, or its management. Both come with health checking
// and reflection.
type Service struct {
	options ServiceOptions
	server  *grpc.Server
	health  *health.Server
}

// NewService serves exchanges.
func NewService(h *Host, o ServiceOptions) *Service {
	s := newService(h, o, pb.ExternalProcessor_ServiceDesc.ServiceName)
	pb.RegisterExternalProcessorServer(s.server, processor{host: h})
	return s
}

// newService is a Service that has no services yet but health, which is that of name too.
func newService(h *Host, o ServiceOptions, name string) *Service {
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = 64 << 20
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 4096
	}
	if o.KeepAlive <= 0 {
		o.KeepAlive = 30 * time.Second
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = 30 * time.Second
	}
	const streamWindow, connectionWindow = 1 << 20, 8 << 20
	// Goroutines that have grown their stacks already; more exchanges than these at one time get goroutines of their own.
	const keptGoroutines = 128
	options := []grpc.ServerOption{
		grpc.NumStreamWorkers(keptGoroutines),
		grpc.MaxRecvMsgSize(o.MaxMessageBytes),
		grpc.MaxConcurrentStreams(o.MaxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: o.KeepAlive, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connectionWindow),
	}
	if o.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(o.TLS)))
	}
	s := &Service{options: o, server: grpc.NewServer(options...), health: health.NewServer()}
	healthpb.RegisterHealthServer(s.server, s.health)
	h.onReady(func(err error) {
		state := healthpb.HealthCheckResponse_SERVING
		if err != nil {
			state = healthpb.HealthCheckResponse_NOT_SERVING
		}
		s.health.SetServingStatus("", state)
		s.health.SetServingStatus(name, state)
	})
	return s
}

// Serve serves until ctx ends; then it says so to health checks, goes on for DrainDelay, takes no more, lets what is under
// way end for as long as DrainTimeout, and closes the listener. It is called once.
func (s *Service) Serve(ctx context.Context, l net.Listener) error {
	reflection.Register(s.server)
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.health.Shutdown()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-time.After(s.options.DrainDelay):
	}
	drained := time.AfterFunc(s.options.DrainTimeout, s.server.Stop)
	defer drained.Stop()
	s.server.GracefulStop()
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// NewHandler serves /healthz (the process lives), /readyz (exchanges can be worked on; not any more once draining is
// closed) and /metrics.
func NewHandler(h *Host, draining <-chan struct{}) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(h.Metrics(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		err := h.Ready()
		select {
		case <-draining:
			err = errors.New("shutting down")
		default:
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	return mux
}
