package code_test

import (
	"testing"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// dispatched is how Go's compiler jumps: a loop with two blocks, at whose head local 0 says where to go on.
//
//	loop block block local.get 0 br_table 0 1 2 end … end … end
func dispatched(inFirst, behindFirst, behindSecond []byte) []byte {
	body := []byte{code.Loop, code.NoResult, code.Block, code.NoResult, code.Block, code.NoResult, code.LocalGet, 0, code.BrTable, 2, 0, 1, 2}
	body = append(append(body, inFirst...), code.End)
	body = append(append(body, behindFirst...), code.End)
	return append(append(body, behindSecond...), code.End, code.End)
}

// jump goes to the head of the loop, which is label, to go on at place.
func jump(place, label byte) []byte {
	return []byte{code.I32Const, place, code.LocalSet, 0, code.Br, label}
}

func TestJumpsOfGoAreKnown(t *testing.T) {
	inner := append(append([]byte{code.I32Const, 1, code.If, code.NoResult}, jump(1, 2)...), code.End) // two blocks are open: the if, and the outer block
	for name, tc := range map[string]struct {
		body    []byte
		label   uint32
		forward bool
	}{
		"forward, to the end of the block that it is in": {dispatched(nil, jump(1, 1), nil), 0, true},
		"forward, from within an if":                     {dispatched(nil, inner, nil), 1, true},
		"back, to the end of a block that has been left": {dispatched(nil, jump(0, 1), nil), 0, false},
		"back, from behind all blocks":                   {dispatched(nil, nil, jump(1, 0)), 0, false},
		"to the head itself":                             {dispatched(nil, jump(2, 1), nil), 0, false},
		"for a value that the table has none of":         {dispatched(nil, jump(9, 1), nil), 0, false},
		"of another variable":                            {dispatched(nil, []byte{code.I32Const, 1, code.LocalSet, 1, code.Br, 1}, nil), 0, false},
		"of a variable that was not set right before":    {dispatched(nil, []byte{code.I32Const, 1, code.LocalSet, 0, 0x01, code.Br, 1}, nil), 0, false},
		"to a block, not to the loop":                    {dispatched(nil, jump(1, 0), nil), 0, false},
		"in a loop with results":                         {append([]byte{code.Loop, 0x7f}, dispatched(nil, jump(1, 1), nil)[2:]...), 0, false},
		"where a block has results":                      {append([]byte{code.Loop, code.NoResult, code.Block, 0x7f}, dispatched(nil, jump(1, 1), nil)[4:]...), 0, false},
		"in a loop that does something else at its head": {append([]byte{code.Loop, code.NoResult, code.Block, code.NoResult, code.Block, code.NoResult, 0x01}, dispatched(nil, jump(1, 1), nil)[6:]...), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := code.Walker{Reader: code.Reader{Data: tc.body}}
			jumps := 0
			for !w.Bad {
				op, last := w.Next()
				if last {
					break
				}
				if op == code.Br {
					jumps++
					if label, forward := w.Forward(w.Peek()); forward != tc.forward || label != tc.label {
						t.Errorf("got label %d, %t, want %d, %t", label, forward, tc.label, tc.forward)
					}
				}
				w.Skip(op)
			}
			if w.Bad || jumps != 1 {
				t.Errorf("found %d jumps; bad: %t", jumps, w.Bad)
			}
		})
	}
}
