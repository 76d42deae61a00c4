package optimize_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/leash-gateway/leash/author/optimize"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// A scribbler writes a function that reads and writes slots of its stack, in ifs, blocks and loops, with calls and pointers between.
type scribbler struct {
	*rand.Rand
	labels    int  // how many constructs are open
	addressed bool // the function knows an address on its stack
}

const (
	slots, scribbleStack = 5, 1 // 8 bytes each, from the stack's address on; the local variable with that
	pointer, rounds      = 2, 3 // local variables
	elsewhere            = 512  // an address below the stack
	changes              = 0    // the function that changes all slots
)

func (s *scribbler) slot() byte { return byte(8 * s.IntN(slots)) }

// some is a few statements.
func (s *scribbler) some(depth int) (body []byte) {
	for range 1 + s.IntN(5) {
		body = append(body, s.statement(depth)...)
	}
	return body
}

func (s *scribbler) within(begin []byte, depth int, end ...byte) []byte {
	s.labels++
	inside := s.some(depth - 1)
	s.labels--
	return join(begin, inside, end, []byte{code.End})
}

func (s *scribbler) statement(depth int) []byte {
	const i64Add, i64And, i64Store8, i32GtS, i32Const = code.I64Add, 0x83, 0x3c, 0x4a, code.I32Const
	stack, load := get(scribbleStack), func(at byte) []byte { return join(get(scribbleStack), []byte{i64Load, 3, at}) }
	odd := join(load(s.slot()), []byte{code.I64Const, 1, i64And, code.I32WrapI64})
	kinds := 8
	if depth == 0 {
		kinds = 4
	}
	switch s.IntN(kinds) {
	case 0, 1:
		return join(stack, load(s.slot()), load(s.slot()), []byte{i64Add, code.I64Const, byte(s.IntN(60)), i64Add, i64Store, 3, s.slot()})
	case 2: // a byte in the midst of a slot
		return join(stack, load(s.slot()), []byte{i64Store8, 0, s.slot() + byte(s.IntN(8))})
	case 3:
		switch {
		case s.addressed && s.IntN(2) == 0: // through the pointer
			return join(get(pointer), []byte{code.I32WrapI64}, load(s.slot()), []byte{i64Store, 3, 0})
		case s.IntN(3) == 0: // a call
			return join(stack, []byte{i32Const, 0, i32Sub, code.LocalTee, scribbleStack, code.GlobalSet, 0, i32Const, 0, code.Call, changes, code.Drop, code.GlobalGet, 0}, set(scribbleStack))
		default:
			return join([]byte{i32Const}, code.Signed(nil, elsewhere), load(s.slot()), []byte{i64Store, 3, 0})
		}
	case 4:
		return s.within(join(odd, []byte{code.If, code.NoResult}), depth)
	case 5: // an if that is left, or with it everything
		return s.within(join(odd, []byte{code.If, code.NoResult}), depth, code.Br, byte(s.IntN(2)*s.labels))
	case 6:
		return s.within(join([]byte{code.Block, code.NoResult}, odd, []byte{code.BrIf, 0}), depth)
	default: // a loop, while there are rounds
		return s.within([]byte{code.Loop, code.NoResult}, depth, join(get(rounds), []byte{i32Const, 1, i32Sub, code.LocalTee, rounds, i32Const, 0, i32GtS, code.If, code.NoResult, code.Br, 1, code.End})...)
	}
}

// scribbling is a module whose f(place, n) says what is in the slots when such a function has run.
func scribbling(random *rand.Rand) []byte {
	s := &scribbler{Rand: random, addressed: random.IntN(3) == 0}
	const top, i64Mul, i64ShrU = 64, 0x7e, 0x88
	function := join([]byte{3, 1, i32, 1, i64, 1, i32, code.GlobalGet, 0}, set(scribbleStack), []byte{code.I32Const, 9}, set(rounds))
	if s.addressed {
		function = join(function, get(scribbleStack), []byte{code.I64ExtendI32, code.I64Const, s.slot(), code.I64Add}, set(pointer))
	}
	function = join(function, []byte{code.Block, code.NoResult}, s.within(nil, 4), []byte{code.I32Const, 0, code.End})
	change := []byte{0}
	sum := []byte{code.I64Const, 0}
	for slot := range byte(slots) {
		change = join(change, []byte{code.GlobalGet, 0, code.GlobalGet, 0, i64Load, 3, 8 * slot, code.I64Const, 3, i64Mul, i64Store, 3, 8 * slot})
		sum = join(sum, []byte{code.I64Const, 31, i64Mul, code.I32Const}, code.Signed(nil, top), []byte{i64Load, 3, 8 * slot, code.I64Add})
	}
	change = join(change, []byte{code.I32Const, 0, code.End})
	entry := join([]byte{1, 1, i64, code.I32Const}, code.Signed(nil, top), []byte{code.GlobalSet, 0})
	for slot := range byte(slots) {
		entry = join(entry, []byte{code.I32Const}, code.Signed(nil, top), get(n), []byte{code.I64ExtendI32, code.I64Const, slot + 1, i64Mul, i64Store, 3, 8 * slot})
	}
	entry = join(entry, get(place), []byte{code.Call, 1, code.Drop}, sum, []byte{code.LocalTee, 2}, get(2), []byte{code.I64Const, 29, i64ShrU, code.I64Add, code.I32WrapI64, code.End})
	gos := join([]byte{0, code.Loop, code.NoResult, code.Block, code.NoResult}, get(place), []byte{code.BrTable, 1, 0, 0, code.End, code.End, code.I32Const, 0, code.End}) // by which Go's compiler is known
	return assemble(
		[]byte{1, 2, 0x60, 1, i32, 1, i32, 0x60, 2, i32, i32, 1, i32}, // types: (i32) -> i32, (i32, i32) -> i32
		[]byte{3, 4, 0, 0, 1, 0},                         // functions
		[]byte{5, 1, 0, 1},                               // memory: a page
		[]byte{6, 1, i32, 1, code.I32Const, 0, code.End}, // a global variable
		[]byte{7, 1, 1, 'f', 0, 2},                       // exports: f
		join([]byte{10, 4}, code.Bytes(nil, change), code.Bytes(nil, function), code.Bytes(nil, entry), code.Bytes(nil, gos)),
	)
}

func TestWhatIsOnTheStackIsTheSameWhereItIsKept(t *testing.T) {
	const functions = 500
	fewer := 0
	for seed := range uint64(functions) {
		wasm := scribbling(rand.New(rand.NewPCG(seed, 1)))
		fast := optimized(t, wasm, 0)
		if t.Failed() {
			t.Fatalf("function %d", seed)
		}
		if loads := []byte{i64Load, 3}; bytes.Count(fast, loads) < bytes.Count(wasm, loads) {
			fewer++
		}
	}
	if fewer < functions*3/4 {
		t.Errorf("%d of %d functions read less than before, want most of them", fewer, functions)
	}
}

// TestNobodyComesWhereNothingIsResumed: the table leads to the beginning and behind the call, and no longer to the panic.
func TestNobodyComesWhereNothingIsResumed(t *testing.T) {
	wasm := named(stacked(), 1, "caller")
	fast, err := optimize.Module(wasm)
	if err != nil {
		t.Fatal(err)
	}
	if want, got := called(t, wasm, 0, 1), called(t, fast, 0, 1); !slices.Equal(got, want) {
		t.Errorf("f returns %d, want %d", got, want)
	}
	if !bytes.Contains(fast, []byte{code.BrTable, 2}) || !bytes.Contains(fast, []byte{code.End, code.Unreachable}) {
		t.Error("there is no table, or nothing that traps behind it")
	}
	for _, got := range called(t, fast, 2) {
		if got != -1 {
			t.Errorf("got %d from where nobody comes, want a trap", got)
		}
	}
	for name, other := range map[string][]byte{"without names": stacked(), "that defers": named(stacked(), 0, "runtime.deferreturn")} {
		fast, err := optimize.Module(other)
		if err != nil {
			t.Fatal(err)
		}
		if want, got := called(t, other, 0, 1, 2), called(t, fast, 0, 1, 2); !slices.Equal(got, want) {
			t.Errorf("%s: f returns %d, want %d", name, got, want)
		}
	}
}
