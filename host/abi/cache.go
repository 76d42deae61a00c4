package abi

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxCache is how many bytes of compiled code are kept on disk: of some hundred builds of a module in Go.
const maxCache = 1 << 30

// DefaultCacheDir is where the programs and tests of Leash keep compiled code: leash/compiled in the user's folder for caches, "" where there
// is none. It is run as it stands there, so no folder will do that others write to.
func DefaultCacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "leash", "compiled")
}

// cached are the files of compiled code in a folder, of all versions of wazero.
func cached(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*")) // well-formed but for the folder's own name
	return files
}

// emptyCache removes compiled code from the disk, in which some cannot be read.
func (e *Engine) emptyCache() {
	for _, file := range cached(e.cacheDir) {
		_ = os.Remove(file) // else the next attempt tells
	}
}

// trimCache removes what was compiled first, as far as there is more than maxCache: each build of a module leaves some megabytes, and wazero removes nothing. Who needs it
// again compiles it again.
func trimCache(dir string) {
	type file struct {
		name string
		info fs.FileInfo
	}
	var files []file
	for _, name := range cached(dir) {
		if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
			files = append(files, file{name, info})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return b.info.ModTime().Compare(a.info.ModTime()) })
	size := int64(0)
	for _, f := range files {
		if size += f.info.Size(); size > maxCache {
			_ = os.Remove(f.name) // another process may have done so
		}
	}
}
