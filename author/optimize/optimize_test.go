package optimize_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/leash-gateway/leash/author/optimize"
	"github.com/leash-gateway/leash/manifest/wasmfile"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
	"github.com/leash-gateway/leash/manifest/wasmfile/code/codetest"
)

const (
	i32LeU, i32Add, i32Sub, i32Mul = 0x4d, 0x6a, 0x6b, 0x6c
	i64Load, i64Store, i64Eqz      = 0x29, 0x37, 0x50
	i64GtU, i64Mul                 = 0x56, 0x7e
	i32, i64                       = 0x7f, 0x7e
	place, n, sum                  = 0, 1, 2 // local variables
)

func get(local byte) []byte { return []byte{code.LocalGet, local} }

func set(local byte) []byte { return []byte{code.LocalSet, local} }

func jump(to, head byte) []byte {
	return []byte{code.I32Const, to, code.LocalSet, place, code.Br, head}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// assemble makes a module of its sections: the number of each, and what is in it.
func assemble(sections ...[]byte) []byte {
	wasm := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		wasm = code.Bytes(append(wasm, s[0]), s[1:])
	}
	return wasm
}

// module has one function, f(place, n), as Go's compiler would make it:
//
//	0: sum += n; if n == 0 { goto 2 }
//	1: n--; sum *= 3; goto 0
//	2: return sum
func module() []byte {
	body := join(
		[]byte{1, 1, i32}, // a local variable: sum
		[]byte{code.Loop, code.NoResult, code.Block, code.NoResult, code.Block, code.NoResult, code.Block, code.NoResult},
		get(place), []byte{code.BrTable, 2, 0, 1, 2, code.End},
		get(sum), get(n), []byte{i32Add}, set(sum),
		get(n), []byte{code.I32Eqz, code.If, code.NoResult}, jump(2, 3), []byte{code.End, code.End},
		get(n), []byte{code.I32Const, 1, i32Sub}, set(n), get(sum), []byte{code.I32Const, 3, i32Mul}, set(sum), jump(0, 1), []byte{code.End},
		get(sum), []byte{code.Return, code.End, code.Unreachable, code.End},
	)
	return alone(body)
}

// alone is the module of one function, f(i32, i32) -> i32.
func alone(body []byte) []byte {
	return assemble(
		[]byte{1, 1, 0x60, 2, i32, i32, 1, i32}, // types: (i32, i32) -> i32
		[]byte{3, 1, 0},                         // functions: of type 0
		[]byte{7, 1, 1, 'f', 0, 0},              // exports: f
		append([]byte{10, 1}, code.Bytes(nil, body)...),
	)
}

// stacked has f(place, n) too, which calls a function, as Go's compiler would make it, that takes n from the stack and puts there what it returns:
//
//	0: if the stack is small { grow() }; if n == 0 { nil() }; if n > 5 { goto 2 }
//	   triple(n)
//	1: return what triple has returned
//	2: panic()
func stacked() []byte {
	const stack, start, top = 1, 0, 64
	load := func(offset byte) []byte { return []byte{i64Load, 3, offset} }
	store := func(offset byte) []byte { return []byte{i64Store, 3, offset} }
	reckoned := func(offset byte) []byte {
		return join(get(stack), []byte{code.I64ExtendI32, code.I64Const, offset, code.I64Add, code.I32WrapI64})
	}
	move := func(by, op byte) []byte {
		return join(get(stack), []byte{code.I32Const, by, op, code.LocalTee, stack, code.GlobalSet, 0})
	}
	call := func(function, exit byte) []byte {
		return join(move(8, i32Sub), get(stack), []byte{code.I64Const, 1}, store(0), []byte{code.I32Const, 0, code.Call, function},
			[]byte{code.GlobalGet, 0}, set(stack), []byte{code.BrIf, exit})
	}
	leave := join(move(8, i32Add), []byte{code.I32Const, 0, code.Return})
	triple := join(
		[]byte{1, 1, i32, code.GlobalGet, 0}, set(stack),
		reckoned(16), get(stack), load(8), []byte{code.I64Const, 3, i64Mul}, store(0), // the result is behind the argument
		leave, []byte{code.End},
	)
	caller := join(
		[]byte{1, 1, i32, code.GlobalGet, 0}, set(stack),
		[]byte{code.Block, code.NoResult, code.Loop, code.NoResult, code.Block, code.NoResult, code.Block, code.NoResult, code.Block, code.NoResult},
		get(place), []byte{code.BrTable, 2, 0, 1, 2, code.End},
		get(stack), []byte{code.I32Const, 8, i32LeU, code.If, code.NoResult}, call(0, 4), []byte{code.End},
		move(32, i32Sub),
		get(stack), load(40), []byte{i64Eqz, code.I64ExtendI32, i64Eqz, code.I32Eqz, code.If, code.NoResult}, call(0, 4), []byte{code.End},
		get(stack), load(40), []byte{code.I64Const, 5, i64GtU, code.If, code.NoResult}, jump(2, 3), []byte{code.End},
		reckoned(0), get(stack), load(40), store(0),
		call(0, 3), []byte{code.End},
		get(stack), reckoned(8), load(0), store(48), move(32, i32Add), leave, []byte{code.End},
		call(0, 1), []byte{code.Unreachable, code.End, code.End},
		[]byte{code.I32Const, 1, code.End},
	)
	entry := join(
		[]byte{0, code.I32Const}, code.Signed(nil, top), []byte{code.GlobalSet, 0},
		[]byte{code.I32Const}, code.Signed(nil, top), get(n), []byte{code.I64ExtendI32}, store(8),
		get(place), []byte{code.Call, 1, code.Drop, code.I32Const}, code.Signed(nil, top), load(16), []byte{code.I32WrapI64, code.End},
	)
	return assemble(
		[]byte{1, 2, 0x60, 1, i32, 1, i32, 0x60, 2, i32, i32, 1, i32}, // types: (i32) -> i32, (i32, i32) -> i32
		[]byte{3, 3, 0, 0, 1}, // functions
		[]byte{5, 1, 0, 1},    // memory: a page
		[]byte{6, 1, i32, 1, code.I32Const, start, code.End}, // a global variable
		[]byte{7, 1, 1, 'f', 0, 2},                           // exports: f
		join([]byte{10, 3}, code.Bytes(nil, triple), code.Bytes(nil, caller), code.Bytes(nil, entry)),
	)
}

// called is what f returns for each place and number; -1 where it traps.
func called(t *testing.T, wasm []byte, places ...uint64) (results []int64) {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx) //nolint:errcheck // holds nothing
	m, err := r.Instantiate(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range places {
		for number := range uint64(24) {
			got, err := m.ExportedFunction("f").Call(ctx, at, number+1)
			if err != nil {
				got = []uint64{1<<64 - 1}
			}
			results = append(results, int64(got[0])) //nolint:gosec // an i32
		}
	}
	return results
}

// optimized is the module, which must do the same.
func optimized(t *testing.T, wasm []byte, places ...uint64) []byte {
	t.Helper()
	fast, err := optimize.Module(wasm)
	if err != nil {
		t.Fatal(err)
	}
	if want, got := called(t, wasm, places...), called(t, fast, places...); !slices.Equal(got, want) {
		t.Errorf("f returns %d, want %d", got, want)
	}
	return fast
}

func TestJumpsLeadWhereTheyMean(t *testing.T) {
	fast := optimized(t, module(), 0)
	if !bytes.Contains(fast, []byte{code.LocalGet, place, code.I32Eqz, code.BrIf, 0, code.LocalGet, place, code.BrTable}) {
		t.Error("the head does not ask whether the function has just been called")
	}
	if bytes.Contains(fast, []byte{1, 1, i32, code.Loop}) {
		t.Error("the head is a loop yet")
	}
	if !bytes.Contains(fast, jump(2, 3)) { // out of if, block 1 and the loop
		t.Error("the jump forward does not lead to the end of its block")
	}
	if !bytes.Contains(fast, jump(0, 0)) {
		t.Error("the jump back does not lead to the loop's beginning")
	}
}

func TestAddressesOfTheStackAreOffsets(t *testing.T) {
	fast := optimized(t, stacked(), 0)
	if bytes.Contains(fast, []byte{code.I64ExtendI32, code.I64Const}) {
		t.Error("an address is reckoned yet")
	}
	for name, want := range map[string][]byte{"argument": {i64Store, 3, 0}, "result": {i64Load, 3, 8}, "what is multiplied": {code.I64Const, 3, i64Mul, i64Store, 3, 16}} {
		if !bytes.Contains(fast, want) {
			t.Errorf("%s: no % x", name, want)
		}
	}
	if bytes.Contains(fast, []byte{code.Loop, code.NoResult}) {
		t.Error("there is a loop that nothing goes back in")
	}
}

func TestConditionsAreWhatWasCompared(t *testing.T) {
	fast := optimized(t, stacked(), 0)
	if want := []byte{i64Load, 3, 40, i64Eqz, code.If}; !bytes.Contains(fast, want) {
		t.Errorf("there is no % x", want)
	}
}

func TestUnlikelyBranchesAreHinted(t *testing.T) {
	fast := optimized(t, stacked(), 0)
	f, err := wasmfile.Parse(fast)
	if err != nil {
		t.Fatal(err)
	}
	content, found := f.CustomSection("metadata.code.branch_hint")
	if !found {
		t.Fatal("there are no hints")
	}
	hints := code.Reader{Data: content}
	if functions, number, n := hints.U32(), hints.U32(), hints.U32(); functions != 1 || number != 1 || n != 7 {
		t.Fatalf("got hints for %d functions, %d for function %d; want 7 for function 1 alone", functions, n, number)
	}
	var caller []byte
	for i, s := range f.Sections {
		if s.ID != wasmfile.Code {
			continue
		}
		if f.Sections[i-1].Name != "metadata.code.branch_hint" {
			t.Error("the hints do not stand right before the code")
		}
		r := code.Reader{Data: f.Body(s)}
		r.U32()
		r.Take(r.U32())
		caller = r.Take(r.U32())
	}
	counts := map[byte]int{}
	for !hints.Empty() {
		at := hints.U32()
		if size, unlikely := hints.Byte(), hints.Byte(); size != 1 || unlikely != 0 {
			t.Errorf("the hint at %d says %d in %d bytes", at, unlikely, size)
		}
		counts[caller[at]]++
	}
	if counts[code.If] != 3 || counts[code.BrIf] != 4 {
		t.Errorf("got %v, want 3 times if (the stack, nil, the bounds) and 4 times br_if (behind the calls)", counts)
	}
}

func TestBallastIsCalledWhereNothingRuns(t *testing.T) {
	fast := optimized(t, stacked(), 0)
	f, err := wasmfile.Parse(fast)
	if err != nil {
		t.Fatal(err)
	}
	const ballast, functions = 3, 8 // behind triple, caller and the one that is exported
	for _, s := range f.Sections {
		if s.ID == wasmfile.Code {
			r := code.Reader{Data: f.Body(s)}
			if got := r.U32(); got != ballast+functions {
				t.Errorf("got %d functions, want %d more than %d", got, functions, ballast)
			}
		}
	}
	const twice = 4 // the one of 512 bytes: caller has 228
	if !bytes.Contains(fast, []byte{i32LeU, code.If, code.NoResult, code.Call, ballast + twice, code.LocalGet}) {
		t.Error("the ballast is not called ahead of what makes the stack larger")
	}
}

func TestWhatIsOptimizedStaysAsItIs(t *testing.T) {
	once, err := optimize.Module(stacked())
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := optimize.Module(once); err != nil || !bytes.Equal(once, twice) {
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
		if short, err := optimize.Module(wasm); err != nil || !bytes.Equal(short, wasm) {
			t.Errorf("%s: it has been changed, %v", file, err)
		}
	}
}

func TestWhatIsNoModuleIsRefused(t *testing.T) {
	whole := module()
	unknown := bytes.Replace(whole, []byte{code.Unreachable, code.End}, []byte{0xff, code.End}, 1)
	for name, wasm := range map[string][]byte{
		"nothing": nil, "a text": []byte("package main"), "its beginning": whole[:len(whole)-3], "an instruction of later versions": unknown,
	} {
		if _, err := optimize.Module(wasm); !errors.Is(err, code.ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

// FuzzModule: whatever WebAssembly wazero accepts, it accepts when it is optimized, unless Module says that it cannot.
func FuzzModule(f *testing.F) {
	f.Add(module())
	f.Add(stacked())
	codetest.FuzzRewrite(f, optimize.Module)
}
