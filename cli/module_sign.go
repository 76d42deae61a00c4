package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/leash-gateway/leash/author/build"
	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/signing"
	"github.com/leash-gateway/leash/registry/trust"
)

func moduleSignCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "sign",
		Usage:     "sign a module in a registry, or in a file",
		ArgsUsage: "REFERENCE|FILE.wasm",
		Description: "The signature is kept beside the module, as cosign keeps it: cosign verify --key takes it. That of a file is written\n" +
			"to FILE.wasm" + trust.BundleSuffix + ", and how it was built to FILE.wasm" + trust.ProvenanceSuffix + ". A key is a file, env://VARIABLE, or a URI: of a token (pkcs11:token=T;object=O?module-path=LIB&pin-source=FILE)\n" +
			"or of a key management service (SCHEME://…); the program sigstore-kms-SCHEME is run for it (sigstore-kms-pkcs11 comes from make pkcs11). The password of a key comes from LEASH_KEY_PASSWORD or COSIGN_PASSWORD, else it is asked for.\n" +
			"Without a key, --fulcio gives a certificate for the identity in the token, and --rekor or --timestamp-url witnesses when.",
		Flags: registryFlags(
			&cli.StringFlag{Name: "key", Usage: "the private `KEY`"},
			&cli.StringSliceFlag{Name: "annotation", Aliases: []string{"a"}, Usage: "sign `NAME=VALUE` too, for policies to ask for; may be repeated"},
			&cli.DurationFlag{Name: "expires", Usage: "the signature holds for this `DURATION`, such as 2160h", DefaultText: "for ever"},
			&cli.StringFlag{Name: "format", Usage: "keep it as a `FORMAT`: bundle (cosign 3), simple (cosign 1 and 2) or both", Value: string(signing.Both)},
			&cli.BoolFlag{Name: "provenance", Usage: "sign how it was built too (SLSA)"},
			&cli.StringFlag{Name: "fulcio", Usage: "without a key: the certificate authority's `URL`"},
			&cli.StringFlag{Name: "rekor", Usage: "without a key: the transparency log's `URL`"},
			&cli.StringFlag{Name: "timestamp-url", Usage: "the `URL` of a time stamping authority (RFC 3161)"},
			&cli.PathFlag{Name: "identity-token", Usage: "without a key: the `FILE` with the OIDC token that says who signs"},
		),
		Action: func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			o, err := signingOptions(c)
			if err != nil {
				return err
			}
			var signer *signing.Signer
			if o.Keyless == nil {
				if signer, err = signerOf(c); err != nil {
					return err
				}
			}
			if file := c.Args().First(); isFile(file) {
				wasm, err := readModule(file)
				if err != nil {
					return usageError{err}
				}
				return signFile(c, file, wasm, signer, o, c.Bool("provenance"))
			}
			return withRegistries(c, 1, 1, func(ctx context.Context, client *remote.Client) error {
				return signReference(ctx, c, client, signer, o)
			})
		},
	})
}

// signerOf is the private key of the flag --key.
func signerOf(c *cli.Context) (*signing.Signer, error) {
	signer, err := signing.LoadSigner(c.Context, c.String("key"), os.LookupEnv, func() ([]byte, error) { return keyPassword(c, "Password of the key: ") })
	if err != nil {
		return nil, usageError{err}
	}
	return signer, nil
}

// isFile says whether an argument names a module's file: references have no such ending.
func isFile(argument string) bool { return strings.HasSuffix(argument, ".wasm") }

// readModule reads a .wasm.
func readModule(file string) ([]byte, error) { return config.ReadFile(file, wasmfile.MaxSize) }

func signingOptions(c *cli.Context) (o signing.Options, err error) {
	if o.Annotations, err = pairs(c, "annotation"); err != nil {
		return o, err
	}
	if d := c.Duration("expires"); d != 0 {
		if d < 0 {
			return o, badUsage("--expires %s: it would have expired already", d)
		}
		o.Expires = time.Now().Add(d)
	}
	o.TimestampURL = c.String("timestamp-url")
	if (c.String("key") == "") == (c.String("fulcio") == "") {
		return o, badUsage("sign with what? --key KEY, or --fulcio URL with --identity-token FILE")
	}
	if c.String("key") != "" {
		return o, nil
	}
	token, err := os.ReadFile(c.Path("identity-token"))
	if err != nil {
		return o, badUsage("--identity-token: %w", err)
	}
	if c.String("rekor") == "" && o.TimestampURL == "" {
		return o, badUsage("a certificate is good for minutes: --rekor or --timestamp-url witnesses that it was signed in time")
	}
	o.Keyless = &signing.Keyless{FulcioURL: c.String("fulcio"), RekorURL: c.String("rekor"), IdentityToken: strings.TrimSpace(string(token))}
	return o, nil
}

func pairs(c *cli.Context, flag string) (map[string]string, error) {
	var all map[string]string
	for _, one := range c.StringSlice(flag) {
		name, value, found := strings.Cut(one, "=")
		if !found || name == "" {
			return nil, badUsage("--%s %s: write it as NAME=VALUE", flag, one)
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = value
	}
	return all, nil
}

// keyPassword is the password of a key.
func keyPassword(c *cli.Context, prompt string) ([]byte, error) {
	for _, name := range []string{"LEASH_KEY_PASSWORD", "COSIGN_PASSWORD"} {
		if value, set := os.LookupEnv(name); set {
			return []byte(value), nil
		}
	}
	in, isFile := c.App.Reader.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) { //nolint:gosec // a file descriptor
		return nil, errors.New("there is no terminal to ask for its password: set LEASH_KEY_PASSWORD")
	}
	_, _ = fmt.Fprint(c.App.ErrWriter, prompt)
	secret, err := term.ReadPassword(int(in.Fd())) //nolint:gosec // as above
	_, _ = fmt.Fprintln(c.App.ErrWriter)
	return secret, err
}

// signFile keeps a signature of a module beside it, and where provenance is asked for, one of how it was built.
func signFile(c *cli.Context, file string, wasm []byte, signer *signing.Signer, o signing.Options, provenance bool) error {
	bundle, err := signing.SignFile(c.Context, wasm, signer, o)
	if err != nil {
		return err
	}
	if err := build.ReplaceFile(file+trust.BundleSuffix, bundle); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.App.ErrWriter, "%s is written\n", file+trust.BundleSuffix)
	if !provenance {
		return nil
	}
	return attestFile(c, file, wasm, signer, o)
}

// attestFile keeps a signed statement of how a module was built beside it.
func attestFile(c *cli.Context, file string, wasm []byte, signer *signing.Signer, o signing.Options) error {
	d, err := build.Describe(file, wasm)
	if err != nil {
		return err
	}
	predicate, err := d.Provenance()
	if err != nil {
		return err
	}
	bundle, err := signing.AttestFile(c.Context, wasm, signing.ProvenanceType, predicate, signer, o)
	if err != nil {
		return err
	}
	if err := build.ReplaceFile(file+trust.ProvenanceSuffix, bundle); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.ErrWriter, "%s is written\n", file+trust.ProvenanceSuffix)
	return err
}

func signReference(ctx context.Context, c *cli.Context, client *remote.Client, signer *signing.Signer, o signing.Options) error {
	r, err := referenceOf(c, 0)
	if err != nil {
		return err
	}
	at, err := signing.Sign(ctx, client, r, signer, signing.Format(c.String("format")), o)
	if err == nil && c.Bool("provenance") {
		err = attestReference(ctx, client, at, signer, o)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.App.Writer, at)
	return err
}

// attestReference keeps a signed statement of how a module was built beside it in its registry.
func attestReference(ctx context.Context, client *remote.Client, at remote.Reference, signer *signing.Signer, o signing.Options) error {
	pulled, err := client.Pull(ctx, at)
	if err != nil {
		return err
	}
	d, err := build.Describe(at.String(), pulled.Wasm)
	if err != nil {
		return err
	}
	predicate, err := d.Provenance()
	if err != nil {
		return err
	}
	_, err = signing.Attest(ctx, client, at, signing.ProvenanceType, predicate, signer, o)
	return err
}

func moduleVerifyCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:        "verify",
		Usage:       "say whether a module's signature is trusted",
		ArgsUsage:   "REFERENCE|FILE.wasm",
		Description: "Ends with 1 if it is not. cosign's signatures are taken too.",
		Flags:       registryFlags(append(verifyFlags(), outputFlag())...),
		Action: func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			policy, err := verifyPolicy(c)
			if err != nil {
				return err
			}
			if isFile(c.Args().First()) {
				return verifyFile(c, policy)
			}
			return withRegistries(c, 1, 1, func(ctx context.Context, client *remote.Client) error {
				r, err := referenceOf(c, 0)
				if err != nil {
					return err
				}
				at, _, err := client.Resolve(ctx, r)
				if err != nil {
					return err
				}
				signatures, err := policy.Image(ctx, client, at, time.Now())
				if err != nil {
					return err
				}
				return showSignatures(c, at.String(), signatures)
			})
		},
	})
}

// verifyFlags say against what it is verified.
func verifyFlags() []cli.Flag {
	return []cli.Flag{
		trustFlag(),
		&cli.StringFlag{Name: "key", Usage: "in place of a policy: the public `KEY` that must have signed"},
		&cli.StringSliceFlag{Name: "annotation", Aliases: []string{"a"}, Usage: "with --key: what must be signed too, as `NAME=VALUE`; may be repeated"},
	}
}

func verifyPolicy(c *cli.Context) (*trust.Policy, error) {
	key := c.String("key")
	if (key == "") == (c.Path("trust") == "") {
		return nil, badUsage("verify against what? --trust FILE, or --key KEY")
	}
	if key == "" {
		policy, err := trust.Load(c.Context, c.Path("trust"), os.LookupEnv)
		if err != nil {
			return nil, usageError{err}
		}
		return policy, nil
	}
	annotations, err := pairs(c, "annotation")
	if err != nil {
		return nil, err
	}
	public, err := signing.LoadPublic(c.Context, key, os.LookupEnv)
	if err != nil {
		return nil, usageError{err}
	}
	return trust.OfKey(key, public, annotations), nil
}

func verifyFile(c *cli.Context, policy *trust.Policy) error {
	file := c.Args().First()
	wasm, err := readModule(file)
	if err != nil {
		return usageError{err}
	}
	name := strings.TrimSuffix(file, ".wasm")
	if m, err := manifest.Of(file, wasm); err == nil {
		name = m.Name
	}
	signatures, err := policy.File(file, name, wasm, time.Now())
	if err != nil {
		return err
	}
	return showSignatures(c, file, signatures)
}

// shownSignature is a signature as it is printed.
type shownSignature struct {
	By          string            `json:"by"`
	Subject     string            `json:"subject,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Expires     string            `json:"expires,omitempty"`
}

func (s shownSignature) same(other shownSignature) bool {
	return s.By == other.By && s.Subject == other.Subject && s.Expires == other.Expires && maps.Equal(s.Annotations, other.Annotations)
}

func showSignatures(c *cli.Context, what string, signatures []signing.Verified) error {
	shown := []shownSignature{}
	for _, v := range signatures {
		one := shownSignature{By: v.By, Subject: v.Subject, Annotations: v.Annotations}
		if !v.Expires.IsZero() {
			one.Expires = v.Expires.Format(time.RFC3339)
		}
		if !slices.ContainsFunc(shown, one.same) { // it is kept once for each of cosign's formats
			shown = append(shown, one)
		}
	}
	return output(c, map[string]any{"verified": what, "signatures": shown}, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s is trusted\n", what)
		if len(shown) == 0 {
			_, _ = fmt.Fprintln(w, "  the policy asks for no signature")
		}
		for _, s := range shown {
			_, _ = fmt.Fprintf(w, "  signed by %s", strings.TrimSuffix(s.By+" "+s.Subject, " "))
			for _, name := range slices.Sorted(maps.Keys(s.Annotations)) {
				_, _ = fmt.Fprintf(w, " %s=%s", name, s.Annotations[name])
			}
			_, _ = fmt.Fprintln(w)
		}
	})
}

func moduleGenerateKeyCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:        "generate-key",
		Usage:       "make a key to sign modules with",
		ArgsUsage:   "[NAME]",
		Description: "Writes NAME.key, encrypted with a password, and NAME.pub (leash.key and leash.pub), as cosign generate-key-pair does.",
		Action: func(c *cli.Context) error {
			if err := arguments(c, 0, 1); err != nil {
				return err
			}
			name := c.Args().First()
			if name == "" {
				name = "leash"
			}
			for _, file := range []string{name + ".key", name + ".pub"} {
				if _, err := os.Stat(file); err == nil {
					return badUsage("%s is there already: name another", file)
				}
			}
			password, err := keyPassword(c, "Password for the new key: ")
			if err != nil {
				return usageError{err}
			}
			private, public, err := signing.GenerateKey(password)
			if err != nil {
				return err
			}
			if err := os.WriteFile(name+".key", private, 0o600); err != nil {
				return err
			}
			if err := os.WriteFile(name+".pub", public, 0o644); err != nil { //nolint:gosec // it is public
				return err
			}
			_, err = fmt.Fprintf(c.App.ErrWriter, "%s.key and %s.pub are written: keep the first one secret\n", name, name)
			return err
		},
	})
}
