package setup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/registry/setup"
)

func TestEnvoysAreServedWhereNotEverybodyCanHaveEveryModule(t *testing.T) {
	for name, tc := range map[string]struct{ text, address, refused string }{
		"nothing is said":            {"{}", setup.DefaultEnvoys, ""},
		"another address of its own": {"listen: 127.0.0.1:6060", "", ""},
		"said":                       {"{listen: 127.0.0.1:6060, envoys: {listen: 127.0.0.1:6061}}", "127.0.0.1:6061", ""},
		"open to the network":        {"envoys: {listen: 0.0.0.0:5051}", "", "everybody who reaches it gets every module"},
		"no address":                 {"envoys: {listen: nowhere}", "", `envoys: listen "nowhere"`},
		"certificates without TLS":   {"envoys: {listen: 0.0.0.0:5051, client_ca: ca.pem}", "", "client_ca needs tls.cert"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "registry.yaml")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := setup.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			err = c.CheckAddress()
			switch {
			case tc.refused == "" && err != nil, tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)):
				t.Errorf("got %v, want %q", err, tc.refused)
			case tc.refused == "" && c.EnvoyAddress() != tc.address:
				t.Errorf("got %q, want %q", c.EnvoyAddress(), tc.address)
			}
		})
	}
}
