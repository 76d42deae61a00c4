package meter

import "github.com/leash-gateway/leash/manifest/wasmfile/code"

// i32Const appends the instruction that pushes n.
func i32Const(to []byte, n int32) []byte { return signed(append(to, code.I32Const), int64(n)) }

// i64Const appends the instruction that pushes n.
func i64Const(to []byte, n int64) []byte { return signed(append(to, 0x42), n) }

// signed appends a signed LEB128 number.
func signed(to []byte, n int64) []byte {
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return append(to, b)
		}
		to = append(to, b|0x80)
	}
}
