package trust_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/signing"
	"github.com/leash-gateway/leash/registry/trust"
)

// release is a public key. Encrypting the private one takes a second, so there is one for all.
var release = sync.OnceValues(func() ([]byte, error) {
	_, public, err := signing.GenerateKey(nil)
	return public, err
})

// load reads a policy beside a key release.pub and an empty trusted root.
func load(t *testing.T, text string) (*trust.Policy, error) {
	t.Helper()
	dir := t.TempDir()
	public, err := release()
	if err != nil {
		t.Fatal(err)
	}
	empty, err := root.NewTrustedRoot(root.TrustedRootMediaType01, nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := empty.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"trust.yaml": []byte(text), "release.pub": public, "trusted_root.json": trusted} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return trust.Load(context.Background(), filepath.Join(dir, "trust.yaml"), os.LookupEnv)
}

func TestAPolicyThatMakesNoSenseIsRefusedWithThePlace(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":                     {"", ": rules: there are none"},
		"no rules":                    {"revoked: []\n", ": rules: there are none"},
		"an unknown field":            {"rules: [{match: ['*'], keis: x}]\n", ":1:24: rules[0].keis: unknown field (did you mean keys?)"},
		"a pattern that is no list":   {"rules: [{match: '*', unsigned: true}]\n", ":1:17: rules[0].match: must be a list, not a string"},
		"a rule that matches nothing": {"rules: [{unsigned: true}]\n", ":1:9: rules[0]: match is missing"},
		"a rule without signers":      {"rules: [{match: ['*']}]\n", ":1:9: rules[0]: name keys or identities, or unsigned: true"},
		"unsigned, and yet by a key":  {"rules: [{match: ['*'], unsigned: true, keys: [{file: release.pub}]}]\n", ":1:34: rules[0].unsigned: contradicts"},
		"a key from nowhere":          {"rules: [{match: ['*'], keys: [{name: a}]}]\n", ":1:31: rules[0].keys[0]: name one of file, pem, kms"},
		"a key from two places":       {"rules: [{match: ['*'], keys: [{file: a, pem: b}]}]\n", "name one of file, pem, kms"},
		"a key that is not there":     {"rules: [{match: ['*'], keys: [{file: other.pub}]}]\n", ":1:38: rules[0].keys[0].file: open key "},
		"a key that is none":          {"rules: [{match: ['*'], keys: [{file: trust.yaml}]}]\n", "it holds no public key"},
		"a day that is none":          {"rules: [{match: ['*'], keys: [{file: release.pub, not_after: soon}]}]\n", `:1:62: rules[0].keys[0].not_after: "soon" is no day`},
		"an identity without a root":  {"rules: [{match: ['*'], identities: [{issuer: a, subject: b}]}]\n", ":1:37: rules[0].identities[0]: trusted_root is missing"},
		"an identity without a name":  {"trusted_root: trusted_root.json\nrules: [{match: ['*'], identities: [{issuer: a}]}]\n", ":2:37: rules[0].identities[0]: name an issuer and a subject"},
		"an identity that is nobody":  {"trusted_root: trusted_root.json\nrules: [{match: ['*'], identities: [{issuer: a, subject_regexp: '('}]}]\n", ":2:65: rules[0].identities[0].subject_regexp: error parsing regexp"},
		"a root that is not there":    {"trusted_root: root.json\nrules: [{match: ['*'], identities: [{issuer: a, subject: b}]}]\n", ":1:15: trusted_root: read trusted root "},
		"a digest of another kind":    {"rules: [{match: ['*'], unsigned: true}]\nrevoked: ['sha512:" + strings.Repeat("0", 128) + "']\n", "is compared with none: name the digest by sha256"},
		"a digest that is none":       {"rules: [{match: ['*'], unsigned: true}]\nrevoked: ['sha256:1']\n", `:2:11: revoked[0]: "sha256:1" is no digest`},
		"a second document":           {"rules: [{match: ['*'], unsigned: true}]\n---\nrules: []\n", "holds a second document"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t, tc.text); err == nil || !strings.HasPrefix(err.Error(), "read trust policy: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestThePolicyOfTheGuideIsOne(t *testing.T) {
	guide, err := os.ReadFile("../../docs/author.md")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile("(?s)```yaml\n(# trust.yaml.*?)```").FindSubmatch(guide)
	if text == nil {
		t.Fatal("the guide shows no policy")
	}
	if _, err := load(t, string(text[1])); err != nil {
		t.Error(err)
	}
}

func TestTheFirstRuleThatMatchesDecides(t *testing.T) {
	wasm := registrytest.Module(t, "greeter", "1.0.0", "content")
	for name, tc := range map[string]struct {
		rules string
		runs  bool
	}{
		"exactly":                     {"{match: ['file:greeter'], unsigned: true}", true},
		"by a star":                   {"{match: ['file:*'], unsigned: true}", true},
		"by stars around":             {"{match: ['*reet*'], unsigned: true}", true},
		"another name":                {"{match: ['file:greeter2'], unsigned: true}", false},
		"the beginning is not all":    {"{match: ['file:greet'], unsigned: true}", false},
		"the end is not all":          {"{match: ['greeter'], unsigned: true}", false},
		"a star does not overlap":     {"{match: ['file:greeter*greeter'], unsigned: true}", false},
		"a stricter rule comes first": {"{match: ['file:*'], keys: [{file: release.pub}]}, {match: ['*'], unsigned: true}", false},
		"a rule that is not asked":    {"{match: ['file:greeter'], unsigned: true}, {match: ['*'], keys: [{file: release.pub}]}", true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := load(t, "rules: ["+tc.rules+"]\n")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.File(filepath.Join(t.TempDir(), "greeter.wasm"), "greeter", wasm, time.Now()); (err == nil) != tc.runs {
				t.Errorf("got %v", err)
			}
		})
	}
}
