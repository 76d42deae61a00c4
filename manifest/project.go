package manifest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// ProjectSection is the custom section of a .wasm that holds what its author tells about it besides the manifest: README.md
// and the scenarios, as tar+gzip without times. Registries show the one and run the others.
const ProjectSection = "leash.project"

// ReadmeFile is the text for people in a folder of a module.
const ReadmeFile = "README.md"

// MaxProject bounds what a project's files take together, in bytes.
const MaxProject = 4 << 20

// maxProjectFiles bounds how many there are.
const maxProjectFiles = 1000

// ProjectFiles are the files of a module's folder that travel with its .wasm, by their paths with slashes: README.md and
// everything below scenarios/.
func ProjectFiles(folder fs.FS) (map[string][]byte, error) {
	files := map[string][]byte{}
	total := 0
	add := func(name string) error {
		content, err := fs.ReadFile(folder, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		files[name] = content
		total += len(content)
		if total > MaxProject || len(files) > maxProjectFiles {
			return fmt.Errorf("%s and scenarios/ are more than %d bytes or %d files, which travel with the module: make them smaller", ReadmeFile, MaxProject, maxProjectFiles)
		}
		return nil
	}
	if err := add(ReadmeFile); err != nil {
		return nil, err
	}
	err := fs.WalkDir(folder, "scenarios", func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return add(name)
	})
	return files, err
}

// PutProject puts a project's files into a .wasm, in the place of those that are there. No files: no section.
func PutProject(wasm []byte, files map[string][]byte) ([]byte, error) {
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		return nil, err
	}
	wasm = f.Without(func(name string) bool { return name == ProjectSection })
	if len(files) == 0 {
		return wasm, nil
	}
	var packed bytes.Buffer
	compressor := gzip.NewWriter(&packed)
	archive := tar.NewWriter(compressor)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg, Format: tar.FormatPAX})
		if err == nil {
			_, err = archive.Write(content)
		}
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := errors.Join(archive.Close(), compressor.Close()); err != nil {
		return nil, fmt.Errorf("pack the project's files: %w", err)
	}
	return wasmfile.AppendCustom(wasm, ProjectSection, packed.Bytes()), nil
}

// Project are the project's files in a .wasm, none if it holds none. Their paths are local and go nowhere else.
func Project(wasm []byte) (map[string][]byte, error) {
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		return nil, err
	}
	packed, found := f.CustomSection(ProjectSection)
	if !found {
		return map[string][]byte{}, nil
	}
	uncompressed, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack the section %s: %w", ProjectSection, err)
	}
	files := map[string][]byte{}
	limited := io.LimitReader(uncompressed, MaxProject+(maxProjectFiles<<12))
	for archive := tar.NewReader(limited); ; {
		header, err := archive.Next()
		switch {
		case err == io.EOF: //nolint:errorlint // tar documents it bare
			return files, nil
		case err != nil:
			return nil, fmt.Errorf("unpack the section %s: %w", ProjectSection, err)
		case header.Typeflag != tar.TypeReg, header.Name != ReadmeFile && !strings.HasPrefix(header.Name, "scenarios/"), path.Clean(header.Name) != header.Name:
			return nil, fmt.Errorf("unpack the section %s: %q has no place in it", ProjectSection, header.Name)
		case header.Size > MaxProject, len(files) == maxProjectFiles:
			return nil, fmt.Errorf("unpack the section %s: it holds more than %d bytes or %d files", ProjectSection, MaxProject, maxProjectFiles)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			return nil, fmt.Errorf("unpack the section %s: %w", ProjectSection, err)
		}
	}
}
