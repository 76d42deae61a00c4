//go:build wasip1

package proxywasm

import (
	"runtime"
	"runtime/debug"
	allocation "runtime/metrics"
)

// In Wasm Go has one thread, and its collector works in the background only while nothing else does: a collection that
// the runtime begins by itself drags on over hundreds of exchanges, and all that is allocated meanwhile counts as live.
// The heap of a VM then grows to ten times of what it needs. A collection all at once takes 1 to 2 ms, so it is done
// between exchanges, and the runtime's own is left for what comes in between, such as large bodies.
const (
	// gcPercent makes the runtime's own collections rare.
	gcPercent = 400
	// garbageLimit is how many bytes may be allocated until the next collection, some thousand exchanges' worth.
	garbageLimit = 12 << 20
	// gcInterval is how many exchanges go by until the allocated bytes are looked at.
	gcInterval = 64
)

// maxStack ends a runaway recursion at 64 MiB instead of Go's 1 GB, so that the VM dies (and is reloaded by Envoy)
// before the memory of the whole process is gone.
const maxStack = 64 << 20

func init() {
	debug.SetMaxStack(maxStack)
	debug.SetGCPercent(gcPercent)
}

// collector collects the garbage of a VM.
type collector struct {
	exchanges int
	allocated [1]allocation.Sample
	last      uint64 // bytes allocated when it was last collected
}

// ended is called after each exchange.
func (c *collector) ended() {
	c.exchanges++
	if c.exchanges%gcInterval != 0 {
		return
	}
	c.allocated[0].Name = "/gc/heap/allocs:bytes"
	allocation.Read(c.allocated[:])
	if now := c.allocated[0].Value.Uint64(); now-c.last > garbageLimit {
		c.last = now
		runtime.GC()
	}
}
