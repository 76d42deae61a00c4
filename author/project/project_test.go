package project_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/author/kit"
	"github.com/leash-gateway/leash/author/project"
	"github.com/leash-gateway/leash/manifest"
)

// TestProjectsPassTheirTestsAtOnce runs what an author would run first. That they build and pass their scenarios on the
// .wasm is tested with the command (cli).
func TestProjectsPassTheirTestsAtOnce(t *testing.T) {
	for _, template := range project.Templates {
		t.Run(template.Name, func(t *testing.T) {
			t.Parallel()
			dir, err := project.New(project.Options{Name: "my-module", Template: template.Name, Dir: filepath.Join(t.TempDir(), "p"), GoModule: "example.com/me/my-module"})
			if err != nil {
				t.Fatal(err)
			}
			for _, command := range [][]string{{"gofmt", "-l", "."}, {"go", "mod", "tidy", "-diff"}} {
				if out := run(t, dir, command...); out != "" {
					t.Errorf("%v says:\n%s", command, out)
				}
			}
			if out := run(t, dir, "go", "test", "-vet=all", "."); !strings.Contains(out, "ok") {
				t.Errorf("go test says:\n%s", out)
			}
			m, err := manifest.Load(filepath.Join(dir, manifest.FileName))
			if err != nil {
				t.Fatal(err)
			}
			if m.Name != "my-module" || len(m.Config) == 0 {
				t.Errorf("got manifest %+v", m)
			}
		})
	}
}

func TestTheSmallestProjectIsSmall(t *testing.T) {
	dir, err := project.New(project.Options{Name: "hello", Dir: filepath.Join(t.TempDir(), "hello")})
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range []string{"module.go", "module_test.go", "module.yaml"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(text), "\n")
	}
	if lines > 60 {
		t.Errorf("code, test and manifest have %d lines, want 60 at the most", lines)
	}
}

func TestOptionsThatMakeNoSenseAreRefusedAndNothingIsWritten(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	for name, tc := range map[string]struct {
		options project.Options
		want    string
	}{
		"no name":                  {project.Options{Dir: dir}, `"" cannot be a module's name`},
		"capitals":                 {project.Options{Name: "Hello", Dir: dir}, `"Hello" cannot be a module's name`},
		"a path":                   {project.Options{Name: "../hello", Dir: dir}, "cannot be a module's name"},
		"no such template":         {project.Options{Name: "a", Template: "rust", Dir: dir}, `there is no template "rust": there are minimal, policy`},
		"a folder that is in use":  {project.Options{Name: "a", Dir: full}, "is not empty: name another with --dir"},
		"a Go module that is none": {project.Options{Name: "a", Dir: dir, GoModule: "a b"}, "malformed import path"},
		"Leash's own Go module":    {project.Options{Name: "a", Dir: dir, GoModule: kit.ModulePath + "/a"}, "is Leash's own"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := project.New(tc.options)
			if !errors.Is(err, project.ErrUsage) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("something was written")
			}
		})
	}
}

func TestTheKitIsUpgradedButNotOverChanges(t *testing.T) {
	dir, err := project.New(project.Options{Name: "hello", Dir: filepath.Join(t.TempDir(), "hello")})
	if err != nil {
		t.Fatal(err)
	}
	upgrade := func(force bool) (kit.Upgrade, error) { return kit.UpgradeProject(dir, force) }
	if u, err := upgrade(false); err != nil || u.From != u.To {
		t.Fatalf("got %+v, %v, want nothing done", u, err)
	}
	goMod := filepath.Join(dir, "go.mod")
	text, err := os.ReadFile(goMod)
	if err != nil {
		t.Fatal(err)
	}
	// The project needs something itself, and its kit is an old one.
	old := strings.Replace(string(text), "replace ", "require example.com/mine v1.2.3\n\nreplace ", 1)
	if err := os.WriteFile(goMod, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(dir, kit.Folder, "module", "module.go")
	if err := os.WriteFile(changed, []byte("package module\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := upgrade(false); !errors.Is(err, kit.ErrChanged) || !strings.Contains(err.Error(), "kit/module/module.go") {
		t.Fatalf("got %v, want ErrChanged", err)
	}
	if content, _ := os.ReadFile(changed); string(content) != "package module\n" {
		t.Error("the change is gone")
	}
	if _, err := upgrade(true); err != nil {
		t.Fatal(err)
	}
	if _, err := kit.Check(filepath.Join(dir, kit.Folder)); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(goMod); !strings.Contains(string(text), "example.com/mine v1.2.3") {
		t.Errorf("what the project needs was lost:\n%s", text)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".kit-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.Command(args[0], args[1:]...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off", "GOMODCACHE="+t.TempDir()) // nothing can be reached
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v", args, err)
	}
	return string(out)
}
