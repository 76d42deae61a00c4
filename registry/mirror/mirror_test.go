package mirror_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/mirror"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/server/servertest"
	"github.com/leash-gateway/leash/registry/signing"
	"github.com/leash-gateway/leash/registry/trust"
)

// signer is a key, and the trust policy that wants its signatures.
func signer(t *testing.T) (*signing.Signer, *trust.Policy) {
	t.Helper()
	private, public, err := signing.GenerateKey([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"key": private, "pub": public, "trust.yaml": []byte("rules: [{match: [registry.example.com/*], keys: [{name: release, file: pub}]}]\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := signing.LoadSigner(t.Context(), filepath.Join(dir, "key"), os.LookupEnv, func() ([]byte, error) { return []byte("secret"), nil })
	if err != nil {
		t.Fatal(err)
	}
	policy, err := trust.Load(t.Context(), filepath.Join(dir, "trust.yaml"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return key, policy
}

func push(t *testing.T, c *remote.Client, ref, version, content string) remote.Reference {
	t.Helper()
	wasm := registrytest.Module(t, "hello", version, content)
	m, err := manifest.Of("hello", wasm)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{}, artifact.Image)
	if err != nil {
		t.Fatal(err)
	}
	r, err := remote.Parse(ref + ":" + version)
	if err != nil {
		t.Fatal(err)
	}
	at, err := c.Push(t.Context(), r, a)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAMirrorCopiesWhatIsNewAndTrustsNothing(t *testing.T) {
	t.Parallel()
	key, policy := signer(t)
	s, _ := servertest.Start(t, func(o *server.Options) { o.Trust = policy })
	folder := blobs.In(t.TempDir())
	client, err := remote.New(remote.Options{Blobs: &folder, Local: s.Local("mirror")})
	if err != nil {
		t.Fatal(err)
	}
	from := registrytest.Serve(t, registrytest.Olareg(t)) + "/leash"
	m := &mirror.Mirror{Client: client, Name: s.Name(), Catalog: s.Catalog(), Log: slog.New(slog.DiscardHandler)}
	source := &mirror.Source{From: from, Repositories: []string{"team/hello"}}
	states := func() string {
		versions, err := s.Catalog().Versions("team/hello")
		if err != nil {
			return err.Error()
		}
		var told []string
		for _, b := range versions {
			told = append(told, b.Version+" "+string(b.State)+" by "+b.By)
		}
		return strings.Join(told, ", ")
	}
	copies := func(want string) {
		t.Helper()
		if err := m.Copy(t.Context(), source); err != nil {
			t.Fatal(err)
		}
		if got := states(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}

	signed := push(t, client, from+"/team/hello", "1.0.0", "one")
	if _, err := signing.Sign(t.Context(), client, signed, key, signing.Both, signing.Options{}); err != nil {
		t.Fatal(err)
	}
	unsigned := push(t, client, from+"/team/hello", "1.1.0", "two")
	copies("1.1.0 pending by mirror, 1.0.0 released by mirror")
	seq := s.Catalog().Seq()
	if _, err := signing.Sign(t.Context(), client, unsigned, key, signing.Bundle, signing.Options{}); err != nil {
		t.Fatal(err)
	}
	copies("1.1.0 released by mirror, 1.0.0 released by mirror")
	if seq == s.Catalog().Seq() {
		t.Error("the signature was not copied")
	}
	seq = s.Catalog().Seq()
	copies("1.1.0 released by mirror, 1.0.0 released by mirror")
	if seq != s.Catalog().Seq() {
		t.Error("what is here was copied again")
	}
	// A version that is another there now stays what it was.
	push(t, client, from+"/team/hello", "1.0.0", "changed")
	if err := m.Copy(t.Context(), source); err == nil || !strings.Contains(err.Error(), "never changes") {
		t.Errorf("got %v", err)
	}
	if b, err := s.Catalog().Version("team/hello", "1.0.0"); err != nil || b.Digest != signed.Digest {
		t.Errorf("it is %s now, %v", b.Digest, err)
	}
	if _, err := s.Catalog().Promote(context.Background(), catalog.Actor{Name: "ada"}, catalog.Promotion{Module: "team/hello", Version: "1.1.0", Channel: "stable"}); err != nil {
		t.Error(err)
	}
}

func TestASourceNamesWhatIsCopied(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]mirror.Source{
		"repositories is missing": {From: "harbor.example.com"},
		"from:":                   {From: "harbor", Repositories: []string{"team/hello"}},
		"every is negative":       {From: "harbor.example.com", Repositories: []string{"team/hello"}, Every: -1},
		"":                        {From: "harbor.example.com/leash", Repositories: []string{"team/hello"}},
	} {
		if err := s.Check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
