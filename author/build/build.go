// Package build makes the artefact of a module's project: a .wasm that is the same for the same source and toolchain,
// with its manifest, what it was built from and an SBOM in custom sections, and its memory bounded as the manifest says.
package build

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/leash-gateway/leash/author/kit"
	"github.com/leash-gateway/leash/author/optimize"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// Options say what to build. The zero value builds the folder ".".
type Options struct {
	// Dir is the project. Default: the working directory.
	Dir string
	// Package is the main package, relative to Dir. Default: ".".
	Package string
	// Output is the .wasm. Default: build/modules/NAME.wasm below Dir.
	Output string
	// Tags are Go's build tags, separated by commas, besides those that leave out what the manifest's phases do not need.
	Tags string
	// Tool is this program's version, for the build info.
	Tool string
}

// A Result is what was built.
type Result struct {
	// File is the .wasm, Bytes its size, Digest its SHA-256 as "sha256:…".
	File     string
	Bytes    int
	Digest   string
	Manifest *manifest.Manifest
	Info     Info
	// Sections and Packages tell what takes the space, the largest first.
	Sections, Packages []wasmfile.Share
	// Compiler is how long the Go compiler and linker took.
	Compiler time.Duration
}

// ErrFailed marks that the Go compiler found something wrong; the error's text is what it wrote.
var ErrFailed = errors.New("the module does not compile")

// Build builds a project. The .wasm is replaced at once, when everything is right: one that was there stays as it is
// after an error.
func Build(ctx context.Context, o Options) (*Result, error) {
	if o.Dir == "" {
		o.Dir = "."
	}
	if o.Package == "" {
		o.Package = "."
	}
	text, err := os.ReadFile(filepath.Join(o.Dir, manifest.FileName)) //nolint:gosec // the author's project
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	r := &Result{}
	if r.Manifest, err = manifest.Parse(filepath.Join(o.Dir, manifest.FileName), text); err != nil {
		return nil, err
	}
	r.File = o.Output
	if r.File == "" {
		r.File = filepath.Join(o.Dir, "build", "modules", r.Manifest.Name+".wasm")
	}
	o.Tags = strings.Trim(o.Tags+","+leftOut(r.Manifest), ",")
	compiled, made, err := r.compile(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := checkRegistered(o.Dir, r.Manifest, made.packages); err != nil {
		return nil, err
	}
	project, err := manifest.ProjectFiles(os.DirFS(o.Dir))
	if err != nil {
		return nil, fmt.Errorf("build module: %w", err)
	}
	wasm, err := r.complete(compiled, text, made, project)
	if err != nil {
		return nil, err
	}
	if err := r.Manifest.Check(wasm); err != nil {
		return nil, err
	}
	r.Bytes, r.Digest = len(wasm), digestOf(wasm)
	return r, ReplaceFile(r.File, wasm)
}

// leftOut are the build tags of the kit that leave out the callbacks which no phase of the module needs: what is not
// there, the host need not call.
func leftOut(m *manifest.Manifest) string {
	var tags []string
	if !m.NeedsRequestBody() {
		tags = append(tags, "leash_no_request_body")
	}
	if !m.NeedsResponse() {
		tags = append(tags, "leash_no_response", "leash_no_response_body")
	}
	return strings.Join(tags, ",")
}

// compile runs the Go compiler, and beside it the programs that tell what it is given.
func (r *Result) compile(ctx context.Context, o Options) (wasm []byte, made contents, err error) {
	var listing error
	var beside sync.WaitGroup
	beside.Go(func() { made, listing = contentsOf(ctx, o) })
	beside.Go(func() { r.Info = infoOf(ctx, o) })
	began := time.Now()
	wasm, err = compile(ctx, o)
	r.Compiler = time.Since(began)
	beside.Wait()
	if err = cmp.Or(err, listing); err != nil { // the compiler says better what is wrong with the code
		return nil, made, err
	}
	for _, p := range made.modules {
		switch {
		case p.Main:
			r.Info.Module = p.Path
		case p.Path == kit.ModulePath:
			r.Info.Kit = p.Version
		}
	}
	return wasm, made, nil
}

// compile makes the .wasm. Its functions keep their names: engines tell with them where a module has died, and the size report is made of them.
func compile(ctx context.Context, o Options) ([]byte, error) {
	scratch, err := os.MkdirTemp("", "leash-build-")
	if err != nil {
		return nil, fmt.Errorf("build module: %w", err)
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // temporary
	out := filepath.Join(scratch, "module.wasm")
	command := goCommand(ctx, o, "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-w", "-tags="+o.Tags, "-o", out, o.Package)
	if text, err := command.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if len(bytes.TrimSpace(text)) == 0 {
			return nil, fmt.Errorf("build module: %w: is Go installed?", err)
		}
		return nil, fmt.Errorf("%w:\n%s", ErrFailed, bytes.TrimSpace(text))
	}
	return os.ReadFile(out) //nolint:gosec // just built
}

// goCommand is a go command that does the same on every machine: what the author's environment could change of the
// result is set.
func goCommand(ctx context.Context, o Options, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the arguments are the author's own
	command.Dir = o.Dir
	command.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWASM=", "GOEXPERIMENT=", "GOWORK=off", "GOFLAGS=-mod=readonly")
	return command
}

// Names of the custom sections besides the manifest's.
const (
	// InfoSection holds the build info, JSON.
	InfoSection = "leash.build"
	// SBOMSection holds the SBOM, CycloneDX as JSON.
	SBOMSection = "leash.sbom"
)

// complete optimizes the .wasm and puts the sections into it.
func (r *Result) complete(compiled, text []byte, made contents, project map[string][]byte) ([]byte, error) {
	f, err := wasmfile.Parse(compiled)
	if err != nil {
		return nil, err
	}
	_, r.Packages = f.Shares(made.paths()...)
	wasm := f.Without(func(name string) bool { return strings.HasPrefix(name, "leash.") })
	if wasm, err = optimize.Module(wasm); err != nil {
		return nil, fmt.Errorf("optimize the module: %w", err)
	}
	if wasm, err = bounded(wasm, r.Manifest); err != nil {
		return nil, err
	}
	info, err := json.Marshal(r.Info)
	if err != nil {
		return nil, fmt.Errorf("encode build info: %w", err)
	}
	sbom, err := sbomOf(r.Manifest, r.Info, made.modules)
	if err != nil {
		return nil, err
	}
	wasm = wasmfile.AppendCustom(wasm, InfoSection, info)
	wasm = wasmfile.AppendCustom(wasm, SBOMSection, sbom)
	if wasm, err = manifest.PutProject(wasm, project); err != nil {
		return nil, err
	}
	if wasm, err = manifest.Put(wasm, text); err != nil {
		return nil, err
	}
	if f, err = wasmfile.Parse(wasm); err != nil {
		return nil, err
	}
	r.Sections, _ = f.Shares()
	return wasm, nil
}

// bounded is a .wasm whose memory has the manifest's bound.
func bounded(wasm []byte, m *manifest.Manifest) ([]byte, error) {
	if m.Resources.Memory == 0 {
		return wasm, nil
	}
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		return nil, err
	}
	if wasm, err = f.BoundMemory(uint64(m.Resources.Memory) / wasmfile.PageSize); err != nil { //nolint:gosec // positive
		return nil, fmt.Errorf("resources.memory: %w", err)
	}
	return wasm, nil
}

// Annotate puts a manifest into a .wasm that another language's tools have built, bounds its memory as the manifest says,
// and holds it against the manifest. name stands for the text of the manifest in errors.
func Annotate(wasm []byte, name string, text []byte) (*manifest.Manifest, []byte, error) {
	m, err := manifest.Parse(name, text)
	if err != nil {
		return nil, nil, err
	}
	if wasm, err = bounded(wasm, m); err != nil {
		return nil, nil, err
	}
	if wasm, err = manifest.Put(wasm, text); err != nil {
		return nil, nil, err
	}
	return m, wasm, m.Check(wasm)
}

// ReplaceFile writes a file under its name only when it is whole. What is no file, such as a device or a pipe, is written to as it is.
func ReplaceFile(file string, content []byte) error {
	if there, err := os.Stat(file); err == nil && !there.Mode().IsRegular() {
		if err := os.WriteFile(file, content, 0); err != nil {
			return fmt.Errorf("write module: %w", err)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // what is built is for everybody to read
		return fmt.Errorf("write module: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".building-*")
	if err != nil {
		return fmt.Errorf("write module: %w", err)
	}
	defer os.Remove(temporary.Name()) //nolint:errcheck // gone when it was renamed
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Chmod(0o644), temporary.Close()); err != nil { //nolint:gosec // as above
		return fmt.Errorf("write module: %w", err)
	}
	if err := os.Rename(temporary.Name(), file); err != nil {
		return fmt.Errorf("write module: %w", err)
	}
	return nil
}

// Info is what a module was built from.
type Info struct {
	// Go is the version of the toolchain.
	Go string `json:"go"`
	// Module is the project's path in its go.mod, Kit the version of Leash's kit, if it is used.
	Module string `json:"module"`
	Kit    string `json:"kit,omitempty"`
	// Revision is the commit, Time when it was made; Modified says that files had been changed since.
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	// Tool is the program that built it.
	Tool string `json:"tool,omitempty"`
}

func infoOf(ctx context.Context, o Options) Info {
	info := Info{Go: goVersion(ctx, o), Tool: o.Tool}
	git := func(args ...string) string {
		command := exec.CommandContext(ctx, "git", args...) //nolint:gosec // constants
		command.Dir = o.Dir
		out, err := command.Output()
		if err != nil {
			return "" // no git, or no repository
		}
		return strings.TrimSpace(string(out))
	}
	info.Revision = git("rev-parse", "HEAD")
	if info.Revision != "" {
		info.Time = git("show", "-s", "--format=%cI", "HEAD")
		info.Modified = git("status", "--porcelain", "--", ".") != ""
	}
	return info
}

func goVersion(ctx context.Context, o Options) string {
	out, err := goCommand(ctx, o, "env", "GOVERSION").Output()
	if err != nil {
		return runtime.Version()
	}
	return strings.TrimSpace(string(out))
}
