package tryout

import (
	"runtime"
	"runtime/debug"
)

// softMemory is when the process begins to look for what it can do without.
const softMemory = 512 << 20

// grown is how much memory the process keeps, in bytes.
func grown() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}
