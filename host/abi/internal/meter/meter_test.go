package meter_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/leash-gateway/leash/host/abi/internal/meter"
	"github.com/leash-gateway/leash/host/internal/asm"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
	"github.com/leash-gateway/leash/manifest/wasmfile/code/codetest"
)

var limits = meter.Options{MaxDepth: 100}

// module is one with imports, several functions, calls and loops.
func module() []byte {
	return asm.Module{
		"proxy_on_request_headers": {Do: []asm.Step{
			asm.Call("proxy_get_property", asm.Text("path"), asm.OutBytes()), asm.Raw(0x03, 0x40, 0x0b), asm.Itself(),
		}},
		"proxy_on_tick": {Do: []asm.Step{asm.Log("tick"), asm.Raw(0x0f)}},
	}.Build()
}

func TestRewrittenModulesAreValid(t *testing.T) {
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	rewritten, err := meter.Rewrite(module(), limits)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := r.CompileModule(ctx, rewritten)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range compiled.ImportedFunctions() {
		if from, name, _ := f.Import(); from == meter.Module && name == meter.Function {
			return
		}
	}
	t.Error("the rewritten module does not import what it is to ask")
}

func TestModulesMayNotImportWhatIsOurs(t *testing.T) {
	once, err := meter.Rewrite(module(), limits)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := meter.Rewrite(once, limits); !errors.Is(err, code.ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

// TestModulesThatSayTheyHaveMoreThanTheyHaveAreRefused: wazero makes room for as much ahead, and runs out of memory, which nothing stops.
func TestModulesThatSayTheyHaveMoreThanTheyHaveAreRefused(t *testing.T) {
	const magic, all = "\x00asm\x01\x00\x00\x00", "\xff\xff\xff\xff\x0f"
	inSection := func(id byte, body string) string { return magic + string([]byte{id, byte(len(body))}) + body }
	tests := map[string]string{
		"types": inSection(1, all), "parameters": inSection(1, "\x01\x60"+all), "imports": inSection(2, all), "functions": inSection(3, all),
		"tables": inSection(4, all), "globals": inSection(6, all), "exports": inSection(7, all), "elements": inSection(9, all),
		"functions of an element": inSection(9, "\x01\x00\x41\x00\x0b"+all), "code": inSection(10, all), "data": inSection(11, all),
	}
	for name, wasm := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := meter.Rewrite([]byte(wasm), limits); !errors.Is(err, code.ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
		})
	}
	t.Run("names", func(t *testing.T) {
		wasm, err := meter.Rewrite([]byte(inSection(0, "\x04name\x01\x05"+all)), limits)
		if err != nil || bytes.Contains(wasm, []byte(all)) {
			t.Errorf("got %q, %v, want none of them", wasm, err)
		}
	})
}

// FuzzRewrite: whatever WebAssembly wazero accepts, it accepts rewritten, unless Rewrite says that it cannot.
func FuzzRewrite(f *testing.F) {
	f.Add(module())
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	codetest.FuzzRewrite(f, func(wasm []byte) ([]byte, error) { return meter.Rewrite(wasm, limits) })
}

// FuzzConditions is the same where conditions are counted.
func FuzzConditions(f *testing.F) {
	f.Add(module())
	codetest.FuzzRewrite(f, func(wasm []byte) ([]byte, error) {
		return meter.Rewrite(wasm, meter.Options{MaxDepth: 100, Conditions: true})
	})
}
