package envoy_test

import (
	"os"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
)

// TestRenderExtProc compares the filter and the cluster with golden files. That Envoy accepts them, and what it does with
// them, is tested end to end (e2e/extproc_test.go).
func TestRenderExtProc(t *testing.T) {
	text, err := os.ReadFile("testdata/render/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("/etc/leash/leash.yaml", text, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]envoy.ExtProc{
		"policies": {Address: "unix:/run/leash/host.sock", Policy: true, RequestBody: true, ResponseHeaders: true, ResponseBody: true},
		"inspectors": {
			Address: "host.example.com:8083", Pipeline: "watch", CAFile: "/etc/ssl/host.pem", CertFile: "/etc/ssl/envoy.pem", KeyFile: "/etc/ssl/envoy.key",
			RequestBody: true, Metadata: []string{"envoy.filters.http.jwt_authn"},
		},
		"address": {Address: "[::1]:8083", Policy: true, CAFile: "/etc/ssl/host.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := envoy.RenderExtProc(c, envoy.Options{CAFile: "/etc/ssl/cert.pem"}, e)
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, string(got), "extproc/"+name+".golden")
		})
	}
}

func TestAddressesOfModuleHostsAreChecked(t *testing.T) {
	for address, want := range map[string]string{
		"unix:/run/leash/host.sock": "", "host:8083": "", "10.0.0.1:8083": "", "[::1]:8083": "",
		"unix:host.sock": "not absolute", "host": "missing port", "host:http": "http", "host:70000": "70000", "": "missing port",
	} {
		err := envoy.ExtProc{Address: address}.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", address, err, want)
		}
	}
}

// TestWhatAModuleHostCannotDoIsRefusedWithItsPlace: failover needs a module on the way to each provider.
func TestWhatAModuleHostCannotDoIsRefusedWithItsPlace(t *testing.T) {
	const text = `listen: 127.0.0.1:8080
providers: {a: {base_url: "http://127.0.0.1:1/v1"}, b: {base_url: "http://127.0.0.1:2/v1"}}
allow_anonymous: true
routes:
  - {model: one, targets: [{provider: a}]}
  - {model: two, targets: [{provider: a}, {provider: b}]}
pipeline: [{module: logger}]
`
	c, err := config.Parse("leash.yaml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	o, at := envoy.Options{CAFile: "/etc/ssl/cert.pem"}, envoy.ExtProc{Address: "unix:/run/leash/host.sock", Policy: true}
	_, err = envoy.RenderExtProc(c, o, at)
	if err == nil || !strings.Contains(err.Error(), "leash.yaml:6:") || !strings.Contains(err.Error(), "leash up --engine embedded") || strings.Contains(err.Error(), "routes[0]") {
		t.Errorf("got %v, want what is wrong with routes[1] alone, and what to do", err)
	}
	at.Policy = false // somebody else routes
	if _, err := envoy.RenderExtProc(c, o, at); err != nil {
		t.Errorf("inspectors: %v", err)
	}
}
