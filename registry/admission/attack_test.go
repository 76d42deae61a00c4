package admission_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/filters"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/admission"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/signing"
	"github.com/leash-gateway/leash/registry/trust"
)

var (
	ctx = context.Background()
	now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

// A stage is a registry with signed modules, and a trust policy.
type stage struct {
	down atomic.Bool // the registry is not reached

	t        *testing.T
	registry http.Handler
	address  string
	client   *remote.Client
	release  *signing.Signer
	stranger *signing.Signer
	policy   string // file
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, registry: registrytest.Olareg(t)}
	s.address = registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler) // closes the connection
		}
		s.registry.ServeHTTP(w, r)
	}))
	s.client = s.newClient()
	dir := t.TempDir()
	s.release, s.stranger = s.key(dir, "release"), s.key(dir, "stranger")
	s.policy = filepath.Join(dir, "trust.yaml")
	s.write(`rules:
  - match: ["127.0.0.1*/team/*", "file:*"]
    keys: [{name: release, file: release.pub, not_after: 2027-01-01}]
    annotations: {env: prod}
`)
	return s
}

func (s *stage) write(policy string) {
	s.t.Helper()
	if err := os.WriteFile(s.policy, []byte(policy), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) newClient() *remote.Client {
	s.t.Helper()
	folder := blobs.In(s.t.TempDir())
	c, err := remote.New(remote.Options{Blobs: &folder})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *stage) key(dir, name string) *signing.Signer {
	s.t.Helper()
	k, err := keys(name)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".pub"), k.public, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return k.signer
}

type pair struct {
	signer *signing.Signer
	public []byte
}

var made = map[string]pair{}

// keys makes a key once: encrypting it takes most of a second.
func keys(name string) (pair, error) {
	if k, found := made[name]; found {
		return k, nil
	}
	private, public, err := signing.GenerateKey(nil)
	if err != nil {
		return pair{}, err
	}
	env := func(string) (string, bool) { return string(private), true }
	signer, err := signing.LoadSigner(ctx, "env://KEY", env, func() ([]byte, error) { return nil, nil })
	if err != nil {
		return pair{}, err
	}
	made[name] = pair{signer, public}
	return made[name], nil
}

func (s *stage) pack(version, content string) *artifact.Artifact {
	s.t.Helper()
	return s.packAs(artifact.Image, version, content)
}

func (s *stage) packAs(format artifact.Format, version, content string) *artifact.Artifact {
	s.t.Helper()
	wasm := registrytest.Module(s.t, "greeter", version, content)
	m, err := manifest.Of("x", wasm)
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{}, format)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *stage) push(tag, version, content string) remote.Reference {
	s.t.Helper()
	at, err := s.client.Push(ctx, s.ref(s.address, tag), s.pack(version, content))
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

func (s *stage) ref(address, tag string) remote.Reference {
	s.t.Helper()
	r, err := remote.Parse(address + "/team/greeter:" + tag)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *stage) sign(at remote.Reference, by *signing.Signer, o signing.Options) {
	s.t.Helper()
	if o.Annotations == nil {
		o.Annotations = map[string]string{"env": "prod"}
	}
	if _, err := signing.Sign(ctx, s.client, at, by, signing.Both, o); err != nil {
		s.t.Fatal(err)
	}
}

// signed is a module that may run.
func (s *stage) signed(tag, version, content string) remote.Reference {
	s.t.Helper()
	at := s.push(tag, version, content)
	s.sign(at, s.release, signing.Options{})
	return at
}

// run admits a leash.yaml that names this module, as a machine would that has never seen it.
func (s *stage) run(entry string) (*config.Config, error) {
	s.t.Helper()
	return s.runOn(blobs.In(s.t.TempDir()), now, entry)
}

// runOn is run on a machine that may have seen it, at another time.
func (s *stage) runOn(folder blobs.Folder, now time.Time, entry string) (*config.Config, error) {
	s.t.Helper()
	c, err := config.Parse("leash.yaml", []byte(`
providers: {local: {base_url: "http://127.0.0.1:9/v1"}}
routes: [{model: "*", provider: local}]
allow_anonymous: true
modules: {trust: `+s.policy+`}
pipeline:
  - {module: greeter, `+entry+`}
`), os.LookupEnv)
	if err != nil {
		s.t.Fatal(err)
	}
	return c, admission.Admit(ctx, c, admission.Options{
		Builtin: filters.Manifest, Registries: s.newClient(), Blobs: folder, Env: os.LookupEnv, Now: func() time.Time { return now },
	})
}

func TestASignedModuleOfARegistryRuns(t *testing.T) {
	s := newStage(t)
	at := s.signed("1.0.0", "1.0.0", "good")
	for _, ref := range []string{s.address + "/team/greeter:1.0.0", at.String()} {
		c, err := s.run("ref: '" + ref + "'")
		if err != nil {
			t.Fatal(err)
		}
		f := c.Filters()[0]
		if wasm, err := os.ReadFile(f.File); err != nil || manifestOf(t, wasm).Version != "1.0.0" || len(f.Allow) == 0 || f.Policy {
			t.Errorf("got %+v, %v", f, err)
		}
	}
}

func manifestOf(t *testing.T, wasm []byte) *manifest.Manifest {
	t.Helper()
	m, err := manifest.Of("x", wasm)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWhatIsNotTrustedNeverRuns has a case for each way in which a module could get in that should not.
func TestWhatIsNotTrustedNeverRuns(t *testing.T) {
	between := func(s *stage, part string, change func(http.Header, []byte) []byte) string {
		return registrytest.Serve(s.t, registrytest.InTheMiddle(s.registry, part, change)) + "/team/greeter:1.0.0"
	}
	for name, tc := range map[string]struct {
		prepare func(s *stage) (ref string)
		want    string
	}{
		"unsigned": {func(s *stage) string {
			return s.push("1.0.0", "1.0.0", "good").String()
		}, "no signature that is trusted: there is none"},
		"signed by a stranger": {func(s *stage) string {
			at := s.push("1.0.0", "1.0.0", "good")
			s.sign(at, s.stranger, signing.Options{})
			return at.String()
		}, "not signed by release"},
		"signed for something else": {func(s *stage) string {
			at := s.push("1.0.0", "1.0.0", "good")
			s.sign(at, s.release, signing.Options{Annotations: map[string]string{"env": "test"}})
			return at.String()
		}, "has the annotations env=prod"},
		"re-tagged: the tag of a signed module is moved to another": {func(s *stage) string {
			s.signed("1.0.0", "1.0.0", "good")
			s.push("1.0.0", "1.0.0", "evil")
			return s.address + "/team/greeter:1.0.0"
		}, "there is none"},
		"re-tagged: an old signed module as a newer version": {func(s *stage) string {
			old := s.signed("1.0.0", "1.0.0", "old and broken")
			s.signed("2.0.0", "2.0.0", "new")
			if _, err := s.client.Tag(ctx, old, "2.0.0"); err != nil {
				s.t.Fatal(err)
			}
			return s.address + "/team/greeter:2.0.0"
		}, "the tag says version 2.0.0, but the module is version 1.0.0: somebody has moved the tag"},
		"swapped: the signature of another module": {func(s *stage) string {
			good, evil := s.signed("1.0.0", "1.0.0", "good"), s.push("1.0.1", "1.0.1", "evil")
			for _, mediaType := range []string{"application/vnd.dev.sigstore.bundle.v0.3+json"} {
				list, err := s.client.Attachments(ctx, good, mediaType)
				if err != nil || len(list) == 0 {
					s.t.Fatal(err)
				}
				if err := s.client.Attach(ctx, evil, list[0]); err != nil {
					s.t.Fatal(err)
				}
			}
			return evil.String()
		}, "no signature that is trusted"},
		"expired: the signature": {func(s *stage) string {
			at := s.push("1.0.0", "1.0.0", "good")
			s.sign(at, s.release, signing.Options{Expires: now.Add(-time.Second)})
			return at.String()
		}, "has expired"},
		"expired: the key": {func(s *stage) string {
			s.write("rules: [{match: ['*'], keys: [{name: release, file: release.pub, not_after: 2026-11-23}]}]\n")
			return s.signed("1.0.0", "1.0.0", "good").String()
		}, "the key is good until 2026-11-23 only"},
		"revoked": {func(s *stage) string {
			at := s.signed("1.0.0", "1.0.0", "good")
			s.write("rules: [{match: ['*'], keys: [{name: release, file: release.pub}]}]\nrevoked: ['" + at.Digest.String() + "']\n")
			return at.String()
		}, "is revoked"},
		"revoked: its .wasm": {func(s *stage) string {
			wasm := digest.FromBytes(registrytest.Module(s.t, "greeter", "1.0.0", "good"))
			s.write("rules: [{match: ['*'], keys: [{name: release, file: release.pub}]}]\nrevoked: ['" + wasm.String() + "']\n")
			return s.signed("1.0.0", "1.0.0", "good").String()
		}, "is revoked"},
		"revoked: its .wasm in an unsigned image of another layout": {func(s *stage) string {
			wasm := digest.FromBytes(registrytest.Module(s.t, "greeter", "1.0.0", "good"))
			s.write("rules: [{match: ['*'], unsigned: true}]\nrevoked: ['" + wasm.String() + "']\n")
			at, err := s.client.Push(ctx, s.ref(s.address, "1.0.0"), s.packAs(artifact.Compat, "1.0.0", "good"))
			if err != nil {
				s.t.Fatal(err)
			}
			return at.String()
		}, "is revoked"},
		"nobody's rule": {func(s *stage) string {
			s.write("rules: [{match: ['registry.example.com/*'], keys: [{file: release.pub}]}]\n")
			return s.signed("1.0.0", "1.0.0", "good").String()
		}, "no rule matches it"},
		"without provenance that is asked for": {func(s *stage) string {
			s.write("rules: [{match: ['*'], keys: [{name: release, file: release.pub}], provenance: true}]\n")
			return s.signed("1.0.0", "1.0.0", "good").String()
		}, "provenance: verify"},
		"tampered: a man in the middle changes the module": {func(s *stage) string {
			s.signed("1.0.0", "1.0.0", "good")
			return between(s, "/blobs/"+s.pack("1.0.0", "good").Blobs[1].Descriptor.Digest.String(), func(_ http.Header, b []byte) []byte { b[len(b)-1] ^= 1; return b })
		}, "the content is not what was asked for"},
		"tampered: a man in the middle changes the manifest": {func(s *stage) string {
			s.signed("1.0.0", "1.0.0", "good")
			evil := s.push("evil", "1.0.0", "evil")
			_, text, err := s.client.Resolve(ctx, evil)
			if err != nil {
				s.t.Fatal(err)
			}
			return between(s, "/manifests/1.0.0", func(h http.Header, _ []byte) []byte {
				h.Set("Docker-Content-Digest", evil.Digest.String())
				return text
			})
		}, "there is none"},
		"truncated": {func(s *stage) string {
			s.signed("1.0.0", "1.0.0", "good")
			return between(s, "/blobs/"+s.pack("1.0.0", "good").Blobs[1].Descriptor.Digest.String(), func(_ http.Header, b []byte) []byte { return b[:len(b)/2] })
		}, "fetch sha256:"},
		"a registry that answers with another digest": {func(s *stage) string {
			at := s.signed("1.0.0", "1.0.0", "good")
			_, text, err := s.client.Resolve(ctx, s.signed("1.0.1", "1.0.1", "also good"))
			if err != nil {
				s.t.Fatal(err)
			}
			return between(s, "/manifests/", func(http.Header, []byte) []byte { return text }) + "@" + at.Digest.String()
		}, "resolve "},
		"a policy that cannot be read": {func(s *stage) string {
			s.write("rules: [{matches: ['*']}]\n")
			return s.signed("1.0.0", "1.0.0", "good").String()
		}, "trust.yaml:1:10: rules[0].matches: unknown field (did you mean match?)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			_, err := s.run("ref: '" + tc.prepare(s) + "'")
			if err == nil {
				t.Fatal("it runs")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant %q", err, tc.want)
			}
		})
	}
}

func TestFilesAreHeldAgainstThePolicyToo(t *testing.T) {
	const proven = "rules: [{match: ['*'], keys: [{name: release, file: release.pub}], provenance: true}]\n"
	wasm := registrytest.Module(t, "greeter", "1.0.0", "good")
	for name, tc := range map[string]struct {
		prepare func(s *stage, file string)
		want    string
	}{
		"signed":               {func(s *stage, file string) { s.signFile(file, wasm, s.release, signing.Options{}) }, ""},
		"unsigned":             {func(*stage, string) {}, "leash module sign FILE writes greeter.wasm.sigstore.json"},
		"signed by a stranger": {func(s *stage, file string) { s.signFile(file, wasm, s.stranger, signing.Options{}) }, "not signed by release"},
		"the signature of another": {func(s *stage, file string) {
			s.signFile(file, registrytest.Module(t, "greeter", "1.0.0", "other"), s.release, signing.Options{})
		}, "not signed by release"},
		"expired": {func(s *stage, file string) {
			s.signFile(file, wasm, s.release, signing.Options{Expires: now.Add(-time.Second)})
		}, "has expired"},
		"without provenance that is asked for": {func(s *stage, file string) {
			s.write(proven)
			s.signFile(file, wasm, s.release, signing.Options{})
		}, "provenance: no signature that is trusted: leash module sign --provenance FILE writes greeter.wasm.provenance.sigstore.json"},
		"with provenance": {func(s *stage, file string) {
			s.write(proven)
			s.signFile(file, wasm, s.release, signing.Options{})
			s.attestFile(file, wasm, s.release)
		}, ""},
		"the provenance of another": {func(s *stage, file string) {
			s.write(proven)
			s.signFile(file, wasm, s.release, signing.Options{})
			s.attestFile(file, registrytest.Module(t, "greeter", "1.0.0", "other"), s.release)
		}, "provenance: "},
		"provenance by a stranger": {func(s *stage, file string) {
			s.write(proven)
			s.signFile(file, wasm, s.release, signing.Options{})
			s.attestFile(file, wasm, s.stranger)
		}, "not signed by release"},
		"a rule that asks for nothing": {func(s *stage, _ string) { s.write("rules: [{match: ['file:greeter'], unsigned: true}]\n") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			file := filepath.Join(t.TempDir(), "greeter.wasm")
			if err := os.WriteFile(file, wasm, 0o600); err != nil {
				t.Fatal(err)
			}
			tc.prepare(s, file)
			c, err := s.run("file: " + file)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tc.want == "":
				// The file may be changed now: what is loaded is what was looked at.
				if loaded := c.Filters()[0].File; loaded == file {
					t.Error("the file itself is loaded")
				}
			case err == nil || !strings.Contains(err.Error(), tc.want):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func (s *stage) signFile(file string, content []byte, by *signing.Signer, o signing.Options) {
	s.t.Helper()
	o.Annotations = map[string]string{"env": "prod"}
	bundle, err := signing.SignFile(ctx, content, by, o)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file+trust.BundleSuffix, bundle, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) attestFile(file string, content []byte, by *signing.Signer) {
	s.t.Helper()
	bundle, err := signing.AttestFile(ctx, content, signing.ProvenanceType, []byte(`{"buildDefinition":{}}`), by, signing.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file+trust.ProvenanceSuffix, bundle, 0o600); err != nil {
		s.t.Fatal(err)
	}
}
