package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
	"github.com/leash-gateway/leash/manifest"
)

// restriction lets modules under test do what they may where they will run: what their manifests name. It holds the
// manifests of folders, by name, for modules whose .wasm carries none (a plain go build has made it).
type restriction map[string]*manifest.Manifest

// module is the name in a folder's manifest, or that of the folder.
func (r restriction) module(folder string) (string, error) {
	m, err := manifest.Load(filepath.Join(folder, manifest.FileName))
	switch {
	case err == nil:
		r[m.Name] = m
		return m.Name, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", usageError{err}
	}
	absolute, err := filepath.Abs(folder)
	return filepath.Base(absolute), err
}

// of is a setup with what each of its modules may. A scenario that names it itself is not overruled, and a .wasm without
// a manifest may everything.
func (r restriction) of(s harness.Setup) (harness.Setup, error) {
	s.Modules = slices.Clone(s.Modules)
	for i := range s.Modules {
		m := &s.Modules[i]
		if m.Allow != nil {
			continue
		}
		var err error
		if m.Allow, err = r.allowed(m.Name, m.File); err != nil {
			return s, usageError{err}
		}
	}
	return s, nil
}

func (r restriction) allowed(name, file string) ([]string, error) {
	wasm, err := readModule(file)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	m, err := manifest.Of(file, wasm)
	switch {
	case errors.Is(err, manifest.ErrNone) && r[name] != nil:
		return r[name].Allowed(), nil // it is told by module build what else it does not keep to
	case errors.Is(err, manifest.ErrNone):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return m.Allowed(), m.Check(wasm)
}

// restricted is a target whose modules are restricted.
type restricted struct {
	scenario.Target
	restriction
}

var _ scenario.Target = restricted{}

// Prepare restricts what will be started.
func (r restricted) Prepare(ctx context.Context, all []harness.Setup) error {
	prepared := make([]harness.Setup, len(all))
	for i, s := range all {
		var err error
		if prepared[i], err = r.of(s); err != nil {
			return err
		}
	}
	return r.Target.Prepare(ctx, prepared)
}

// Start restricts what is started.
func (r restricted) Start(ctx context.Context, s harness.Setup) (scenario.Session, error) {
	s, err := r.of(s)
	if err != nil {
		return nil, err
	}
	return r.Target.Start(ctx, s)
}
