package optimize

import (
	"slices"

	"github.com/leash-gateway/leash/manifest/wasmfile/code"
)

// prune takes out of the table at a function's head what nobody asks it for, so that engines know that nobody comes there from elsewhere. Go's compiler gives each place that is jumped to, and each
// at which the function might be resumed, a number, and the table leads to all of them. Jumps that lead on do not go by the table any more. It is left with where a goroutine may go on that has been switched: behind a call,
// whose return address has the number in its lower 16 bits; at the beginning; and, after a recovered panic, at the call of runtime.deferreturn, whose place cannot be seen here, so that functions that have one stay as they
// are. What nobody should ask for traps.
//
// https://github.com/golang/go/blob/go1.26.0/src/cmd/internal/obj/wasm/wasmobj.go (the table, return addresses),
// https://github.com/golang/go/blob/go1.26.0/src/runtime/panic.go (recovery)
func (f *function) prune(deferReturn uint32) {
	head, ok := f.findHead()
	if !ok {
		return
	}
	asked := map[uint64]bool{
		0: true,
		1: true, // the runtime begins goroutines behind the first instruction of what they return to
	}
	f.walk(func(i int, open []int) {
		switch in := &f.code[i]; in.op {
		case code.Call:
			ok = ok && in.operand() != deferReturn
		case code.I64Const: // a return address
			if i+1 < len(f.code) && f.code[i+1].op == i64Store {
				const number = 1<<16 - 1
				asked[uint64(in.constant())&number] = true //nolint:gosec // only these bits count
			}
		case code.Br:
			if targets := in.targets(open); targets[0] == head.loop {
				n, known := f.setAhead(i, head.variable)
				ok = ok && known
				asked[uint64(n)] = true //nolint:gosec // a place of the table, or none
			}
		case code.BrIf:
			ok = ok && in.targets(open)[0] != head.loop
		}
	})
	if !ok {
		return
	}
	// block; local.get variable; i32.eqz; br_if FIRST; local.get variable; br_table …; end; unreachable
	first, table := &f.code[head.table-2], &f.code[head.table]
	first.bytes = code.U32([]byte{code.BrIf}, first.operand()+1)
	r := code.Reader{Data: table.bytes[1:]}
	n := r.U32()
	table.bytes = code.U32([]byte{code.BrTable}, n)
	for i := uint64(0); i <= uint64(n); i++ {
		label := r.U32() + 1
		if !asked[i] {
			label = 0
		}
		table.bytes = code.U32(table.bytes, label)
	}
	f.code = slices.Insert(f.code, head.table+1, instruction{op: code.End, bytes: []byte{code.End}}, instruction{op: code.Unreachable, bytes: []byte{code.Unreachable}})
	f.code = slices.Insert(f.code, head.table-headSize, instruction{op: code.Block, bytes: []byte{code.Block, code.NoResult}})
	f.pair()
}
