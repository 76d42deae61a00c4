// Package servertest has registry servers for tests.
package servertest

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/store"
)

// Start serves a registry on the disk without TLS until the test ends, and returns it with its address. change, which may be nil, changes its
// options.
func Start(t testing.TB, change func(*server.Options)) (s *server.Server, address string) {
	t.Helper()
	dir := t.TempDir()
	kept, err := store.OpenDirectory(filepath.Join(dir, "oci"), store.DirectoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Name: "registry.example.com", CatalogFile: filepath.Join(dir, "catalog.db"), Store: kept, Cache: blobs.In(filepath.Join(dir, "cache"))}
	if change != nil {
		change(&o)
	}
	if s, err = server.New(o); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, strings.TrimPrefix(web.URL, "http://")
}
