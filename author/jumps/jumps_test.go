package jumps_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/leash-gateway/leash/author/jumps"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
	"github.com/leash-gateway/leash/manifest/wasmfile/code/codetest"
)

const (
	unreachable, i32Add, i32Sub, i32Mul = 0x00, 0x6a, 0x6b, 0x6c
	place, n, sum                       = 0, 1, 2 // local variables
)

// module has one function, f(place, n), as Go's compiler would make it:
//
//	0: sum += n; if n == 0 { goto 2 }
//	1: n--; sum *= 3; goto 0
//	2: return sum
func module() []byte {
	get := func(local byte) []byte { return []byte{code.LocalGet, local} }
	set := func(local byte) []byte { return []byte{code.LocalSet, local} }
	jump := func(to, head byte) []byte { return []byte{code.I32Const, to, code.LocalSet, place, code.Br, head} }
	const i32 = 0x7f
	body := bytes.Join([][]byte{
		{1, 1, i32}, // a local variable: sum
		{code.Loop, code.NoResult, code.Block, code.NoResult, code.Block, code.NoResult, code.Block, code.NoResult},
		get(place), {code.BrTable, 2, 0, 1, 2, code.End},
		get(sum), get(n), {i32Add}, set(sum),
		get(n), {code.I32Eqz, code.If, code.NoResult}, jump(2, 3), {code.End, code.End},
		get(n), {code.I32Const, 1, i32Sub}, set(n), get(sum), {code.I32Const, 3, i32Mul}, set(sum), jump(0, 1), {code.End},
		get(sum), {code.Return, code.End, unreachable, code.End},
	}, nil)
	wasm := []byte("\x00asm\x01\x00\x00\x00")
	for _, section := range [][]byte{
		{1, 1, 0x60, 2, i32, i32, 1, i32}, // types: (i32, i32) -> i32
		{3, 1, 0},                         // functions: of type 0
		{7, 1, 1, 'f', 0, 0},              // exports: f
		append([]byte{10, 1}, code.Bytes(nil, body)...),
	} {
		wasm = code.Bytes(append(wasm, section[0]), section[1:])
	}
	return wasm
}

// called is what f returns for each place and number.
func called(t *testing.T, wasm []byte) (results []uint64) {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx) //nolint:errcheck // holds nothing
	m, err := r.Instantiate(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []uint64{0, 1, 2, 3, 1 << 31} {
		for number := range uint64(8) {
			got, err := m.ExportedFunction("f").Call(ctx, at, number+1)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, got...)
		}
	}
	return results
}

func TestWhatAFunctionDoesIsTheSame(t *testing.T) {
	short, err := jumps.Shorten(module())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(short, []byte{code.LocalGet, place, code.I32Eqz, code.BrIf, 0, code.LocalGet, place, code.BrTable}) {
		t.Error("the head does not ask whether the function has just been called")
	}
	if !bytes.Contains(short, []byte{code.I32Const, 2, code.LocalSet, place, code.Br, 2}) {
		t.Error("the jump forward does not lead to the end of its block")
	}
	if !bytes.Contains(short, []byte{code.I32Const, 0, code.LocalSet, place, code.Br, 1}) {
		t.Error("the jump back does not lead to the head of the loop any more")
	}
	want, got := called(t, module()), called(t, short)
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("call %d: got %d, want %d", i, got[i], want[i])
		}
	}
}

func TestShortJumpsStayAsTheyAre(t *testing.T) {
	once, err := jumps.Shorten(module())
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := jumps.Shorten(once); err != nil || !bytes.Equal(once, twice) {
		t.Errorf("got another file, %v", err)
	}
}

func TestModulesOfOtherCompilersStayAsTheyAre(t *testing.T) {
	files, err := filepath.Glob("../../host/abi/testdata/*.wasm")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %q, %v", files, err)
	}
	for _, file := range files {
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if short, err := jumps.Shorten(wasm); err != nil || !bytes.Equal(short, wasm) {
			t.Errorf("%s: it has been changed, %v", file, err)
		}
	}
}

func TestWhatIsNoModuleIsRefused(t *testing.T) {
	whole := module()
	unknown := bytes.Replace(whole, []byte{unreachable, code.End}, []byte{0xff, code.End}, 1)
	for name, wasm := range map[string][]byte{
		"nothing": nil, "a text": []byte("package main"), "its beginning": whole[:len(whole)-3], "an instruction of later versions": unknown,
	} {
		if _, err := jumps.Shorten(wasm); !errors.Is(err, code.ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

// FuzzShorten: whatever WebAssembly wazero accepts, it accepts with shorter jumps, unless Shorten says that it cannot.
func FuzzShorten(f *testing.F) {
	f.Add(module())
	codetest.FuzzRewrite(f, jumps.Shorten)
}
