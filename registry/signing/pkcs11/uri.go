// Package pkcs11 signs with a key that a token keeps: a hardware security module, a card, SoftHSM.
//
// A key is named by a URI (RFC 7512). Parse reads it natively; Open, which loads the token's library, needs cgo, so that only
// the program sigstore-kms-pkcs11 has it.
package pkcs11

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Scheme is what URIs of keys begin with.
const Scheme = "pkcs11:"

// A Key says where a key is.
type Key struct {
	// Token (its label), Serial or Slot find the token: exactly one is set.
	Token, Serial string
	Slot          *int // nil: none; 0 is a slot
	// Object is the key's label, ID its CKA_ID; at least one is set.
	Object string
	ID     []byte
	// Module is the path of the token's library.
	Module string
	// PINSource is a file with the PIN; "" is elsewhere.
	PINSource string
}

// Parse reads a URI, with or without its scheme and the slashes that sigstore's plugins take.
// https://www.rfc-editor.org/rfc/rfc7512
func Parse(uri string) (Key, error) {
	var k Key
	rest := strings.TrimPrefix(strings.TrimPrefix(uri, Scheme), "//")
	path, query, _ := strings.Cut(rest, "?")
	seen := map[string]bool{}
	for _, part := range append(attributes(path, ";"), attributes(query, "&")...) {
		name, encoded, found := strings.Cut(part, "=")
		if !found {
			return k, fmt.Errorf("parse PKCS#11 URI: %q is no NAME=VALUE", part)
		}
		if seen[name] {
			return k, fmt.Errorf("parse PKCS#11 URI: %s stands there twice", name)
		}
		seen[name] = true
		if name == "pin-value" { // before anything of it could stand in an error
			return k, errors.New("parse PKCS#11 URI: pin-value shows the PIN to everybody who sees the command: put it into a file (pin-source) or LEASH_PKCS11_PIN")
		}
		value, err := url.PathUnescape(encoded)
		if err != nil {
			return k, fmt.Errorf("parse PKCS#11 URI: %s: %w", name, err)
		}
		if err := k.set(name, value); err != nil {
			return k, fmt.Errorf("parse PKCS#11 URI: %w", err)
		}
	}
	return k, k.check()
}

func attributes(text, separator string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, separator)
}

func (k *Key) set(name, value string) error {
	switch name {
	case "token":
		k.Token = value
	case "serial":
		k.Serial = value
	case "slot-id":
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return fmt.Errorf("slot-id=%s is no number of a slot", value)
		}
		slot := int(n)
		k.Slot = &slot
	case "object":
		k.Object = value
	case "id":
		k.ID = []byte(value)
	case "module-path":
		k.Module = value
	case "pin-source":
		k.PINSource = strings.TrimPrefix(strings.TrimPrefix(value, "file:"), "//")
	case "type":
		if value != "private" && value != "public" {
			return fmt.Errorf("type=%s: a key pair is what signs", value)
		}
	default:
		return fmt.Errorf("%s is not known: a key is found by token, serial or slot-id, and by object or id", name)
	}
	return nil
}

func (k *Key) check() error {
	tokens := 0
	for _, set := range []bool{k.Token != "", k.Serial != "", k.Slot != nil} {
		if set {
			tokens++
		}
	}
	switch {
	case tokens != 1:
		return errors.New("parse PKCS#11 URI: it names a token by one of token, serial and slot-id")
	case k.Object == "" && len(k.ID) == 0:
		return errors.New("parse PKCS#11 URI: it names a key by object or id")
	}
	return nil
}

// String names the key in errors.
func (k Key) String() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("token", k.Token)
	add("serial", k.Serial)
	if k.Slot != nil {
		add("slot-id", strconv.Itoa(*k.Slot))
	}
	add("object", k.Object)
	add("id", hex.EncodeToString(k.ID))
	return Scheme + strings.Join(parts, ";")
}

// pin is the PIN of the token, with env for what no file gives.
func (k Key) pin(env func(string) string) (string, error) {
	if k.PINSource != "" {
		text, err := os.ReadFile(k.PINSource) // the user names the file
		if err != nil {
			return "", fmt.Errorf("read the PIN: %w", err)
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	for _, name := range []string{"LEASH_PKCS11_PIN", "COSIGN_PKCS11_PIN"} {
		if value := env(name); value != "" {
			return value, nil
		}
	}
	return "", errors.New("the token wants a PIN: set LEASH_PKCS11_PIN, or name a file with it in the URI (pin-source)")
}

// library is the path of the token's library, with env for what the URI does not say.
func (k Key) library(env func(string) string) (string, error) {
	if k.Module != "" {
		return k.Module, nil
	}
	for _, name := range []string{"LEASH_PKCS11_MODULE", "COSIGN_PKCS11_MODULE_PATH"} {
		if value := env(name); value != "" {
			return value, nil
		}
	}
	return "", errors.New("which library is the token's? Name it in the URI (?module-path=/usr/lib/…/libsofthsm2.so) or in LEASH_PKCS11_MODULE")
}
