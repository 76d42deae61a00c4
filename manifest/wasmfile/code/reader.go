// Package code goes through the instructions of WebAssembly 2.0 modules, for what rewrites them.
package code

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed says that something is no WebAssembly module, or uses what WebAssembly 2.0 does not have.
var ErrMalformed = errors.New("malformed WebAssembly, or of a later version than 2.0")

// A Reader reads a part of a module. After something that is not there, Bad is set and everything reads as zero.
type Reader struct {
	Data []byte
	Bad  bool
}

// Empty says whether nothing more can be read.
func (r *Reader) Empty() bool { return len(r.Data) == 0 || r.Bad }

// Byte is the next one.
func (r *Reader) Byte() byte {
	if len(r.Data) == 0 {
		r.Bad = true
		return 0
	}
	b := r.Data[0]
	r.Data = r.Data[1:]
	return b
}

// Take is the next n bytes.
func (r *Reader) Take(n uint32) []byte {
	if uint64(n) > uint64(len(r.Data)) {
		r.Bad = true
		return nil
	}
	part := r.Data[:n]
	r.Data = r.Data[n:]
	return part
}

// U32 is an unsigned LEB128 number.
func (r *Reader) U32() uint32 {
	n, size := binary.Uvarint(r.Data)
	if size <= 0 || n > 1<<32-1 {
		r.Bad = true
		return 0
	}
	r.Data = r.Data[size:]
	return uint32(n)
}

// Count is how many things follow. There are not more than bytes: who makes room for them ahead would else run out of memory, as wazero does.
func (r *Reader) Count() uint32 {
	n := r.U32()
	if uint64(n) > uint64(len(r.Data)) {
		r.Bad = true
		return 0
	}
	return n
}

// MostLocals is how many local variables a function may have. https://webassembly.github.io/spec/js-api/#limits
const MostLocals = 50000

// Locals reads what a function begins with, its local variables: how many groups of one type each there are, these as they are written, and how many variables that makes.
func (r *Reader) Locals() (groups uint32, written []byte, n uint64) {
	groups = r.U32()
	before := r.Data
	for i := groups; i > 0 && !r.Bad; i-- {
		n += uint64(r.U32())
		r.Byte() // of which type
	}
	return groups, r.Since(before), n
}

// Signed is a signed LEB128 number of up to 64 bits.
func (r *Reader) Signed() (n int64) {
	const sign, more, bits = 0x40, 0x80, 7
	for shift := 0; shift < 64; shift += bits {
		b := r.Byte()
		n |= int64(b&^more) << shift
		if b&more == 0 {
			if b&sign != 0 && shift+bits < 64 {
				n |= -1 << (shift + bits)
			}
			return n
		}
	}
	r.Bad = true
	return 0
}

// SkipLEB skips a number of any size and sign.
func (r *Reader) SkipLEB() {
	for r.Byte()&0x80 != 0 {
	}
}

// Since is what has been read since the reader stood at before.
func (r *Reader) Since(before []byte) []byte { return before[:len(before)-len(r.Data)] }

// U32 appends an unsigned LEB128 number.
func U32(to []byte, n uint32) []byte { return binary.AppendUvarint(to, uint64(n)) }

// Signed appends a signed LEB128 number.
func Signed(to []byte, n int64) []byte {
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return append(to, b)
		}
		to = append(to, b|0x80)
	}
}

// Bytes appends bytes with their length ahead.
func Bytes(to, part []byte) []byte {
	return append(U32(to, uint32(len(part))), part...) //nolint:gosec // part of a module
}
