package tryout

import (
	"runtime"
	"runtime/debug"
)

// softMemory is when the process begins to look for what it can do without.
const softMemory = 512 << 20

// grown is how much memory the process keeps, in bytes.
func grown() uint64 {
	kept := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.Sys - m.HeapReleased
	}
	if n := kept(); n <= maxGrown {
		return n
	}
	debug.FreeOSMemory() // takes its time, so only where much is to be had
	return kept()
}
