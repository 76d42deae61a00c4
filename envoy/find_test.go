package envoy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/leash-gateway/leash/envoy"
)

// TestEnvoyIsFoundInItsOrder takes away one after the other of the places where it may be.
func TestEnvoyIsFoundInItsOrder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	path := filepath.Join(dir, "own", "envoy")
	env := func(name string) (string, bool) { return path, name == "ENVOY_PATH" }
	for _, place := range []string{"own", "bin", filepath.Join(".envoy", "lib", "python3.13", "site-packages", "envoy", "_bin")} {
		if err := os.MkdirAll(place, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(place, "envoy"), []byte("#!/bin/sh\n"), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	wants := func(what, want string) {
		t.Helper()
		if got, err := envoy.Find(env); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", what, got, err, want)
		}
	}
	wants("ENVOY_PATH", path)
	path = ""
	wants("on PATH", filepath.Join(dir, "bin", "envoy"))
	if err := os.Remove(filepath.Join("bin", "envoy")); err != nil {
		t.Fatal(err)
	}
	wants("the project's own", filepath.Join(".envoy", "lib", "python3.13", "site-packages", "envoy", "_bin", "envoy"))
	if err := os.RemoveAll(".envoy"); err != nil {
		t.Fatal(err)
	}
	wants("nowhere, so it is downloaded", "")
	path = filepath.Join(dir, "nobody")
	if got, err := envoy.Find(env); err == nil {
		t.Errorf("ENVOY_PATH that names nothing: got %q", got)
	}
}
