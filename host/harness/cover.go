package harness

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/leash-gateway/leash/host/abi"
)

// coverage collects what of modules has run, in a folder as Go programs leave it in GOCOVERDIR.
type coverage struct {
	dir string

	mu    sync.Mutex
	files int
	err   error
}

// Covered is how many VMs have told their coverage (Options.CoverDir), and what went wrong with any. Modules that were not built
// for it are no error.
func (h *Harness) Covered() (int, error) {
	h.cover.mu.Lock()
	defer h.cover.mu.Unlock()
	return h.cover.files, h.cover.err
}

// take writes the coverage of a VM that is about to be closed. It runs on the VM's worker.
func (c *coverage) take(vm *abi.VM) {
	if c.dir == "" || vm.Err() != nil {
		return
	}
	meta, counters, err := vm.Coverage()
	if errors.Is(err, abi.ErrNoCoverage) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		err = c.write(meta, counters)
	}
	if err != nil {
		c.err = errors.Join(c.err, err)
	}
}

// write writes the two files. Their names hold the hash of the meta data, which stands in its header, and what tells runs apart:
// https://go.dev/src/internal/coverage/defs.go
func (c *coverage) write(meta, counters []byte) error {
	const hashFrom, hashTo = 24, 40
	if len(meta) < hashTo {
		return fmt.Errorf("write coverage: the module's meta data has only %d bytes", len(meta))
	}
	hash := hex.EncodeToString(meta[hashFrom:hashTo])
	if err := os.WriteFile(filepath.Join(c.dir, "covmeta."+hash), meta, 0o600); err != nil {
		return fmt.Errorf("write coverage: %w", err)
	}
	name := fmt.Sprintf("covcounters.%s.%d.%d", hash, os.Getpid(), c.files)
	if err := os.WriteFile(filepath.Join(c.dir, name), counters, 0o600); err != nil {
		return fmt.Errorf("write coverage: %w", err)
	}
	c.files++
	return nil
}
