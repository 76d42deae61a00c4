package extproc

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/leash-gateway/leash/host/abi"
)

// programs are compiled modules, each compiled once however many pipelines have it, so that a pipeline whose
// configuration alone has changed is loaded at once.
type programs struct {
	engine *abi.Engine

	mu    sync.Mutex
	bySum map[[sha256.Size]byte]*program
}

type program struct {
	*abi.Program
	sum   [sha256.Size]byte
	users int // guarded by the mu of programs
}

// get compiles a module, or finds it compiled. It must not be called twice at a time. Whoever gets a program gives it to drop.
func (s *programs) get(ctx context.Context, wasm []byte) (*program, error) {
	sum := sha256.Sum256(wasm)
	if p := s.find(sum); p != nil {
		return p, nil
	}
	compiled, err := s.engine.Compile(ctx, wasm)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &program{Program: compiled, sum: sum, users: 1}
	s.bySum[sum] = p
	return p, nil
}

func (s *programs) find(sum [sha256.Size]byte) *program {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.bySum[sum]
	if p != nil {
		p.users++
	}
	return p
}

// drop gives programs back. The code of one that nobody has any more is freed; VMs that run it are closed before.
func (s *programs) drop(all []*program) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range all {
		if p.users--; p.users == 0 {
			delete(s.bySum, p.sum)
			_ = p.Close(context.Background()) // memory only
		}
	}
}
