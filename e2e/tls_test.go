package e2e

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

var certificateTests = []changeTest{
	{"a provider's certificate and name are verified", testProvidersCertificateAndNameAreVerified},
	{"who vouches for a provider is read again when it changes", testWhoVouchesForAProviderIsReadAgain},
}

func testProvidersCertificateAndNameAreVerified(t *testing.T, g *gateway) {
	now := time.Now()
	ours, theirs := nettest.NewAuthority(t), nettest.NewAuthority(t)
	tests := []struct {
		name      string
		authority *nettest.Authority
		names     []string
		until     time.Time
		host      string
		want      int
		cause     string
	}{
		{"the right address", ours, []string{"127.0.0.1"}, now.Add(time.Hour), "127.0.0.1", 200, ""},
		{"the right name", ours, []string{"localhost"}, now.Add(time.Hour), "localhost", 200, ""},
		{"one name of several", ours, []string{"example.com", "localhost"}, now.Add(time.Hour), "localhost", 200, ""},
		{"another name", ours, []string{"example.com"}, now.Add(time.Hour), "localhost", 503, "its certificate is for another name"},
		{"a wildcard for another name", ours, []string{"*.localhost"}, now.Add(time.Hour), "localhost", 503, "its certificate is for another name"},
		{"an address for a name", ours, []string{"127.0.0.1"}, now.Add(time.Hour), "localhost", 503, "its certificate is for another name"},
		{"a certificate that ran out", ours, []string{"localhost"}, now.Add(-time.Minute), "localhost", 503, "its certificate has expired"},
		{"an unknown authority", theirs, []string{"localhost"}, now.Add(time.Hour), "localhost", 503, "nobody who is trusted vouches for its certificate"},
	}
	// A provider for each case, behind one gateway; the model picks it.
	providers, routes := "", ""
	for i, tc := range tests {
		server := httptest.NewUnstartedServer(mock.New(mock.Options{Key: upstreamKey}))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{tc.authority.Issue(t, nettest.Validity{Until: tc.until}, tc.names...)}, MinVersion: tls.VersionTLS12}
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes that are to fail
		server.StartTLS()
		t.Cleanup(server.Close)
		providers += fmt.Sprintf("  p%d: {base_url: %q, api_key: {env: LEASH_TEST_KEY}, ca_file: %s}\n",
			i, strings.Replace(server.URL, "127.0.0.1", tc.host, 1)+"/v1", ours.File)
		routes += fmt.Sprintf("  - {model: case-%d, provider: p%d}\n", i, i)
	}
	config := strings.NewReplacer("tenants:", providers+"tenants:", "routes:\n", "routes:\n"+routes).Replace(policies)
	g.change(config, "http://127.0.0.1:1/v1")
	for i, tc := range tests {
		a := do(t, g.request(strings.Replace(chatBody("say: hi", false), "gpt-4o-mini", fmt.Sprintf("case-%d", i), 1)))
		if a.Status != tc.want || tc.want != 200 && a.errorCode() != "provider_unavailable" {
			t.Errorf("%s: got %d %s, want %d", tc.name, a.Status, a.Body, tc.want)
		}
		if tc.cause != "" {
			nettest.Eventually(t, "the log to tell why: "+tc.name, func() bool { return g.told(fmt.Sprintf("p%d", i), tc.cause) == 1 })
		}
	}
}

func testWhoVouchesForAProviderIsReadAgain(t *testing.T, g *gateway) {
	before, after := nettest.NewAuthority(t), nettest.NewAuthority(t)
	var shown atomic.Pointer[tls.Certificate]
	server := httptest.NewUnstartedServer(mock.New(mock.Options{Key: upstreamKey}))
	server.TLS = &tls.Config{
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil },
		SessionTicketsDisabled: true, // a session that goes on shows no certificate
		MinVersion:             tls.VersionTLS12,
	}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes that are to fail
	show := func(by *nettest.Authority) {
		issued := by.Issue(t, nettest.Validity{}, "localhost") // a name, for which GetCertificate is asked
		shown.Store(&issued)
		server.CloseClientConnections() // of those that are open nobody asks again
	}
	show(before)
	server.StartTLS()
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	of := func(a *nettest.Authority) []byte {
		t.Helper()
		content, err := os.ReadFile(a.File)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	write(of(before))
	g.change(strings.NewReplacer(
		"tenants:", fmt.Sprintf("  renewed: {base_url: %q, api_key: {env: LEASH_TEST_KEY}, ca_file: %s}\ntenants:",
			strings.Replace(server.URL, "127.0.0.1", "localhost", 1)+"/v1", file),
		"routes:\n", "routes:\n  - {model: renewed, provider: renewed}\n",
	).Replace(policies), "http://127.0.0.1:1/v1")
	status := func() int {
		return do(t, g.request(strings.Replace(chatBody("say: hi", false), "gpt-4o-mini", "renewed", 1))).Status
	}
	if got := status(); got != 200 {
		t.Fatalf("the first authority: got %d, want 200", got)
	}
	write(of(before)[:100]) // as while it is written
	nettest.Eventually(t, "half a file to be refused", func() bool { return strings.Contains(g.stderr(), file+" holds none in PEM form") })
	show(before)
	nettest.Eventually(t, "the one before to go on", func() bool { return status() == 200 })
	show(after)
	nettest.Eventually(t, "another authority to be refused", func() bool { return status() == 503 })
	write(of(after))
	nettest.Eventually(t, "the new authority to be trusted", func() bool { return status() == 200 })
	show(before)
	nettest.Eventually(t, "the old one to be refused", func() bool { return status() == 503 })
}

// told is how often the operator was told that a provider cannot be reached, and this as the cause.
func (g *gateway) told(provider, cause string) (times int) {
	for line := range strings.Lines(g.stderr()) {
		if strings.Contains(line, `level=WARN msg="a provider cannot be reached" provider=`+provider+" address=") && strings.Contains(line, ` cause="`+cause) {
			times++
		}
	}
	return times
}
