package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/internal/nettest"
)

// TestFilesThatAreNamedNoMoreAreNotFollowed: a module may have its version in its name, and each watch is one of 128 that Linux gives a user.
func TestFilesThatAreNamedNoMoreAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	files := newNamedFiles(t.Context())
	name := func(version int) string {
		t.Helper()
		file := filepath.Join(dir, fmt.Sprintf("own-%d.wasm", version))
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("providers: {a: {base_url: 'http://127.0.0.1:1'}}\nroutes: [{model: m, provider: a}]\nallow_anonymous: true\npipeline: [{module: own, kind: inspector, file: %s}]\n", file)
		c, err := config.Parse(filepath.Join(dir, "leash.yaml"), []byte(text), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		files.watch(c)
		return file
	}
	name(0)
	before := runtime.NumGoroutine()
	const versions = 30
	for version := range versions {
		name(version + 1)
	}
	// What has ended may not be off the list yet.
	nettest.Succeeds(t, "the watches of former versions to end", func() error {
		if now := runtime.NumGoroutine(); now > before+versions/2 {
			return fmt.Errorf("%d goroutines more than for one version", now-before)
		}
		return nil
	})
	if err := os.WriteFile(name(versions), []byte("built anew"), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-files.changed:
	case <-time.After(time.Minute):
		t.Error("a change of the last version was not told")
	}
}
