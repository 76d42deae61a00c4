package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAnExpiredCertificateIsToldWhereItIsServed(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	registry, file := filepath.Join(dir, "registry.yaml"), filepath.Join(dir, "file")
	writeFiles(t, map[string]string{
		cert:     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:      string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})),
		registry: "tls: {cert: tls.crt, key: tls.key}", file: "in the way of a folder",
	})
	for name, args := range map[string][]string{
		"a module host": {"host", "serve", "-c", writeUnrunnable(t, "nowhere"), "--tls-cert", cert, "--tls-key", key, "--listen", "127.0.0.1:0"},
		"a registry":    {"registry", "serve", "-c", registry, "--listen", "127.0.0.1:0", "--data", file},
	} {
		const want = `level=WARN msg="the certificate has expired, so clients refuse it: replace it" file=FILE not_after=2026-01-31T00:00:00.000Z`
		if _, stderr, code := leash(t, args...); code == exitDone || strings.Count(stderr, strings.ReplaceAll(want, "FILE", cert)) != 1 {
			t.Errorf("%s: got %d %s", name, code, stderr)
		}
	}
}
