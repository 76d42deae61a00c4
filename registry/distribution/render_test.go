package distribution_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/yaml"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/distribution"
)

func TestSnippetsAreAcceptedByEnvoy(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "{our} ca, #1.pem")
	text, err := os.ReadFile("testdata/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	policy := distribution.Snippet{Slot: slot(t, "leash/acme/greeter@stable"), Kind: manifest.Policy, Registry: "127.0.0.1:5051"}
	with := func(change func(*distribution.Snippet)) distribution.Snippet {
		s := policy
		change(&s)
		return s
	}
	for name, s := range map[string]distribution.Snippet{
		"policy":    policy,
		"wait":      with(func(s *distribution.Snippet) { s.Wait = 2500 * time.Millisecond }),
		"inspector": with(func(s *distribution.Snippet) { s.Kind, s.Slot.Config = manifest.Inspector, "edge" }),
		"alone":     with(func(s *distribution.Snippet) { s.NoStandby = true }),
		"token":     with(func(s *distribution.Snippet) { s.Token = "leash_secret-1" }),
		"ads":       with(func(s *distribution.Snippet) { s.ADS = true }),
		"tls": with(func(s *distribution.Snippet) {
			s.CAFile, s.Registry = "/etc/envoy/registry-ca.pem", "registry.example.com:5051"
		}),
		"tls-local": with(func(s *distribution.Snippet) {
			s.CAFile, s.Registry = "/etc/envoy/registry-ca.pem", "[::1]:5051"
		}),
		"tls-ip": with(func(s *distribution.Snippet) {
			s.CAFile, s.Registry = "/etc/envoy/registry-ca.pem", "[2001:db8::1]:5051"
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := s.Render()
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, string(text), "slot-"+name+".yaml")
			whole := strings.ReplaceAll(compose(t, "edge-1", 9901, 8080, 8090, s), "/etc/envoy/registry-ca.pem", ca)
			if s.ADS {
				whole += "\ndynamic_resources: {ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: leash.registry}}]}}\n"
			}
			file := filepath.Join(t.TempDir(), "envoy.yaml")
			if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), nettest.Envoy(t), "--mode", "validate", "-c", file).CombinedOutput(); err != nil { //nolint:gosec // of this test
				t.Errorf("%v\n%s\n%s", err, out, whole)
			}
		})
	}
	// What is pasted for a slot: its filter.
	text, err = policy.Render()
	if err != nil {
		t.Fatal(err)
	}
	filter, _, _ := strings.Cut(string(text), "clusters:")
	_, filter, _ = strings.Cut(filter, "http_filters:")
	if lines := strings.Count(filter, "\n") - 1; lines > 10 {
		t.Errorf("the filter of a slot has %d lines", lines)
	}
	if text, err := with(func(s *distribution.Snippet) { s.Token = `leash"}` }).Render(); err == nil {
		t.Errorf("a token that ends its quotes is rendered:\n%s", text)
	}
	for _, address := range []string{"", "nowhere", ":5051", "host:0", "host:port"} {
		s := policy
		s.Registry = address
		if _, err := s.Render(); err == nil {
			t.Errorf("the address %q is taken", address)
		}
	}
}

func TestNamesOfSlots(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]distribution.Slot{
		"leash/greeter@stable":                     {Module: "greeter", Channel: "stable"},
		"leash/acme/greeter@stable":                {Module: "acme/greeter", Channel: "stable"},
		"leash/a/b.c/d__e/f-g@next-1.x/edge":       {Module: "a/b.c/d__e/f-g", Channel: "next-1.x", Config: "edge"},
		"":                                         {},
		"greeter@stable":                           {},
		"leash/greeter":                            {},
		"leash/greeter@":                           {},
		"leash/greeter@1.0.0":                      {},
		"leash/../secrets@stable":                  {},
		"leash//greeter@stable":                    {},
		"leash/Greeter@stable":                     {},
		"leash/greeter@stable/":                    {},
		"leash/greeter@stable/edge/west":           {},
		"leash/greeter@stable+standby":             {Module: "greeter", Channel: "stable", Standby: true},
		"leash/greeter@stable/edge+standby":        {Module: "greeter", Channel: "stable", Config: "edge", Standby: true},
		"leash/greeter@stable+standby+standby":     {},
		"leash/greeter@stable+next":                {},
		"leash/greeter@stable\nx":                  {},
		"leash/greeter@" + strings.Repeat("x", 64): {},
	} {
		got, err := distribution.ParseSlot(name)
		if (err == nil) != (want != distribution.Slot{}) || got != want {
			t.Errorf("%q is %+v (%v), want %+v", name, got, err, want)
		}
		if err == nil && got.String() != name {
			t.Errorf("%q is written as %q", name, got)
		}
	}
}

// exampleModule is the one of examples/istio and examples/envoy-gateway, as if it were made with the kit. Its digest is made up.
func exampleModule(t *testing.T, kind string) (ref string, wasm []byte) {
	t.Helper()
	wasm = greeter(t, "1.0.0", kind, ofTheKit)
	return "registry.example.com/acme/greeter@" + digest.FromString("acme/greeter 1.0.0").String(), wasm
}

func TestManifestsOfOtherControlPlanes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"policy", "inspector"} {
		ref, wasm := exampleModule(t, kind)
		m := distribution.Mesh{
			Namespace: "edge", Ref: ref, Wasm: wasm, Config: json.RawMessage(`{"greeting": "hello"}`), Selector: map[string]string{"app": "gateway"}, Gateway: "public",
		}
		plugin, err := m.WasmPlugin()
		if err != nil {
			t.Fatal(err)
		}
		golden.Assert(t, string(plugin), "../../../examples/istio/"+kind+".yaml")
		policy, err := m.EnvoyExtensionPolicy()
		if err != nil {
			t.Fatal(err)
		}
		golden.Assert(t, string(policy), "../../../examples/envoy-gateway/"+kind+".yaml")
		for name, change := range map[string]func(*distribution.Mesh){
			"a configuration that the module does not take": func(m *distribution.Mesh) { m.Config = json.RawMessage(`{"greeting": 1}`) },
			"a configuration that is no JSON":               func(m *distribution.Mesh) { m.Config = json.RawMessage(`{`) },
			"a tag":                                         func(m *distribution.Mesh) { m.Ref = "registry.example.com/acme/greeter:1.0.0" },
			"no module":                                     func(m *distribution.Mesh) { m.Wasm = nil },
		} {
			wrong := m
			change(&wrong)
			if text, err := wrong.WasmPlugin(); err == nil {
				t.Errorf("%s is rendered as %s", name, text)
			}
			if text, err := wrong.EnvoyExtensionPolicy(); err == nil {
				t.Errorf("%s is rendered as %s", name, text)
			}
		}
	}
}

// TestModuleWithoutBodiesNeedsNoBuffers: then a Gateway is left as it is.
func TestModuleWithoutBodiesNeedsNoBuffers(t *testing.T) {
	t.Parallel()
	ref, wasm := exampleModule(t, "policy")
	wasm, err := manifest.Put(wasm, []byte("name: greeter\nversion: 1.0.0\nkind: policy\ndescription: A module of a test.\nlicense: Apache-2.0\nphases: [request_header, response_header, finish]\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := distribution.Mesh{Ref: ref, Wasm: wasm, Gateway: "public"}.EnvoyExtensionPolicy()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); strings.Contains(got, "ClientTrafficPolicy") || strings.Contains(got, "no_header_pause") {
		t.Errorf("rendered as\n%s", got)
	}
}

func TestModulesThatMustHoldHeadersAreNotRenderedForControlPlanesThatDoNot(t *testing.T) {
	t.Parallel()
	ref, wasm := exampleModule(t, "policy")
	wasm, err := manifest.Put(wasm, []byte("name: route\nversion: 1.0.0\nkind: policy\ndescription: A module of a test.\nlicense: Apache-2.0\nphases: [request]\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := distribution.Mesh{Ref: ref, Wasm: wasm, Gateway: "public"}
	for target, render := range map[string]func() ([]byte, error){"istio": m.WasmPlugin, "envoy-gateway": m.EnvoyExtensionPolicy} {
		if text, err := render(); err == nil || !strings.Contains(err.Error(), "route sets headers by what is in the body") {
			t.Errorf("%s: got %v\n%s", target, err, text)
		}
	}
}

// The snippet is YAML in three parts: what goes to the filters, to the clusters, and, for canaries, to the sinks of metrics.
func ExampleSnippet_Render() {
	slot, err := distribution.ParseSlot("leash/acme/greeter@stable")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := distribution.Snippet{Slot: slot, Kind: manifest.Inspector, Registry: "registry.example.com:5051"}.Render()
	if err != nil {
		fmt.Println(err)
		return
	}
	var parts map[string][]struct{ Name string }
	if err := yaml.Unmarshal(text, &parts); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(parts["http_filters"][0].Name, parts["clusters"][0].Name, parts["stats_sinks"][0].Name)
	// Output: leash/acme/greeter@stable leash.registry envoy.stat_sinks.metrics_service
}
