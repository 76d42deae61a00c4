//go:build linux || darwin

package abi

import (
	"context"
	"syscall"

	"github.com/tetratelabs/wazero/experimental"
)

// withMemory gives a VM memory that lies outside Go's heap: address space for all that it may have is reserved at once, so that growing
// copies nothing, and pages that were never touched cost nothing; they go back to the system when the VM is closed.
func withMemory(ctx context.Context) context.Context {
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(func(_, most uint64) experimental.LinearMemory {
		reserved, err := syscall.Mmap(-1, 0, int(max(most, 1)), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE) //nolint:gosec // at most 4 GiB
		if err != nil {
			return &heapMemory{}
		}
		return &mappedMemory{reserved}
	}))
}

type mappedMemory struct{ reserved []byte }

func (m *mappedMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) {
		return nil
	}
	return m.reserved[:size]
}

func (m *mappedMemory) Free() {
	if m.reserved != nil {
		_ = syscall.Munmap(m.reserved)
		m.reserved = nil
	}
}

// heapMemory is what there is when no address space could be reserved.
type heapMemory struct{ data []byte }

func (m *heapMemory) Reallocate(size uint64) []byte {
	m.data = append(m.data, make([]byte, size-uint64(len(m.data)))...)
	return m.data
}

func (m *heapMemory) Free() { m.data = nil }
