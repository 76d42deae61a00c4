//go:build cgo

package pkcs11

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/ThalesGroup/crypto11"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
)

// An Opened key signs on its token.
type Opened struct {
	key   Key
	hash  crypto.Hash
	token *crypto11.Context
	pair  crypto11.Signer
}

var _ kms.SignerVerifier = (*Opened)(nil)

// Open finds a key by its URI, and logs in to its token. env is the environment. The PIN never stands in an error.
func Open(uri string, hash crypto.Hash, env func(string) string) (*Opened, error) {
	key, err := Parse(uri)
	if err != nil {
		return nil, err
	}
	library, err := key.library(env)
	if err != nil {
		return nil, err
	}
	pin, err := key.pin(env)
	if err != nil {
		return nil, err
	}
	token, err := crypto11.Configure(&crypto11.Config{Path: library, TokenLabel: key.Token, TokenSerial: key.Serial, SlotNumber: key.Slot, Pin: pin})
	if err != nil {
		return nil, fmt.Errorf("open the token of %s with %s: %w", key, library, err)
	}
	pair, err := token.FindKeyPair(key.ID, label(key.Object))
	if err != nil {
		_ = token.Close()
		return nil, fmt.Errorf("find %s: %w", key, err)
	}
	return &Opened{key: key, hash: hash, token: token, pair: pair}, nil
}

// label is nil for none: an empty one would be looked for.
func label(object string) []byte {
	if object == "" {
		return nil
	}
	return []byte(object)
}

// Close logs out.
func (o *Opened) Close() error { return o.token.Close() }

// PublicKey is the public half, as the token has it.
func (o *Opened) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return o.pair.Public(), nil
}

// SignMessage signs on the token.
func (o *Opened) SignMessage(message io.Reader, options ...signature.SignOption) ([]byte, error) {
	digest, hash, err := signature.ComputeDigestForSigning(message, o.hash, []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}, options...)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", o.key, err)
	}
	signed, err := o.pair.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", o.key, err)
	}
	return signed, nil
}

// VerifySignature compares a signature with the public half, without the token.
func (o *Opened) VerifySignature(signed, message io.Reader, options ...signature.VerifyOption) error {
	verifier, err := signature.LoadVerifier(o.pair.Public(), o.hash)
	if err != nil {
		return fmt.Errorf("verify with %s: %w", o.key, err)
	}
	return verifier.VerifySignature(signed, message, options...)
}

// CreateKey is for the token's own tools.
func (o *Opened) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.New("keys are made with the token's own tools, such as pkcs11-tool --keypairgen")
}

// CryptoSigner is what callers in the same process would sign with.
func (o *Opened) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return o.pair, o.hash, nil
}

// SupportedAlgorithms are the kinds of keys that CreateKey makes: none.
func (*Opened) SupportedAlgorithms() []string { return nil }

// DefaultAlgorithm is that of CreateKey: none.
func (*Opened) DefaultAlgorithm() string { return "" }
