package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/author/project"
)

// TestTemplatesKeepTheirPromisesOnTheWasm takes the author's way with every template: new, build, test, validate.
func TestTemplatesKeepTheirPromisesOnTheWasm(t *testing.T) {
	for _, template := range project.Templates {
		t.Run(template.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "project")
			for _, args := range [][]string{
				{"module", "new", "my-module", "--template", template.Name, "--dir", dir},
				{"module", "build", dir, "--size"},
				{"module", "test", dir},
				{"validate", "-c", filepath.Join(dir, "leash.yaml")},
			} {
				stdout, stderr, code := program(t, args...)
				if code != exitDone {
					t.Fatalf("leash %v ended with %d:\n%s%s", args, code, stdout, stderr)
				}
				if args[1] == "build" && !strings.Contains(stderr, "github.com/leash-gateway/leash/module") {
					t.Errorf("the size report lacks the kit:\n%s", stderr)
				}
				if args[1] == "test" && !strings.Contains(stdout, " 0 failed") {
					t.Errorf("got %s", stdout)
				}
			}
		})
	}
}

func TestAConfigurationIsHeldAgainstTheModulesSchema(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "project")
	for _, args := range [][]string{{"module", "new", "my-module", "-t", "policy", "--dir", dir}, {"module", "build", dir}} {
		if _, stderr, code := leash(t, args...); code != exitDone {
			t.Fatalf("leash %v: %s", args, stderr)
		}
	}
	file := filepath.Join(dir, "leash.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "max_prompt_bytes: 20000", "max_prompt_byte: 20000", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := leash(t, "validate", "-c", file)
	if want := "pipeline[0].config.max_prompt_byte: unknown field: known are max_prompt_bytes, models"; code != exitUsage || !strings.Contains(stderr, want) {
		t.Errorf("got %d %s, want %q", code, stderr, want)
	}
}

func TestNewAsksNothingWithoutATerminal(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no name":          {[]string{"module", "new"}, "leash module new NAME"},
		"two names":        {[]string{"module", "new", "a", "b"}, `unexpected argument "b"`},
		"a wrong template": {[]string{"module", "new", "a", "--template", "x", "--dir", filepath.Join(t.TempDir(), "a")}, "there are minimal, policy"},
		"no kit":           {[]string{"module", "build", t.TempDir()}, "module.yaml: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := leash(t, tc.args...)
			if code == exitDone || !strings.Contains(stderr, tc.want) {
				t.Errorf("got %d %s, want %q", code, stderr, tc.want)
			}
		})
	}
}

func TestExamplesAreBuiltAndKeepTheirPromises(t *testing.T) {
	manifests, err := filepath.Glob("../examples/*/module.yaml")
	if err != nil || len(manifests) < 3 {
		t.Fatalf("found %v, %v", manifests, err)
	}
	for _, file := range manifests {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			wasm := filepath.Join(t.TempDir(), "module.wasm")
			must(t, "module", "build", dir, "-o", wasm)
			if got, stderr, _ := program(t, "module", "test", dir, "--wasm", wasm); !strings.Contains(got, " 0 failed") {
				t.Error(got, stderr)
			}
		})
	}
}
