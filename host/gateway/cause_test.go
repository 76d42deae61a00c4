package gateway

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
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
)

// serverOf is a provider whose certificate is for a name, until a time; it is its own authority.
func serverOf(t *testing.T, until time.Time, name string) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, DNSNames: []string{name},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes that are to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// listening is the address of something that does with each connection what f does.
func listening(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c)
		}
	}()
	return l.Addr().String()
}

func TestTheOperatorIsToldOnceWhyAProviderCannotBeReached(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	known, unknown := serverOf(t, soon, "localhost"), serverOf(t, soon, "localhost")
	other, late := serverOf(t, soon, "example.com"), serverOf(t, time.Now().Add(-time.Hour), "localhost")
	named := func(s *httptest.Server) string { return strings.Replace(s.URL, "127.0.0.1", "localhost", 1) }
	silent := listening(t, func(net.Conn) {})
	answering := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}
	}
	closing := listening(t, answering(""))
	echoing := listening(t, answering("authorization: Bearer "+providerKey+"\r\n"))
	log := &lines{}
	b := start(t, setup{settings: Settings{Log: slog.New(slog.NewTextHandler(log, nil))}}, says("hi"))
	tests := map[string]struct {
		url     string
		trusted *httptest.Server
		want    string
	}{
		"a port that refuses":            {nobody.URL, nil, outage.Refused},
		"an authority that is not known": {named(unknown), known, outage.Untrusted},
		"another name":                   {named(other), other, outage.OtherName + ": certificate is valid for example.com, not localhost"},
		"a certificate that ran out":     {named(late), late, outage.Expired},
		"a port without TLS":             {strings.Replace(plain.URL, "http:", "https:", 1), known, outage.NoTLS},
		"a port that says nothing":       {"https://" + silent, known, outage.Late},
		"a port that closes":             {"http://" + closing, nil, outage.Closed},
		"a port that is no HTTP":         {"http://" + echoing, nil, outage.Broken},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			connect := time.Minute
			if tc.want == outage.Late {
				connect = 20 * time.Millisecond
			}
			provider := fmt.Sprintf(`"%s/v1"`, tc.url)
			if tc.trusted != nil {
				provider += ", ca_file: " + certificateFile(t, tc.trusted)
			}
			b.apply(setup{config: strings.NewReplacer(`"%s"`, provider, "{%s}", "{%[2]s}").Replace(open) + "# not %[1]s\n", timeouts: "connect: " + connect.String()})
			before := len(log.String())
			for range 3 {
				if a := b.do(b.request("POST", "/v1/raw", "x")); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "provider_unavailable") {
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
			log := &lines{}
			b := startOn(t, setup{settings: Settings{Log: slog.New(slog.NewTextHandler(log, nil))}}, upstream)
			p := b.current.providers["openai"]
			body := io.MultiReader(strings.NewReader("begun"), iotest.ErrReader(ofClient{io.ErrUnexpectedEOF}))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, upstream.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := p.roundTrip(r)
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
	log := &lines{}
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
