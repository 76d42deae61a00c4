package pkcs11_test

import (
	"strings"
	"testing"

	"github.com/leash-gateway/leash/registry/signing/pkcs11"
)

func TestAKeyIsNamedByItsURI(t *testing.T) {
	for name, tc := range map[string]struct{ uri, want string }{
		"token and object":          {"pkcs11:token=vault;object=release", "pkcs11:token=vault;object=release"},
		"as sigstore's plugins say": {"pkcs11://token=vault;object=release", "pkcs11:token=vault;object=release"},
		"without a scheme":          {"token=vault;object=release", "pkcs11:token=vault;object=release"},
		"escapes":                   {"pkcs11:token=the%20vault;id=%01%ff", "pkcs11:token=the vault;id=01ff"},
		"slot 0":                    {"pkcs11:slot-id=0;object=k", "pkcs11:slot-id=0;object=k"},
		"serial, and a type":        {"pkcs11:serial=12ab;object=k;type=private", "pkcs11:serial=12ab;object=k"},
		"library and PIN are not its name": {
			"pkcs11:token=t;object=k?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin", "pkcs11:token=t;object=k",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := pkcs11.Parse(tc.uri)
			if err != nil || k.String() != tc.want {
				t.Errorf("got %s, %v, want %s", k, err, tc.want)
			}
		})
	}
}

func TestURIsThatNameNoKeyAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ uri, want string }{
		"nothing":               {"pkcs11:", "names a token"},
		"no token":              {"pkcs11:object=k", "names a token"},
		"two tokens":            {"pkcs11:token=a;slot-id=1;object=k", "names a token by one of"},
		"no object":             {"pkcs11:token=a", "names a key by object or id"},
		"twice":                 {"pkcs11:token=a;token=b;object=k", "token stands there twice"},
		"a misspelled name":     {"pkcs11:tokn=a;object=k", "tokn is not known"},
		"no value":              {"pkcs11:token;object=k", `"token" is no NAME=VALUE`},
		"a broken escape":       {"pkcs11:token=%zz;object=k", "token: invalid URL escape"},
		"a slot that is none":   {"pkcs11:slot-id=-1;object=k", "slot-id=-1"},
		"a certificate":         {"pkcs11:token=a;object=k;type=cert", "type=cert"},
		"a PIN for all to see":  {"pkcs11:token=a;object=k?pin-value=4711", "pin-source"},
		"a PIN, badly escaped":  {"pkcs11:token=a;object=k?pin-value=4711%47zz", "pin-source"},
		"a PIN beside mistakes": {"pkcs11:token=a;object=k?pin-value=4711&x=y", "pin-source"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pkcs11.Parse(tc.uri)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q in it", err, tc.want)
			}
			if strings.Contains(err.Error(), "4711") {
				t.Errorf("the PIN stands in %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("pkcs11:token=t;object=k?module-path=/l.so&pin-source=file:/p")
	f.Add("pkcs11:slot-id=0;id=%00%01")
	f.Fuzz(func(t *testing.T, uri string) {
		k, err := pkcs11.Parse(uri)
		if err != nil {
			return
		}
		if k.Object == "" && len(k.ID) == 0 || k.Token == "" && k.Serial == "" && k.Slot == nil {
			t.Errorf("%q names nothing, and is taken", uri)
		}
	})
}
