package bounds_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/leash-gateway/leash/host/abi/internal/bounds"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

const (
	i32, i64            = 0x7f, 0x7e
	wide, narrow, total = 0, 1, 2 // the local variables: two parameters, an i64 and an i32, and an i64
	load64, load8       = 0x29, 0x2d
	store64, store8     = 0x37, 0x3c
	divide              = 0x7f // i64.div_s
	page                = 1 << 16
)

func get(local byte) []byte { return []byte{code.LocalGet, local} }

func set(local byte) []byte { return []byte{code.LocalSet, local} }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// at is a load or store with an offset.
func at(op byte, offset uint32) []byte { return code.U32([]byte{op, 0}, offset) }

func TestAnAddressIsAskedForOnce(t *testing.T) {
	pointer := join(get(wide), []byte{code.I32WrapI64})
	kept := get(3)
	const locals = "\x01\x01\x7e" // total
	for name, test := range map[string]struct{ body, want []byte }{
		"narrowed": {
			join([]byte(locals), pointer, at(load64, 0), set(total), pointer, at(load64, 8), set(total), []byte{code.End}),
			join([]byte("\x02\x01\x7e\x01\x7f"), pointer, []byte{code.LocalTee, 3}, at(load8, 15), []byte{code.Drop},
				kept, at(load64, 0), set(total), kept, at(load64, 8), set(total), []byte{code.End}),
		},
		"a place of its own, written with what it holds": {
			join([]byte(locals), get(narrow), get(narrow), at(load64, 24), at(store64, 32), []byte{code.End}),
			join([]byte(locals), get(narrow), at(load8, 39), []byte{code.Drop}, get(narrow), get(narrow), at(load64, 24), at(store64, 32), []byte{code.End}),
		},
		"the farthest first": {join([]byte(locals), get(narrow), at(load64, 8), set(total), get(narrow), at(load64, 0), set(total), []byte{code.End}), nil},
		"another address":    {join([]byte(locals), get(narrow), at(load64, 0), set(total), get(narrow), set(narrow), get(narrow), at(load64, 8), set(total), []byte{code.End}), nil},
		"a call between":     {join([]byte(locals), get(narrow), at(load64, 0), set(total), []byte{code.Call, 0}, get(narrow), at(load64, 8), set(total), []byte{code.End}), nil},
		"the memory grows":   {join([]byte(locals), get(narrow), at(load64, 0), set(total), get(narrow), []byte{code.MemoryGrow, 0, code.Drop}, get(narrow), at(load64, 8), set(total), []byte{code.End}), nil},
		"beyond 4 GiB":       {join([]byte(locals), get(narrow), at(load64, 0), set(total), get(narrow), at(load64, 1<<32-1), set(total), []byte{code.End}), nil},
		"cut off":            {join([]byte(locals), get(narrow)), nil},
	} {
		if test.want == nil {
			test.want = test.body
		}
		if got := bounds.Function(test.body, 2); !bytes.Equal(got, test.want) {
			t.Errorf("%s: got\n%x, want\n%x", name, got, test.want)
		}
	}
}

// program is a function of random loads and stores near the end of a page of memory, with jumps, and divisions that trap where total is 0.
func program(r *rand.Rand) []byte {
	body := []byte{1, 1, i64}
	depth := 0
	for range 4 + r.IntN(40) {
		offset := uint32(r.IntN(64))
		address := get(narrow)
		if r.IntN(2) == 0 {
			address = join(get(wide), []byte{code.I32WrapI64})
		}
		switch r.IntN(12) {
		case 0:
			body = join(body, []byte{code.I64Const}, code.Signed(nil, page-int64(r.IntN(200))), set(wide))
		case 1:
			body = join(body, []byte{code.I32Const}, code.Signed(nil, page-int64(r.IntN(200))), set(narrow))
		case 2:
			body = append(body, code.Block, code.NoResult)
			depth++
		case 3:
			body = join(body, address, at(load8, offset), []byte{code.If, code.NoResult})
			depth++
		case 4:
			if depth > 0 {
				body = join(body, address, at(load8, offset), []byte{code.BrIf, byte(r.IntN(depth))})
			}
		case 5:
			if depth > 0 {
				body = append(body, code.End)
				depth--
			}
		case 6:
			body = join(body, get(total), get(total), []byte{divide}, set(total))
		case 7, 8:
			body = join(body, address, get(total), []byte{code.I64Const, 3, code.I64Add}, at(store64, offset))
		case 9:
			body = join(body, address, get(narrow), at(load64, offset), at(store8, offset))
		default:
			body = join(body, address, at(load64, offset), get(total), []byte{code.I64Add}, set(total))
		}
	}
	return join(body, bytes.Repeat([]byte{code.End}, depth), get(total), []byte{code.End})
}

// run returns what a function returns, and the end of the memory then; trapped if it does not return.
func run(t *testing.T, body []byte) (result uint64, memory []byte, trapped bool) {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx) //nolint:errcheck // holds nothing
	wasm := []byte("\x00asm\x01\x00\x00\x00")
	for _, section := range [][]byte{
		{1, 1, 0x60, 2, i64, i32, 1, i64},          // types
		{3, 1, 0},                                  // functions
		{5, 1, 0, 1},                               // memory
		{7, 2, 1, 'f', 0, 0, 1, 'm', 2, 0},         // exports
		join([]byte{10, 1}, code.Bytes(nil, body)), // code
	} {
		wasm = code.Bytes(append(wasm, section[0]), section[1:])
	}
	m, err := r.Instantiate(ctx, wasm)
	if err != nil {
		t.Fatalf("%x: %v", body, err)
	}
	got, err := m.ExportedFunction("f").Call(ctx, page-150, page-100)
	if err != nil {
		return 0, nil, true
	}
	end, _ := m.ExportedMemory("m").Read(page-256, 256)
	return got[0], bytes.Clone(end), false
}

func TestFunctionsDoTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	trap, changed := 0, 0
	for range 500 {
		body := program(r)
		rewritten := bounds.Function(body, 2)
		result, memory, trapped := run(t, body)
		result2, memory2, trapped2 := run(t, rewritten)
		if result != result2 || trapped != trapped2 || !bytes.Equal(memory, memory2) {
			t.Fatalf("%x returns %d (traps: %t), rewritten %d (%t): %x", body, result, trapped, result2, trapped2, rewritten)
		}
		if trapped {
			trap++
		}
		if !bytes.Equal(body, rewritten) {
			changed++
		}
	}
	if trap < 50 || trap > 450 || changed < 250 {
		t.Errorf("of 500 functions %d trap and %d are rewritten: they try too little", trap, changed)
	}
}

// BenchmarkManyAddresses is a megabyte of loads, each at another address.
func BenchmarkManyAddresses(b *testing.B) {
	one := join(get(wide), set(wide), get(wide), []byte{code.I32WrapI64}, at(load64, 0), set(total))
	body := join([]byte{1, 1, i64}, bytes.Repeat(one, (1<<20)/len(one)), get(total), []byte{code.End})
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		bounds.Function(body, 2)
	}
}
