package signing

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/leash-gateway/leash/registry/remote"
)

// An Identity is somebody who may sign without a key of their own, as a certificate authority knows them.
type Identity struct {
	// Issuer is who vouches for the identity, Subject the identity: exact, or as regular expressions of all of it.
	Issuer, IssuerRegexp   string
	Subject, SubjectRegexp string
}

// Authority is one of those who may sign: by a key, or by identities.
type Authority struct {
	// Name is for people to read.
	Name string
	// Key is a public key; nil: the identity decides.
	Key crypto.PublicKey
	// NotAfter is until when the key is good for anything; the zero time is for ever.
	NotAfter time.Time
	// Identity is who may sign without a key, Root what vouches for them.
	Identity Identity
	Root     root.TrustedMaterial
}

// A Verified is a signature that has been verified, or an attestation.
type Verified struct {
	// By is the authority's name, Subject whom the certificate names, if there is one.
	By, Subject string
	// Annotations are what was signed besides.
	Annotations map[string]string
	// PredicateType and Predicate are what is stated; a signature states nothing.
	PredicateType string
	Predicate     json.RawMessage
	// Expires is until when it holds; the zero time is for ever.
	Expires time.Time
}

// Signatures are the signatures of a module, at the reference's digest, that one of the authorities has made and that
// hold now. What does not verify is left out, and told in the error where nothing is left: [ErrUnsigned].
func Signatures(ctx context.Context, c *remote.Client, at remote.Reference, authorities []Authority, now time.Time) ([]Verified, error) {
	bundles, err := c.Attachments(ctx, at, bundleType)
	if err != nil {
		return nil, err
	}
	found := &findings{now: now}
	for _, a := range bundles {
		found.add(verifyBundle(a.Content, at.Digest, authorities, now))
	}
	simple, err := c.TaggedAttachments(ctx, at, "sig", simpleType)
	if err != nil {
		return nil, err
	}
	for _, a := range simple {
		found.add(verifySimple(a, at.Digest, authorities, now))
	}
	return found.signatures(at.String())
}

// FileSignature verifies the bundle that [SignFile] has made of a file's content.
func FileSignature(name string, content, bundleJSON []byte, authorities []Authority, now time.Time) ([]Verified, error) {
	return FileAttestation(name, content, bundleJSON, SignatureType, authorities, now)
}

// FileAttestation verifies the bundle that [AttestFile] has made of a file's content.
func FileAttestation(name string, content, bundleJSON []byte, predicateType string, authorities []Authority, now time.Time) ([]Verified, error) {
	found := &findings{now: now}
	found.add(verifyBundle(bundleJSON, digest.FromBytes(content), authorities, now))
	return found.of(name, predicateType)
}

// Attestations are statements of a type about a module that one of the authorities has signed and that hold now.
func Attestations(ctx context.Context, c *remote.Client, at remote.Reference, predicateType string, authorities []Authority, now time.Time) ([]Verified, error) {
	bundles, err := c.Attachments(ctx, at, bundleType)
	if err != nil {
		return nil, err
	}
	found := &findings{now: now}
	for _, a := range bundles {
		found.add(verifyBundle(a.Content, at.Digest, authorities, now))
	}
	return found.of(at.String(), predicateType)
}

// findings are what verified and why the rest did not.
type findings struct {
	now    time.Time
	good   []Verified
	faults []string
}

func (f *findings) add(v Verified, err error) {
	if err == nil && !v.Expires.IsZero() && f.now.After(v.Expires) {
		err = fmt.Errorf("the signature of %s has expired on %s", v.By, v.Expires.Format(time.RFC3339))
	}
	if err != nil {
		f.faults = append(f.faults, err.Error())
		return
	}
	f.good = append(f.good, v)
}

func (f *findings) signatures(name string) ([]Verified, error) { return f.of(name, SignatureType) }

func (f *findings) of(name, predicateType string) (list []Verified, err error) {
	for _, v := range f.good {
		if v.PredicateType == predicateType {
			list = append(list, v)
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case len(f.faults) == 0:
		return nil, fmt.Errorf("verify %s: %w: there is none", name, ErrUnsigned)
	}
	const most = 3 // reasons
	return nil, fmt.Errorf("verify %s: %w: %s", name, ErrUnsigned, strings.Join(f.faults[:min(most, len(f.faults))], "; "))
}

// verifyBundle verifies a bundle's signature, what it is about, and who made it.
func verifyBundle(text []byte, d digest.Digest, authorities []Authority, now time.Time) (v Verified, err error) {
	b := &bundle.Bundle{}
	if err := b.UnmarshalJSON(text); err != nil {
		return v, fmt.Errorf("a bundle cannot be read: %w", err)
	}
	raw, err := hex.DecodeString(d.Encoded())
	if err != nil {
		return v, err
	}
	about := verify.WithArtifactDigest(d.Algorithm().String(), raw)
	fault := errors.New("nobody is trusted")
	for _, a := range authorities {
		result, err := a.verify(b, about, now)
		if err != nil {
			fault = fmt.Errorf("not signed by %s: %w", a.Name, err)
			continue
		}
		if v, err = read(result, d); err != nil {
			return v, err
		}
		v.By = a.Name
		return v, nil
	}
	return v, fault
}

func (a *Authority) verify(b *bundle.Bundle, about verify.ArtifactPolicyOption, now time.Time) (*verify.VerificationResult, error) {
	if a.Key == nil {
		return a.verifyIdentity(b, about)
	}
	if a.expired(now) {
		return nil, fmt.Errorf("the key is good until %s only", a.NotAfter.Format(time.DateOnly))
	}
	verifier, err := signature.LoadDefaultVerifier(a.Key)
	if err != nil {
		return nil, err
	}
	// A key that is trusted now is trusted for what it has signed ever.
	material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
	})
	v, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps())
	if err != nil {
		return nil, err
	}
	return v.Verify(b, verify.NewPolicy(about, verify.WithKey()))
}

func (a *Authority) expired(now time.Time) bool { return !a.NotAfter.IsZero() && now.After(a.NotAfter) }

// verifyIdentity verifies a signature with a certificate: that the trusted root vouches for the certificate at the time
// at which it was signed, which a log or a time stamping authority must have witnessed.
func (a *Authority) verifyIdentity(b *bundle.Bundle, about verify.ArtifactPolicyOption) (*verify.VerificationResult, error) {
	if a.Root == nil {
		return nil, errors.New("there is no trusted root to vouch for identities")
	}
	identity, err := verify.NewShortCertificateIdentity(a.Identity.Issuer, whole(a.Identity.IssuerRegexp), a.Identity.Subject, whole(a.Identity.SubjectRegexp))
	if err != nil {
		return nil, err
	}
	options := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if len(a.Root.RekorLogs()) > 0 {
		options = append(options, verify.WithTransparencyLog(1))
	}
	if len(a.Root.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	v, err := verify.NewVerifier(a.Root, options...)
	if err != nil {
		return nil, err
	}
	return v.Verify(b, verify.NewPolicy(about, verify.WithCertificateIdentity(identity)))
}

// whole has an expression match all of a text, however it is written: https://github.com/acme/.* would match https://example.com/https://github.com/acme/ too.
func whole(expression string) string {
	if expression == "" {
		return ""
	}
	return "^(?:" + expression + ")$"
}

// read takes out of a verified bundle what it states about the digest.
func read(result *verify.VerificationResult, d digest.Digest) (v Verified, err error) {
	if result.Statement == nil {
		return v, errors.New("the bundle states nothing about the module")
	}
	v.PredicateType = result.Statement.GetPredicateType()
	for _, s := range result.Statement.GetSubject() {
		if s.GetDigest()[d.Algorithm().String()] != d.Encoded() {
			continue
		}
		v.Annotations = map[string]string{}
		for name, value := range s.GetAnnotations().GetFields() {
			v.Annotations[name] = value.GetStringValue()
		}
	}
	if v.Annotations == nil {
		return v, fmt.Errorf("the statement is not about %s", d)
	}
	if v.Predicate, err = result.Statement.GetPredicate().MarshalJSON(); err != nil {
		return v, fmt.Errorf("read statement: %w", err)
	}
	if result.Signature != nil && result.Signature.Certificate != nil {
		v.Subject = result.Signature.Certificate.SubjectAlternativeName
	}
	return v, v.readExpiry()
}

func (v *Verified) readExpiry() (err error) {
	if text, said := v.Annotations[ExpiresAnnotation]; said {
		if v.Expires, err = time.Parse(time.RFC3339, text); err != nil {
			return fmt.Errorf("the signature holds until %q, which is no time", text)
		}
	}
	return nil
}

// verifySimple verifies a signature in the format Simple. Only keys make such ones here: certificates come in bundles.
func verifySimple(a remote.Attachment, d digest.Digest, authorities []Authority, now time.Time) (v Verified, err error) {
	sig, err := base64.StdEncoding.DecodeString(a.Annotations[signatureAnnotation])
	if err != nil || len(sig) == 0 {
		return v, errors.New("a signature cannot be read")
	}
	fault := errors.New("nobody is trusted")
	for _, authority := range authorities {
		if authority.Key == nil {
			continue
		}
		if authority.expired(now) {
			fault = fmt.Errorf("not signed by %s: the key is good until %s only", authority.Name, authority.NotAfter.Format(time.DateOnly))
			continue
		}
		verifier, err := signature.LoadDefaultVerifier(authority.Key)
		if err != nil {
			return v, err
		}
		if err := verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader(a.Content)); err != nil {
			fault = fmt.Errorf("not signed by %s: %w", authority.Name, err)
			continue
		}
		var p simplePayload
		if err := json.Unmarshal(a.Content, &p); err != nil || p.Critical.Type != simpleCriticalType {
			return v, errors.New("what was signed is no signature of a module")
		}
		if p.Critical.Image.Digest != d {
			return v, fmt.Errorf("the signature is that of another module, %s", p.Critical.Image.Digest)
		}
		v = Verified{By: authority.Name, PredicateType: SignatureType, Annotations: map[string]string{}}
		for name, value := range p.Optional {
			v.Annotations[name] = fmt.Sprint(value)
		}
		return v, v.readExpiry()
	}
	return v, fault
}

// Kept counts what is kept beside a module, verified or not.
type Kept struct {
	// Signatures are those of the module itself, Attestations the statements of how it was built.
	Signatures   int `json:"signatures"`
	Attestations int `json:"attestations"`
}

// Count looks at what is kept beside a module in its registry.
func Count(ctx context.Context, c *remote.Client, at remote.Reference) (k Kept, err error) {
	bundles, err := c.Attachments(ctx, at, bundleType)
	if err != nil {
		return k, err
	}
	for _, a := range bundles {
		k.add(a.Content)
	}
	simple, err := c.TaggedAttachments(ctx, at, "sig", simpleType)
	k.Signatures += len(simple)
	return k, err
}

// CountBundles looks at bundles that are kept beside a file.
func CountBundles(bundles ...[]byte) (k Kept) {
	for _, one := range bundles {
		k.add(one)
	}
	return k
}

func (k *Kept) add(text []byte) {
	var b bundle.Bundle
	if b.UnmarshalJSON(text) != nil {
		return // verifying tells what is wrong with it
	}
	envelope, err := b.Envelope()
	if err != nil {
		return
	}
	statement, err := envelope.Statement()
	if err != nil {
		return
	}
	switch statement.GetPredicateType() {
	case SignatureType:
		k.Signatures++
	case ProvenanceType:
		k.Attestations++
	}
}
