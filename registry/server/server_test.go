package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/signing"
	"github.com/leash-gateway/leash/registry/store"
	"github.com/leash-gateway/leash/registry/trust"
)

// registry is a registry of a test.
type registry struct {
	*server.Server
	address string
	dir     string
}

var me = catalog.Actor{Name: "ada", Via: "test"}

// start starts a registry in a folder of the test's.
func start(t testing.TB, change func(*server.Options)) *registry {
	t.Helper()
	r, stop := startIn(t, t.TempDir(), change)
	t.Cleanup(stop)
	return r
}

func startIn(t testing.TB, dir string, change func(*server.Options)) (r *registry, stop func()) {
	t.Helper()
	kept, err := store.OpenDirectory(filepath.Join(dir, "oci"), store.DirectoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{Name: "registry.example.com", CatalogFile: filepath.Join(dir, "catalog.db"), Store: kept, Cache: blobs.In(filepath.Join(dir, "cache"))}
	if change != nil {
		change(&o)
	}
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	return &registry{s, strings.TrimPrefix(web.URL, "http://"), dir}, func() {
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func client(t testing.TB) *remote.Client {
	t.Helper()
	folder := blobs.In(t.TempDir())
	c, err := remote.New(remote.Options{Blobs: &folder})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *registry) reference(t testing.TB, path string) remote.Reference {
	t.Helper()
	ref, err := remote.Parse(r.address + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// push pushes a module to repository:tag.
func (r *registry) push(t testing.TB, path string, wasm []byte) (remote.Reference, error) {
	t.Helper()
	return r.pushFor(context.Background(), t, path, wasm)
}

func (r *registry) pushFor(ctx context.Context, t testing.TB, path string, wasm []byte) (remote.Reference, error) {
	t.Helper()
	m, err := manifest.Of(path, wasm)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{ABI: "0.2.1"}, artifact.Image)
	if err != nil {
		t.Fatal(err)
	}
	return client(t).Push(ctx, r.reference(t, path), a)
}

func (r *registry) mustPush(t testing.TB, path string, wasm []byte) remote.Reference {
	t.Helper()
	at, err := r.push(t, path, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func (r *registry) pull(t testing.TB, path string) ([]byte, error) {
	t.Helper()
	pulled, err := client(t).Pull(context.Background(), r.reference(t, path))
	if err != nil {
		return nil, err
	}
	return pulled.Wasm, nil
}

// get is an answer's status and body.
func (r *registry) get(t testing.TB, path string) (int, string) {
	t.Helper()
	answer, err := http.Get("http://" + r.address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return answer.StatusCode, err.Error()
	}
	return answer.StatusCode, string(text)
}

func module(t testing.TB, version string) []byte {
	t.Helper()
	return registrytest.Module(t, "hello", version, strings.Repeat(version, 1000))
}

// signer is a key, and the trust policy that wants its signatures.
func signer(t testing.TB) (*signing.Signer, *trust.Policy) {
	t.Helper()
	private, public, err := signing.GenerateKey([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"release.key": private, "release.pub": public,
		"trust.yaml": []byte("rules:\n  - match: [registry.example.com/*]\n    keys: [{name: release, file: release.pub}]\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := signing.LoadSigner(t.Context(), filepath.Join(dir, "release.key"), os.LookupEnv, func() ([]byte, error) { return []byte("secret"), nil })
	if err != nil {
		t.Fatal(err)
	}
	p, err := trust.Load(t.Context(), filepath.Join(dir, "trust.yaml"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

func TestAModuleIsPushedPulledAndPromoted(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	wasm := module(t, "1.0.0")
	at := r.mustPush(t, "team/hello:1.0.0", wasm)
	b, err := r.Catalog().Version("team/hello", "1.0.0")
	if err != nil || b.Digest != at.Digest || b.State != catalog.Released {
		t.Fatalf("the catalogue has %+v, %v", b, err)
	}
	if _, err := r.pull(t, "team/hello:stable"); err == nil {
		t.Error("a channel was pulled that is not there")
	}
	if _, err := r.Catalog().Promote(t.Context(), me, catalog.Promotion{Module: "team/hello", Version: "1.0.0", Channel: "stable"}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"team/hello:1.0.0", "team/hello:v1.0.0", "team/hello:stable", "team/hello@" + at.Digest.String()} {
		if got, err := r.pull(t, path); err != nil || !bytes.Equal(got, wasm) {
			t.Errorf("%s: %v", path, err)
		}
	}
	r.looksAt(t, "team/hello:stable", wasm)
	if n, err := r.Catalog().Downloads("team/hello", at.Digest); err != nil || n != 4 {
		t.Errorf("%d downloads, %v", n, err)
	}
	var list struct{ Tags []string }
	if _, text := r.get(t, "/v2/team/hello/tags/list"); json.Unmarshal([]byte(text), &list) != nil || !slices.Equal(list.Tags, []string{"1.0.0", "stable"}) {
		t.Errorf("the tags are %s", text)
	}
}

// looksAt does with a module what is no download: who signs or verifies it reads its manifest, and a download that broke off goes on.
func (r *registry) looksAt(t *testing.T, path string, wasm []byte) {
	t.Helper()
	if _, _, err := client(t).Resolve(t.Context(), r.reference(t, path)); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(path, ":")
	for _, header := range []string{"Range", "If-None-Match"} {
		blob := digest.FromBytes(wasm)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address+"/v2/"+name+"/blobs/"+blob.String(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(header, map[string]string{"Range": "bytes=10-", "If-None-Match": `"` + blob.String() + `"`}[header])
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusPartialContent && answer.StatusCode != http.StatusNotModified {
			t.Errorf("%s: got %s", header, answer.Status)
		}
	}
}

func TestARefusedPushSaysWhatToMend(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path string
		wasm func(t *testing.T) []byte
		want string
	}{
		"another name":    {"team/greeter:1.0.0", func(t *testing.T) []byte { t.Helper(); return module(t, "1.0.0") }, "the module is called hello: push it to a repository that ends with /hello"},
		"another version": {"team/hello:1.0.1", func(t *testing.T) []byte { t.Helper(); return module(t, "1.0.0") }, "the tag says version 1.0.1, but the module is version 1.0.0: push it under its version, or change version in module.yaml"},
		"imports more than it says": {"team/hello:1.0.0", func(t *testing.T) []byte {
			t.Helper()
			return bytes.Replace(module(t, "1.0.0"), []byte("\x09proxy_log"), []byte("\x09proxy_xyz"), 1)
		}, "it imports proxy_xyz"},
		"no proxy-wasm": {"team/hello:1.0.0", func(t *testing.T) []byte {
			t.Helper()
			return bytes.Replace(module(t, "1.0.0"), []byte("proxy_abi_version"), []byte("proxy_abx_version"), 1)
		}, "it is no proxy-wasm module"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, nil)
			_, err := r.push(t, tc.path, tc.wasm(t))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
			if names := r.Catalog().Modules(); len(names) > 0 {
				t.Errorf("the catalogue has %v", names)
			}
		})
	}
}

func TestAVersionIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	wasm := module(t, "1.0.0")
	r.mustPush(t, "team/hello:1.0.0", wasm)
	_, err := r.push(t, "team/hello:1.0.0", registrytest.Module(t, "hello", "1.0.0", "something else"))
	if err == nil || !strings.Contains(err.Error(), "next version") {
		t.Errorf("pushed over it: %v", err)
	}
	if got, err := r.pull(t, "team/hello:1.0.0"); err != nil || !bytes.Equal(got, wasm) {
		t.Errorf("it is another now: %v", err)
	}
	r.mustPush(t, "team/hello:1.0.0", wasm) // the same again
}

func TestOnlyModulesWhereOnlyModulesAreTaken(t *testing.T) {
	t.Parallel()
	_, policy := signer(t)
	r := start(t, func(o *server.Options) { o.Trust = policy })
	image := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",` +
		`"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`)
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+r.address+"/v2/team/hello/manifests/latest", bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	put.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	answer, err := http.DefaultClient.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "takes modules only") {
		t.Errorf("got %d %s", answer.StatusCode, text)
	}
}

func TestAModuleIsServedOnceItIsSigned(t *testing.T) {
	t.Parallel()
	key, policy := signer(t)
	for name, format := range map[string]signing.Format{"bundle": signing.Bundle, "simple": signing.Simple} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, func(o *server.Options) { o.Trust = policy })
			at := r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
			b, err := r.Catalog().Version("team/hello", "1.0.0")
			if err != nil || b.State != catalog.Pending {
				t.Fatalf("it is %s, %v", b.State, err)
			}
			if _, err := r.pull(t, "team/hello:1.0.0"); err == nil || !strings.Contains(err.Error(), "waits for a signature") {
				t.Errorf("pulled unsigned: %v", err)
			}
			if status, _ := r.get(t, "/v2/team/hello/blobs/"+b.Wasm.String()); status != http.StatusForbidden {
				t.Errorf("its .wasm is given away: %d", status)
			}
			if _, err := signing.Sign(t.Context(), client(t), at, key, format, signing.Options{}); err != nil {
				t.Fatal(err)
			}
			if got, err := r.pull(t, "team/hello:1.0.0"); err != nil || !bytes.Equal(got, module(t, "1.0.0")) {
				t.Errorf("signed: %v", err)
			}
			if _, err := r.Catalog().Promote(t.Context(), me, catalog.Promotion{Module: "team/hello", Version: "1.0.0", Channel: "stable"}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAYankedModuleIsGone(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
	at := r.mustPush(t, "team/hello:1.1.0", module(t, "1.1.0"))
	b, err := r.Catalog().Yank(t.Context(), me, "team/hello", "1.1.0", "it leaks keys")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"manifests/1.1.0", "manifests/" + at.Digest.String(), "blobs/" + b.Wasm.String()} {
		if status, text := r.get(t, "/v2/team/hello/"+path); status != http.StatusForbidden || !strings.Contains(text, "it leaks keys") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if _, text := r.get(t, "/v2/team/hello/tags/list"); strings.Contains(text, "1.1.0") {
		t.Errorf("it is listed: %s", text)
	}
	if _, err := r.pull(t, "team/hello:1.0.0"); err != nil {
		t.Errorf("the other version: %v", err)
	}
}

// edit changes a file of the store.
func (r *registry) edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	file := filepath.Join(r.dir, "oci", filepath.FromSlash(path))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, change(slices.Clone(text)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAnEditedStoreServesNothingThatWasNotPushed(t *testing.T) {
	t.Parallel()
	flip := func(text []byte) []byte {
		text[len(text)-1] ^= 1
		return text
	}
	tests := map[string]struct {
		edit func(t *testing.T, r *registry, old, latest catalog.Build)
		// What is pulled afterwards, and what must not come.
		pull string
	}{
		"the .wasm": {func(t *testing.T, r *registry, old, _ catalog.Build) {
			t.Helper()
			r.edit(t, "team/hello/blobs/sha256/"+old.Wasm.Encoded(), flip)
		}, "team/hello:1.0.0"},
		"the manifest": {func(t *testing.T, r *registry, old, _ catalog.Build) {
			t.Helper()
			r.edit(t, "team/hello/blobs/sha256/"+old.Digest.Encoded(), func(text []byte) []byte { return append(text, ' ') })
		}, "team/hello:1.0.0"},
		"the manifest is another's": {func(t *testing.T, r *registry, old, latest catalog.Build) {
			t.Helper()
			other, err := os.ReadFile(filepath.Join(r.dir, "oci/team/hello/blobs/sha256", old.Digest.Encoded()))
			if err != nil {
				t.Fatal(err)
			}
			r.edit(t, "team/hello/blobs/sha256/"+latest.Digest.Encoded(), func([]byte) []byte { return other })
		}, "team/hello:1.1.0"},
		"a tag of an old module": {func(t *testing.T, r *registry, old, _ catalog.Build) {
			t.Helper()
			r.edit(t, "team/hello/index.json", func(text []byte) []byte {
				return bytes.Replace(text, []byte(`"digest":"`+old.Digest.String()+`"`), []byte(`"digest":"`+old.Digest.String()+`","annotations":{"org.opencontainers.image.ref.name":"1.2.0"}`), 1)
			})
		}, "team/hello:1.2.0"},
	}
	for name, tc := range tests {
		for _, content := range []server.Content{server.Modules, server.Any} {
			t.Run(name+" where "+string(content)+" are taken", func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				options := func(o *server.Options) { o.Namespaces = []server.Namespace{{Match: []string{"*"}, Content: content}} }
				r, stop := startIn(t, dir, options)
				r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
				r.mustPush(t, "team/hello:1.1.0", module(t, "1.1.0"))
				old, _ := r.Catalog().Version("team/hello", "1.0.0")
				latest, _ := r.Catalog().Version("team/hello", "1.1.0")
				if _, err := r.pull(t, "team/hello:1.1.0"); err != nil {
					t.Fatal(err)
				}
				tc.edit(t, r, old, latest)
				pull := func(r *registry) {
					if _, err := r.pull(t, tc.pull); err == nil {
						t.Error("it was served")
					}
				}
				pull(r)
				stop()
				r, stop = startIn(t, dir, options)
				defer stop()
				pull(r)
				if _, err := r.Catalog().Read(t.Context(), "team/hello", old.Digest); tc.pull == "team/hello:1.0.0" && !errors.Is(err, catalog.ErrRefused) {
					t.Errorf("it would be distributed: %v", err)
				}
			})
		}
	}
}

func TestASignatureThatIsExchangedOnDiskEndsTheModule(t *testing.T) {
	t.Parallel()
	key, policy := signer(t)
	dir := t.TempDir()
	options := func(o *server.Options) { o.Trust = policy }
	r, stop := startIn(t, dir, options)
	at := r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
	if _, err := signing.Sign(t.Context(), client(t), at, key, signing.Simple, signing.Options{}); err != nil {
		t.Fatal(err)
	}
	signatures := r.Catalog().Attachments("team/hello", at.Digest)
	if len(signatures) != 1 {
		t.Fatalf("%d signatures", len(signatures))
	}
	stop()
	r = &registry{dir: dir}
	r.edit(t, "team/hello/blobs/sha256/"+signatures[0].Digest.Encoded(), func(text []byte) []byte {
		return bytes.Replace(text, []byte("dev.cosignproject.cosign/signature\":\""), []byte("dev.cosignproject.cosign/signature\":\"AAAA"), 1)
	})
	if err := os.RemoveAll(filepath.Join(dir, "cache")); err != nil {
		t.Fatal(err)
	}
	r, stop = startIn(t, dir, options)
	defer stop()
	if _, err := r.pull(t, "team/hello:1.0.0"); err == nil {
		t.Error("it was served")
	}
	if _, err := r.Catalog().Read(t.Context(), "team/hello", at.Digest); !errors.Is(err, catalog.ErrRefused) {
		t.Errorf("it would be distributed: %v", err)
	}
}

func TestABlobIsBounded(t *testing.T) {
	t.Parallel()
	r := start(t, func(o *server.Options) { o.Limits.BlobBytes = 1000 })
	_, err := r.push(t, "team/hello:1.0.0", module(t, "1.0.0"))
	if err == nil || !strings.Contains(err.Error(), "a blob may have 1000 bytes") {
		t.Errorf("got %v", err)
	}
	// In pieces, without saying how large they are.
	post, err := http.Post("http://"+r.address+"/v2/team/hello/blobs/uploads/", "", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	defer post.Body.Close()
	location := post.Header.Get("Location")
	status := 0
	for range 3 {
		patch, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "http://"+r.address+location, io.MultiReader(strings.NewReader(strings.Repeat("a", 400))))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(patch)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		location, status = answer.Header.Get("Location"), answer.StatusCode
	}
	if status < http.StatusBadRequest {
		t.Errorf("1200 bytes were taken: %d", status)
	}
}

func TestWhatWaitsForItsSignatureCanBeWithdrawn(t *testing.T) {
	t.Parallel()
	_, policy := signer(t)
	r := start(t, func(o *server.Options) { o.Trust = policy })
	at := r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
	remove, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+r.address+"/v2/team/hello/manifests/"+at.Digest.String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(remove)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Errorf("got %d", answer.StatusCode)
	}
	r.mustPush(t, "team/hello:1.0.0", registrytest.Module(t, "hello", "1.0.0", "mended"))
	if b, err := r.Catalog().Version("team/hello", "1.0.0"); err != nil || b.Digest == at.Digest {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestAnUnknownDigestIsNoModule(t *testing.T) {
	t.Parallel()
	_, policy := signer(t)
	r := start(t, func(o *server.Options) { o.Trust = policy })
	r.mustPush(t, "team/hello:1.0.0", module(t, "1.0.0"))
	for _, path := range []string{"manifests/" + digest.FromString("x").String(), "manifests/9.9.9", "manifests/..", "manifests/sha256:xyz", "blobs/" + digest.FromString("x").String()} {
		if status, text := r.get(t, "/v2/team/hello/"+path); status/100 != 4 || !strings.Contains(text, `"errors"`) && path != "manifests/.." {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}
