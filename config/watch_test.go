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
		prepare, change func(in folder)
	}{
		"written in place": {
			func(in folder) { in.write("leash.yaml", "old") },
			func(in folder) { in.write("leash.yaml", "new") },
		},
		"replaced by renaming, as editors do": {
			func(in folder) { in.write("leash.yaml", "old") },
			func(in folder) {
				in.write(".leash.yaml.swp", "new")
				must(in.t, os.Rename(in.path(".leash.yaml.swp"), in.path("leash.yaml")))
			},
		},
		"removed and written again": {
			func(in folder) { in.write("leash.yaml", "old") },
			func(in folder) {
				must(in.t, os.Remove(in.path("leash.yaml")))
				in.write("leash.yaml", "new")
			},
		},
		"a link above it changes, as in Kubernetes": {
			func(in folder) {
				in.write("..1/leash.yaml", "old")
				must(in.t, os.Symlink("..1", in.path("..data")))
				must(in.t, os.Symlink("..data/leash.yaml", in.path("leash.yaml")))
			},
			func(in folder) {
				in.write("..2/leash.yaml", "new")
				must(in.t, os.Symlink("..2", in.path("..tmp")))
				must(in.t, os.Rename(in.path("..tmp"), in.path("..data")))
			},
		},
		"a link to a file elsewhere": {
			func(in folder) {
				in.write("elsewhere/leash.yaml", "old")
				must(in.t, os.Symlink("elsewhere/leash.yaml", in.path("leash.yaml")))
			},
			func(in folder) { in.write("elsewhere/leash.yaml", "new") },
		},
		"not there at first": {
			func(folder) {},
			func(in folder) { in.write("leash.yaml", "new") },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := folder{t, t.TempDir()}
			tc.prepare(in)
			changes := config.Watch(t.Context(), in.path("leash.yaml"))
			tc.change(in)
			select {
			case <-changes:
			case <-time.After(time.Minute):
				t.Fatal("the change was not seen")
			}
			if data, err := os.ReadFile(in.path("leash.yaml")); err != nil || string(data) != "new" {
				t.Errorf("it was told of too early: %q, %v", data, err)
			}
		})
	}
}

func TestWhatIsNoChangeIsNotTold(t *testing.T) {
	in := folder{t, t.TempDir()}
	in.write("leash.yaml", "same")
	changes := config.Watch(t.Context(), in.path("leash.yaml"))
	in.write("other.yaml", "same")
	must(t, os.Rename(in.path("other.yaml"), in.path("leash.yaml"))) // it is never half written
	in.write("other.yaml", "new")
	select {
	case <-changes:
		t.Error("a change was told of")
	case <-time.After(time.Second):
	}
}

func TestManyChangesAreOne(t *testing.T) {
	in := folder{t, t.TempDir()}
	in.write("leash.yaml", "old")
	changes := config.Watch(t.Context(), in.path("leash.yaml"))
	began := time.Now()
	for i := range 20 {
		in.write("leash.yaml", string(rune('a'+i)))
	}
	// On a machine that takes long over this there are pauses in it, after each of which a change may be told of.
	const settle = 50 * time.Millisecond
	most, told := 1, 0
	for quiet := false; !quiet; {
		select {
		case <-changes:
			told++
			most = max(1, int(time.Since(began)/settle))
		case <-time.After(500 * time.Millisecond):
			quiet = told > 0 || time.Since(began) > time.Minute
		}
	}
	if told < 1 || told > most {
		t.Errorf("20 changes at once are told of %d times, want 1 to %d", told, most)
	}
}

func TestChangesAreSeenBesideAFileThatIsAlwaysWritten(t *testing.T) {
	in := folder{t, t.TempDir()}
	in.write("leash.yaml", "old")
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for ctx.Err() == nil {
			_ = os.WriteFile(in.path("log"), []byte("x"), 0o600)
		}
	}()
	defer func() { stop(); <-written }()
	changes := config.Watch(t.Context(), in.path("leash.yaml"))
	in.write("leash.yaml", "new")
	select {
	case <-changes:
	case <-time.After(time.Minute):
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
	case <-time.After(time.Minute):
		t.Error("the channel is still open")
	}
}

// A folder is where a test's files are.
type folder struct {
	t   *testing.T
	dir string
}

func (in folder) path(name string) string { return filepath.Join(in.dir, name) }

func (in folder) write(name, text string) {
	in.t.Helper()
	must(in.t, os.MkdirAll(filepath.Dir(in.path(name)), 0o700))
	must(in.t, os.WriteFile(in.path(name), []byte(text), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
