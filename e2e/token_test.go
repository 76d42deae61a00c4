//go:build cgo

package e2e

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// tokenPIN is planted: it may stand in nothing that is written.
const tokenPIN = "pin-planted-8831"

// softHSM is the library of a token in software, which `make test` brings.
func softHSM(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SOFTHSM2_LIB"); path != "" {
		return path
	}
	return filepath.Join(root(t), ".softhsm", "libsofthsm2.so")
}

// newToken makes a token in a folder of its own, and opens it.
func newToken(t *testing.T, library string) *crypto11.Context {
	t.Helper()
	dir := t.TempDir()
	settings := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(settings, []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", settings)
	p := pkcs11.New(library)
	if p == nil {
		t.Fatalf("load SoftHSM: %s is no library of a token (make .softhsm/installed brings it)", library)
	}
	if err := p.Initialize(); err != nil {
		t.Fatal(err)
	}
	slots, err := p.GetSlotList(true)
	if err != nil || len(slots) == 0 {
		t.Fatalf("slots: %v, %v", slots, err)
	}
	if err := p.InitToken(slots[0], "so-pin", "vault"); err != nil {
		t.Fatal(err)
	}
	session, err := p.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return p.Login(session, pkcs11.CKU_SO, "so-pin") },
		func() error { return p.InitPIN(session, tokenPIN) },
		func() error { return p.Logout(session) },
		func() error { return p.CloseSession(session) },
		p.Finalize,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	p.Destroy()
	token, err := crypto11.Configure(&crypto11.Config{Path: library, TokenLabel: "vault", Pin: tokenPIN})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = token.Close() })
	return token
}

func TestAKeyOnATokenSignsModules(t *testing.T) {
	library := softHSM(t)
	token := newToken(t, library)
	publics := map[string]crypto.PublicKey{}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384()} {
		pair, err := token.GenerateECDSAKeyPairWithLabel([]byte(name), []byte(name), curve)
		if err != nil {
			t.Fatal(err)
		}
		publics[name] = pair.Public()
	}
	pair, err := token.GenerateRSAKeyPairWithLabel([]byte("rsa"), []byte("rsa"), 2048)
	if err != nil {
		t.Fatal(err)
	}
	publics["rsa"] = pair.Public()

	dir := t.TempDir()
	wasm, err := os.ReadFile(filepath.Join(root(t), "build", "modules", "hello.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(dir, "hello.wasm")
	if err := os.WriteFile(module, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	pin := filepath.Join(dir, "pin")
	if err := os.WriteFile(pin, []byte(tokenPIN+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// run runs leash module with the plugin on PATH, and returns what it has written.
	run := func(t *testing.T, env []string, args ...string) (string, error) {
		t.Helper()
		command := exec.Command(built(t), append([]string{"module"}, args...)...)
		command.Env = slices.Concat(os.Environ(), []string{"PATH=" + filepath.Join(root(t), "bin")}, env)
		var out bytes.Buffer
		command.Stdout, command.Stderr = &out, &out
		err := command.Run()
		if strings.Contains(out.String(), tokenPIN) {
			t.Errorf("the PIN is written: %s", &out)
		}
		return out.String(), err
	}
	uri := func(object string) string {
		return "pkcs11:token=vault;object=" + object + "?module-path=" + library + "&pin-source=file://" + pin
	}
	for name, public := range publics {
		t.Run(name, func(t *testing.T) {
			if out, err := run(t, nil, "sign", "--key", uri(name), module); err != nil {
				t.Fatalf("sign: %v\n%s", err, out)
			}
			text, err := cryptoutils.MarshalPublicKeyToPEM(public)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, name+".pub")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			for how, key := range map[string]string{"the public key": file, "the token": uri(name)} {
				if out, err := run(t, nil, "verify", "--key", key, module); err != nil {
					t.Errorf("verify with %s: %v\n%s", how, err, out)
				}
			}
			other := map[string]string{"p256": "p384", "p384": "rsa", "rsa": "p256"}[name]
			if out, err := run(t, nil, "verify", "--key", uri(other), module); err == nil {
				t.Errorf("verify with another key of the token: %s", out)
			}
		})
	}
	t.Run("library and PIN in the environment", func(t *testing.T) {
		env := []string{"LEASH_PKCS11_MODULE=" + library, "LEASH_PKCS11_PIN=" + tokenPIN}
		if out, err := run(t, env, "sign", "--key", "pkcs11:token=vault;id=p256", module); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	for name, tc := range map[string]struct {
		key  string
		env  []string
		want string
	}{
		"no such key":      {key: uri("nobody"), want: "was not found"},
		"no such token":    {key: strings.Replace(uri("p256"), "vault", "safe", 1), want: "token"},
		"another PIN":      {key: "pkcs11:token=vault;object=p256?module-path=" + library, env: []string{"LEASH_PKCS11_PIN=wrong"}, want: "PIN"},
		"no PIN":           {key: "pkcs11:token=vault;object=p256?module-path=" + library, want: "LEASH_PKCS11_PIN"},
		"no library":       {key: "pkcs11:token=vault;object=p256?pin-source=" + pin, want: "LEASH_PKCS11_MODULE"},
		"a PIN in the URI": {key: "pkcs11:token=vault;object=p256?pin-value=1", want: "pin-source"},
		"no program":       {key: uri("p256"), env: []string{"PATH=" + dir}, want: "sigstore-kms-pkcs11, which speaks to what keeps it, is not on PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := run(t, tc.env, "sign", "--key", tc.key, module); err == nil || !strings.Contains(out, tc.want) {
				t.Errorf("got %v, %s, want %q in it", err, out, tc.want)
			}
		})
	}
}
