// Package codetest tries what rewrites WebAssembly.
package codetest

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
)

// FuzzRewrite finds modules that wazero accepts, and no longer when they have been rewritten, unless rewrite says that it cannot.
func FuzzRewrite(f *testing.F, rewrite func(wasm []byte) ([]byte, error)) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	f.Cleanup(func() { _ = r.Close(ctx) })
	f.Fuzz(func(t *testing.T, wasm []byte) {
		rewritten, err := rewrite(wasm)
		if err != nil {
			return
		}
		original, err := r.CompileModule(ctx, wasm)
		if err != nil {
			return
		}
		_ = original.Close(ctx)
		compiled, err := r.CompileModule(ctx, rewritten)
		if err != nil {
			t.Fatalf("a valid module became invalid: %v", err)
		}
		_ = compiled.Close(ctx)
	})
}
