// Package jumps shortens the jumps in a .wasm that Go's compiler has made, which is a third of what it takes to run it.
//
// A function of Go's is one loop, at whose head a table leads to where a variable says; each jump sets the variable and goes back to the head, an if without
// an else too. No engine sees through that. Here a jump that only leads further on goes there directly, and the head asks first whether
// the function has just been called, before it looks into the table. What the module does is the same (docs/decisions/130-jumps-of-go-are-shortened.md).
package jumps

import (
	"errors"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// ErrMalformed says that the file is not a WebAssembly module, or uses what WebAssembly 2.0 does not have.
var ErrMalformed = errors.New("malformed WebAssembly, or of a later version than 2.0")

const (
	magic       = "\x00asm\x01\x00\x00\x00"
	codeSection = 10
)

// Shorten returns the module with shorter jumps. One that another compiler has made stays as it is, and so does one whose jumps are short.
func Shorten(wasm []byte) ([]byte, error) {
	if len(wasm) < len(magic) || string(wasm[:len(magic)]) != magic {
		return nil, ErrMalformed
	}
	r := code.Reader{Data: wasm[len(magic):]}
	out := append(make([]byte, 0, len(wasm)+len(wasm)/16), magic...)
	for !r.Empty() {
		id, body := r.Byte(), r.Take(r.U32())
		if id == codeSection {
			section := code.Reader{Data: body}
			body = functions(&section)
			r.Bad = r.Bad || section.Bad
		}
		out = code.Bytes(append(out, id), body)
	}
	if r.Bad {
		return nil, ErrMalformed
	}
	return out, nil
}

func functions(r *code.Reader) []byte {
	n := r.U32()
	out := code.U32(make([]byte, 0, len(r.Data)+len(r.Data)/16), n)
	for ; n > 0 && !r.Bad; n-- {
		f := code.Reader{Data: r.Take(r.U32())}
		body := function(&f)
		r.Bad = r.Bad || f.Bad
		out = code.Bytes(out, body)
	}
	return out
}

func function(f *code.Reader) []byte {
	before := f.Data
	for groups := f.U32(); groups > 0 && !f.Bad; groups-- {
		f.U32()
		f.Byte()
	}
	out := append(make([]byte, 0, len(before)+len(before)/16), f.Since(before)...)
	w := code.Walker{Reader: *f}
	defer func() { f.Bad = w.Bad }()
	for !w.Bad {
		op, last := w.Next()
		if last {
			return append(out, op)
		}
		switch op {
		case code.Br:
			if block, ok := w.Forward(w.Peek()); ok {
				w.Skip(op)
				out = code.U32(append(out, op), block)
				continue
			}
		case code.BrTable:
			// What has been written last is local.get variable.
			if variable, first, ok := w.Dispatch(); ok {
				out = code.U32(append(out, code.I32Eqz, code.BrIf), first)
				out = code.U32(append(out, code.LocalGet), variable)
			}
		}
		w.Skip(op)
		out = append(out, w.Instruction()...)
	}
	return nil
}
