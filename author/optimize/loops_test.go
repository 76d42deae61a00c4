package optimize_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// wandering has one function, f(place, n), as Go's compiler would make it, of blocks that jump anywhere. Each adds its number to three times what was there before, and
// the n-th returns it. places are those at which a goroutine may be resumed, which are behind calls, and the beginning.
func wandering(random *rand.Rand) (wasm []byte, places []uint64) {
	const i32And, i32Eqz, nothing = 0x71, code.I32Eqz, 0 // nothing is the function that does nothing
	blocks := 2 + random.IntN(12)
	body := join([]byte{1, 1, i32}, []byte{code.Loop, code.NoResult}, bytes.Repeat([]byte{code.Block, code.NoResult}, blocks))
	table := []byte{code.BrTable, byte(blocks - 1)}
	for k := range blocks {
		table = append(table, byte(k))
	}
	table[len(table)-1] = byte(blocks - 1)
	body = join(body, get(place), table, []byte{code.End})
	places = []uint64{0}
	for k := range blocks {
		head := byte(blocks - 1 - k)
		anywhere := func() byte { return byte(random.IntN(blocks)) }
		body = join(body, get(sum), []byte{code.I32Const, 3, i32Mul, code.I32Const, byte(k), i32Add}, set(sum),
			get(n), []byte{code.I32Const, 1, i32Sub, code.LocalTee, n, i32Eqz, code.If, code.NoResult}, get(sum), []byte{code.Return, code.End})
		if random.IntN(2) == 0 {
			body = join(body, get(sum), []byte{code.I32Const, byte(1 + random.IntN(7)), i32And, code.If, code.NoResult}, jump(anywhere(), head+1), []byte{code.End})
		}
		switch {
		case k == blocks-1 || random.IntN(4) == 0:
			body = join(body, jump(anywhere(), head))
		case random.IntN(8) == 0:
			body = join(body, []byte{code.Call, nothing})
			places = append(places, uint64(k+1)) //nolint:gosec // small
		}
		body = append(body, code.End)
	}
	body = append(body, code.Unreachable, code.End)
	return assemble(
		[]byte{1, 2, 0x60, 0, 0, 0x60, 2, i32, i32, 1, i32}, // types: () -> (), (i32, i32) -> i32
		[]byte{3, 2, 0, 1},
		[]byte{7, 1, 1, 'f', 0, 1},
		join([]byte{10, 2, 2, 0, code.End}, code.Bytes(nil, body)),
	), places
}

// counting has one function, f(place, n), as Go's compiler makes loops, whose condition stands at their end:
//
//	0: goto 2
//	1: sum = 3*sum + n; n--
//	2: if n != 0 { goto 1 }
//	3: return sum
func counting() []byte {
	body := join(
		[]byte{1, 1, i32, code.Loop, code.NoResult}, bytes.Repeat([]byte{code.Block, code.NoResult}, 4),
		get(place), []byte{code.BrTable, 3, 0, 1, 2, 3, code.End},
		jump(2, 3), []byte{code.End},
		get(sum), []byte{code.I32Const, 3, i32Mul}, get(n), []byte{i32Add}, set(sum), get(n), []byte{code.I32Const, 1, i32Sub}, set(n), []byte{code.End},
		get(n), []byte{code.I32Eqz, code.I32Eqz, code.If, code.NoResult}, jump(1, 2), []byte{code.End, code.End},
		get(sum), []byte{code.Return, code.End, code.Unreachable, code.End},
	)
	return alone(body)
}

func TestLoopsBeginWithTheirCondition(t *testing.T) {
	fast := optimized(t, counting(), 0)
	if n := bytes.Count(fast, []byte{code.Loop, code.NoResult}); n != 1 {
		t.Errorf("got %d loops, want one", n)
	}
	if n := bytes.Count(fast, join(get(place), []byte{code.BrTable})); n != 1 {
		t.Errorf("got %d tables, want that of the head alone", n)
	}
}

func TestWaysAreTheSameInLoops(t *testing.T) {
	const functions = 500
	loops := 0
	for seed := range uint64(functions) {
		wasm, places := wandering(rand.New(rand.NewPCG(seed, 0)))
		loops += bytes.Count(optimized(t, wasm, places...), []byte{code.Loop, code.NoResult})
		if t.Failed() {
			t.Fatalf("function %d", seed)
		}
	}
	if loops < 2*functions {
		t.Errorf("got %d loops in %d functions, want some in each besides the head", loops, functions)
	}
}
