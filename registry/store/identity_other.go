//go:build !linux

package store

import "os"

// identity is not known here: files are read again each time.
type identity struct{}

func identify(*os.File) (id identity, found bool, err error) { return id, false, nil }
