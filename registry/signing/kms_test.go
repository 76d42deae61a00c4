package signing_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"

	"github.com/leash-gateway/leash/registry/registrytest"
	"github.com/leash-gateway/leash/registry/signing"
)

// program is the name under which the test itself is a key management service: sigstore's libraries run
// sigstore-kms-NAME for keys that begin with NAME://.
const program = "sigstore-kms-leashtest"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == program {
		if err := serveKey(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveKey answers one question about the key in the file that the URI names.
func serveKey() error {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(strings.TrimPrefix(args.InitOptions.KeyResourceID, "leashtest://"))
	if err != nil {
		return err
	}
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(text, nil)
	if err != nil {
		return err
	}
	loaded, err := signature.LoadSignerVerifier(private, args.InitOptions.HashFunc)
	if err != nil {
		return err
	}
	_, err = handler.Dispatch(os.Stdout, os.Stdin, args, service{loaded})
	return err
}

type service struct{ signature.SignerVerifier }

func (service) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.New("no keys are made here")
}

func (service) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.New("not here")
}
func (service) SupportedAlgorithms() []string { return []string{"ecdsa"} }
func (service) DefaultAlgorithm() string      { return "ecdsa" }

func TestKeyManagementServicesSign(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, program)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} { // one signs SHA-256, the other SHA-384
		t.Run(curve.Params().Name, func(t *testing.T) {
			private, err := ecdsa.GenerateKey(curve, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			text, err := cryptoutils.MarshalPrivateKeyToPEM(private)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			uri := "leashtest://" + file
			s, err := signing.LoadSigner(ctx, uri, noEnv, nil)
			if err != nil {
				t.Fatal(err)
			}
			c, at := pushed(t, registrytest.Olareg(t), "1.0.0", "content")
			sign(t, c, at, s, signing.Both, signing.Options{})
			public, err := signing.LoadPublic(ctx, uri, noEnv)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := signing.Signatures(ctx, c, at, []signing.Authority{{Name: "service", Key: public}}, now); err != nil || len(got) != 2 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
