package config_test

import (
	"slices"
	"testing"

	"github.com/leash-gateway/leash/config"
)

// TestWhatCarriesSharesNothingWithModulesOfOnesOwn: the restrictions and the VM of what takes requests to providers are those of Leash's
// module route, wherever modules of one's own stand.
func TestWhatCarriesSharesNothingWithModulesOfOnesOwn(t *testing.T) {
	for name, pipeline := range map[string]string{
		"before Leash's":      "[{module: mine, file: mine.wasm, kind: policy}, {module: auth}, {module: logger}]",
		"in between":          "[{module: auth}, {module: mine, file: mine.wasm, kind: policy}, {module: logger}]",
		"last":                "[{module: auth}, {module: logger}, {module: mine, file: mine.wasm, kind: policy}]",
		"last, route written": "[{module: auth}, {module: logger}, {module: mine, file: mine.wasm, kind: policy}, {module: route}]",
	} {
		for _, layout := range []string{"together", "filters", "files"} {
			t.Run(name+", "+layout, func(t *testing.T) {
				c, err := config.Parse("leash.yaml", []byte("modules: {layout: "+layout+"}\nproviders: {local: {kind: ollama}}\nroutes: [{model: m, provider: local}]\npipeline: "+pipeline), environment)
				if err != nil {
					t.Fatal(err)
				}
				for module, allowed := range map[string]string{"auth": "a", "logger": "l", "route": "r", "provider": "p", "mine": "all-that-mine-may"} {
					c.Admit(module, config.Admitted{Allow: []string{allowed}})
				}
				got := c.Carrier("local", "/v1", true)
				if slices.Contains(got.Allow, "all-that-mine-may") || !slices.Contains(got.Allow, "p") || got.Own {
					t.Errorf("it may %v, in %s", got.Allow, got.File)
				}
				for _, f := range c.Filters() {
					if f.Own && (f.VM == got.VM || f.File == got.File || slices.Contains(f.Allow, "p")) {
						t.Errorf("it shares the VM %s, or the file %s, with %s, which may %v", got.VM, got.File, f.Name, f.Allow)
					}
					if !f.Own && f.VM == got.VM && f.File == got.File && !slices.Equal(f.Allow, got.Allow) {
						t.Errorf("%s in the same VM may %v, and it may %v", f.Name, f.Allow, got.Allow)
					}
				}
			})
		}
	}
}
