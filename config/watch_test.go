package config_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/leash-gateway/leash/config"
)

func TestChangesAreSeen(t *testing.T) {
	tests := map[string]struct {
		prepare, change func(t *testing.T, dir string)
	}{
		"written in place": {
			func(t *testing.T, dir string) { write(t, dir, "leash.yaml", "old") },
			func(t *testing.T, dir string) { write(t, dir, "leash.yaml", "new") },
		},
		"replaced by renaming, as editors do": {
			func(t *testing.T, dir string) { write(t, dir, "leash.yaml", "old") },
			func(t *testing.T, dir string) {
				write(t, dir, ".leash.yaml.swp", "new")
				must(t, os.Rename(filepath.Join(dir, ".leash.yaml.swp"), filepath.Join(dir, "leash.yaml")))
			},
		},
		"removed and written again": {
			func(t *testing.T, dir string) { write(t, dir, "leash.yaml", "old") },
			func(t *testing.T, dir string) {
				must(t, os.Remove(filepath.Join(dir, "leash.yaml")))
				write(t, dir, "leash.yaml", "new")
			},
		},
		"a link above it changes, as in Kubernetes": {
			func(t *testing.T, dir string) {
				write(t, dir, "..1/leash.yaml", "old")
				must(t, os.Symlink("..1", filepath.Join(dir, "..data")))
				must(t, os.Symlink("..data/leash.yaml", filepath.Join(dir, "leash.yaml")))
			},
			func(t *testing.T, dir string) {
				write(t, dir, "..2/leash.yaml", "new")
				must(t, os.Symlink("..2", filepath.Join(dir, "..tmp")))
				must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
			},
		},
		"a link to a file elsewhere": {
			func(t *testing.T, dir string) {
				write(t, dir, "elsewhere/leash.yaml", "old")
				must(t, os.Symlink("elsewhere/leash.yaml", filepath.Join(dir, "leash.yaml")))
			},
			func(t *testing.T, dir string) { write(t, dir, "elsewhere/leash.yaml", "new") },
		},
		"not there at first": {
			func(*testing.T, string) {},
			func(t *testing.T, dir string) { write(t, dir, "leash.yaml", "new") },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tc.prepare(t, dir)
			changes := config.Watch(t.Context(), filepath.Join(dir, "leash.yaml"))
			tc.change(t, dir)
			select {
			case <-changes:
			case <-time.After(5 * time.Second):
				t.Fatal("the change was not seen")
			}
			if data, err := os.ReadFile(filepath.Join(dir, "leash.yaml")); err != nil || string(data) != "new" {
				t.Errorf("it was told of too early: %q, %v", data, err)
			}
		})
	}
}

func TestWhatIsNoChangeIsNotTold(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "leash.yaml", "same")
	changes := config.Watch(t.Context(), filepath.Join(dir, "leash.yaml"))
	write(t, dir, "leash.yaml", "same")
	write(t, dir, "other.yaml", "new")
	select {
	case <-changes:
		t.Error("a change was told of")
	case <-time.After(time.Second):
	}
}

func TestManyChangesAreOne(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "leash.yaml", "old")
	changes := config.Watch(t.Context(), filepath.Join(dir, "leash.yaml"))
	for i := range 20 {
		write(t, dir, "leash.yaml", string(rune('a'+i)))
	}
	<-changes
	select {
	case <-changes:
		t.Error("a second change was told of")
	case <-time.After(500 * time.Millisecond):
	}
}

func TestChangesAreSeenBesideAFileThatIsAlwaysWritten(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "leash.yaml", "old")
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for ctx.Err() == nil {
			_ = os.WriteFile(filepath.Join(dir, "log"), []byte("x"), 0o600)
		}
	}()
	defer func() { stop(); <-written }()
	changes := config.Watch(t.Context(), filepath.Join(dir, "leash.yaml"))
	write(t, dir, "leash.yaml", "new")
	select {
	case <-changes:
	case <-time.After(5 * time.Second):
		t.Error("the change was not seen")
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	changes := config.Watch(ctx, filepath.Join(t.TempDir(), "leash.yaml"))
	stop()
	select {
	case _, open := <-changes:
		if open {
			t.Error("a change was told of")
		}
	case <-time.After(5 * time.Second):
		t.Error("the channel is still open")
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
