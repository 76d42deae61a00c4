// Package jumps shortens the jumps in a .wasm that Go's compiler has made, which is a third of what it takes to run it.
//
// A function of Go's is one loop, at whose head a table leads to where a variable says; each jump sets the variable and goes back to the head, an if without
// an else too. No engine sees through that. Here a jump that only leads further on goes there directly, and the head asks first whether
// the function has just been called, before it looks into the table. What the module does is the same (docs/decisions/130-jumps-of-go-are-shortened.md).
package jumps

import (
	"fmt"

	"github.com/leash-gateway/leash/manifest/wasmfile"
	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// Shorten returns the module with shorter jumps. One that another compiler has made stays as it is, and so does one whose jumps are short.
// The error is [code.ErrMalformed].
func Shorten(wasm []byte) ([]byte, error) {
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", code.ErrMalformed, err)
	}
	for _, s := range f.Sections {
		if s.ID != wasmfile.Code {
			continue
		}
		r := code.Reader{Data: f.Body(s)}
		body, shorter := functions(&r)
		switch {
		case r.Bad:
			return nil, code.ErrMalformed
		case shorter:
			return f.Replace(s, body), nil
		}
	}
	return wasm, nil
}

// functions rewrites the code section, and says whether anything is shorter.
func functions(r *code.Reader) (out []byte, shorter bool) {
	n := r.U32()
	out = code.U32(make([]byte, 0, len(r.Data)+len(r.Data)/16), n)
	for ; n > 0 && !r.Bad; n-- {
		f := code.Reader{Data: r.Take(r.U32())}
		body, changed := function(&f)
		shorter, r.Bad = shorter || changed, r.Bad || f.Bad
		out = code.Bytes(out, body)
	}
	return out, shorter
}

func function(f *code.Reader) (out []byte, shorter bool) {
	before := f.Data
	for groups := f.U32(); groups > 0 && !f.Bad; groups-- {
		f.U32()
		f.Byte()
	}
	out = append(make([]byte, 0, len(before)+len(before)/16), f.Since(before)...)
	w := code.Walker{Reader: *f}
	defer func() { f.Bad = w.Bad }()
	for !w.Bad {
		op, last := w.Next()
		if last {
			return append(out, op), shorter
		}
		switch op {
		case code.Br:
			if block, ok := w.Forward(w.Peek()); ok {
				w.Skip(op)
				out, shorter = code.U32(append(out, op), block), true
				continue
			}
		case code.BrTable:
			// What has been written last is local.get variable.
			if variable, first, ok := w.Dispatch(); ok {
				out = code.U32(append(out, code.I32Eqz, code.BrIf), first)
				out, shorter = code.U32(append(out, code.LocalGet), variable), true
			}
		}
		w.Skip(op)
		out = append(out, w.Instruction()...)
	}
	return nil, false
}
