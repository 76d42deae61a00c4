package code

// Loads and stores, and what tells the size of the memory.
const (
	firstLoad  = 0x28
	firstStore = 0x36
	lastStore  = 0x3e
	memorySize = 0x3f
)

// widths are how many bytes loads and stores take, from the first load on.
var widths = [...]uint64{4, 8, 4, 8, 1, 1, 2, 2, 1, 1, 2, 2, 4, 4, 4, 8, 4, 8, 1, 2, 1, 2, 4}

// Width is how many bytes of the memory an instruction loads or stores; 0 if it does neither.
func Width(op byte) uint64 {
	if op < firstLoad || op > lastStore {
		return 0
	}
	return widths[op-firstLoad]
}

// Effect is how many values an instruction takes and gives, as far as that is known from itself.
// https://webassembly.github.io/spec/core/appendix/index-instructions.html
func Effect(op byte) (pops, pushes int, known bool) {
	switch {
	case op == Nop:
		return 0, 0, true
	case op == LocalGet || op == GlobalGet || I32Const <= op && op <= 0x44 || op == memorySize:
		return 0, 1, true
	case op == LocalSet || op == GlobalSet || op == Drop:
		return 1, 0, true
	case op == LocalTee || op == MemoryGrow || firstLoad <= op && op < firstStore:
		return 1, 1, true
	case firstStore <= op && op <= lastStore:
		return 2, 0, true
	case op == Select:
		return 3, 1, true
	case isUnary(op):
		return 1, 1, true
	case I32Eqz < op && op < 0xc5:
		return 2, 1, true
	}
	return 0, 0, false
}

// isUnary says of an arithmetic instruction that it has one operand.
func isUnary(op byte) bool {
	return op == I32Eqz || op == 0x50 || 0x67 <= op && op <= 0x69 || 0x79 <= op && op <= 0x7b || // eqz; clz, ctz, popcnt
		0x8b <= op && op <= 0x91 || 0x99 <= op && op <= 0x9f || // abs to sqrt
		0xa7 <= op && op <= 0xc4 // conversions
}
