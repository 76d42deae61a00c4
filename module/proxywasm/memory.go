//go:build wasip1

package proxywasm

import "unsafe"

// The host writes what it hands over into memory that it asks for: pieces cut from a chunk, which is the garbage
// collector's when nothing refers to a piece of it any more. So a header costs neither an allocation nor a copy, and a
// stream that lives long keeps no more than a chunk of others' garbage.
const chunkSize = 16 << 10

var (
	chunk []byte // what is left of it
	large []byte // the last piece that did not fit: kept until the host's call has returned
)

//go:wasmexport proxy_on_memory_allocate
func allocate(size uint32) unsafe.Pointer {
	n := int(size)
	if n > chunkSize/4 {
		large = make([]byte, n)
		return unsafe.Pointer(unsafe.SliceData(large))
	}
	const alignment = 8
	n = max((n+alignment-1)&^(alignment-1), alignment)
	if n > len(chunk) {
		chunk = make([]byte, chunkSize)
	}
	piece := chunk
	chunk = chunk[n:]
	return unsafe.Pointer(unsafe.SliceData(piece))
}

// returned is where the host writes the place and size of what it hands over, and a number besides. One for the whole VM
// is enough: it is read as soon as the call has returned. The host writes the lower half of data, whose upper half is 0.
var returned struct {
	data   *byte
	size   uint32
	number uint32
}

// What calls are given to write to.
var (
	toData   = unsafe.Pointer(&returned.data)
	toSize   = unsafe.Pointer(&returned.size)
	toNumber = unsafe.Pointer(&returned.number)
)

// taken is what a call that returned s has handed over, nil if it has not. The memory is the caller's.
func taken(s status) []byte {
	data, size := returned.data, returned.size
	returned.data, returned.size, large = nil, 0, nil
	if s != ok || data == nil {
		return nil
	}
	return unsafe.Slice(data, size)
}

func first(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }
