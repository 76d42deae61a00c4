package signing

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/leash-gateway/leash/registry/remote"
)

// A Format is how a signature is kept.
type Format string

// The formats.
const (
	// Both is what every version of cosign finds something in.
	Both Format = "both"
	// Bundle is a sigstore bundle as a referrer: cosign 3.
	Bundle Format = "bundle"
	// Simple is simple signing in a tag: cosign 1 and 2.
	Simple Format = "simple"
)

// Media types and annotations of cosign's.
// https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
const (
	bundleType          = "application/vnd.dev.sigstore.bundle.v0.3+json"
	simpleType          = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	simpleCriticalType  = "cosign container image signature"
)

// simplePayload is what is signed in the format Simple.
type simplePayload struct {
	Critical struct {
		Identity struct {
			DockerReference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest digest.Digest `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

// Sign signs the module that a reference points to now, and keeps the signature beside it. It returns the reference with
// the digest that was signed.
func Sign(ctx context.Context, c *remote.Client, r remote.Reference, s *Signer, format Format, o Options) (remote.Reference, error) {
	at, _, err := c.Resolve(ctx, r)
	if err != nil {
		return at, err
	}
	switch {
	case format != Both && format != Bundle && format != Simple:
		return at, fmt.Errorf("sign %s: there is no format %q: there are %s, %s, %s", r, format, Both, Bundle, Simple)
	case format == Simple && o.Keyless != nil:
		return at, fmt.Errorf("sign %s: without a key the signature is a bundle: --format %s", r, Bundle)
	}
	if format != Simple {
		if err := attest(ctx, c, at, SignatureType, json.RawMessage("{}"), s, o); err != nil {
			return at, err
		}
	}
	if format == Bundle || o.Keyless != nil {
		return at, nil
	}
	return at, signSimple(ctx, c, at, s, o)
}

// Attest signs a statement about the module that a reference points to, and keeps it beside the module.
func Attest(ctx context.Context, c *remote.Client, r remote.Reference, predicateType string, predicate json.RawMessage, s *Signer, o Options) (remote.Reference, error) {
	at, _, err := c.Resolve(ctx, r)
	if err != nil {
		return at, err
	}
	return at, attest(ctx, c, at, predicateType, predicate, s, o)
}

func attest(ctx context.Context, c *remote.Client, at remote.Reference, predicateType string, predicate json.RawMessage, s *Signer, o Options) error {
	signed, err := newBundle(ctx, at.Digest, predicateType, predicate, s, o)
	if err != nil {
		return err
	}
	text, err := protojson.Marshal(signed)
	if err != nil {
		return fmt.Errorf("sign %s: %w", at, err)
	}
	return c.Attach(ctx, at, remote.Attachment{MediaType: bundleType, Content: text, Annotations: map[string]string{
		"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": predicateType,
	}})
}

func signSimple(ctx context.Context, c *remote.Client, at remote.Reference, s *Signer, o Options) error {
	var p simplePayload
	p.Critical.Identity.DockerReference, p.Critical.Image.Digest, p.Critical.Type = at.Name(), at.Digest, simpleCriticalType
	for name, value := range o.annotations() {
		if p.Optional == nil {
			p.Optional = map[string]any{}
		}
		p.Optional[name] = value
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("sign %s: %w", at, err)
	}
	signature, err := s.verifier.SignMessage(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("sign %s: %w", at, err)
	}
	return c.AttachTagged(ctx, at, "sig", remote.Attachment{MediaType: simpleType, Content: text, Annotations: map[string]string{
		signatureAnnotation: base64.StdEncoding.EncodeToString(signature),
	}})
}

// ErrUnsigned says that nothing that was found proves what is asked for.
var ErrUnsigned = errors.New("no signature that is trusted")
