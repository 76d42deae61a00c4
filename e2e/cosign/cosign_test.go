// Package cosign tests with the real cosign, which is in a Go module of its own: what leash signs it accepts, and what it
// signs leash accepts.
package cosign_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/signing"
)

var ctx = context.Background()

// binary is cosign, of go.mod's version. go tool keeps what it has linked: only the first time takes minutes.
var binary = sync.OnceValues(func() (string, error) {
	command := exec.Command("go", "tool", "-n", "cosign")
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("build cosign: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// cosign runs it in a folder.
func cosign(dir string, args ...string) (string, error) {
	path, err := binary()
	if err != nil {
		return "", err
	}
	command := exec.Command(path, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "COSIGN_PASSWORD=secret", "DOCKER_CONFIG="+dir)
	out, err := command.CombinedOutput()
	return string(out), err
}

// stage is a registry with a module, and a key pair of the one who signs.
type stage struct {
	client *remote.Client
	at     remote.Reference
	dir    string
}

func newStage(t *testing.T, keys func(dir string) error) stage {
	t.Helper()
	s := stage{dir: t.TempDir()}
	if err := keys(s.dir); err != nil {
		t.Fatal(err)
	}
	folder := blobs.In(t.TempDir())
	var err error
	if s.client, err = remote.New(remote.Options{Blobs: &folder}); err != nil {
		t.Fatal(err)
	}
	wasm := registrytest.Module(t, "greeter", "1.0.0", "content")
	m, err := manifest.Of("greeter.wasm", wasm)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{}, artifact.Image)
	if err != nil {
		t.Fatal(err)
	}
	r, err := remote.Parse(registrytest.Serve(t, registrytest.Olareg(t)) + "/team/greeter")
	if err != nil {
		t.Fatal(err)
	}
	if s.at, err = s.client.Push(ctx, r, a); err != nil {
		t.Fatal(err)
	}
	return s
}

func leashKeys(dir string) error {
	private, public, err := signing.GenerateKey([]byte("secret"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "cosign.key"), private, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cosign.pub"), public, 0o600)
}

func cosignKeys(dir string) error {
	_, err := cosign(dir, "generate-key-pair")
	return err
}

func TestCosignAcceptsWhatLeashSigns(t *testing.T) {
	for _, format := range []signing.Format{signing.Bundle, signing.Simple, signing.Both} {
		for name, keys := range map[string]func(string) error{"leash's key": leashKeys, "cosign's key": cosignKeys} {
			t.Run(string(format)+" "+name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, keys)
				signer, err := signing.LoadSigner(ctx, filepath.Join(s.dir, "cosign.key"), os.LookupEnv, func() ([]byte, error) { return []byte("secret"), nil })
				if err != nil {
					t.Fatal(err)
				}
				verify := []string{"verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "-a", "env=prod", s.at.String()}
				if out, err := cosign(s.dir, verify...); err == nil {
					t.Fatalf("cosign accepts what nobody has signed:\n%s", out)
				}
				if _, err := signing.Sign(ctx, s.client, s.at, signer, format, signing.Options{Annotations: map[string]string{"env": "prod"}}); err != nil {
					t.Fatal(err)
				}
				if out, err := cosign(s.dir, verify...); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

func TestLeashAcceptsWhatCosignSigns(t *testing.T) {
	for _, bundle := range []string{"true", "false"} {
		for name, keys := range map[string]func(string) error{"leash's key": leashKeys, "cosign's key": cosignKeys} {
			t.Run("bundle "+bundle+" "+name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, keys)
				out, err := cosign(s.dir, "sign", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format="+bundle, "-y", "-a", "env=prod", s.at.String())
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				public, err := signing.LoadPublic(ctx, filepath.Join(s.dir, "cosign.pub"), os.LookupEnv)
				if err != nil {
					t.Fatal(err)
				}
				got, err := signing.Signatures(ctx, s.client, s.at, []signing.Authority{{Name: "cosign", Key: public}}, time.Now())
				if err != nil || len(got) != 1 || got[0].Annotations["env"] != "prod" {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
	}
}

func TestCosignAcceptsTheSignatureOfAFile(t *testing.T) {
	dir := t.TempDir()
	if err := leashKeys(dir); err != nil {
		t.Fatal(err)
	}
	signer, err := signing.LoadSigner(ctx, filepath.Join(dir, "cosign.key"), os.LookupEnv, func() ([]byte, error) { return []byte("secret"), nil })
	if err != nil {
		t.Fatal(err)
	}
	wasm := registrytest.Module(t, "greeter", "1.0.0", "content")
	signed, err := signing.SignFile(ctx, wasm, signer, signing.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"m.wasm": wasm, "m.json": signed} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := []string{"verify-blob-attestation", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--type", signing.SignatureType, "--bundle", "m.json", "m.wasm"}
	if out, err := cosign(dir, verify...); err != nil || !strings.Contains(out, "Verified OK") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "m.wasm"), append(wasm, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := cosign(dir, verify...); err == nil {
		t.Errorf("cosign accepts a changed file:\n%s", out)
	}
}
