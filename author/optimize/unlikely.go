package optimize

import "github.com/leash-gateway/leash/manifest/wasmfile/code"

// hintSection tells an engine which way conditions go, so that it keeps what hardly ever runs away from what always does.
// https://github.com/WebAssembly/branch-hinting/blob/main/proposals/branch-hinting/Overview.md
const hintSection = "metadata.code.branch_hint"

// hints are those of all functions that have some.
type hints struct {
	functions uint32
	list      []byte
}

// A hint is that of the condition at a place in a function's body.
type hint struct {
	at   uint32
	goes likelihood
}

// likelihood is what is known of a condition.
type likelihood byte

const (
	unknown likelihood = iota
	unlikely
	likely
)

func (h *hints) add(function uint32, list []hint) {
	if len(list) == 0 {
		return
	}
	h.functions++
	h.list = code.U32(code.U32(h.list, function), uint32(len(list))) //nolint:gosec // part of a module
	for _, one := range list {
		h.list = append(code.U32(h.list, one.at), 1, byte(one.goes-unlikely)) // one byte follows
	}
}

func (h *hints) content() []byte { return append(code.U32(nil, h.functions), h.list...) }

// findUnlikely finds the conditions that hardly ever hold: that a goroutine has been switched while a function was called, that the stack is too small,
// that a pointer is nil, that an index is out of bounds.
func (f *function) findUnlikely() {
	f.walk(func(i int, open []int) {
		switch in := &f.code[i]; in.op {
		case code.If:
			if f.calls(i+1) || f.isJump(i+1) && f.panics(f.code[i+3].targets(open)[0]) {
				in.goes = unlikely
			}
		case code.BrIf:
			if f.asksCall(i) {
				in.goes = unlikely
			}
		}
	})
}

// calls says whether a call without arguments begins at i, which behind an if is that of what makes the stack larger, or that panics.
//
//	local.get stack; i32.const 8; i32.sub; local.tee stack; global.set 0; local.get stack; i64.const RETURN; i64.store; i32.const 0; call FUNCTION
func (f *function) calls(i int) bool {
	const i32Sub, instructions = 0x6b, 10
	if i+instructions > len(f.code) {
		return false
	}
	c, stack := f.code[i:i+instructions], f.stack()
	return c[0].is(code.LocalGet, stack) && c[1].op == code.I32Const && c[2].op == i32Sub && c[3].is(code.LocalTee, stack) && c[4].is(code.GlobalSet, 0) &&
		c[5].is(code.LocalGet, stack) && c[6].op == code.I64Const && c[7].op == i64Store && c[8].op == code.I32Const && c[9].op == code.Call
}

// asksCall says whether the br_if at i asks what a call has returned: whether the goroutine has been switched.
//
//	call FUNCTION; global.get 0; local.set stack; br_if
func (f *function) asksCall(i int) bool {
	return i >= 2 && f.code[i-2].is(code.GlobalGet, 0) && f.code[i-1].is(code.LocalSet, f.stack())
}

// isJump says whether what begins at i is a jump: i32.const, local.set, br.
func (f *function) isJump(i int) bool {
	return i+3 < len(f.code) && f.code[i].op == code.I32Const && f.code[i+1].op == code.LocalSet && f.code[i+2].op == code.Br
}

// longestPanic is how many instructions are looked at for one that panics.
const longestPanic = 200

// panics says whether what stands behind a construct is a call that does not return.
func (f *function) panics(construct int) bool {
	if construct == whole || f.code[construct].op != code.Block {
		return false
	}
	end := f.code[construct].end
	for i := end + 1; i < min(len(f.code), end+longestPanic); i++ {
		switch f.code[i].op {
		case code.Unreachable:
			return true
		case code.BrIf:
			if !f.asksCall(i) {
				return false
			}
		case code.Br, code.BrTable, code.Return, code.Loop, code.If, code.Block:
			return false
		}
	}
	return false
}
