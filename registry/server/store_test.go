package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	crane "github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/signing"
	"github.com/leash-gateway/leash/registry/store"
)

// overUpstream is a registry whose store is another registry, below /leash there.
func overUpstream(t *testing.T, dir string, upstream http.Handler, change func(*server.Options)) (r *registry, other *httptest.Server, stop func()) {
	t.Helper()
	other = httptest.NewServer(upstream)
	kept, err := store.OpenUpstream(store.UpstreamOptions{
		URL: other.URL + "/leash", User: registrytest.User, Password: registrytest.Password, Cache: filepath.Join(dir, "cache"),
	})
	if err != nil {
		t.Fatal(err)
	}
	r, end := startIn(t, dir, func(o *server.Options) {
		if err := o.Store.Close(); err != nil {
			t.Fatal(err)
		}
		o.Store = kept
		if change != nil {
			change(o)
		}
	})
	return r, other, func() {
		end()
		other.Close()
	}
}

func TestAnotherRegistryIsTheStore(t *testing.T) {
	t.Parallel()
	for name, upstream := range map[string]func(t *testing.T) http.Handler{
		"with the API for referrers": func(t *testing.T) http.Handler { t.Helper(); return registrytest.Tokens(registrytest.Olareg(t)) },
		"without it":                 func(*testing.T) http.Handler { return registrytest.Tokens(registrytest.Plain()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, policy := signer(t)
			dir := t.TempDir()
			r, other, stop := overUpstream(t, dir, upstream(t), func(o *server.Options) { o.Trust = policy })
			defer stop()
			wasm := registrytest.Module(t, "hello", "1.0.0", strings.Repeat("large ", 1<<20)) // more than is sent at once
			at := r.mustPush(t, "team/hello:1.0.0", wasm)
			if _, err := r.pull(t, "team/hello:1.0.0"); err == nil {
				t.Error("it was pulled unsigned")
			}
			if _, err := signing.Sign(t.Context(), client(t), at, key, signing.Both, signing.Options{}); err != nil {
				t.Fatal(err)
			}
			if got, err := r.pull(t, "team/hello:1.0.0"); err != nil || !bytes.Equal(got, wasm) {
				t.Fatalf("pulled: %v", err)
			}
			if _, err := r.Catalog().Promote(t.Context(), me, catalog.Promotion{Module: "team/hello", Version: "1.0.0", Channel: "stable"}); err != nil {
				t.Error(err)
			}
			// Others see it there, under its tag.
			if status := statusWith(t, other.URL+"/v2/leash/team/hello/manifests/1.0.0"); status != http.StatusOK {
				t.Errorf("it is not in the other registry: %d", status)
			}
			// While the other registry is away, what has been read goes on.
			other.Close()
			if got, err := r.pull(t, "team/hello:stable"); err != nil || !bytes.Equal(got, wasm) {
				t.Errorf("pulled out of the cache: %v", err)
			}
		})
	}
}

// statusWith asks with a token of the other registry's.
func statusWith(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer planted-token")
	request.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func TestWhatIsNoModuleGoesToTheOtherRegistryToo(t *testing.T) {
	t.Parallel()
	r, _, stop := overUpstream(t, t.TempDir(), registrytest.Tokens(registrytest.Olareg(t)), nil)
	defer stop()
	image, err := random.Image(5<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(r.address + "/team/image:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := crane.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	got, err := crane.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		content, err := layer.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			t.Error(err)
		}
	}
	if tags, err := crane.List(ref.Context()); err != nil || len(tags) != 1 || tags[0] != "1" {
		t.Errorf("the tags are %v, %v", tags, err)
	}
}

func TestAnotherRegistryThatAnswersSomethingElseIsNotBelieved(t *testing.T) {
	t.Parallel()
	var tampering atomic.Bool
	inner := registrytest.Olareg(t)
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := inner
		if tampering.Load() {
			h = registrytest.InTheMiddle(inner, "/blobs/sha256:", func(_ http.Header, body []byte) []byte {
				if len(body) > 0 {
					body[len(body)-1] ^= 1
				}
				return body
			})
		}
		h.ServeHTTP(w, r)
	})
	r, _, stop := overUpstream(t, t.TempDir(), registrytest.Tokens(upstream), nil)
	defer stop()
	at := r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
	b, err := r.Catalog().Build("team/hello", at.Digest)
	if err != nil {
		t.Fatal(err)
	}
	emptyCache(t, r)
	tampering.Store(true)
	if status, _ := r.get(t, "/v2/team/hello/blobs/"+b.Wasm.String()); status == http.StatusOK {
		t.Error("it was served")
	}
	if _, err := r.Catalog().Read(t.Context(), "team/hello", at.Digest); !errors.Is(err, catalog.ErrRefused) {
		t.Errorf("it would be distributed: %v", err)
	}
}

// TestCollectingGarbageTakesNothingThatWasAcknowledged pushes, pulls and removes while garbage is collected all the time.
func TestCollectingGarbageTakesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *server.Options) {
		if err := o.Store.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		dir := filepath.Join(filepath.Dir(o.CatalogFile), "oci")
		if o.Store, err = store.OpenDirectory(dir, store.DirectoryOptions{CollectEvery: 5 * time.Millisecond, CollectAfter: 300 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
	})
	wasm := registrytest.Module(t, "hello", "0.0.1", strings.Repeat("x", 1<<20))
	at := r.mustPush(t, "team/hello:0.0.1", wasm)
	b, err := r.Catalog().Build("team/hello", at.Digest)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var pushed atomic.Int32
	began := time.Now()
	goesOn := func() bool { // a machine with much else to do needs longer for a push
		return time.Since(began) < 3*time.Second || pushed.Load() == 0 && time.Since(began) < time.Minute
	}
	wait.Go(func() { // pushes, signs nothing, and removes what is no module
		for n := 0; goesOn(); n++ {
			version := fmt.Sprintf("1.0.%d", n)
			if _, err := r.push(t, "team/hello:"+version, module(t, version)); err != nil {
				continue // its blobs were collected before its manifest came: a client pushes again
			}
			pushed.Add(1)
			if got, err := r.pull(t, "team/hello:"+version); err != nil || !bytes.Equal(got, module(t, version)) {
				t.Errorf("%s was acknowledged, and then: %v", version, err)
			}
		}
	})
	wait.Go(func() {
		for goesOn() {
			image, err := random.Image(1000, 1)
			if err != nil {
				t.Error(err)
				return
			}
			ref, err := name.ParseReference(r.address + "/team/hello:scratch")
			if err != nil {
				t.Error(err)
				return
			}
			if crane.Write(ref, image) == nil {
				_ = crane.Delete(ref)
			}
		}
	})
	for range 2 { // slow pulls, in the middle of which much is collected
		wait.Go(func() {
			for goesOn() {
				answer, err := http.Get("http://" + r.address + "/v2/team/hello/blobs/" + b.Wasm.String())
				if err != nil {
					t.Error(err)
					return
				}
				verifier := b.Wasm.Verifier()
				for {
					if _, err := io.CopyN(verifier, answer.Body, 64<<10); err != nil {
						break
					}
					<-time.After(5 * time.Millisecond)
				}
				answer.Body.Close()
				if !verifier.Verified() {
					t.Error("a pull was cut off or changed")
					return
				}
			}
		})
	}
	wait.Wait()
	if pushed.Load() == 0 {
		t.Error("nothing could be pushed")
	}
}

func TestTwoPushersOfATagLeaveOneOfThemWhole(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	const pushers = 8
	var wait sync.WaitGroup
	var mu sync.Mutex
	won := map[string]int{}
	contents := map[int][]byte{}
	for n := range pushers {
		contents[n] = registrytest.Module(t, "hello", "1.0.0", strings.Repeat(fmt.Sprint(n), 100<<10))
	}
	for n := range pushers {
		wait.Go(func() {
			for _, tag := range []string{"1.0.0", "dev"} {
				if _, err := r.push(t, "team/hello:"+tag, contents[n]); err == nil {
					mu.Lock()
					won[tag]++
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	if won["1.0.0"] != 1 || won["dev"] != pushers {
		t.Errorf("%v pushes were acknowledged", won)
	}
	for _, tag := range []string{"1.0.0", "dev"} {
		got, err := r.pull(t, "team/hello:"+tag)
		whole := false
		for _, content := range contents {
			whole = whole || bytes.Equal(got, content)
		}
		if err != nil || !whole {
			t.Errorf("%s is nobody's: %v", tag, err)
		}
	}
}

// emptyCache removes what has been read of the other registry.
func emptyCache(t *testing.T, r *registry) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(r.dir, "cache")); err != nil {
		t.Fatal(err)
	}
}
