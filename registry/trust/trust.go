// Package trust is the trust policy: a YAML file that says who must have signed a module before it may be pulled or run.
//
//	rules:
//	  - match: [registry.example.com/team/*]
//	    keys: [{name: release, file: release.pub, not_after: 2027-12-31}]
//	    annotations: {env: prod}
//	  - match: [file:*]
//	    unsigned: true
//	revoked: [sha256:0123…]
//
// The first rule that matches decides; what no rule matches is refused. A rule is met by a signature of any of its keys
// and identities, with all of its annotations.
package trust

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/signing"
	"github.com/leash-gateway/leash/registry/wildcard"
)

// A Policy is a whole file.
type Policy struct {
	// Rules are asked in their order.
	Rules []Rule `yaml:"rules"`
	// TrustedRoot is a file that vouches for identities: sigstore's trusted_root.json, or one of your own.
	TrustedRoot string `yaml:"trusted_root"`
	// Revoked are the digests, of OCI manifests or of .wasm files, that never run, whoever signed them.
	Revoked []digest.Digest `yaml:"revoked"`

	file    string
	content digest.Digest // of the file
	root    root.TrustedMaterial
}

// A Rule says who must have signed what it matches.
type Rule struct {
	// Match are patterns of registry/repository, or of file:NAME for modules in files; * stands for any characters.
	Match []string `yaml:"match"`
	// Keys and Identities are who may sign; one of them is enough.
	Keys       []Key      `yaml:"keys"`
	Identities []Identity `yaml:"identities"`
	// Annotations must be in the signature, with these values.
	Annotations map[string]string `yaml:"annotations"`
	// Provenance asks for a signed statement of how the module was built too.
	Provenance bool `yaml:"provenance"`
	// Unsigned lets everything pass.
	Unsigned bool `yaml:"unsigned"`
}

// A Key is a public key.
type Key struct {
	// Name is for people to read.
	Name string `yaml:"name"`
	// File, PEM or KMS is where it is: a file beside the policy, the text itself, or the URI of a key management service.
	File string `yaml:"file"`
	PEM  string `yaml:"pem"`
	KMS  string `yaml:"kms"`
	// NotAfter is until when it is good for anything, such as 2027-12-31.
	NotAfter date `yaml:"not_after"`

	public crypto.PublicKey
}

// An Identity is who may sign without a key of their own.
type Identity struct {
	Issuer        string `yaml:"issuer"`
	IssuerRegexp  string `yaml:"issuer_regexp"`
	Subject       string `yaml:"subject"`
	SubjectRegexp string `yaml:"subject_regexp"`
}

// date is a day, to its end, UTC.
type date struct{ time.Time }

// UnmarshalText reads 2027-12-31.
func (d *date) UnmarshalText(text []byte) (err error) {
	if d.Time, err = time.Parse(time.DateOnly, string(text)); err != nil {
		return fmt.Errorf("%q is no day, such as 2027-12-31", text)
	}
	d.Time = d.Add(24*time.Hour - time.Nanosecond)
	return nil
}

// Load reads a policy with its keys. env looks up environment variables. What is wrong in it comes as config.Errors or a *config.Error.
func Load(ctx context.Context, file string, env func(string) (string, bool)) (*Policy, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read trust policy: %w", err)
	}
	p := &Policy{file: file}
	where, err := config.Decode(file, text, p)
	if err != nil {
		return nil, fmt.Errorf("read trust policy: %w", err)
	}
	wrong := p.check(where)
	if wrong == nil {
		wrong = p.open(ctx, env, where)
	}
	if wrong != nil {
		return nil, fmt.Errorf("read trust policy: %w", wrong)
	}
	p.content = digest.FromBytes(text)
	return p, nil
}

// Fingerprint stands for everything that a verdict of now depends on besides the signatures: the file, its keys and which of them
// have run out, and who vouches for identities. Two policies with the same one say the same of the same signatures.
func (p *Policy) Fingerprint(now time.Time) (digest.Digest, error) {
	sum := digest.Canonical.Digester()
	_, _ = fmt.Fprintln(sum.Hash(), p.content)
	for _, r := range p.Rules {
		for _, k := range r.Keys {
			public, err := x509.MarshalPKIXPublicKey(k.public)
			if err != nil {
				return "", fmt.Errorf("fingerprint of the trust policy: %w", err)
			}
			_, _ = fmt.Fprintf(sum.Hash(), "%x %v\n", public, !k.NotAfter.IsZero() && now.After(k.NotAfter.Time))
		}
	}
	if p.TrustedRoot != "" {
		text, err := os.ReadFile(p.beside(p.TrustedRoot))
		if err != nil {
			return "", fmt.Errorf("fingerprint of the trust policy: %w", err)
		}
		_, _ = fmt.Fprintln(sum.Hash(), digest.FromBytes(text))
	}
	return sum.Digest(), nil
}

func (p *Policy) check(where *config.Document) *config.Error {
	if len(p.Rules) == 0 {
		return where.Errorf("rules", "there are none, so nothing could ever run")
	}
	for i, d := range p.Revoked {
		if err := d.Validate(); err != nil {
			return where.Errorf(fmt.Sprintf("revoked[%d]", i), "%q is no digest, such as sha256: and 64 digits: %v", d, err)
		}
		if d.Algorithm() != digest.Canonical {
			return where.Errorf(fmt.Sprintf("revoked[%d]", i), "%s is compared with none: name the digest by sha256", d)
		}
	}
	for i := range p.Rules {
		if field, reason := p.Rules[i].check(p.TrustedRoot != ""); reason != "" {
			return where.Errorf(fmt.Sprintf("rules[%d]", i)+field, "%s", reason)
		}
	}
	return nil
}

// check says what is wrong, and of which field; "" for nothing. rooted says that there is somebody who vouches for identities.
func (r *Rule) check(rooted bool) (field, reason string) {
	switch signers := len(r.Keys) + len(r.Identities); {
	case len(r.Match) == 0:
		return "", "match is missing: \"*\" matches everything"
	case r.Unsigned && (signers > 0 || r.Provenance || len(r.Annotations) > 0):
		return ".unsigned", "contradicts what else the rule asks for"
	case !r.Unsigned && signers == 0:
		return "", "name keys or identities, or unsigned: true"
	}
	for i, k := range r.Keys {
		named := 0
		for _, source := range []string{k.File, k.PEM, k.KMS} {
			if source != "" {
				named++
			}
		}
		if named != 1 {
			return fmt.Sprintf(".keys[%d]", i), "name one of file, pem, kms"
		}
	}
	for i, id := range r.Identities {
		if field, reason := id.check(rooted); reason != "" {
			return fmt.Sprintf(".identities[%d]", i) + field, reason
		}
	}
	return "", ""
}

func (id Identity) check(rooted bool) (field, reason string) {
	switch {
	case (id.Issuer == "") == (id.IssuerRegexp == ""), (id.Subject == "") == (id.SubjectRegexp == ""):
		return "", "name an issuer and a subject, each as it is or as a regexp"
	case !rooted:
		return "", "trusted_root is missing, which vouches for identities"
	}
	if _, err := regexp.Compile(id.IssuerRegexp); err != nil {
		return ".issuer_regexp", err.Error()
	}
	if _, err := regexp.Compile(id.SubjectRegexp); err != nil {
		return ".subject_regexp", err.Error()
	}
	return "", ""
}

// open loads keys and root.
func (p *Policy) open(ctx context.Context, env func(string) (string, bool), where *config.Document) *config.Error {
	var err error
	if p.TrustedRoot != "" {
		if p.root, err = signing.LoadTrustedRoot(p.beside(p.TrustedRoot)); err != nil {
			return where.Errorf("trusted_root", "%v", err)
		}
	}
	for i := range p.Rules {
		for j := range p.Rules[i].Keys {
			k := &p.Rules[i].Keys[j]
			field, reference := "file", p.beside(k.File)
			switch {
			case k.PEM != "":
				field, reference = "pem", k.PEM
			case k.KMS != "":
				field, reference = "kms", k.KMS
			}
			if k.public, err = signing.LoadPublic(ctx, reference, env); err != nil {
				return where.Errorf(fmt.Sprintf("rules[%d].keys[%d].%s", i, j, field), "%v", err)
			}
			if k.Name == "" {
				k.Name = k.File + k.KMS
			}
		}
	}
	return nil
}

func (p *Policy) beside(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(filepath.Dir(p.file), file)
}

// ErrRefused says that a policy does not let a module run.
var ErrRefused = errors.New("the trust policy refuses it")

// Image decides about a module in a registry, at the reference's digest. now is the time at which signatures and keys
// must hold. It returns the signatures that count; none where the rule asks for none.
func (p *Policy) Image(ctx context.Context, c *remote.Client, at remote.Reference, now time.Time) ([]signing.Verified, error) {
	rule, err := p.rule(at.Name(), at.Digest)
	if err == nil && len(p.Revoked) > 0 {
		err = p.lookInto(ctx, c, at)
	}
	if err != nil || rule.Unsigned {
		return nil, err
	}
	authorities := rule.authorities(p.root)
	signatures, err := signing.Signatures(ctx, c, at, authorities, now)
	if err != nil {
		return nil, p.refuse(at.String(), err)
	}
	if rule.Provenance {
		if _, err := signing.Attestations(ctx, c, at, signing.ProvenanceType, authorities, now); err != nil {
			return nil, p.refuse(at.String(), fmt.Errorf("provenance: %w", err))
		}
	}
	return rule.annotated(p, at.String(), signatures)
}

// lookInto refuses an image whose .wasm is revoked: the same one may be in others. Most manifests have its digest.
func (p *Policy) lookInto(ctx context.Context, c *remote.Client, at remote.Reference) error {
	_, manifest, err := c.Resolve(ctx, at)
	if err != nil {
		return err
	}
	layer, format, err := artifact.Layer(manifest)
	if err != nil {
		return p.refuse(at.String(), err)
	}
	wasm := layer.Digest
	if format == artifact.Compat || wasm.Algorithm() != digest.Canonical {
		pulled, err := c.Pull(ctx, at)
		if err != nil {
			return err
		}
		wasm = digest.FromBytes(pulled.Wasm)
	}
	return p.revoked(at.String(), wasm)
}

// What stands behind the name of a file in the names of those beside it.
const (
	// BundleSuffix is that of its signature.
	BundleSuffix = ".sigstore.json"
	// ProvenanceSuffix is that of the signed statement of how it was built.
	ProvenanceSuffix = ".provenance.sigstore.json"
)

// File decides about a module in a file, by its name in the manifest and its content. Its signature is in the file
// beside it.
func (p *Policy) File(file, name string, content []byte, now time.Time) ([]signing.Verified, error) {
	rule, err := p.rule("file:"+name, digest.FromBytes(content))
	if err != nil || rule.Unsigned {
		return nil, err
	}
	text, err := os.ReadFile(file + BundleSuffix) //nolint:gosec // beside the operator's own
	if err != nil {
		return nil, p.refuse(file, fmt.Errorf("%w: leash module sign FILE writes %s", signing.ErrUnsigned, filepath.Base(file)+BundleSuffix))
	}
	authorities := rule.authorities(p.root)
	signatures, err := signing.FileSignature(file, content, text, authorities, now)
	if err != nil {
		return nil, p.refuse(file, err)
	}
	if rule.Provenance {
		text, err := os.ReadFile(file + ProvenanceSuffix) //nolint:gosec // as above
		if err != nil {
			return nil, p.refuse(file, fmt.Errorf("provenance: %w: leash module sign --provenance FILE writes %s", signing.ErrUnsigned, filepath.Base(file)+ProvenanceSuffix))
		}
		if _, err := signing.FileAttestation(file, content, text, signing.ProvenanceType, authorities, now); err != nil {
			return nil, p.refuse(file, fmt.Errorf("provenance: %w", err))
		}
	}
	return rule.annotated(p, file, signatures)
}

func (p *Policy) refuse(what string, err error) error {
	return fmt.Errorf("%s: %w (%s): %w", what, ErrRefused, p.file, err)
}

// rule finds the rule for a subject.
func (p *Policy) rule(subject string, d digest.Digest) (*Rule, error) {
	if err := p.revoked(subject, d); err != nil {
		return nil, err
	}
	for i := range p.Rules {
		if slices.ContainsFunc(p.Rules[i].Match, func(pattern string) bool { return wildcard.Match(pattern, subject) }) {
			return &p.Rules[i], nil
		}
	}
	return nil, p.refuse(subject, errors.New("no rule matches it"))
}

func (p *Policy) revoked(subject string, d digest.Digest) error {
	if slices.Contains(p.Revoked, d) {
		return p.refuse(subject, fmt.Errorf("%s is revoked", d))
	}
	return nil
}

func (r *Rule) authorities(vouches root.TrustedMaterial) (all []signing.Authority) {
	for _, k := range r.Keys {
		all = append(all, signing.Authority{Name: k.Name, Key: k.public, NotAfter: k.NotAfter.Time})
	}
	for _, id := range r.Identities {
		all = append(all, signing.Authority{
			Name: id.Subject + id.SubjectRegexp + " of " + id.Issuer + id.IssuerRegexp, Root: vouches, Identity: signing.Identity(id),
		})
	}
	return all
}

// annotated keeps the signatures that have the annotations that the rule asks for.
func (r *Rule) annotated(p *Policy, what string, signatures []signing.Verified) ([]signing.Verified, error) {
	kept := slices.DeleteFunc(signatures, func(v signing.Verified) bool {
		for name, value := range r.Annotations {
			if got, said := v.Annotations[name]; !said || got != value {
				return true
			}
		}
		return false
	})
	if len(kept) == 0 {
		wanted := make([]string, 0, len(r.Annotations))
		for _, name := range slices.Sorted(maps.Keys(r.Annotations)) {
			wanted = append(wanted, name+"="+r.Annotations[name])
		}
		return nil, p.refuse(what, fmt.Errorf("%w has the annotations %s", signing.ErrUnsigned, strings.Join(wanted, ", ")))
	}
	return kept, nil
}

// OfKey is a policy that lets everything run that this key has signed, with these annotations.
func OfKey(name string, key crypto.PublicKey, annotations map[string]string) *Policy {
	return &Policy{file: name, Rules: []Rule{{Match: []string{"*"}, Keys: []Key{{Name: name, public: key}}, Annotations: annotations}}}
}
