//go:build !linux

package tryout

import "runtime/debug"

// limit bounds the memory as far as Go itself does.
func limit() error {
	debug.SetMemoryLimit(softMemory)
	return nil
}
