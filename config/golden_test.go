package config_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file below testdata, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// inputs are the YAML files of a folder below testdata.
func inputs(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find test data in %s: %v", dir, err)
	}
	return files
}

func beside(path, extension string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + extension
}

// planted is a provider's key as it must not appear anywhere.
const planted = "sk-planted-0123456789"

// environment is what the tests' files find in the environment.
func environment(name string) (string, bool) {
	value, ok := map[string]string{"EMPTY": "", "PORT": "8081", "PLANTED": planted, "OPENAI_API_KEY": planted}[name]
	return value, ok
}
