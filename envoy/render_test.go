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
