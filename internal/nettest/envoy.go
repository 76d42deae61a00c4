package nettest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Envoy finds the binary where leash does: ENVOY_PATH, envoy on PATH, what make envoy has brought. Without one a test fails, it is never skipped.
func Envoy(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("ENVOY_PATH"); path != "" {
		return path
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return path
	}
	dir, err := os.Getwd() // a package's folder, somewhere below that of the repository
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if found, _ := filepath.Glob(filepath.Join(dir, ".envoy/lib/python*/site-packages/envoy/_bin/envoy")); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatal("no Envoy here: make envoy brings it, or set ENVOY_PATH")
	return ""
}
