package tryout

import (
	"fmt"
	"runtime/debug"
	"syscall"
)

// hardMemory is what the process may have at all: a VM's, and what compiling a large module takes.
const hardMemory = 3 << 30

// limit bounds what the process may take of the machine.
func limit() error {
	debug.SetMemoryLimit(softMemory)
	for what, most := range map[int]uint64{
		syscall.RLIMIT_DATA:  hardMemory,
		syscall.RLIMIT_CORE:  0,
		syscall.RLIMIT_FSIZE: 64 << 20,
	} {
		if err := syscall.Setrlimit(what, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("bound this process: %w", err)
		}
	}
	return nil
}
