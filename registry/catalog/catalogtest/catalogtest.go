// Package catalogtest has a catalogue for tests, with a store in memory that a test may tamper with.
package catalogtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/catalog"
)

// Me is who does things in tests.
var Me = catalog.Actor{Name: "ada", Via: "test"}

// A Store is a store in memory. The zero value is empty.
type Store struct {
	mu   sync.Mutex
	kept map[string][]byte
}

var _ catalog.Store = (*Store)(nil)

// Manifest is what was put under a digest.
func (s *Store) Manifest(_ context.Context, repository string, d digest.Digest) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, found := s.kept[repository+"@"+d.String()]
	if !found {
		return nil, fmt.Errorf("%s@%s: %w", repository, d, catalog.ErrNotFound)
	}
	return content, nil
}

// Blob is the same.
func (s *Store) Blob(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, error) {
	content, err := s.Manifest(ctx, repository, d)
	return io.NopCloser(bytes.NewReader(content)), err
}

// Put keeps content under a digest, also one that is not its own.
func (s *Store) Put(repository string, d digest.Digest, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[string][]byte{}
	}
	s.kept[repository+"@"+d.String()] = content
}

// Open opens a catalogue in a folder of the test's, and closes it with the test.
func Open(t testing.TB, trust catalog.Trust) (*catalog.Catalog, *Store) {
	t.Helper()
	s := &Store{}
	c, err := catalog.Open(catalog.Options{File: filepath.Join(t.TempDir(), "catalog.db"), Store: s, Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, s
}

// Publish puts a .wasm into the store and pushes it under its version.
func Publish(t testing.TB, c *catalog.Catalog, s *Store, repository string, wasm []byte) catalog.Build {
	t.Helper()
	m, err := manifest.Of(repository, wasm)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Push(t.Context(), Me, repository, m.Version, Put(t, s, repository, wasm))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Put puts a .wasm into the store, and is what has to be pushed.
func Put(t testing.TB, s *Store, repository string, wasm []byte) catalog.Build {
	t.Helper()
	m, err := manifest.Of(repository, wasm)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{}, artifact.Image)
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range a.Blobs {
		s.Put(repository, blob.Descriptor.Digest, blob.Content)
	}
	s.Put(repository, a.Descriptor.Digest, a.Manifest)
	b, err := catalog.Describe(a.Descriptor.MediaType, a.Manifest, wasm, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
