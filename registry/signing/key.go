// Package signing signs modules and verifies signatures, as cosign does and with sigstore's libraries: what one writes
// the other accepts.
//
// A signature is kept in the registry beside the module: as a sigstore bundle that refers to it (OCI 1.1 referrers; what
// cosign 3 writes), or in a tag that is named after its digest (simple signing; what cosign 1 and 2 write). The signature
// of a file is a bundle beside it.
package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// PEM types of private keys that are encrypted with a password: sigstore's, and what cosign 1 wrote.
const (
	encryptedKey    = "ENCRYPTED SIGSTORE PRIVATE KEY"
	encryptedKeyOld = "ENCRYPTED COSIGN PRIVATE KEY"
)

// ErrPassword says that a key did not open with the password.
var ErrPassword = errors.New("the password does not open the key")

// GenerateKey makes a key pair, as cosign generate-key-pair does: the private key encrypted, both as PEM.
func GenerateKey(password []byte) (private, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	sealed, err := encrypted.Encrypt(der, password)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	if public, err = cryptoutils.MarshalPublicKeyToPEM(key.Public()); err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedKey, Bytes: sealed}), public, nil
}

// A Signer signs with a key.
type Signer struct {
	verifier signature.SignerVerifier
	public   crypto.PublicKey
	details  signature.AlgorithmDetails
}

var _ sign.Keypair = (*Signer)(nil)

// LoadSigner loads a private key by its reference: a file, env://VARIABLE, or the URI of a token (pkcs11:…) or a key management
// service, for which the program sigstore-kms-NAME is run (NAME is the URI's scheme). password is asked for the password of
// a key that is encrypted. Neither key nor password ever stands in an error.
func LoadSigner(ctx context.Context, reference string, env func(string) (string, bool), password func() ([]byte, error)) (*Signer, error) {
	if isKMS(reference) {
		return loadService(ctx, reference)
	}
	text, err := readReference(reference, env)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", reference, err)
	}
	private, err := parsePrivate(text, password)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", reference, err)
	}
	verifier, err := signature.LoadDefaultSignerVerifier(private)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", reference, err)
	}
	return newSigner(verifier, reference)
}

// loadService opens a key that a service or a token keeps. Which hash it signs is told to it beforehand, but follows from the
// kind of key, which only the service knows: where SHA-256 was not right, it is opened again.
func loadService(ctx context.Context, reference string) (*Signer, error) {
	s, err := signerOf(ctx, reference, crypto.SHA256)
	if err == nil && s.details.GetHashType() != crypto.SHA256 {
		return signerOf(ctx, reference, s.details.GetHashType())
	}
	return s, err
}

func signerOf(ctx context.Context, reference string, hash crypto.Hash) (*Signer, error) {
	service, err := serviceOf(ctx, reference, hash)
	if err != nil {
		return nil, err
	}
	return newSigner(service, reference)
}

func serviceOf(ctx context.Context, reference string, hash crypto.Hash) (kms.SignerVerifier, error) {
	uri := reference
	if rest, token := strings.CutPrefix(reference, tokenPrefix); token && !strings.HasPrefix(rest, "//") {
		uri = tokenPrefix + "//" + rest // as sigstore's library wants it
	}
	service, err := kms.Get(ctx, uri, hash)
	if errors.Is(err, exec.ErrNotFound) {
		scheme, _, _ := strings.Cut(uri, ":")
		return nil, fmt.Errorf("open key %s: the program %s%s, which speaks to what keeps it, is not on PATH", reference, cliplugin.PluginBinaryPrefix, scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", reference, err)
	}
	return service, nil
}

func isKMS(reference string) bool {
	return strings.HasPrefix(reference, tokenPrefix) || strings.Contains(reference, "://") && !strings.HasPrefix(reference, envPrefix)
}

// tokenPrefix begins the URI of a key on a token (RFC 7512).
const tokenPrefix = "pkcs11:"

const envPrefix = "env://"

func readReference(reference string, env func(string) (string, bool)) ([]byte, error) {
	name, inEnvironment := strings.CutPrefix(reference, envPrefix)
	if !inEnvironment {
		return os.ReadFile(reference) //nolint:gosec // the user names the file
	}
	value, set := env(name)
	if !set {
		return nil, errors.New("the environment variable is not set")
	}
	return []byte(value), nil
}

func parsePrivate(text []byte, password func() ([]byte, error)) (crypto.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not a PEM file")
	}
	switch block.Type {
	case encryptedKey, encryptedKeyOld:
		secret, err := password()
		if err != nil {
			return nil, err
		}
		der, err := encrypted.Decrypt(block.Bytes, secret)
		if err != nil {
			return nil, ErrPassword
		}
		return x509.ParsePKCS8PrivateKey(der)
	case "PUBLIC KEY":
		return nil, errors.New("it is a public key: the private one signs")
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(text, nil)
	if err != nil {
		return nil, errors.New("it holds no private key that is known")
	}
	return key, nil
}

func newSigner(verifier signature.SignerVerifier, reference string) (*Signer, error) {
	public, err := verifier.PublicKey(options.WithContext(context.Background()))
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", reference, err)
	}
	algorithm, err := signature.GetDefaultPublicKeyDetails(public)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", reference, err)
	}
	details, err := signature.GetAlgorithmDetails(algorithm)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", reference, err)
	}
	return &Signer{verifier, public, details}, nil
}

// GetHashAlgorithm and the other Get functions are what sigstore's library asks.
func (s *Signer) GetHashAlgorithm() protocommon.HashAlgorithm { return s.details.GetProtoHashType() }

// GetSigningAlgorithm is the algorithm with its parameters.
func (s *Signer) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	return s.details.GetSignatureAlgorithm()
}

// GetHint tells the key apart: the SHA-256 of the public key, as cosign writes it.
func (s *Signer) GetHint() []byte { return hintOf(s.public) }

func hintOf(public crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil // of a kind that the loader does not let through
	}
	sum := sha256.Sum256(der)
	return []byte(base64.StdEncoding.EncodeToString(sum[:]))
}

// GetKeyAlgorithm is the kind of key.
func (s *Signer) GetKeyAlgorithm() string {
	switch s.public.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA"
	case *rsa.PublicKey:
		return "RSA"
	case ed25519.PublicKey:
		return "ED25519"
	default:
		return ""
	}
}

// GetPublicKey is the public key.
func (s *Signer) GetPublicKey() crypto.PublicKey { return s.public }

// GetPublicKeyPem is the public key as PEM.
func (s *Signer) GetPublicKeyPem() (string, error) {
	text, err := cryptoutils.MarshalPublicKeyToPEM(s.public)
	return string(text), err
}

// SignData signs, and returns signature and what was signed: the digest, or for Ed25519 the data.
func (s *Signer) SignData(ctx context.Context, data []byte) (sig, digest []byte, err error) {
	sig, err = s.verifier.SignMessage(strings.NewReader(string(data)), options.WithContext(ctx))
	if err != nil {
		return nil, nil, err
	}
	hash := s.details.GetHashType()
	if hash == crypto.Hash(0) {
		return sig, data, nil
	}
	h := hash.New()
	h.Write(data)
	return sig, h.Sum(nil), nil
}

// LoadPublic loads a public key by its reference: PEM text, a file, env://VARIABLE, or the URI of a token or a key management
// service. A private key that is not encrypted will do too.
func LoadPublic(ctx context.Context, reference string, env func(string) (string, bool)) (crypto.PublicKey, error) {
	if isKMS(reference) {
		service, err := serviceOf(ctx, reference, crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return service.PublicKey(options.WithContext(ctx))
	}
	text := []byte(reference)
	if !strings.HasPrefix(reference, "-----BEGIN") {
		var err error
		if text, err = readReference(reference, env); err != nil {
			return nil, fmt.Errorf("open key %s: %w", reference, err)
		}
	} else {
		reference = "in the file"
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("open key %s: it holds no public key that is known", reference)
	}
	return public, nil
}
