// Package envoygateway tests with the API of Envoy Gateway, which is in a Go module of its own: what leash render --target
// envoy-gateway prints, as examples/envoy-gateway has it, is an EnvoyExtensionPolicy and a ClientTrafficPolicy.
package envoygateway_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envoyproxy/gateway/api/v1alpha1"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

func TestExamplesAreResourcesOfEnvoyGateway(t *testing.T) {
	t.Parallel()
	schema, ofClients := crd(t, "envoyextensionpolicies"), crd(t, "clienttrafficpolicies")
	files, err := filepath.Glob("../../examples/envoy-gateway/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v (%v)", files, err)
	}
	for _, file := range files {
		both, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text, buffers, _ := bytes.Cut(both, []byte("---\n"))
		var policy v1alpha1.EnvoyExtensionPolicy
		if err := yaml.UnmarshalStrict(text, &policy); err != nil {
			t.Fatalf("%s is no EnvoyExtensionPolicy: %v", file, err)
		}
		wasm := policy.Spec.Wasm[0]
		if got := wasm.Code.Image; got == nil || !strings.Contains(got.URL, "@sha256:") || !strings.Contains(string(wasm.Config.Raw), "greeting") {
			t.Errorf("%s is read as %+v", file, wasm)
		}
		if want := strings.HasPrefix(filepath.Base(file), "inspector"); *wasm.FailOpen != want {
			t.Errorf("%s fails open: %v, want %v", file, *wasm.FailOpen, want)
		}
		if err := schema.Validate(plain(t, text)); err != nil {
			t.Errorf("%s does not fit the CRD: %v", file, err)
		}
		var clients v1alpha1.ClientTrafficPolicy
		if err := yaml.UnmarshalStrict(buffers, &clients); err != nil {
			t.Fatalf("%s holds no ClientTrafficPolicy: %v", file, err)
		}
		if got := clients.Spec.Connection.BufferLimit.Value(); got != 33<<20 {
			t.Errorf("%s lets the Gateway buffer %d bytes", file, got)
		}
		if got := clients.Spec.HTTP2.InitialStreamWindowSize.Value(); got != 33<<20 {
			t.Errorf("%s lets the Gateway buffer %d bytes of an HTTP/2 stream", file, got)
		}
		if clients.Spec.TargetRefs[0].Name != policy.Spec.TargetRefs[0].Name || clients.Namespace != policy.Namespace {
			t.Errorf("%s has the buffers of another Gateway", file)
		}
		if err := ofClients.Validate(plain(t, buffers)); err != nil {
			t.Errorf("%s does not fit the CRD: %v", file, err)
		}
	}
	if err := schema.Validate(plain(t, []byte("apiVersion: x\nkind: EnvoyExtensionPolicy\nspec: {wasm: [{name: x}]}"))); err == nil {
		t.Error("the CRD takes a policy without code")
	}
}

// crd is the schema of a custom resource, from Envoy Gateway's own chart.
func crd(t *testing.T, plural string) *jsonschema.Schema {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-mod=mod", "-f", "{{.Dir}}", "github.com/envoyproxy/gateway").Output()
	if err != nil {
		t.Fatal(err)
	}
	found, _ := filepath.Glob(strings.TrimSpace(string(dir)) + "/charts/*/templates/generated/gateway.envoyproxy.io_" + plural + ".yaml")
	if len(found) == 0 {
		t.Fatal("there is no CRD in Envoy Gateway's charts")
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	var lines []string // without those of Helm's
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "{{") {
			lines = append(lines, line)
		}
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema json.RawMessage `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(strings.Join(lines, "")), &definition); err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(definition.Spec.Versions[0].Schema.OpenAPIV3Schema)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("crd.json", value); err != nil {
		t.Fatal(err)
	}
	return compiler.MustCompile("crd.json")
}

func plain(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}
