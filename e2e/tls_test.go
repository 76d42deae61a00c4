package e2e

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/mock"
)

func TestProvidersCertificateAndNameAreVerified(t *testing.T) {
	onEngines(t, func(t *testing.T, p ports) {
		server := httptest.NewTLSServer(mock.New(mock.Options{})) // its certificate is for 127.0.0.1 and example.com
		defer server.Close()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		if err := os.WriteFile(ca, encoded, 0o600); err != nil {
			t.Fatal(err)
		}
		byName := strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/v1"
		trusted := strings.Replace(policies, "api_key: {env: LEASH_TEST_KEY}", "api_key: {env: LEASH_TEST_KEY}, ca_file: "+ca, 1)
		for name, tc := range map[string]struct {
			config, url string
			want        int
		}{
			"the right name":       {trusted, server.URL + "/v1", 200},
			"another name":         {trusted, byName, 503},
			"an unknown authority": {policies, server.URL + "/v1", 503},
		} {
			t.Run(name, func(t *testing.T) {
				g := start(t, tc.config, p.of(tc.url))
				if a := g.chat("say: hi"); a.Status != tc.want {
					t.Errorf("got %d %s, want %d", a.Status, a.Body, tc.want)
				}
			})
		}
	})
}
