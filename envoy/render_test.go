package envoy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
)

// TestRender compares with golden files. That Envoy accepts what is rendered is tested end to end (e2e/secrets_test.go).
func TestRender(t *testing.T) {
	files, err := filepath.Glob("testdata/render/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("find configurations: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// A file beside the configuration would be found by its whole path, which is another on each machine.
			c, err := config.Parse("/etc/leash/leash.yaml", text, os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			got, err := envoy.Render(c, envoy.Options{ModulesDir: "/usr/lib/leash/modules", CAFile: "/etc/ssl/cert.pem"})
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, string(got), "render/"+strings.TrimSuffix(filepath.Base(file), ".yaml")+".golden")
		})
	}
}

// TestFiltersAreNeighboursOnlyWhereNothingCanBePutBetween has filters that do not ask for what the one beside them has let go on.
func TestFiltersAreNeighboursOnlyWhereNothingCanBePutBetween(t *testing.T) {
	const text = `
modules: {layout: filters}
allow_anonymous: true
providers: {one: {base_url: http://127.0.0.1:1}}
routes: [{model: "*", provider: one}]
pipeline: [{module: logger}, {module: contentfilter}, {module: route}]
`
	c, err := config.Parse("leash.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, static := range []bool{false, true} {
		r, err := envoy.Translate(c, envoy.Options{ModulesDir: "/usr/lib/leash/modules", Static: static})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Extensions {
			if neighbours := strings.Contains(e.String(), "previous") || strings.Contains(e.String(), "next"); neighbours == static {
				t.Errorf("static %t: the configuration of %s says that it has neighbours: %t", static, e.GetName(), neighbours)
			}
		}
	}
}
