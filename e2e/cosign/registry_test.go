package cosign_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/access/accesstest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/server/servertest"
	"github.com/leash-gateway/leash/registry/trust"
)

// TestCosignLogsInAndItsSignatureReleasesAModule signs with cosign what waits in a registry that asks who one is.
func TestCosignLogsInAndItsSignatureReleasesAModule(t *testing.T) {
	for _, bundle := range []string{"true", "false"} {
		t.Run("bundle "+bundle, func(t *testing.T) {
			dir := t.TempDir()
			if err := cosignKeys(dir); err != nil {
				t.Fatal(err)
			}
			address, token, c := guarded(t, dir)
			if out, err := cosign(dir, "login", address, "-u", "whoever", "-p", token); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			folder := blobs.In(t.TempDir())
			known := credentials.NewMemoryStore()
			if err := known.Put(ctx, address, auth.Credential{Username: "whoever", Password: token}); err != nil {
				t.Fatal(err)
			}
			client, err := remote.New(remote.Options{Blobs: &folder, Credentials: known})
			if err != nil {
				t.Fatal(err)
			}
			wasm := registrytest.Module(t, "hello", "1.0.0", "content")
			m, err := manifest.Of("hello", wasm)
			if err != nil {
				t.Fatal(err)
			}
			a, err := artifact.Pack(wasm, m, artifact.Source{ABI: "0.2.1"}, artifact.Image)
			if err != nil {
				t.Fatal(err)
			}
			at, err := client.Push(ctx, remote.Reference{Registry: address, Repository: "team/hello", Tag: "1.0.0"}, a)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := c.Version("team/hello", "1.0.0"); err != nil || b.State != catalog.Pending {
				t.Fatalf("it is %s, %v", b.State, err)
			}
			out, err := cosign(dir, "sign", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format="+bundle, "-y", at.String())
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if b, err := c.Version("team/hello", "1.0.0"); err != nil || b.State != catalog.Released {
				t.Errorf("it is %s, %v", b.State, err)
			}
			pulled, err := client.Pull(ctx, at)
			if err != nil || !bytes.Equal(pulled.Wasm, wasm) {
				t.Errorf("pulled: %v", err)
			}
		})
	}
}

// guarded is a registry that wants cosign.pub's signatures, and a publisher's token.
func guarded(t *testing.T, dir string) (address, token string, c *catalog.Catalog) {
	t.Helper()
	control, secrets := accesstest.New(t, access.Grant{Role: access.Publisher, To: []string{"token:ci"}, Namespaces: []string{"team/*"}})
	if err := os.WriteFile(filepath.Join(dir, "trust.yaml"), []byte("rules: [{match: ['*'], keys: [{file: cosign.pub}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	policy, err := trust.Load(ctx, filepath.Join(dir, "trust.yaml"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	s, address := servertest.Start(t, func(o *server.Options) { o.Access, o.Trust = control, policy })
	return address, secrets["ci"], s.Catalog()
}
