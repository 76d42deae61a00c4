// Package kit writes what a module is written against (Leash's packages llm and module) into a folder beside the
// module's own code, as a Go module that go.mod replaces. Nothing at all is then needed to build it but Go.
//
// The kit has a version, which is that of its content, and remembers what it wrote: a kit that somebody has changed is
// not overwritten silently.
package kit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/leash-gateway/leash"
)

const (
	// ModulePath is the Go module that the kit is.
	ModulePath = "github.com/leash-gateway/leash"
	// Folder is where the kit is in a project.
	Folder = "kit"
	// sumFile holds the digests of what was written, as sha256sum -c reads them.
	sumFile = "SHA256SUMS"
)

// release is the version of the kit's API; what comes behind it is made from the content.
const release = "v0.1.0"

const readme = `# Leash's kit

What the module beside this folder is written against: the packages llm and module. It was written here by
"leash module new"; go.mod points to it. Do not change it: "leash module upgrade-kit" writes a newer one.
`

// Files are the kit's files by their path, go.mod among them.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{"README.md": []byte(readme)}
	err := fs.WalkDir(leash.Sources, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, "_test.go") || name == "go.mod" {
			return err
		}
		files[name], err = leash.Sources.ReadFile(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read kit: %w", err)
	}
	if files["go.mod"], err = goMod(); err != nil {
		return nil, err
	}
	return files, nil
}

// GoVersion is Leash's version of Go, which the kit asks for. It asks for nothing else: it needs the standard library only.
func GoVersion() (string, error) {
	text, err := leash.Sources.ReadFile("go.mod")
	if err != nil {
		return "", fmt.Errorf("read kit: %w", err)
	}
	own, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		return "", fmt.Errorf("read kit: %w", err)
	}
	return own.Go.Version, nil
}

func goMod() ([]byte, error) {
	version, err := GoVersion()
	return fmt.Appendf(nil, "module %s\n\ngo %s\n", ModulePath, version), err
}

// Version is the version of the kit that this program carries: it changes whenever the kit does.
func Version() (string, error) {
	files, err := Files()
	if err != nil {
		return "", err
	}
	return versionOf(files), nil
}

func versionOf(files map[string][]byte) string {
	sum := sha256.Sum256(sums(files))
	return release + "-" + hex.EncodeToString(sum[:6])
}

// sums lists the files with their digests.
func sums(files map[string][]byte) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	return b.Bytes()
}

// Write writes the kit into a folder that is not there yet or empty, and returns its version.
func Write(dir string) (string, error) {
	files, err := Files()
	if err != nil {
		return "", err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("write kit: %s is not empty", dir)
	}
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // sources are for everybody to read
			return "", fmt.Errorf("write kit: %w", err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil { //nolint:gosec // as above
			return "", fmt.Errorf("write kit: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, sumFile), sums(files), 0o644); err != nil { //nolint:gosec // as above
		return "", fmt.Errorf("write kit: %w", err)
	}
	return versionOf(files), nil
}

// ErrChanged says that somebody has changed the kit's files.
var ErrChanged = errors.New("its files have been changed")

// Check says whether a kit in a folder is as it was written, and which version it is. The error is [ErrChanged] with the
// first file that is another.
func Check(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, sumFile)) //nolint:gosec // in the author's project
	if err != nil {
		return "", fmt.Errorf("read kit: %w", err)
	}
	sum := sha256.Sum256(text)
	version := release + "-" + hex.EncodeToString(sum[:6])
	listed := map[string]bool{sumFile: true}
	for line := range strings.Lines(string(text)) {
		digest, name, found := strings.Cut(strings.TrimSpace(line), "  ")
		if !found || !filepath.IsLocal(filepath.FromSlash(name)) {
			return version, fmt.Errorf("read kit: %s is broken: %w", sumFile, ErrChanged)
		}
		listed[name] = true
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))) //nolint:gosec // as above
		if err != nil || fmt.Sprintf("%x", sha256.Sum256(content)) != digest {
			return version, fmt.Errorf("read kit: %s: %w", path.Join(filepath.Base(dir), name), ErrChanged)
		}
	}
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err == nil && !listed[filepath.ToSlash(name)] {
			err = fmt.Errorf("read kit: %s is not its: %w", name, ErrChanged)
		}
		return err
	})
	return version, err
}

// An Upgrade is what [UpgradeProject] has done.
type Upgrade struct{ From, To string }

// UpgradeProject puts the kit that this program carries in the place of a project's, and sets its version in go.mod. A
// kit with changes is left as it is (ErrChanged), unless force is set. What was there is removed only when the new one is
// in place.
func UpgradeProject(project string, force bool) (Upgrade, error) {
	dir := filepath.Join(project, Folder)
	from, changed := Check(dir)
	if changed != nil && (!force || !errors.Is(changed, ErrChanged)) {
		return Upgrade{}, changed
	}
	beside, err := os.MkdirTemp(project, ".kit-")
	if err != nil {
		return Upgrade{}, fmt.Errorf("upgrade kit: %w", err)
	}
	defer os.RemoveAll(beside) //nolint:errcheck // what is left of it
	u := Upgrade{From: from}
	if u.To, err = Write(filepath.Join(beside, "new")); err != nil {
		return u, err
	}
	if u.To == u.From && changed == nil && !force {
		return u, nil
	}
	if err := setVersion(project, u.To); err != nil {
		return u, err
	}
	old := filepath.Join(beside, "old")
	if err := os.Rename(dir, old); err != nil {
		return u, fmt.Errorf("upgrade kit: %w", err)
	}
	if err := os.Rename(filepath.Join(beside, "new"), dir); err != nil {
		return u, fmt.Errorf("upgrade kit: %w", errors.Join(err, os.Rename(old, dir)))
	}
	return u, nil
}

// setVersion sets the kit's version in a project's go.mod.
func setVersion(project, version string) error {
	file := filepath.Join(project, "go.mod")
	text, err := os.ReadFile(file) //nolint:gosec // the author's project
	if err != nil {
		return fmt.Errorf("upgrade kit: %w", err)
	}
	mod, err := modfile.Parse(file, text, nil)
	if err != nil {
		return fmt.Errorf("upgrade kit: %w", err)
	}
	if err := mod.AddRequire(ModulePath, version); err != nil {
		return fmt.Errorf("upgrade kit: %w", err)
	}
	mod.Cleanup()
	if text, err = mod.Format(); err != nil {
		return fmt.Errorf("upgrade kit: %w", err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil { //nolint:gosec // sources
		return fmt.Errorf("upgrade kit: %w", err)
	}
	return nil
}
