package proxywasm

import (
	"encoding/binary"
	"unsafe"
)

// pairs takes a list of headers apart, without a copy.
func pairs(raw []byte) [][2]string {
	const number = 4
	if len(raw) < number {
		return nil
	}
	count := int(binary.LittleEndian.Uint32(raw))
	lengths, data := raw[number:], raw[number+2*number*count:]
	list := make([][2]string, count, count+spareHeaders)
	for i := range list {
		for j := range list[i] {
			n := binary.LittleEndian.Uint32(lengths)
			list[i][j] = text(data[:n:n])
			lengths, data = lengths[number:], data[n+1:]
		}
	}
	return list
}

// spareHeaders is how many headers may be added to a list without a new allocation. The module ratelimit adds six.
const spareHeaders = 6

func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// appendPairs puts a list of headers together.
func appendPairs(dst []byte, list [][2]string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(list)))
	for i := range list {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(list[i][0])))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(list[i][1])))
	}
	for i := range list {
		dst = append(append(dst, list[i][0]...), 0)
		dst = append(append(dst, list[i][1]...), 0)
	}
	return dst
}
