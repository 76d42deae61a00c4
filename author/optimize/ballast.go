package optimize

import "github.com/leash-gateway/leash/manifest/wasmfile/code"

// Envoy's V8 compiles everything at once, without knowing what is called how often (--no-liftoff). Then it puts the functions that a function calls into it, the first ones
// first, until they are twice its own size: those that make the stack larger and that panic, and what these call. That is half of the code
// in memory and half of the time that compiling takes, for nothing. Here the first that each function calls are functions that are large to look at and do nothing, where
// it would make its stack larger: so there is no room for others, and nothing runs through them.
// https://github.com/v8/v8/blob/14.6.202/src/wasm/inlining-tree.h (NoLiftoffBudget)

const (
	ballasts    = 8  // how many such functions there are
	smallest    = 32 // bytes; each is twice as large as the one before
	largest     = smallest << (ballasts - 1)
	growth      = 2  // times its own size that a function may take in
	leastGrowth = 50 // bytes that it may take in if that is more
	mostCalls   = 60 // that it may take in
)

// ballast is the code of these functions.
func ballast() (all []byte) {
	for size := smallest; size <= largest; size *= 2 {
		body := make([]byte, size)
		for i := range body[1:] {
			body[1+i] = code.Nop
		}
		body[size-1] = code.End
		all = code.Bytes(all, body)
	}
	return all
}

// load puts calls of the ballast, the first of which has the number first, ahead of the first call of the function, if that is behind an if: then it is the one
// that makes the stack larger, or one that panics. It says whether it did.
func (f *function) load(first uint32) bool {
	size := len(f.locals)
	for _, in := range f.code {
		size += len(in.bytes)
	}
	for i := range f.code {
		switch {
		case f.code[i].op == code.If && f.calls(i+1):
			f.code[i+1].bytes = append(callBallast(first, size), f.code[i+1].bytes...)
			return true
		case f.code[i].op == code.Call:
			return false
		}
	}
	return false
}

// callBallast are calls of the ballast that are more than a function of this size takes in.
func callBallast(first uint32, size int) (all []byte) {
	const callSize = 4
	size += callSize * (size*growth/largest + ballasts)
	room := max(growth*size, leastGrowth)
	number := first + ballasts - 1
	for of, n := largest, 0; of >= smallest && n < mostCalls; {
		if of >= room {
			of /= 2
			number--
			continue
		}
		all = code.U32(append(all, code.Call), number)
		room -= of
		n++
	}
	return all
}
