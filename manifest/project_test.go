package manifest_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// empty is a .wasm with nothing in it.
const empty = "\x00asm\x01\x00\x00\x00"

func TestAProjectsFilesTravelWithItsWasm(t *testing.T) {
	folder := fstest.MapFS{
		"README.md": {Data: []byte("# Hello\n")}, "scenarios/a.yaml": {Data: []byte("scenarios: []\n")}, "scenarios/testdata/x.json": {Data: []byte("{}")},
		"secret.txt": {Data: []byte("not this")},
	}
	files, err := manifest.ProjectFiles(folder)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := manifest.PutProject([]byte(empty), files)
	if err != nil {
		t.Fatal(err)
	}
	got, err := manifest.Project(packed)
	if err != nil || !maps.EqualFunc(got, files, bytes.Equal) || len(got) != 3 {
		t.Errorf("got %v, %v", got, err)
	}
	again, err := manifest.PutProject(packed, files)
	if err != nil || !bytes.Equal(again, packed) {
		t.Errorf("the second time it is another: %v", err)
	}
	if none, err := manifest.PutProject(packed, nil); err != nil || string(none) != empty {
		t.Errorf("no files leave %q, %v", none, err)
	}
	if got, err := manifest.Project([]byte(empty)); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %v, %v", got, err)
	}
}

func TestAProjectIsBounded(t *testing.T) {
	if _, err := manifest.ProjectFiles(fstest.MapFS{"scenarios/large": {Data: make([]byte, manifest.MaxProject+1)}}); err == nil || !strings.Contains(err.Error(), "make them smaller") {
		t.Errorf("got %v", err)
	}
}

func TestHostileProjectsAreRefused(t *testing.T) {
	tests := map[string]*tar.Header{
		"a path to elsewhere":   {Name: "scenarios/../../etc/passwd", Typeflag: tar.TypeReg},
		"an absolute path":      {Name: "/etc/passwd", Typeflag: tar.TypeReg},
		"another file":          {Name: "module.yaml", Typeflag: tar.TypeReg},
		"a link":                {Name: "scenarios/a.yaml", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink},
		"more than is unpacked": {Name: "scenarios/bomb", Size: 1 << 40, Typeflag: tar.TypeReg},
	}
	for name, header := range tests {
		t.Run(name, func(t *testing.T) {
			var packed bytes.Buffer
			compressor := gzip.NewWriter(&packed)
			archive := tar.NewWriter(compressor)
			if err := archive.WriteHeader(header); err != nil {
				t.Fatal(err)
			}
			_ = archive.Flush() // of a bomb there is less than it says
			if err := compressor.Close(); err != nil {
				t.Fatal(err)
			}
			wasm := wasmfile.AppendCustom([]byte(empty), manifest.ProjectSection, packed.Bytes())
			if got, err := manifest.Project(wasm); err == nil {
				t.Errorf("got %v", got)
			}
		})
	}
}

func FuzzProject(f *testing.F) {
	packed, err := manifest.PutProject([]byte(empty), map[string][]byte{"README.md": []byte("x"), "scenarios/a.yaml": []byte("y")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, wasm []byte) {
		files, err := manifest.Project(wasm)
		total := 0
		for _, content := range files {
			total += len(content)
		}
		if err == nil && total > manifest.MaxProject+(4<<20) {
			t.Errorf("%d bytes", total)
		}
	})
}
