package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/leash-gateway/leash/host/outage"
	"github.com/leash-gateway/leash/internal/nettest"
)

// serverOf is the URL, by name, of a provider with this certificate.
func serverOf(t *testing.T, c tls.Certificate) (url string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes that are to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
}

func TestTheOperatorIsToldOnceWhyAProviderCannotBeReached(t *testing.T) {
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	known, unknown, always := nettest.NewAuthority(t), nettest.NewAuthority(t), nettest.Validity{}
	ranOut := nettest.Validity{Until: time.Now().Add(-time.Minute)}
	silent := nettest.Serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	answering := func(answer string) (url string) {
		return nettest.ServeRaw(t, func(w io.Writer, _ *http.Request) { _, _ = io.WriteString(w, answer) })
	}
	log := &nettest.Log{}
	b := start(t, setup{settings: Settings{Log: slog.New(slog.NewTextHandler(log, nil))}}, says("hi"))
	tests := map[string]struct{ url, want string }{
		"a port that refuses":            {nobody.URL, outage.Refused},
		"an authority that is not known": {serverOf(t, unknown.Issue(t, always, "localhost")), outage.Untrusted},
		"another name":                   {serverOf(t, known.Issue(t, always, "example.com")), outage.OtherName + ": certificate is valid for example.com, not localhost"},
		"a certificate that ran out":     {serverOf(t, known.Issue(t, ranOut, "localhost")), outage.Expired},
		"a port without TLS":             {strings.Replace(plain.URL, "http:", "https:", 1), outage.NoTLS},
		"a port that says nothing":       {"https://" + silent, outage.Late},
		"a port that closes":             {answering(""), outage.Closed},
		"a port that is no HTTP":         {answering("authorization: Bearer " + providerKey + "\r\n"), outage.Broken},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			connect, status := time.Minute, http.StatusServiceUnavailable
			if tc.want == outage.Broken {
				status = http.StatusBadGateway
			}
			if tc.want == outage.Late {
				connect = 20 * time.Millisecond
			}
			provider := fmt.Sprintf(`"%s/v1"`, tc.url)
			if strings.HasPrefix(tc.url, "https:") {
				provider += ", ca_file: " + known.File
			}
			b.apply(setup{config: strings.NewReplacer(`"%s"`, provider, "{%s}", "{%[2]s}").Replace(open) + "# not %[1]s\n", timeouts: "connect: " + connect.String()})
			before := len(log.String())
			for range 3 {
				if a := b.do(b.request("POST", "/v1/raw", "x")); a.status != status || !strings.Contains(a.body, "provider_unavailable") {
					t.Errorf("got %d %s", a.status, a.body)
				}
			}
			_, address, _ := strings.Cut(tc.url, "://")
			want := fmt.Sprintf("level=WARN msg=\"a provider cannot be reached\" provider=openai address=%s cause=%q\n", address, tc.want)
			got := log.String()[before:]
			if _, got, _ := strings.Cut(got, " "); got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		})
	}
	b.apply(setup{})
	for range 2 {
		b.do(b.request("POST", "/v1/raw", "x"))
	}
	if got := strings.Count(log.String(), `level=INFO msg="a provider can be reached again" provider=openai`); got != 1 {
		t.Errorf("told %d times that it is there again:\n%s", got, log)
	}
}

func TestCausesAreTheSameAtTheNextRequest(t *testing.T) {
	from := func(port int, err error) error {
		return dialError{&net.OpError{Op: "read", Source: &net.TCPAddr{Port: port}, Addr: &net.TCPAddr{Port: 443}, Err: err}}
	}
	for want, err := range map[string]func(int) error{
		"remote error: tls: handshake failure": func(n int) error { return from(n, errors.New("remote error: tls: handshake failure")) },
		outage.Closed:                          func(n int) error { return from(n, os.NewSyscallError("read", syscall.ECONNRESET)) },
		outage.NoRoute:                         func(n int) error { return from(n, os.NewSyscallError("connect", syscall.EHOSTUNREACH)) },
		outage.Broken:                          func(n int) error { return fmt.Errorf("stream error: stream ID %d", n) },
		outage.UnknownName:                     func(int) error { return dialError{&net.DNSError{Err: "no such host", IsNotFound: true}} },
		outage.UnknownName + dnsSilent: func(n int) error {
			return dialError{&net.DNSError{Err: fmt.Sprintf("read udp :%d: i/o timeout", n), IsTimeout: true}}
		},
		outage.Certificate + ": x509: unhandled critical extension": func(int) error {
			return dialError{&tls.CertificateVerificationError{Err: x509.UnhandledCriticalExtension{}}}
		},
	} {
		for n := range 2 {
			if got := causeOf(err(n)); got != want {
				t.Errorf("%v: got %q, want %q", err(n), got, want)
			}
		}
	}
	if got := causeOf(errors.New(closedIdle)); got != outage.Closed {
		t.Errorf("a connection that was just being closed: got %q", got)
	}
}

func TestARequestThatDidNotComeToItsEndIsNoOutage(t *testing.T) {
	for protocol, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(protocol, func(t *testing.T) {
			upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
			upstream.EnableHTTP2 = http2
			upstream.StartTLS()
			t.Cleanup(upstream.Close)
			log := &nettest.Log{}
			b := startOn(t, setup{settings: Settings{Log: slog.New(slog.NewTextHandler(log, nil))}}, upstream)
			p := b.current.providers["openai"]
			body := io.MultiReader(strings.NewReader("begun"), iotest.ErrReader(ofClient{io.ErrUnexpectedEOF}))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, upstream.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := p.roundTrip(r, func() {})
			if err == nil {
				_ = response.Body.Close()
				t.Fatalf("got %s", response.Status)
			}
			p.failed(err)
			if log.String() != "" {
				t.Errorf("%v: the log has %q", err, log)
			}
		})
	}
}

func TestAProviderAtItsLimitIsNoOutage(t *testing.T) {
	asked, answered := make(chan struct{}, 2), make(chan struct{})
	log := &nettest.Log{}
	b := start(t, setup{
		config:   strings.Replace(open, `timeouts: {%s}`, `limits: {requests: 1}, timeouts: {%s}`, 1),
		settings: Settings{Log: slog.New(slog.NewTextHandler(log, nil))},
	}, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answered
	})
	first := make(chan answer, 1)
	go func() { first <- b.do(b.request("POST", "/v1/raw", "x")) }()
	receive(t, asked, "the first request")
	if a := b.do(b.request("POST", "/v1/raw", "x")); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, `"provider_busy"`) {
		t.Errorf("beyond the limit: got %d %s", a.status, a.body)
	}
	close(answered)
	receive(t, first, "the answer to the first request")
	if log.String() != "" {
		t.Errorf("the log has %q", log)
	}
}
