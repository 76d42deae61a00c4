package extproc_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/leash-gateway/leash/host/extproc"
	"github.com/leash-gateway/leash/host/internal/asm"
	"github.com/leash-gateway/leash/internal/nettest"
)

const processorService = "envoy.service.ext_proc.v3.ExternalProcessor"

func (s *server) health(t testing.TB, service string) healthpb.HealthCheckResponse_ServingStatus {
	t.Helper()
	answer, err := healthpb.NewHealthClient(s.Client).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetStatus()
}

func TestHealthTellsWhetherExchangesCanBeWorkedOn(t *testing.T) {
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{})
	for _, service := range []string{"", processorService} {
		if got := s.health(t, service); got != healthpb.HealthCheckResponse_NOT_SERVING {
			t.Errorf("%q without a pipeline: %s", service, got)
		}
	}
	if _, err := s.Host.Load(t.Context(), filters([]asm.Module{says("x")}, true)); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"", processorService} {
		if got := s.health(t, service); got != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q with one: %s", service, got)
		}
	}
}

func TestReflectionNamesTheServices(t *testing.T) {
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{})
	got := services(t, s.Client)
	if !strings.Contains(got, processorService) || !strings.Contains(got, "grpc.health.v1.Health") {
		t.Errorf("got %s", got)
	}
	if strings.Contains(got, "PipelineService") {
		t.Error("who may send exchanges is told of the management")
	}
}

func services(t testing.TB, conn *grpc.ClientConn) string {
	t.Helper()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetListServicesResponse().String()
}

func TestDrainingLetsExchangesUnderWayEndAndTakesNoMore(t *testing.T) {
	const delay = 300 * time.Millisecond
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{DrainDelay: delay}, filters([]asm.Module{marks()}, true))
	stream := s.begin(t, duplex)
	began := time.Now()
	over := func() bool { return time.Since(began) >= delay } // on a machine that is busy
	s.Stop()
	nettest.Eventually(t, "health checks to be told", func() bool {
		answer, err := healthpb.NewHealthClient(s.Client).Check(t.Context(), &healthpb.HealthCheckRequest{})
		return over() || err == nil && answer.GetStatus() == healthpb.HealthCheckResponse_NOT_SERVING
	})
	if got := s.ask(t, ""); !over() && !strings.HasPrefix(got, "request headers") {
		t.Errorf("in the delay: got %s", got)
	}
	nettest.Eventually(t, "new exchanges to be refused", func() bool {
		other, err := pb.NewExternalProcessorClient(s.Client).Process(t.Context())
		if err != nil {
			return true
		}
		_ = other.Send(first(requestHeaders(true), duplex, duplex))
		_, err = other.Recv()
		return err != nil
	})
	if got := play(t, stream, []step{{responseHeaders(true), []string{"response headers x-way=back"}}}); got != "" {
		t.Errorf("the exchange under way ended with %s", got)
	}
}

func TestExchangesThatDoNotEndAreBrokenOffAfterTheDrainTimeout(t *testing.T) {
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{DrainTimeout: 50 * time.Millisecond}, filters([]asm.Module{marks()}, true))
	stream := s.begin(t, duplex)
	s.Stop()
	if _, err := stream.Recv(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the exchange ended with %v, want an error, so that Envoy does not take it for done", err)
	}
	nettest.Eventually(t, "the host to be left by it", func() bool {
		status, err := s.Host.Status("default")
		return err == nil && status.Exchanges == 0
	})
}

func TestPagesTellLifeReadinessAndMetrics(t *testing.T) {
	counts := asm.Module{"proxy_on_request_headers": {Do: []asm.Step{
		define(0, "leash_things_total.[kind=a].[tenant=demo]", 0), increment(0),
		define(0, "leash_things_total.[tenant=demo].[kind=a]", 1), increment(1), // the same
		define(1, "leash_things_total", 2), // another kind of the same name
		define(2, "leash_sizes", 3), asm.Drop("proxy_record_metric", asm.Slot(3), asm.Long(7)),
		define(0, "leash_host_vm_failures_total", 4), // the host's own
	}}}
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{})
	draining := make(chan struct{})
	handler := extproc.NewHandler(s.Host, draining)
	page := func(path string) (int, string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, body := page("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %s", code, body)
	}
	if code, body := page("/readyz"); code != 503 || !strings.Contains(body, "no pipeline") {
		t.Errorf("/readyz without a pipeline: %d %s", code, body)
	}
	if _, err := s.Host.Load(t.Context(), filters([]asm.Module{counts}, false)); err != nil {
		t.Fatal(err)
	}
	if code, _ := page("/readyz"); code != 200 {
		t.Errorf("/readyz: %d", code)
	}
	s.ask(t, "")
	s.ask(t, "nobody")
	nettest.Eventually(t, "the exchange to be counted", func() bool {
		_, body := page("/metrics")
		return strings.Contains(body, `leash_host_exchanges_total{pipeline="default",result="done"} 1`)
	})
	_, body := page("/metrics")
	for _, want := range []string{
		`leash_things_total{kind="a",tenant="demo"} 2`, `leash_sizes_bucket{le="10"} 1`, "leash_sizes_sum 7", `leash_host_pipeline_generation{pipeline="default"} 1`,
		`leash_host_vm_memory_bytes{pipeline="default"}`, "leash_host_exchanges_refused_total 1", "leash_host_exchanges_active 0",
		"leash_host_dropped_series_total 2", "go_goroutines",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s:\n%s", want, body)
		}
	}
	close(draining)
	if code, body := page("/readyz"); code != 503 || !strings.Contains(body, "shutting down") {
		t.Errorf("/readyz while draining: %d %s", code, body)
	}
}

func define(kind uint32, name string, slot int) asm.Step {
	return asm.Drop("proxy_define_metric", asm.Word(kind), asm.Text(name), asm.OutQuiet(slot))
}

func increment(slot int) asm.Step {
	return asm.Drop("proxy_increment_metric", asm.Slot(slot), asm.Long(1))
}

// client are the credentials of one that trusts an authority, and shows a certificate of another if that is not nil.
func client(t testing.TB, trusted, by *nettest.Authority) grpc.DialOption {
	t.Helper()
	c := &tls.Config{RootCAs: trusted.Pool(), ServerName: "host", MinVersion: tls.VersionTLS12}
	if by != nil {
		c.Certificates = []tls.Certificate{by.Issue(t, nettest.Validity{}, "client")}
	}
	return grpc.WithTransportCredentials(credentials.NewTLS(c))
}

// checked asks for health; nil if the client is let in.
func checked(t testing.TB, address string, o grpc.DialOption) error {
	t.Helper()
	conn := dial(t, address, o)
	defer conn.Close() //nolint:errcheck // nothing is under way
	_, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	return err
}

func TestTLSProvesTheHostAndAsksClientsForCertificates(t *testing.T) {
	ours, others := nettest.NewAuthority(t), nettest.NewAuthority(t)
	cert, key := ours.IssueFiles(t, t.TempDir(), "host")
	for name, tc := range map[string]struct {
		clientCA string
		client   grpc.DialOption
		want     codes.Code
	}{
		"TLS":                                  {"", client(t, ours, nil), codes.OK},
		"a client that trusts others":          {"", client(t, others, nil), codes.Unavailable},
		"mTLS":                                 {ours.File, client(t, ours, ours), codes.OK},
		"mTLS, a client without certificate":   {ours.File, client(t, ours, nil), codes.Unavailable},
		"mTLS, a certificate of somebody else": {ours.File, client(t, ours, others), codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := extproc.TLSFiles{Cert: cert, Key: key, ClientCA: tc.clientCA}.Config()
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, extproc.Options{}, extproc.ServiceOptions{TLS: config})
			if err := checked(t, "unix:"+s.Socket, tc.client); status.Code(err) != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	first, second, dir := nettest.NewAuthority(t), nettest.NewAuthority(t), t.TempDir()
	cert, key := first.IssueFiles(t, dir, "host")
	config, err := extproc.TLSFiles{Cert: cert, Key: key}.Config()
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{TLS: config})
	if err := checked(t, "unix:"+s.Socket, client(t, first, nil)); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(cert, []byte("half a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(cert, later, later); err != nil {
		t.Fatal(err)
	}
	if err := checked(t, "unix:"+s.Socket, client(t, first, nil)); err != nil {
		t.Errorf("while the files are being replaced: %v", err)
	}
	second.IssueFiles(t, dir, "host")
	later = later.Add(time.Second)
	if err := os.Chtimes(cert, later, later); err != nil {
		t.Fatal(err)
	}
	if err := checked(t, "unix:"+s.Socket, client(t, second, nil)); err != nil {
		t.Errorf("the new certificate is not used: %v", err)
	}
}

func TestTLSFilesThatAreWrongAreNamed(t *testing.T) {
	a, dir := nettest.NewAuthority(t), t.TempDir()
	cert, key := a.IssueFiles(t, dir, "host")
	missing := filepath.Join(dir, "missing.pem")
	for name, tc := range map[string]struct {
		files extproc.TLSFiles
		want  string
	}{
		"no certificate":        {extproc.TLSFiles{Cert: missing, Key: key}, missing},
		"no key":                {extproc.TLSFiles{Cert: cert, Key: missing}, missing},
		"no authority":          {extproc.TLSFiles{Cert: cert, Key: key, ClientCA: missing}, missing},
		"an authority of a key": {extproc.TLSFiles{Cert: cert, Key: key, ClientCA: key}, key + " holds none in PEM form"},
	} {
		if _, err := tc.files.Config(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
}

// listen opens a Unix socket for a service.
func listen(t testing.TB) (l net.Listener, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "leash-") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	if l, err = (&net.ListenConfig{}).Listen(context.Background(), "unix", path); err != nil {
		t.Fatal(err)
	}
	return l, path
}
