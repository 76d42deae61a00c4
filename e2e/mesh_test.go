package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// meshModules are Leash's own, each with the configuration that it gets in a mesh.
var meshModules = []struct{ name, kind, config string }{
	{"auth", "policy", `{"keys":[{"tenant":"acme","name":"laptop","sha256":"12cbc3cdde6a618d69e5c6e950ad7b85716d9c2f346bf67600b3baef33d50405"},` +
		`{"tenant":"globex","name":"visitor","sha256":"091646b8fb0db3801122856f10721f728b34de4481485ecba2bd58a5207bc575"}]}`},
	{"ratelimit", "policy", `{"limits":[{"by":"key","requests":1,"window":"1h"}]}`},
	{"costtracker", "inspector", `{}`},
}

// startRegistryOf serves the modules of a mesh, in the channel stable.
func startRegistryOf(t *testing.T, slots string) (m *mesh, envoys string) {
	t.Helper()
	envoys = nettest.FreeAddress(t)
	m = &mesh{t: t, dir: t.TempDir(), registry: nettest.FreeAddress(t), ports: strings.NewReplacer("LEASH", leash(t), "ROOT", root(t))}
	m.env = append(os.Environ(), "LEASH_BLOBS="+t.TempDir(), "DOCKER_CONFIG="+t.TempDir())
	for name, text := range map[string]string{"registry.yaml": "listen: " + m.registry + "\nenvoys: {listen: " + envoys + ", slots: slots.yaml}\n", "slots.yaml": slots} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.serve()
	for _, module := range meshModules {
		m.types(fmt.Sprintf(`
			LEASH module annotate --manifest ROOT/filters/%[1]s/module.yaml -o %[1]s.wasm ROOT/build/modules/%[1]s.wasm
			LEASH module push %[2]s/acme/%[1]s:0.1.0 -f %[1]s.wasm
			LEASH module promote %[2]s/acme/%[1]s 0.1.0 --channel stable`, module.name, m.registry))
	}
	return m, envoys
}

// slotsOf are the filters and the clusters of the slots that are rendered for the modules.
func slotsOf(t *testing.T) (filters []string, clusters []any) {
	t.Helper()
	slots := map[string]any{}
	for _, module := range meshModules {
		var config map[string]any
		if err := yaml.Unmarshal([]byte(module.config), &config); err != nil {
			t.Fatal(err)
		}
		slots["acme/"+module.name] = map[string]any{"default": config}
	}
	m, envoys := startRegistryOf(t, asJSON(t, map[string]any{"modules": slots}))
	for _, module := range meshModules {
		var rendered struct {
			Filters  []any `json:"http_filters"`
			Clusters []any
		}
		text := m.types("LEASH render --target slot --registry " + envoys + " --wait 1m --kind " + module.kind + " --slot leash/acme/" + module.name + "@stable")
		if err := yaml.Unmarshal([]byte(text), &rendered); err != nil {
			t.Fatal(err)
		}
		for _, filter := range rendered.Filters {
			filters = append(filters, asJSON(t, filter))
		}
		clusters = rendered.Clusters
	}
	return filters, clusters
}

// pluginsOf are the filters that Istio makes of the WasmPlugins that are rendered for the modules.
func pluginsOf(t *testing.T) (filters []string, _ []any) {
	t.Helper()
	m, _ := startRegistryOf(t, "{}")
	for _, module := range meshModules {
		var plugin struct {
			Spec struct {
				PluginName   string
				FailStrategy string
				PluginConfig any
			}
		}
		text := m.types("LEASH render --target istio --module " + m.registry + "/acme/" + module.name + ":0.1.0 --module-config '" + module.config + "'")
		if err := yaml.Unmarshal([]byte(text), &plugin); err != nil {
			t.Fatal(err)
		}
		name := "edge." + module.name
		filters = append(filters, asJSON(t, map[string]any{"name": name, "typed_config": map[string]any{
			"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
			"config": map[string]any{
				"name": name, "root_id": plugin.Spec.PluginName, "failure_policy": plugin.Spec.FailStrategy,
				"configuration": map[string]any{"@type": "type.googleapis.com/google.protobuf.StringValue", "value": asJSON(t, plugin.Spec.PluginConfig)},
				"vm_config": map[string]any{
					"runtime": "envoy.wasm.runtime.v8", "code": map[string]any{"local": map[string]any{"filename": filepath.Join(m.dir, module.name+".wasm")}},
				},
			},
		}}))
	}
	return filters, nil
}

// TestModulesOfAMeshKnowOfEachOther has Leash's modules in an Envoy of others, each by itself, as a mesh gets them. What one of them has found out the
// others must know: else the limit of each key would be one of all callers.
func TestModulesOfAMeshKnowOfEachOther(t *testing.T) {
	t.Parallel()
	for name, filtersOf := range map[string]func(*testing.T) ([]string, []any){"slots": slotsOf, "plugins of Istio": pluginsOf} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, url := startProvider(t, mock.Options{})
			g := prepare(t, policies, ports{Provider: url})
			filters, clusters := filtersOf(t)
			g.envoy(strings.Replace(g.ownBootstrap(ownEnvoy{}, filters, clusters...), "\nadmin:", "\nnode: {id: edge-1, cluster: edge}\nadmin:", 1))
			for _, key := range []string{demoKey, trialKey} {
				for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
					r := g.request(chatBody("say: one two", false))
					r.Header.Set("Authorization", "Bearer "+key)
					if a := do(t, r); a.Status != want {
						t.Errorf("with %s: got %d %s, want %d", key, a.Status, a.Body, want)
					}
				}
			}
			for _, tenant := range []string{"acme", "globex"} {
				want := "leash_tokens_total.[tenant=" + tenant + "].[model=gpt-4o-mini].[kind=output]: 2\n"
				nettest.Eventually(t, "what "+tenant+" has used to be counted", func() bool {
					return strings.Contains(get(t, g.Admin+"/stats?filter=leash_").Body, want)
				})
			}
		})
	}
}
