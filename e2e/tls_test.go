package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/mock"
)

var certificateTests = []changeTest{{"a provider's certificate and name are verified", testProvidersCertificateAndNameAreVerified}}

func testProvidersCertificateAndNameAreVerified(t *testing.T, g *gateway) {
	now := time.Now()
	ours, theirs := newAuthority(t), newAuthority(t)
	tests := []struct {
		name      string
		authority *authority
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
		server.TLS = &tls.Config{Certificates: []tls.Certificate{tc.authority.issue(t, tc.until, tc.names...)}, MinVersion: tls.VersionTLS12}
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes that are to fail
		server.StartTLS()
		t.Cleanup(server.Close)
		providers += fmt.Sprintf("  p%d: {base_url: %q, api_key: {env: LEASH_TEST_KEY}, ca_file: %s}\n",
			i, strings.Replace(server.URL, "127.0.0.1", tc.host, 1)+"/v1", ours.file)
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
			eventually(t, "the log to tell why: "+tc.name, func() bool { return g.told(fmt.Sprintf("p%d", i), tc.cause) == 1 })
		}
	}
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

// An authority issues certificates.
type authority struct {
	file        string // its own certificate, PEM
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem"), key: newKey(t)}
	a.certificate = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a certificate, of a server or a client, with these names and addresses.
func (a *authority) issue(t testing.TB, until time.Time, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
