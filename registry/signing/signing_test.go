package signing_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/signing"
)

var (
	ctx   = context.Background()
	now   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	noEnv = func(string) (string, bool) { return "", false }
)

func secret(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

// key is a key with its authority, the same for the same name.
func key(t *testing.T, name string) (*signing.Signer, signing.Authority) {
	t.Helper()
	if k, found := made[name]; found { // encrypting a key takes most of a second
		return k.signer, k.authority
	}
	private, public, err := signing.GenerateKey([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name+".key")
	if err := os.WriteFile(file, private, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := signing.LoadSigner(ctx, file, noEnv, secret("secret"))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := signing.LoadPublic(ctx, string(public), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	made[name] = pair{s, signing.Authority{Name: name, Key: loaded}}
	return s, made[name].authority
}

type pair struct {
	signer    *signing.Signer
	authority signing.Authority
}

// made are the keys by their names.
var made = map[string]pair{}

// pushed is a module in a registry.
func pushed(t *testing.T, h http.Handler, tag, content string) (*remote.Client, remote.Reference) {
	t.Helper()
	return push(t, registrytest.Serve(t, h), tag, content)
}

func push(t *testing.T, address, tag, content string) (*remote.Client, remote.Reference) {
	t.Helper()
	folder := blobs.In(t.TempDir())
	c, err := remote.New(remote.Options{Blobs: &folder})
	if err != nil {
		t.Fatal(err)
	}
	wasm := registrytest.Module(t, "greeter", "1.0.0", content)
	m, err := manifest.Of("x", wasm)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{}, artifact.Image)
	if err != nil {
		t.Fatal(err)
	}
	r, err := remote.Parse(address + "/team/greeter:" + tag)
	if err != nil {
		t.Fatal(err)
	}
	at, err := c.Push(ctx, r, a)
	if err != nil {
		t.Fatal(err)
	}
	return c, at
}

func TestWhatIsSignedIsVerified(t *testing.T) {
	for name, registry := range map[string]func() http.Handler{
		"olareg": func() http.Handler { return registrytest.Olareg(t) }, "without referrers": registrytest.Plain,
	} {
		for _, format := range []signing.Format{signing.Both, signing.Bundle, signing.Simple} {
			t.Run(name+" "+string(format), func(t *testing.T) {
				c, at := pushed(t, registry(), "1.0.0", "content")
				s, a := key(t, "release")
				if _, err := signing.Sign(ctx, c, at, s, format, signing.Options{Annotations: map[string]string{"env": "prod"}}); err != nil {
					t.Fatal(err)
				}
				got, err := signing.Signatures(ctx, c, at, []signing.Authority{a}, now)
				if err != nil {
					t.Fatal(err)
				}
				want := map[signing.Format]int{signing.Both: 2, signing.Bundle: 1, signing.Simple: 1}[format]
				if len(got) != want || got[0].By != "release" || got[0].Annotations["env"] != "prod" {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
}

func TestWhatProvesNothingIsRefused(t *testing.T) {
	s, a := key(t, "release")
	other, _ := key(t, "other")
	for _, format := range []signing.Format{signing.Bundle, signing.Simple} {
		for name, tc := range map[string]struct {
			by   *signing.Signer // nil: nobody
			o    signing.Options
			want string
		}{
			"no signature":                 {nil, signing.Options{}, "there is none"},
			"another's key":                {other, signing.Options{}, "not signed by release"},
			"a signature that has expired": {s, signing.Options{Expires: now.Add(-time.Minute)}, "has expired on 2026-11-24T11:59:00Z"},
			"a signature that holds until nonsense": {
				s, signing.Options{Annotations: map[string]string{signing.ExpiresAnnotation: "never"}}, `holds until "never"`,
			},
		} {
			t.Run(string(format)+" "+name, func(t *testing.T) {
				c, at := pushed(t, registrytest.Olareg(t), "1.0.0", "content")
				if tc.by != nil {
					sign(t, c, at, tc.by, format, tc.o)
				}
				_, err := signing.Signatures(ctx, c, at, []signing.Authority{a}, now)
				if !errors.Is(err, signing.ErrUnsigned) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
			})
		}
	}
}

func sign(t *testing.T, c *remote.Client, at remote.Reference, s *signing.Signer, format signing.Format, o signing.Options) {
	t.Helper()
	if _, err := signing.Sign(ctx, c, at, s, format, o); err != nil {
		t.Fatal(err)
	}
}

func TestAKeyPastItsDayIsGoodForNothing(t *testing.T) {
	c, at := pushed(t, registrytest.Olareg(t), "1.0.0", "content")
	s, a := key(t, "release")
	sign(t, c, at, s, signing.Both, signing.Options{})
	a.NotAfter = now.Add(-time.Hour)
	if _, err := signing.Signatures(ctx, c, at, []signing.Authority{a}, now); !errors.Is(err, signing.ErrUnsigned) {
		t.Errorf("got %v", err)
	}
}

// TestASignatureOfAnotherModuleProvesNothing attaches the signatures of one module to another, as whoever may write into
// the registry could.
func TestASignatureOfAnotherModuleProvesNothing(t *testing.T) {
	address := registrytest.Serve(t, registrytest.Olareg(t))
	c, good := push(t, address, "1.0.0", "good")
	_, evil := push(t, address, "2.0.0", "evil")
	s, a := key(t, "release")
	sign(t, c, good, s, signing.Both, signing.Options{})
	for mediaType, attach := range map[string]func(remote.Attachment) error{
		"application/vnd.dev.sigstore.bundle.v0.3+json": func(x remote.Attachment) error { return c.Attach(ctx, evil, x) },
		"application/vnd.dev.cosign.simplesigning.v1+json": func(x remote.Attachment) error {
			return c.AttachTagged(ctx, evil, "sig", x)
		},
	} {
		list, err := c.Attachments(ctx, good, mediaType)
		if err == nil && len(list) == 0 {
			list, err = c.TaggedAttachments(ctx, good, "sig", mediaType)
		}
		if err != nil || len(list) != 1 {
			t.Fatalf("got %d, %v", len(list), err)
		}
		if err := attach(list[0]); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := signing.Signatures(ctx, c, evil, []signing.Authority{a}, now); !errors.Is(err, signing.ErrUnsigned) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAChangedSignatureProvesNothing(t *testing.T) {
	for name, change := range map[string]func(*remote.Attachment){
		"a changed byte":   func(a *remote.Attachment) { a.Content[len(a.Content)/2] ^= 1 },
		"half of it":       func(a *remote.Attachment) { a.Content = a.Content[:len(a.Content)/2] },
		"nothing":          func(a *remote.Attachment) { a.Content = []byte("{}") },
		"another encoding": func(a *remote.Attachment) { a.Annotations["dev.cosignproject.cosign/signature"] = "!" },
	} {
		for _, format := range []signing.Format{signing.Bundle, signing.Simple} {
			if name == "another encoding" && format == signing.Bundle {
				continue
			}
			t.Run(string(format)+" "+name, func(t *testing.T) {
				address := registrytest.Serve(t, registrytest.Olareg(t))
				c, at := push(t, address, "1.0.0", "content")
				s, a := key(t, "release")
				sign(t, c, at, s, format, signing.Options{})
				elsewhere := registrytest.Serve(t, registrytest.Olareg(t))
				c2, same := push(t, elsewhere, "1.0.0", "content")
				var err error
				if format == signing.Bundle {
					list, _ := c.Attachments(ctx, at, "application/vnd.dev.sigstore.bundle.v0.3+json")
					list[0].Content = bytes.Clone(list[0].Content)
					change(&list[0])
					err = c2.Attach(ctx, same, list[0])
				} else {
					list, _ := c.TaggedAttachments(ctx, at, "sig", "application/vnd.dev.cosign.simplesigning.v1+json")
					list[0].Content = bytes.Clone(list[0].Content)
					change(&list[0])
					err = c2.AttachTagged(ctx, same, "sig", list[0])
				}
				if err != nil {
					t.Fatal(err)
				}
				if got, err := signing.Signatures(ctx, c2, same, []signing.Authority{a}, now); !errors.Is(err, signing.ErrUnsigned) {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
	}
}

func TestFilesAreSignedToo(t *testing.T) {
	s, a := key(t, "release")
	wasm := registrytest.Module(t, "greeter", "1.0.0", "content")
	bundle, err := signing.SignFile(ctx, wasm, s, signing.Options{Annotations: map[string]string{"env": "prod"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := signing.FileSignature("greeter.wasm", wasm, bundle, []signing.Authority{a}, now)
	if err != nil || got[0].Annotations["env"] != "prod" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := signing.FileSignature("greeter.wasm", append(wasm, 0), bundle, []signing.Authority{a}, now); !errors.Is(err, signing.ErrUnsigned) {
		t.Errorf("changed: got %v", err)
	}
}

func TestKeysComeFromFilesAndTheEnvironmentAndNeverStandInErrors(t *testing.T) {
	private, public, err := signing.GenerateKey([]byte("planted-secret"))
	if err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"KEY": string(private), "PUB": string(public), "BAD": "planted-secret"}[name]
		return value, ok
	}
	if _, err := signing.LoadSigner(ctx, "env://KEY", env, secret("planted-secret")); err != nil {
		t.Error(err)
	}
	if _, err := signing.LoadPublic(ctx, "env://PUB", env); err != nil {
		t.Error(err)
	}
	for name, tc := range map[string]struct {
		reference, password string
		want                string
	}{
		"a wrong password": {"env://KEY", "planted-guess", "the password does not open the key"},
		"no such variable": {"env://NONE", "", "the environment variable is not set"},
		"no key":           {"env://BAD", "", "it is not a PEM file"},
		"a public key":     {"env://PUB", "", "it is a public key"},
		"no file":          {filepath.Join(t.TempDir(), "x"), "", "no such file"},
		"no such service":  {"nosuchkms://key/1", "", "nosuchkms"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := signing.LoadSigner(ctx, tc.reference, env, secret(tc.password))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "planted") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestProvenanceIsAStatementOfItsOwn(t *testing.T) {
	c, at := pushed(t, registrytest.Olareg(t), "1.0.0", "content")
	s, a := key(t, "release")
	if _, err := signing.Attest(ctx, c, at, signing.ProvenanceType, []byte(`{"buildDefinition":{"buildType":"test"}}`), s, signing.Options{}); err != nil {
		t.Fatal(err)
	}
	got, err := signing.Attestations(ctx, c, at, signing.ProvenanceType, []signing.Authority{a}, now)
	if err != nil || len(got) != 1 || !strings.Contains(string(got[0].Predicate), "buildDefinition") {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := signing.Signatures(ctx, c, at, []signing.Authority{a}, now); !errors.Is(err, signing.ErrUnsigned) {
		t.Errorf("an attestation counts as a signature: %v", err)
	}
}

func FuzzFileSignature(f *testing.F) {
	private, public, err := signing.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	s, err := signing.LoadSigner(ctx, "env://KEY", func(string) (string, bool) { return string(private), true }, secret(""))
	if err != nil {
		f.Fatal(err)
	}
	key, err := signing.LoadPublic(ctx, string(public), noEnv)
	if err != nil {
		f.Fatal(err)
	}
	good, err := signing.SignFile(ctx, []byte("good"), s, signing.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, bundle []byte) {
		if _, err := signing.FileSignature("x", []byte("evil"), bundle, []signing.Authority{{Name: "a", Key: key}}, now); err == nil {
			t.Errorf("%s proves something that was never signed", bundle)
		}
	})
}
