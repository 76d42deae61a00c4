package abi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // Envoy's modules may ask for it
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// hashes are those by the names that Envoy knows them by.
var hashes = map[string]crypto.Hash{
	"sha1": crypto.SHA1, "sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
}

// verifySignature tells whether a signature fits a text and a public key (DER or PEM): RSA as of PKCS #1 v1.5, or ECDSA.
// https://github.com/envoyproxy/envoy/blob/v1.40.0/source/extensions/common/wasm/ext/verify_signature.proto
func verifySignature(_ Caller, arguments []byte) ([]byte, Status) {
	m, ok := parseMessage(arguments)
	if !ok {
		return nil, BadArgument
	}
	der, ok := keyOf(m.bytes[2], m.bytes[5])
	if !ok {
		return nil, BadArgument
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, BadArgument
	}
	name := string(m.bytes[1])
	hash, digest := digestOf(name, m.bytes[4])
	valid, problem := false, name+" is not supported."
	if hash != 0 {
		problem = "Failed to initialize digest verify."
		switch key := key.(type) {
		case *rsa.PublicKey:
			valid = rsa.VerifyPKCS1v15(key, hash, digest, m.bytes[3]) == nil
			problem = "Failed to verify digest. Error code: 0"
		case *ecdsa.PublicKey:
			valid = ecdsa.VerifyASN1(key, digest, m.bytes[3])
			problem = "Failed to verify digest. Error code: 0"
		}
	}
	if valid {
		return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1), OK
	}
	return protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), problem), OK
}

// sign signs a text with a private key (PKCS #8, DER or PEM), as verifySignature checks it.
// https://github.com/envoyproxy/envoy/blob/v1.40.0/source/extensions/common/wasm/ext/sign.proto
func sign(_ Caller, arguments []byte) ([]byte, Status) {
	m, ok := parseMessage(arguments)
	if !ok {
		return nil, BadArgument
	}
	der, ok := keyOf(m.bytes[2], m.bytes[4])
	if !ok {
		return nil, BadArgument
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, BadArgument
	}
	name := string(m.bytes[1])
	hash, digest := digestOf(name, m.bytes[3])
	var signature []byte
	problem := name + " is not supported."
	if hash != 0 {
		problem = "Failed to initialize digest sign."
		switch key := key.(type) {
		case *rsa.PrivateKey:
			signature, err = rsa.SignPKCS1v15(nil, key, hash, digest)
		case *ecdsa.PrivateKey:
			signature, err = ecdsa.SignASN1(rand.Reader, key, digest)
		}
	}
	if err != nil || signature == nil {
		return protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), problem), OK
	}
	out := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	return protowire.AppendBytes(protowire.AppendTag(out, 2, protowire.BytesType), signature), OK
}

// keyOf is the key in DER, of which there must be one only.
func keyOf(der, text []byte) ([]byte, bool) {
	if (len(der) > 0) == (len(text) > 0) {
		return nil, false
	}
	if len(der) > 0 {
		return der, true
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, false
	}
	return block.Bytes, true
}

// digestOf is the hash of a text; 0 for a name that is not known.
func digestOf(name string, text []byte) (crypto.Hash, []byte) {
	hash := hashes[strings.ToLower(name)]
	if hash == 0 {
		return 0, nil
	}
	h := hash.New()
	_, _ = h.Write(text) // never fails
	return hash, h.Sum(nil)
}

// message is a protobuf message of few fields: the last of each number counts.
type message struct {
	bytes   [8][]byte
	numbers [8]uint64
}

// parseMessage reads a message; what it does not know is left out.
func parseMessage(data []byte) (m message, ok bool) {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return m, false
		}
		data = data[n:]
		n = protowire.ConsumeFieldValue(number, kind, data)
		if n < 0 {
			return m, false
		}
		if int(number) < len(m.bytes) {
			switch kind {
			case protowire.BytesType:
				m.bytes[number], _ = protowire.ConsumeBytes(data)
			case protowire.VarintType:
				m.numbers[number], _ = protowire.ConsumeVarint(data)
			default: // no field of ours
			}
		}
		data = data[n:]
	}
	return m, true
}
