package optimize

import "github.com/leash-gateway/leash/manifest/wasmfile/code"

// foldConditions has a condition be what was compared. Go's compiler widens what a comparison says and asks whether it is 0, and an if whether that is not so; engines make a number
// of it each time:
//
//	COMPARISON; i64.extend_i32_u; i64.eqz; i32.eqz; if  →  COMPARISON; if
func (f *function) foldConditions() {
	const i64Eqz = 0x50
	var last, before int // the instructions that are left ahead of the next one
	for i := range f.code {
		in := &f.code[i]
		if len(in.bytes) == 0 {
			continue
		}
		switch {
		case in.op == i64Eqz && f.code[last].op == code.I64ExtendI32 && i > 0:
			f.code[last].op, f.code[last].bytes = code.I32Eqz, []byte{code.I32Eqz}
			in.bytes = nil
			continue
		case (in.op == code.If || in.op == code.BrIf) && f.code[last].op == code.I32Eqz && f.code[before].op == code.I32Eqz && before < last:
			f.code[last].bytes, f.code[before].bytes = nil, nil
		}
		last, before = i, last
	}
}
