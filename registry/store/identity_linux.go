package store

import (
	"os"
	"syscall"
)

// identity tells files, and the states of a file, apart.
type identity struct {
	device, inode uint64
	size          int64
	content, any  syscall.Timespec // when it was changed last
}

func identify(f *os.File) (id identity, found bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return id, false, err
	}
	s, found := info.Sys().(*syscall.Stat_t)
	if !found {
		return id, false, nil
	}
	return identity{uint64(s.Dev), s.Ino, s.Size, s.Mtim, s.Ctim}, true, nil //nolint:unconvert // not on all machines
}
