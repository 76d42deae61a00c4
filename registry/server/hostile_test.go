package server_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/store"
)

// FuzzManifests pushes manifests that nobody means well with: none is an error of the registry's own, and none is a module.
func FuzzManifests(f *testing.F) {
	dir := f.TempDir()
	kept, err := store.OpenDirectory(filepath.Join(dir, "oci"), store.DirectoryOptions{})
	if err != nil {
		f.Fatal(err)
	}
	s, err := server.New(server.Options{Name: "registry.example.com", CatalogFile: filepath.Join(dir, "catalog.db"), Store: kept, Cache: blobs.In(filepath.Join(dir, "cache"))})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	const image = "application/vnd.oci.image.manifest.v1+json"
	empty := "sha256:" + strings.Repeat("0", 64)
	for _, seed := range []string{
		"", "{}", "[]", `{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.module.wasm.content.layer.v1+wasm","digest":"` + empty + `","size":1}]}`,
		`{"layers":[{"mediaType":"application/wasm","digest":"x","size":1}]}`, `{"layers":[{"mediaType":"application/wasm","digest":"sha256:../../x","size":-1}]}`,
		`{"subject":{"digest":"` + empty + `"},"config":{"digest":"../x"}}`, `{"config":{"digest":"` + empty + `","size":9223372036854775807}}`,
		`{"layers":[{"mediaType":"application/wasm","digest":"` + empty + `","size":268435456}]}`, strings.Repeat("[", 10000),
	} {
		f.Add([]byte(seed), "1.0.0")
		f.Add([]byte(seed), "sha256-"+strings.Repeat("0", 64)+".sig")
	}
	f.Fuzz(func(t *testing.T, manifest []byte, tag string) {
		r := httptest.NewRequest(http.MethodPut, "/v2/team/hello/manifests/x", bytes.NewReader(manifest))
		r.Host, r.URL.Path = "localhost", "/v2/team/hello/manifests/"+tag
		r.Header.Set("Content-Type", image)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%q as %q: %d %s", manifest, tag, w.Code, w.Body)
		}
		if names := s.Catalog().Modules(); len(names) > 0 {
			t.Errorf("%q makes the modules %v", manifest, names)
		}
	})
}
