package signing

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/opencontainers/go-digest"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"
)

// Types of statements.
const (
	// SignatureType is the predicate of a signature, as cosign 3 writes it.
	SignatureType = "https://sigstore.dev/cosign/sign/v1"
	// ProvenanceType is the predicate that says how something was built: https://slsa.dev/spec/v1.0/provenance
	ProvenanceType = "https://slsa.dev/provenance/v1"

	statementType = "https://in-toto.io/Statement/v1"
	payloadType   = "application/vnd.in-toto+json"
)

// ExpiresAnnotation is the annotation of a signature that says until when it holds, RFC 3339.
const ExpiresAnnotation = "leash.expires"

// A statement is what is signed: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type subject struct {
	Name        string            `json:"name,omitempty"`
	Digest      map[string]string `json:"digest"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Options are how it is signed.
type Options struct {
	// Annotations are signed too, for policies to ask for.
	Annotations map[string]string
	// Expires is until when the signature holds; the zero time is for ever.
	Expires time.Time
	// Keyless signs with a certificate for the signer's identity, in place of a key of its own. nil: with the key.
	Keyless *Keyless
	// TimestampURL is a time stamping authority (RFC 3161) that says when it was signed. "" asks none.
	TimestampURL string
}

// Keyless is a certificate authority that gives certificates for identities, with a log that anybody can read.
type Keyless struct {
	// FulcioURL is the certificate authority's address, RekorURL the log's; "" asks no log.
	FulcioURL, RekorURL string
	// IdentityToken says who signs: an OIDC token.
	IdentityToken string
}

func (o Options) annotations() map[string]string {
	if o.Expires.IsZero() {
		return o.Annotations
	}
	all := map[string]string{ExpiresAnnotation: o.Expires.UTC().Format(time.RFC3339)}
	maps.Copy(all, o.Annotations)
	return all
}

// newBundle signs a statement about a digest.
func newBundle(ctx context.Context, d digest.Digest, predicateType string, predicate json.RawMessage, s *Signer, o Options) (*protobundle.Bundle, error) {
	text, err := json.Marshal(statement{
		Type: statementType, PredicateType: predicateType, Predicate: predicate,
		Subject: []subject{{Digest: map[string]string{d.Algorithm().String(): d.Encoded()}, Annotations: o.annotations()}},
	})
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", d, err)
	}
	options := sign.BundleOptions{Context: ctx}
	var keypair sign.Keypair = s
	if k := o.Keyless; k != nil {
		ephemeral, err := sign.NewEphemeralKeypair(nil)
		if err != nil {
			return nil, fmt.Errorf("sign %s: %w", d, err)
		}
		keypair = ephemeral
		options.CertificateProvider = sign.NewFulcio(&sign.FulcioOptions{BaseURL: k.FulcioURL, Retries: 1})
		options.CertificateProviderOptions = &sign.CertificateProviderOptions{IDToken: k.IdentityToken}
		if k.RekorURL != "" {
			options.TransparencyLogs = []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: k.RekorURL, Retries: 1})}
		}
	}
	if o.TimestampURL != "" {
		options.TimestampAuthorities = []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: o.TimestampURL, Retries: 1})}
	}
	signed, err := sign.Bundle(&sign.DSSEData{Data: text, PayloadType: payloadType}, keypair, options)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", d, err)
	}
	return signed, nil
}

// SignFile signs the content of a file, and returns the bundle to be kept beside it.
func SignFile(ctx context.Context, content []byte, s *Signer, o Options) ([]byte, error) {
	return AttestFile(ctx, content, SignatureType, json.RawMessage("{}"), s, o)
}

// AttestFile signs a statement about the content of a file, and returns the bundle to be kept beside it.
func AttestFile(ctx context.Context, content []byte, predicateType string, predicate json.RawMessage, s *Signer, o Options) ([]byte, error) {
	signed, err := newBundle(ctx, digest.FromBytes(content), predicateType, predicate, s, o)
	if err != nil {
		return nil, err
	}
	return protojson.Marshal(signed)
}

// LoadTrustedRoot reads the certificates and logs that vouch for keyless signatures: sigstore's trusted_root.json.
func LoadTrustedRoot(file string) (root.TrustedMaterial, error) {
	material, err := root.NewTrustedRootFromPath(file)
	if err != nil {
		return nil, fmt.Errorf("read trusted root %s: %w", file, err)
	}
	return material, nil
}
