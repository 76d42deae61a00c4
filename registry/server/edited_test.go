package server_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/registrytest"
)

const inHello = "team/hello/blobs/sha256/"

// flipped is content of which one bit is another.
func flipped(text []byte) []byte {
	text[len(text)-1] ^= 1
	return text
}

// TestStoreThatIsEditedOnDiskReachesNoEnvoy edits the files of a registry that runs: 1.0.0 is promoted and an Envoy runs it, 1.1.0 is not.
func TestStoreThatIsEditedOnDiskReachesNoEnvoy(t *testing.T) {
	t.Parallel()
	const nothing = ""
	for name, tc := range map[string]struct {
		edit func(t *testing.T, r *registry, old, next catalog.Build)
		// promoted says whether 1.1.0 can be promoted then; given is what an Envoy gets that asks for stable before that.
		promoted bool
		given    string
	}{
		"the .wasm of the next version": {func(t *testing.T, r *registry, _, next catalog.Build) {
			t.Helper()
			r.edit(t, inHello+next.Wasm.Encoded(), flipped)
		}, false, "1.0.0"},
		"the manifest of the next version": {func(t *testing.T, r *registry, _, next catalog.Build) {
			t.Helper()
			r.edit(t, inHello+next.Digest.Encoded(), func(text []byte) []byte { return append(text, ' ') })
		}, false, "1.0.0"},
		"the next version is the old one": {func(t *testing.T, r *registry, old, next catalog.Build) {
			t.Helper()
			other, err := os.ReadFile(filepath.Join(r.dir, "oci", inHello+old.Digest.Encoded()))
			if err != nil {
				t.Fatal(err)
			}
			r.edit(t, inHello+next.Digest.Encoded(), func([]byte) []byte { return other })
		}, false, "1.0.0"},
		"the .wasm that runs": {func(t *testing.T, r *registry, old, _ catalog.Build) {
			t.Helper()
			r.edit(t, inHello+old.Wasm.Encoded(), flipped)
		}, true, nothing},
		"the manifest that runs is another module's": {func(t *testing.T, r *registry, old, next catalog.Build) {
			t.Helper()
			other, err := os.ReadFile(filepath.Join(r.dir, "oci", inHello+next.Digest.Encoded()))
			if err != nil {
				t.Fatal(err)
			}
			r.edit(t, inHello+old.Digest.Encoded(), func([]byte) []byte { return other })
		}, true, nothing},
		"the .wasm that runs is gone": {func(t *testing.T, r *registry, old, _ catalog.Build) {
			t.Helper()
			if err := os.Remove(filepath.Join(r.dir, "oci", inHello+old.Wasm.Encoded())); err != nil {
				t.Fatal(err)
			}
		}, true, nothing},
		"the tags are exchanged": {func(t *testing.T, r *registry, old, next catalog.Build) {
			t.Helper()
			r.edit(t, "team/hello/index.json", func(text []byte) []byte {
				const between = "sha256:between"
				text = bytes.ReplaceAll(text, []byte(old.Digest), []byte(between))
				text = bytes.ReplaceAll(text, []byte(next.Digest), []byte(old.Digest))
				return bytes.ReplaceAll(text, []byte(between), []byte(next.Digest))
			})
		}, true, "1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, envoys := withEnvoys(t, nil)
			r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
			r.mustPush(t, "team/hello:1.1.0", module(t, "1.1.0"))
			r.promote(t, "1.0.0")
			old, _ := r.Catalog().Version("team/hello", "1.0.0")
			next, _ := r.Catalog().Version("team/hello", "1.1.0")
			running := anEnvoy(t, envoys, "edge-1", "leash/team/hello@stable")
			gets(t, running, old, module(t, "1.0.0"))
			tc.edit(t, r, old, next)
			another := anEnvoy(t, envoys, "edge-2", "leash/team/hello@stable")
			if tc.given == nothing {
				getsNothing(t, another)
			} else {
				gets(t, another, old, module(t, "1.0.0"))
			}
			_, err := r.Catalog().Promote(t.Context(), me, catalog.Promotion{Module: "team/hello", Version: "1.1.0", Channel: "stable"})
			switch {
			case tc.promoted && err != nil, !tc.promoted && !errors.Is(err, catalog.ErrRefused):
				t.Fatalf("promoted with %v", err)
			case tc.promoted:
				gets(t, running, next, module(t, "1.1.0"))
				gets(t, another, next, module(t, "1.1.0"))
			default:
				getsNothing(t, running)
			}
		})
	}
}

// gets waits for what an Envoy is sent: a version as it was pushed.
func gets(t *testing.T, sent <-chan *discovery.Resource, want catalog.Build, wasm []byte) {
	t.Helper()
	select {
	case got := <-sent:
		if !strings.HasPrefix(got.GetVersion(), want.Version+" "+want.Digest.String()+" ") || !bytes.Contains(got.GetResource().GetValue(), wasm) {
			t.Errorf("it was sent %s, want %s %s", got.GetVersion(), want.Version, want.Digest)
		}
	case <-time.After(2 * time.Minute):
		t.Errorf("it was not sent %s", want.Version)
	}
}

// getsNothing waits as long as several look-ups take.
func getsNothing(t *testing.T, sent <-chan *discovery.Resource) {
	t.Helper()
	select {
	case got := <-sent:
		t.Errorf("it was sent %s", got.GetVersion())
	case <-time.After(300 * time.Millisecond):
	}
}

// TestTagThatIsMovedMovesNoEnvoy pushes: a tag that is no version may move, and a version and a channel do not move with it.
func TestTagThatIsMovedMovesNoEnvoy(t *testing.T) {
	t.Parallel()
	r, envoys := withEnvoys(t, nil)
	r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
	r.promote(t, "1.0.0")
	old, _ := r.Catalog().Version("team/hello", "1.0.0")
	running := anEnvoy(t, envoys, "edge-1", "leash/team/hello@stable")
	gets(t, running, old, module(t, "1.0.0"))
	for _, tag := range []string{"stable", "1.0.0"} {
		if _, err := r.push(t, "team/hello:"+tag, registrytest.Module(t, "hello", "1.0.0", "another content")); err == nil {
			t.Errorf("the tag %s was moved", tag)
		}
	}
	r.mustPush(t, "team/hello:latest", module(t, "1.1.0"))
	getsNothing(t, running)
	gets(t, anEnvoy(t, envoys, "edge-2", "leash/team/hello@stable"), old, module(t, "1.0.0"))
}

// TestBlobThatIsEditedDuringAPushIsRefused edits what was uploaded, before the manifest comes.
func TestBlobThatIsEditedDuringAPushIsRefused(t *testing.T) {
	t.Parallel()
	r, _ := withEnvoys(t, nil)
	wasm := module(t, "1.0.0")
	m, err := manifest.Of("hello", wasm)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{ABI: "0.2.1"}, artifact.Image)
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path, kind string, content []byte) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.address+path, bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", kind)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for _, b := range a.Blobs {
		if status := send(http.MethodPost, "/v2/team/hello/blobs/uploads/?digest="+b.Descriptor.Digest.String(), "application/octet-stream", b.Content); status != http.StatusCreated {
			t.Fatalf("the upload of a blob: %d", status)
		}
	}
	r.edit(t, inHello+digest.FromBytes(wasm).Encoded(), flipped)
	if status := send(http.MethodPut, "/v2/team/hello/manifests/1.0.0", a.Descriptor.MediaType, a.Manifest); status/100 != 4 {
		t.Errorf("the manifest was answered with %d", status)
	}
	if r.Catalog().Has("team/hello") {
		t.Error("it is in the catalogue")
	}
	// It is mended as docs/guides/registry.md says.
	if err := os.Remove(filepath.Join(r.dir, "oci", inHello+digest.FromBytes(wasm).Encoded())); err != nil {
		t.Fatal(err)
	}
	if _, err := r.push(t, "team/hello:1.0.0", wasm); err != nil {
		t.Error(err)
	}
}
