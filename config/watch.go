package config

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a file must be quiet before it is read: editors write in several steps.
const settle = 50 * time.Millisecond

// poll is how often the file is looked at all the same, for file systems that do not tell of changes.
const poll = 2 * time.Second

// Watch tells when the content of a file has changed, until ctx ends; the channel is then closed. It follows files that
// are replaced by renaming (editors) and by changing a symbolic link above them (Kubernetes).
func Watch(ctx context.Context, path string) <-chan struct{} {
	changes := make(chan struct{}, 1)
	go func() {
		defer close(changes)
		w := watcher{path: path, last: digest(path)}
		w.run(ctx, changes)
	}()
	return changes
}

type watcher struct {
	path string
	last [sha256.Size]byte
}

func digest(path string) [sha256.Size]byte {
	data, _ := os.ReadFile(path) //nolint:gosec // the operator names the file
	return sha256.Sum256(data)
}

func (w *watcher) run(ctx context.Context, changes chan<- struct{}) {
	var events <-chan fsnotify.Event
	if notify, err := fsnotify.NewWatcher(); err == nil {
		defer notify.Close() //nolint:errcheck // nothing to be done
		// The folder, not the file: a file that is replaced is another file.
		if notify.Add(filepath.Dir(w.path)) == nil {
			events = notify.Events
		}
	}
	ticks := time.NewTicker(poll)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-events:
			quiet(ctx, events)
		}
		if now := digest(w.path); now != w.last {
			w.last = now
			select {
			case changes <- struct{}{}:
			default: // one that has not been looked at yet stands for this one too
			}
		}
	}
}

// quiet waits until no event has come for a while.
func quiet(ctx context.Context, events <-chan fsnotify.Event) {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-events:
			timer.Reset(settle)
		}
	}
}
