package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/remote"
)

var ctx = context.Background()

// client is one with a folder of its own.
func client(t testing.TB, o remote.Options) *remote.Client {
	t.Helper()
	if o.Blobs == nil {
		folder := blobs.In(t.TempDir())
		o.Blobs = &folder
	}
	c, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func reference(t testing.TB, text string) remote.Reference {
	t.Helper()
	r, err := remote.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// module is a .wasm of some size, so that connections can break in it.
func module(t testing.TB) []byte {
	t.Helper()
	return registrytest.Module(t, "greeter", "1.0.0", strings.Repeat("content ", 1<<16))
}

func pack(t testing.TB, wasm []byte, format artifact.Format) *artifact.Artifact {
	t.Helper()
	m, err := manifest.Of("x", wasm)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{ABI: "0.2.1", Revision: "abc"}, format)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhatIsPushedIsPulled(t *testing.T) {
	wasm := module(t)
	for name, registry := range map[string]func() http.Handler{
		"olareg": func() http.Handler { return registrytest.Olareg(t) }, "go-containerregistry": registrytest.Plain,
	} {
		for _, format := range []artifact.Format{artifact.Image, artifact.Compat, artifact.CNCF} {
			for _, secured := range []bool{false, true} {
				t.Run(name+" "+string(format)+map[bool]string{true: " TLS"}[secured], func(t *testing.T) {
					var o remote.Options
					var address string
					if secured {
						address, o.CAFile = registrytest.ServeTLS(t, registry())
					} else {
						address = registrytest.Serve(t, registry())
					}
					c := client(t, o)
					a := pack(t, wasm, format)
					at, err := c.Push(ctx, reference(t, address+"/team/greeter:1.0.0"), a)
					if err != nil {
						t.Fatal(err)
					}
					for _, ref := range []string{address + "/team/greeter:1.0.0", at.String(), address + "/team/greeter@" + at.Digest.String()} {
						got, err := client(t, o).Pull(ctx, reference(t, ref))
						if err != nil {
							t.Fatal(err)
						}
						if !bytes.Equal(got.Wasm, wasm) || got.Format != format || got.Reference.Digest != a.Descriptor.Digest {
							t.Errorf("%s: got %d bytes as %s, %s", ref, len(got.Wasm), got.Format, got.Reference)
						}
					}
				})
			}
		}
	}
}

func TestTheSameModuleGivesTheSameDigest(t *testing.T) {
	for _, format := range []artifact.Format{artifact.Image, artifact.Compat, artifact.CNCF} {
		if a, b := pack(t, module(t), format), pack(t, module(t), format); a.Descriptor.Digest != b.Descriptor.Digest {
			t.Errorf("%s: got %s and %s", format, a.Descriptor.Digest, b.Descriptor.Digest)
		}
	}
}

func TestCredentialsAreKeptAsDockerDoesAndNeverGoElsewhere(t *testing.T) {
	redirecting, leaked := registrytest.Redirects(t, registrytest.Olareg(t))
	address := registrytest.Serve(t, registrytest.Tokens(redirecting))
	file := filepath.Join(t.TempDir(), "config.json")
	store, err := credentials.NewStore(file, credentials.StoreOptions{AllowPlaintextPut: true})
	if err != nil {
		t.Fatal(err)
	}
	ref := reference(t, address+"/team/greeter:1.0.0")
	a := pack(t, module(t), artifact.Image)
	c := client(t, remote.Options{Credentials: store})
	if _, err := c.Push(ctx, ref, a); err == nil || !strings.Contains(err.Error(), "leash module login") {
		t.Errorf("without a login: got %v", err)
	}
	err = c.Login(ctx, address, registrytest.User, "wrong-password")
	if err == nil || strings.Contains(err.Error(), "wrong-password") || strings.Contains(err.Error(), "leash module login") {
		t.Errorf("a wrong password: got %v", err)
	}
	if err := c.Login(ctx, address, registrytest.User, registrytest.Password); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(file); !strings.Contains(string(text), `"auths"`) || !strings.Contains(string(text), address) {
		t.Errorf("docker would not read %s", text)
	}
	if _, err := c.Push(ctx, ref, a); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Pull(ctx, ref); err != nil {
		t.Fatal(err)
	}
	if secret := leaked.Load(); secret != nil {
		t.Errorf("%v was sent to where the registry redirects", secret)
	}
	if err := c.Logout(ctx, address); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(file); strings.Contains(string(text), address) {
		t.Errorf("still in the store: %s", text)
	}
}

func TestADownloadThatBreaksGoesOnWhereItStopped(t *testing.T) {
	wasm := module(t)
	registry := registrytest.Olareg(t)
	ref := reference(t, registrytest.Serve(t, registry)+"/team/greeter:1.0.0")
	if _, err := client(t, remote.Options{}).Push(ctx, ref, pack(t, wasm, artifact.Image)); err != nil {
		t.Fatal(err)
	}
	breaking, ranges := registrytest.Breaks(registry, 100_000, 3)
	broken := reference(t, registrytest.Serve(t, breaking)+"/team/greeter:1.0.0")
	var last remote.Progress
	got, err := client(t, remote.Options{Progress: func(p remote.Progress) { last = p }}).Pull(ctx, broken)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Wasm, wasm) || ranges.Load() == 0 {
		t.Errorf("got %d bytes with %d ranges, want the rest only to be asked for", len(got.Wasm), ranges.Load())
	}
	if last.Done != last.Total || last.Total != int64(len(wasm)) {
		t.Errorf("got progress %+v", last)
	}
}

func TestADownloadThatStandsStillIsTakenUpAgain(t *testing.T) {
	wasm := module(t)
	registry := registrytest.Olareg(t)
	ref := reference(t, registrytest.Serve(t, registry)+"/team/greeter:1.0.0")
	if _, err := client(t, remote.Options{}).Push(ctx, ref, pack(t, wasm, artifact.Image)); err != nil {
		t.Fatal(err)
	}
	slow := reference(t, registrytest.Serve(t, registrytest.Stalls(registry, 2))+"/team/greeter:1.0.0")
	got, err := client(t, remote.Options{IdleTimeout: 300 * time.Millisecond}).Pull(ctx, slow)
	if err != nil || !bytes.Equal(got.Wasm, wasm) {
		t.Errorf("got %v", err)
	}
}

func TestAPushWaitsForARegistryThatTriesTheModule(t *testing.T) {
	registry := registrytest.Olareg(t)
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			select {
			case <-time.After(300 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
		registry.ServeHTTP(w, r)
	})
	ref := reference(t, registrytest.Serve(t, slow)+"/team/greeter:1.0.0")
	if _, err := client(t, remote.Options{IdleTimeout: 100 * time.Millisecond}).Push(ctx, ref, pack(t, module(t), artifact.Image)); err != nil {
		t.Error(err)
	}
}

func TestADownloadThatNeverEndsLeavesNoFileUnderItsName(t *testing.T) {
	registry := registrytest.Olareg(t)
	ref := reference(t, registrytest.Serve(t, registry)+"/team/greeter:1.0.0")
	a := pack(t, module(t), artifact.Image)
	if _, err := client(t, remote.Options{}).Push(ctx, ref, a); err != nil {
		t.Fatal(err)
	}
	breaking, _ := registrytest.Breaks(registry, 0, 1000)
	broken := reference(t, registrytest.Serve(t, breaking)+"/team/greeter:1.0.0")
	dir := t.TempDir()
	folder := blobs.In(dir)
	if _, err := client(t, remote.Options{Blobs: &folder}).Pull(ctx, broken); err == nil {
		t.Fatal("it was taken")
	}
	if _, err := os.Stat(filepath.Join(dir, "sha256", a.Blobs[1].Descriptor.Digest.Encoded())); !os.IsNotExist(err) {
		t.Errorf("a file is there: %v", err)
	}
	// Another process goes on from what is there.
	if _, err := client(t, remote.Options{Blobs: &folder}).Pull(ctx, ref); err != nil {
		t.Error(err)
	}
}

func TestAPushIsRepeatedAndSendsOnlyWhatLacks(t *testing.T) {
	registry := registrytest.Olareg(t)
	address := registrytest.Serve(t, registrytest.Fails(registry, 3))
	ref := reference(t, address+"/team/greeter:1.0.0")
	var sent, known int64
	count := func(p remote.Progress) {
		if p.Known {
			known += p.Total
		} else if p.Done == p.Total {
			sent += p.Total
		}
	}
	c := client(t, remote.Options{Progress: count})
	a := pack(t, module(t), artifact.Image)
	if _, err := c.Push(ctx, ref, a); err != nil {
		t.Fatal(err)
	}
	sent, known = 0, 0
	if _, err := c.Push(ctx, ref, a); err != nil {
		t.Fatal(err)
	}
	if sent != 0 || known == 0 {
		t.Errorf("sent %d bytes again, %d were known", sent, known)
	}
}

func TestAnUploadThatBreaksIsRepeatedAndHasNoNameBefore(t *testing.T) {
	wasm := module(t)
	a := pack(t, wasm, artifact.Image)
	for name, tc := range map[string]struct {
		registry http.Handler
		times    int32
		arrives  bool
	}{
		"twice":                         {registrytest.Olareg(t), 2, true},
		"twice, without referrers":      {registrytest.Plain(), 2, true},
		"always":                        {registrytest.Olareg(t), 1000, false},
		"always, and without referrers": {registrytest.Plain(), 1000, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref := reference(t, registrytest.Serve(t, tc.registry)+"/team/greeter:1.0.0")
			cut := reference(t, registrytest.Serve(t, registrytest.CutsUploads(tc.registry, 50_000, tc.times))+"/team/greeter:1.0.0")
			_, err := client(t, remote.Options{}).Push(ctx, cut, a)
			if arrived := err == nil; arrived != tc.arrives {
				t.Fatalf("got %v", err)
			}
			if tc.arrives {
				if got, err := client(t, remote.Options{}).Pull(ctx, ref); err != nil || !bytes.Equal(got.Wasm, wasm) {
					t.Errorf("got %v", err)
				}
				return
			}
			if _, _, err := client(t, remote.Options{}).Resolve(ctx, ref); err == nil {
				t.Error("half a module has a name")
			}
			if _, err := client(t, remote.Options{}).Push(ctx, ref, a); err != nil { // the connection is better now
				t.Errorf("the push cannot be repeated: %v", err)
			}
		})
	}
}

func TestWhatHasBeenChangedOnItsWayIsRefused(t *testing.T) {
	wasm := module(t)
	other := pack(t, registrytest.Module(t, "greeter", "1.0.0", "evil"), artifact.Image)
	for name, tc := range map[string]struct {
		part   string
		change func(http.Header, []byte) []byte
	}{
		"another manifest": {"/manifests/", func(_ http.Header, _ []byte) []byte { return other.Manifest }},
		"another manifest with its own digest": {"/manifests/", func(h http.Header, _ []byte) []byte {
			h.Set("Docker-Content-Digest", other.Descriptor.Digest.String())
			return other.Manifest
		}},
		"a changed blob":    {"/blobs/", func(_ http.Header, b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		"a shorter blob":    {"/blobs/", func(_ http.Header, b []byte) []byte { return b[:len(b)/2] }},
		"a longer blob":     {"/blobs/", func(_ http.Header, b []byte) []byte { return append(b, 0) }},
		"another module":    {"/blobs/", func(_ http.Header, _ []byte) []byte { return other.Blobs[1].Content }},
		"nothing of a blob": {"/blobs/", func(_ http.Header, _ []byte) []byte { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry := registrytest.Olareg(t)
			address := registrytest.Serve(t, registry)
			at, err := client(t, remote.Options{}).Push(ctx, reference(t, address+"/team/greeter:1.0.0"), pack(t, wasm, artifact.Image))
			if err != nil {
				t.Fatal(err)
			}
			between := registrytest.Serve(t, registrytest.InTheMiddle(registry, tc.part, tc.change))
			limited, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			got, err := client(t, remote.Options{}).Pull(limited, reference(t, between+"/team/greeter:1.0.0@"+at.Digest.String()))
			if err == nil {
				t.Errorf("got %d bytes", len(got.Wasm))
			}
		})
	}
}

func TestTagsAreListedSetAndCopied(t *testing.T) {
	address, elsewhere := registrytest.Serve(t, registrytest.Olareg(t)), registrytest.Serve(t, registrytest.Plain())
	c := client(t, remote.Options{})
	at, err := c.Push(ctx, reference(t, address+"/team/greeter:1.0.0"), pack(t, module(t), artifact.Image))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tag(ctx, at, "stable", "latest"); err != nil {
		t.Fatal(err)
	}
	tags, err := c.List(ctx, at)
	if err != nil || len(tags) != 3 || tags[2].Name != "stable" || tags[2].Digest != at.Digest {
		t.Errorf("got %v, %v", tags, err)
	}
	copied, err := c.Copy(ctx, reference(t, address+"/team/greeter:stable"), reference(t, elsewhere+"/prod/greeter:1.0.0"))
	if err != nil || copied.Digest != at.Digest {
		t.Fatalf("got %s, %v", copied, err)
	}
	if got, err := client(t, remote.Options{}).Pull(ctx, reference(t, elsewhere+"/prod/greeter:1.0.0")); err != nil || !bytes.Equal(got.Wasm, module(t)) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	address := registrytest.Serve(t, registrytest.Olareg(t))
	secured, _ := registrytest.ServeTLS(t, registrytest.Olareg(t))
	c := client(t, remote.Options{})
	for name, tc := range map[string]struct{ ref, want string }{
		"no such tag":            {address + "/team/greeter:9.9.9", "leash module list"},
		"no tag at all":          {address + "/team/greeter", "name a tag or a digest"},
		"an unknown authority":   {secured + "/team/greeter:1.0.0", "--ca-file"},
		"a registry that is off": {nettest.FreeAddress(t) + "/team/greeter:1.0.0", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.Pull(ctx, reference(t, tc.ref)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestARegistrysReasonIsToldOnce has the body of an answer with status 403.
func TestARegistrysReasonIsToldOnce(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"details that the message holds": {`{"errors":[{"code":"DENIED","message":"it is yanked; it is old","detail":["it is yanked","it is old"]}]}`, "denied: it is yanked; it is old"},
		"other details":                  {`{"errors":[{"code":"DENIED","message":"no access","detail":[{"Action":"pull"}]}]}`, "denied: no access: [map[Action:pull]]"},
		"no reason":                      {``, "Forbidden (these credentials may not do that)"},
	} {
		t.Run(name, func(t *testing.T) {
			address := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, tc.body)
			}))
			_, err := client(t, remote.Options{}).List(ctx, reference(t, address+"/team/greeter"))
			if err == nil || !strings.HasSuffix(err.Error(), "status code 403: "+tc.want) {
				t.Errorf("got %v, want %q at its end", err, tc.want)
			}
			if _, answer := errors.AsType[*errcode.ErrorResponse](err); !answer {
				t.Errorf("%v is no answer of a registry any more", err)
			}
		})
	}
}

func TestReferencesAreReadStrictly(t *testing.T) {
	const sum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for text, ok := range map[string]bool{
		"registry.example.com/team/m:1.0.0": true, "localhost:5000/m": true, "oci://r.io/m:1": true, "127.0.0.1:5000/a/b:1@" + sum: true,
		"m": false, "team/m:1.0.0": false, "r.io/M:1": false, "r.io/m:1@sha256:12": false, "r.io/m@sha512:" + strings.Repeat("a", 128): false, "r.io/m:-x": false, "": false, "r.io/": false,
	} {
		r, err := remote.Parse(text)
		if (err == nil) != ok {
			t.Errorf("%q: got %v", text, err)
		}
		if want := strings.TrimPrefix(text, "oci://"); err == nil && r.String() != want {
			t.Errorf("%q: got %q", text, r)
		}
	}
	if _, err := remote.Parse("team/m"); !errors.Is(err, remote.ErrReference) {
		t.Errorf("got %v, want ErrReference", err)
	}
}

func ExampleParse() {
	r, err := remote.Parse("registry.example.com/team/greeter:1.0.0")
	fmt.Println(r.Registry, r.Repository, r.Tag, err)
	_, err = remote.Parse("greeter")
	fmt.Println(err)
	// Output:
	// registry.example.com team/greeter 1.0.0 <nil>
	// "greeter": not a reference, such as registry.example.com/team/module:1.0.0
}

func FuzzParse(f *testing.F) {
	f.Add("registry.example.com/team/greeter:1.0.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
	f.Add("localhost:5000/a")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := remote.Parse(text)
		if err != nil {
			return
		}
		if again, err := remote.Parse(r.String()); err != nil || again != r {
			t.Errorf("%q became %q, which is %+v, %v", text, r, again, err)
		}
	})
}
