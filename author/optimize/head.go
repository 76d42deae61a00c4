package optimize

import (
	"slices"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// A head is what a function of Go's begins with: loop, blocks, local.get variable, i32.eqz, br_if, local.get variable, br_table.
type head struct {
	loop, table int   // their places
	blocks      []int // theirs, the outermost first
	variable    uint32
}

// none is where a head has no loop, because nothing goes back to it.
const none = -2

// headSize is how many instructions stand ahead of the table, from where the variable is asked for.
const headSize = 4

func (f *function) findHead() (h head, ok bool) {
	h.table = slices.IndexFunc(f.code, func(in instruction) bool { return in.op == code.BrTable })
	i := h.table - headSize
	if i < 0 || f.code[i].op != code.LocalGet || f.code[i+1].op != code.I32Eqz || f.code[i+2].op != code.BrIf || !f.code[i+3].is(code.LocalGet, f.code[i].operand()) {
		return h, false
	}
	h.variable = f.code[i].operand()
	for i--; i >= 0 && f.code[i].op == code.Block; i-- {
		h.blocks = append(h.blocks, i)
	}
	slices.Reverse(h.blocks)
	h.loop = none
	if i >= 0 && f.code[i].op == code.Loop {
		h.loop = i
	}
	return h, true
}

// setAhead is what the variable has been set to right ahead of a place.
func (f *function) setAhead(place int, variable uint32) (n int64, ok bool) {
	if place < 2 || f.code[place-2].op != code.I32Const || !f.code[place-1].is(code.LocalSet, variable) {
		return 0, false
	}
	return f.code[place-2].constant(), true
}
