//go:build wasip1 && leash_cover

package proxywasm

import (
	"bytes"
	"os"
	"runtime/coverage"
	"unsafe"
)

// covered is what leash_coverage has given last. It is kept, because the host reads it only afterwards.
var covered bytes.Buffer

// coverageOf gives the host what has run of the module: its meta data (which 0) or its counters (1), in the format that `go tool
// covdata` reads. The upper half of the result is where that is, the lower one how long it is; 0: it was not built with -cover
// -covermode=atomic.
//
//go:wasmexport leash_coverage
func coverageOf(which uint32) uint64 {
	write := coverage.WriteMeta
	if which != 0 {
		write = coverage.WriteCounters
	}
	covered.Reset()
	if err := write(&covered); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n") // the host logs it
		return 0
	}
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(covered.Bytes()))))<<32 | uint64(covered.Len())
}
