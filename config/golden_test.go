package config_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// inputs are the YAML files of a folder below testdata.
func inputs(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find test data in %s: %v", dir, err)
	}
	return files
}

// beside is the golden file beside an input.
func beside(path, extension string) string {
	return filepath.Base(filepath.Dir(path)) + "/" + strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)) + extension
}

// planted is a provider's key as it must not appear anywhere.
const planted = "sk-planted-0123456789"

// environment is what the tests' files find in the environment.
func environment(name string) (string, bool) {
	value, ok := map[string]string{"EMPTY": "", "PORT": "8081", "PLANTED": planted, "OPENAI_API_KEY": planted}[name]
	return value, ok
}
