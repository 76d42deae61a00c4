package server_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/registry/server"
)

// A fullStore is one whose disk is full, for blobs or for what comes after them.
type fullStore struct {
	server.Store
	blobs, manifests *atomic.Bool
}

func (s fullStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.blobs.Load() && strings.Contains(r.URL.Path, "/blobs/uploads/") && r.Method != http.MethodPost {
		w.WriteHeader(http.StatusInternalServerError) // as olareg does
		return
	}
	s.Store.ServeHTTP(w, r)
}

func (s fullStore) Keep(ctx context.Context, repository string, manifest digest.Digest, parts []digest.Digest) error {
	if s.manifests.Load() {
		return &os.PathError{Op: "write", Path: "index.json", Err: syscall.ENOSPC}
	}
	return s.Store.Keep(ctx, repository, manifest, parts)
}

func TestPublishersAreToldThatTheDiskIsFull(t *testing.T) {
	t.Parallel()
	var blobs, manifests atomic.Bool
	r := start(t, func(o *server.Options) { o.Store = fullStore{o.Store, &blobs, &manifests} })
	for name, tc := range map[string]struct {
		full    *atomic.Bool
		version string
		want    string
	}{
		"at a blob":     {&blobs, "1.0.0", "507: unknown: the registry could not keep it, as when its disk is full; its log says why"},
		"at a manifest": {&manifests, "1.1.0", "507: unknown: the registry's disk is full: push again when those who run it have made room"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.full.Store(true)
			if _, err := r.push(t, "team/hello:"+tc.version, module(t, tc.version)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("push: got %v, want %q", err, tc.want)
			}
			tc.full.Store(false)
			r.mustPush(t, "team/hello:"+tc.version, module(t, tc.version))
		})
	}
}
