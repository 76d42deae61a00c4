package abi

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrNoCoverage says that a module does not tell what of it has run: a Go module does if it was built with
// -cover -covermode=atomic -tags leash_cover.
var ErrNoCoverage = errors.New("the module was not built to tell its coverage")

// Coverage is what has run of the module since the VM was made, as the files that `go tool covdata` reads: the meta data and the
// counters. A VM that has failed tells nothing any more.
func (vm *VM) Coverage() (meta, counters []byte, err error) {
	f := vm.module.ExportedFunction("leash_coverage")
	if f == nil {
		return nil, nil, ErrNoCoverage
	}
	if len(f.Definition().ParamTypes()) != 1 || len(f.Definition().ResultTypes()) != 1 {
		return nil, nil, fmt.Errorf("read coverage: leash_coverage has another signature than package module's: %w", ErrNoCoverage)
	}
	for which, part := range []*[]byte{&meta, &counters} {
		vm.arguments[0] = uint64(which) //nolint:gosec // 0 or 1
		if _, err := vm.call(nil, callback{"leash_coverage", f, 1}, vm.program.engine.startDeadline); err != nil {
			return nil, nil, err
		}
		at, size := uint32(vm.arguments[0]>>32), uint32(vm.arguments[0]) //nolint:gosec // the halves
		view, ok := vm.bytes(at, size)
		if !ok || size == 0 {
			return nil, nil, ErrNoCoverage
		}
		*part = bytes.Clone(view)
	}
	return meta, counters, nil
}
