package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
)

func TestAnExpiredCertificateIsToldWhereItIsServed(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	ranOut := nettest.Validity{From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}
	certPEM, keyPEM := nettest.PEM(t, nettest.NewAuthority(t).Issue(t, ranOut))
	registry, file := filepath.Join(dir, "registry.yaml"), filepath.Join(dir, "file")
	writeFiles(t, map[string]string{
		cert: certPEM, key: keyPEM,
		registry: "tls: {cert: tls.crt, key: tls.key, client_ca: tls.crt}", file: "in the way of a folder",
	})
	for name, args := range map[string][]string{
		"a module host": {"host", "serve", "-c", writeUnrunnable(t, "nowhere"), "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", cert, "--listen", "127.0.0.1:0"},
		"a registry":    {"registry", "serve", "-c", registry, "--listen", "127.0.0.1:0", "--data", file},
	} {
		_, stderr, code := leash(t, args...)
		for _, want := range []string{
			`level=WARN msg="the certificate has expired, so clients refuse it: replace it" file=FILE not_after=2026-01-31T00:00:00.000Z`,
			`level=WARN msg="all certificates of the file have expired, so whoever they vouch for is refused: replace it" file=FILE not_after=2026-01-31T00:00:00.000Z`,
		} {
			if code == exitDone || strings.Count(stderr, strings.ReplaceAll(want, "FILE", cert)) != 1 {
				t.Errorf("%s: got %d %s\nwant %s", name, code, stderr, want)
			}
		}
	}
}
