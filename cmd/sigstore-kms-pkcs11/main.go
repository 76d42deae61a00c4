//go:build cgo

// Command sigstore-kms-pkcs11 signs for leash (and for cosign) with a key on a PKCS#11 token. It is a program of its own because
// a token's library is loaded through C, without which leash itself is built (docs/decisions/120-tokens-by-a-program-of-their-own.md).
package main

import (
	"fmt"
	"os"

	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"

	"github.com/leash-gateway/leash/registry/signing/pkcs11"
)

func main() {
	if err := run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "sigstore-kms-pkcs11:", err)
		os.Exit(1)
	}
}

// run answers one question of sigstore's protocol for plugins. What is wrong is part of the answer.
func run() error {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		return fmt.Errorf("%w: leash runs it, for --key pkcs11:…", err)
	}
	key, err := pkcs11.Open(args.InitOptions.KeyResourceID, args.InitOptions.HashFunc, os.Getenv)
	if err != nil {
		return handler.WriteErrorResponse(os.Stdout, err)
	}
	defer key.Close() //nolint:errcheck // the process ends
	_, err = handler.Dispatch(os.Stdout, os.Stdin, args, key)
	return err
}
