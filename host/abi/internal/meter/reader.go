package meter

import "encoding/binary"

// reader reads a part of a module. After something that is not there, bad is set and everything reads as zero.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) empty() bool { return len(r.data) == 0 || r.bad }

func (r *reader) byte() byte {
	if len(r.data) == 0 {
		r.bad = true
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

// take is the next n bytes.
func (r *reader) take(n uint32) []byte {
	if uint64(n) > uint64(len(r.data)) {
		r.bad = true
		return nil
	}
	part := r.data[:n]
	r.data = r.data[n:]
	return part
}

// u32 is an unsigned LEB128 number.
func (r *reader) u32() uint32 {
	n, size := binary.Uvarint(r.data)
	if size <= 0 || n > 1<<32-1 {
		r.bad = true
		return 0
	}
	r.data = r.data[size:]
	return uint32(n)
}

// skipLEB skips a number of any size and sign.
func (r *reader) skipLEB() {
	for r.byte()&0x80 != 0 {
	}
}

// since is what has been read since the reader stood at before.
func (r *reader) since(before []byte) []byte { return before[:len(before)-len(r.data)] }

func u32(to []byte, n uint32) []byte { return binary.AppendUvarint(to, uint64(n)) }

// i32Const appends the instruction that pushes n.
func i32Const(to []byte, n int32) []byte { return signed(append(to, 0x41), int64(n)) }

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
