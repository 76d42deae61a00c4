package istio_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/encoding/protojson"
	"istio.io/api/extensions/v1alpha1"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/validation"
	"sigs.k8s.io/yaml"
)

func TestExamplesAreWasmPlugins(t *testing.T) {
	schema := crd(t)
	files, err := filepath.Glob("../../examples/istio/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v (%v)", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var resource struct {
			APIVersion string          `json:"apiVersion"`
			Kind       string          `json:"kind"`
			Spec       json.RawMessage `json:"spec"`
			Metadata   struct{ Name, Namespace string }
		}
		if err := yaml.Unmarshal(text, &resource); err != nil {
			t.Fatal(err)
		}
		plugin := &v1alpha1.WasmPlugin{}
		if err := protojson.Unmarshal(resource.Spec, plugin); err != nil { // unknown fields are errors
			t.Fatalf("%s is no WasmPlugin: %v", file, err)
		}
		if resource.APIVersion != "extensions.istio.io/v1alpha1" || resource.Kind != "WasmPlugin" {
			t.Errorf("%s is a %s of %s", file, resource.Kind, resource.APIVersion)
		}
		if _, err := validation.ValidateWasmPlugin(config.Config{
			Meta: config.Meta{Name: resource.Metadata.Name, Namespace: resource.Metadata.Namespace}, Spec: plugin,
		}); err != nil {
			t.Errorf("%s is refused by Istio: %v", file, err)
		}
		want := v1alpha1.FailStrategy_FAIL_RELOAD
		if strings.HasPrefix(filepath.Base(file), "inspector") {
			want = v1alpha1.FailStrategy_FAIL_OPEN
		}
		if plugin.GetFailStrategy() != want || !strings.Contains(plugin.GetUrl(), "@sha256:") || plugin.GetPluginConfig().GetFields()["modules"] == nil {
			t.Errorf("%s is read as %v", file, plugin)
		}
		if err := schema.Validate(plain(t, text)); err != nil {
			t.Errorf("%s does not fit the CRD: %v", file, err)
		}
	}
	if err := schema.Validate(plain(t, []byte("apiVersion: x\nkind: WasmPlugin\nspec: {failStrategy: FAIL_SOMEHOW}"))); err == nil {
		t.Error("the CRD takes a plugin without an address")
	}
}

// crd is the schema of the custom resource, from Istio's API.
func crd(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-mod=mod", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "kubernetes", "customresourcedefinitions.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var definition struct {
			Metadata struct{ Name string } `json:"metadata"`
			Spec     struct {
				Versions []struct {
					Schema struct {
						OpenAPIV3Schema json.RawMessage `json:"openAPIV3Schema"`
					} `json:"schema"`
				} `json:"versions"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(document), &definition); err != nil {
			t.Fatal(err)
		}
		if definition.Metadata.Name != "wasmplugins.extensions.istio.io" {
			continue
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
	t.Fatal("there is no WasmPlugin in Istio's CRDs")
	return nil
}

func plain(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}
