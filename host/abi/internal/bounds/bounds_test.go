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

// A program is a function of random instructions that loads and stores near the end of a page of memory, as it is being written: with blocks of all types, jumps, code that
// cannot be reached, and values that are on the stack while their local variable is set anew. It has an i64 and an i32 as parameters, and as much as local variables.
type program struct {
	*rand.Rand
	body   []byte
	stack  []byte  // the types of the values on it
	blocks []block // that are open
}

type block struct {
	base    int // how high the stack is at its beginning, without its parameters
	results int // values of i32
}

const offsets = 40 // how far from an address is accessed

func (p *program) emit(parts ...[]byte) { p.body = append(p.body, join(parts...)...) }

func (p *program) push(t byte) { p.stack = append(p.stack, t) }

func (p *program) pop(n int) { p.stack = p.stack[:len(p.stack)-n] }

// holds says whether the values on top of the stack are of these types, the last one on top.
func (p *program) holds(types ...byte) bool {
	base := 0
	if n := len(p.blocks); n > 0 {
		base = p.blocks[n-1].base
	}
	return len(p.stack)-base >= len(types) && bytes.HasSuffix(p.stack, types)
}

func (p *program) open(parameters, results int, how ...byte) {
	p.emit(how)
	p.blocks = append(p.blocks, block{len(p.stack) - parameters, results})
}

func (p *program) close() {
	last := p.blocks[len(p.blocks)-1]
	p.emit(bytes.Repeat([]byte{code.Drop}, len(p.stack)-last.base), bytes.Repeat([]byte{code.I32Const, 3}, last.results), []byte{code.End})
	p.stack = append(p.stack[:last.base], bytes.Repeat([]byte{i32}, last.results)...)
	p.blocks = p.blocks[:len(p.blocks)-1]
}

func (p *program) one(of ...byte) byte { return of[p.IntN(len(of))] }

// step writes an instruction or some, if what they need is on the stack.
func (p *program) step() {
	offset := uint32(p.IntN(offsets))                //nolint:gosec // small
	near := func(constant, and, add byte) [][]byte { // an address near the end of the page
		return [][]byte{{constant}, code.Signed(nil, 127), {and, constant}, code.Signed(nil, page-115), {add}}
	}
	switch p.IntN(24) {
	case 0, 1, 2, 3:
		p.emit(get(p.one(0, 2)), []byte{code.I32WrapI64})
		p.push(i32)
	case 4, 5:
		p.emit(get(p.one(1, 3)))
		p.push(i32)
	case 6:
		p.emit(get(p.one(0, 2)))
		p.push(i64)
	case 7, 8, 9:
		if p.holds(i32) {
			p.pop(1)
			if p.IntN(2) == 0 {
				p.emit(at(load64, offset))
				p.push(i64)
			} else {
				p.emit(at(p.one(0x28, load8, 0x2e, 0x2f), offset))
				p.push(i32)
			}
		}
	case 10, 11:
		switch {
		case p.holds(i32, i64):
			p.pop(2)
			p.emit(at(p.one(store64, store8, 0x3d, 0x3e), offset))
		case p.holds(i32, i32):
			p.pop(2)
			p.emit(at(p.one(0x36, 0x3a, 0x3b), offset))
		}
	case 12, 13:
		switch set := p.one(code.LocalSet, code.LocalTee); {
		case p.holds(i64):
			p.emit(near(code.I64Const, 0x83, code.I64Add)...)
			p.emit([]byte{set, p.one(0, 2)})
			p.pop(int(code.LocalTee - set))
		case p.holds(i32):
			p.emit(near(code.I32Const, 0x71, 0x6a)...)
			p.emit([]byte{set, p.one(1, 3)})
			p.pop(int(code.LocalTee - set))
		}
	case 14:
		if p.holds(i32, i32, i32) || p.holds(i64, i64, i32) {
			p.pop(2)
			p.emit([]byte{code.Select})
		}
	case 15:
		p.open(0, 0, code.Block, code.NoResult)
	case 16:
		p.open(0, 1, code.Block, i32)
	case 17:
		if p.holds(i32, i32) {
			p.open(2, 2, code.Block, 1) // of the second type
		}
	case 18:
		if p.holds(i32) {
			p.pop(1)
			p.open(0, 0, code.If, code.NoResult)
		}
	case 19:
		if len(p.blocks) > 0 {
			p.close()
		}
	case 20:
		if n := len(p.blocks); p.holds(i32) && n > 0 && p.blocks[n-1].results == 0 {
			p.pop(1)
			p.emit([]byte{code.BrIf, 0})
		}
	case 21:
		p.emit([]byte{code.I32Const, 0, code.MemoryGrow, 0})
		p.push(i32)
	case 22:
		address := join(get(wide), []byte{code.I32WrapI64})
		p.emit([]byte{code.Block, code.NoResult, code.Br, 0}, address, at(load64, offset), []byte{code.Drop}, address, at(load64, offset+9),
			[]byte{code.Drop, code.Select, code.Drop, code.I32WrapI64}, at(load64, offset), []byte{code.Drop, code.End})
	case 23:
		if p.holds(i64, i64) {
			p.pop(1)
			p.emit([]byte{p.one(code.I64Add, 0x83, divide)})
		}
	}
}

// written is a whole one.
func written(r *rand.Rand) []byte {
	p := program{Rand: r, body: []byte{2, 1, i64, 1, i32}}
	p.emit([]byte{code.I64Const}, code.Signed(nil, page-120), set(2), []byte{code.I32Const}, code.Signed(nil, page-120), set(3))
	for range 10 + r.IntN(120) {
		p.step()
	}
	for len(p.blocks) > 0 {
		p.close()
	}
	p.emit(bytes.Repeat([]byte{code.Drop}, len(p.stack)), get(0), get(2), []byte{code.I64Add, code.End})
	return p.body
}

// run returns what a function returns, and the end of the memory then; trapped if it does not return.
func run(t *testing.T, body []byte) (result uint64, memory []byte, trapped bool) {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx) //nolint:errcheck // holds nothing
	wasm := []byte("\x00asm\x01\x00\x00\x00")
	for _, section := range [][]byte{
		{1, 2, 0x60, 2, i64, i32, 1, i64, 0x60, 2, i32, i32, 2, i32, i32}, // types
		{3, 1, 0},                          // functions
		{5, 1, 0, 1},                       // memory
		{7, 2, 1, 'f', 0, 0, 1, 'm', 2, 0}, // exports
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
	const functions = 1000
	trap, changed := 0, 0
	for range functions {
		body := written(r)
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
	if trap < functions/10 || trap > functions/5*4 || changed < functions/2 {
		t.Errorf("of %d functions %d trap and %d are rewritten: they try too little", functions, trap, changed)
	}
}

func TestAFunctionOfMostVariablesStaysValid(t *testing.T) {
	const locals = 30_000
	body := join([]byte{1}, code.U32(nil, locals), []byte{i64})
	for local := range uint32(locals) {
		address := append(code.U32([]byte{code.LocalGet}, 2+local), code.I32WrapI64)
		body = append(body, join(address, at(load64, 0), set(0), address, at(load64, 8), set(0))...)
	}
	body = join(body, get(0), []byte{code.End})
	if rewritten := bounds.Function(body, 2); len(rewritten) <= len(body) {
		t.Error("nothing is rewritten")
	} else if _, _, trapped := run(t, rewritten); trapped {
		t.Error("it traps")
	}
}

func TestALongFunctionStaysAsItIs(t *testing.T) {
	body := join([]byte{0}, bytes.Repeat(join(get(narrow), at(load64, 0), []byte{code.Drop}, get(narrow), at(load64, 8), []byte{code.Drop}), 1<<17), []byte{code.End})
	if !bytes.Equal(bounds.Function(body, 2), body) {
		t.Error("it is taken apart")
	}
}

// BenchmarkManyAddresses is a megabyte of loads, each at another address.
func BenchmarkManyAddresses(b *testing.B) {
	one := join(get(wide), set(wide), get(wide), []byte{code.I32WrapI64}, at(load64, 0), set(total))
	body := join([]byte{1, 1, i64}, bytes.Repeat(one, (1<<20)/len(one)-2), get(total), []byte{code.End})
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		bounds.Function(body, 2)
	}
}
