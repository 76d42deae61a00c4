package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
)

// ErrTampered says that a file is not what its name says.
var ErrTampered = errors.New("the store's file has been changed")

// maxVerified bounds how many files are remembered.
const maxVerified = 16 << 10

// verified remembers files that are what their digest says, for as long as nobody has touched them: inode, size, and the
// times of the last change of content and of anything else, which no program can set back.
type verified struct {
	mu sync.Mutex
	of map[digest.Digest]map[identity]bool
	n  int
}

// verify reads a file unless it is known, and leaves it at its beginning.
func (v *verified) verify(in *os.File, d digest.Digest) error {
	id, known, err := v.known(in, d)
	if err != nil || known {
		return err
	}
	verifier := d.Verifier()
	if _, err := io.Copy(verifier, in); err != nil {
		return err
	}
	if !verifier.Verified() {
		return fmt.Errorf("%w: it is not %s", ErrTampered, d)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	now, found, err := identify(in)
	if err != nil || !found || now != id {
		return err // it is being changed, or cannot be told apart: next time it is read again
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.n >= maxVerified || v.of == nil {
		v.of, v.n = map[digest.Digest]map[identity]bool{}, 0
	}
	if v.of[d] == nil {
		v.of[d] = map[identity]bool{}
	}
	v.of[d][id] = true
	v.n++
	return nil
}

func (v *verified) known(in *os.File, d digest.Digest) (id identity, known bool, err error) {
	id, found, err := identify(in)
	if err != nil || !found {
		return id, false, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return id, v.of[d][id], nil
}
