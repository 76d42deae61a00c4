package config

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long all must be quiet before the file is read: editors write in several steps.
	settle = 50 * time.Millisecond
	// impatience bounds the wait for quiet: somebody else may write into the same folder all the time.
	impatience = 250 * time.Millisecond
	// maxWatched bounds a file, in bytes: modules are the largest.
	maxWatched = 256 << 20
	// poll is how often the file is looked at all the same, for file systems that do not tell of changes.
	poll = time.Second
)

// Watch tells when the content of a file has changed since the call, until ctx ends; the channel is then closed. It
// follows files that are replaced by renaming (editors) and by changing a symbolic link above them (Kubernetes). Changes
// that come together, or that nobody has received yet, are one. To miss none, call it before the file is read.
func Watch(ctx context.Context, path string) <-chan struct{} {
	changes := make(chan struct{}, 1)
	w := watcher{path: path, last: digest(path), changes: changes}
	notify, err := fsnotify.NewWatcher()
	if err == nil {
		// The folders, not the file: a file that is replaced is another file.
		_ = notify.Add(filepath.Dir(path)) // else there is still the poll
		if target, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(target) != filepath.Dir(path) {
			_ = notify.Add(filepath.Dir(target))
		}
	} else {
		notify = &fsnotify.Watcher{} // its channels are nil, which are never ready
	}
	go func() {
		defer close(changes)
		if err == nil {
			defer notify.Close() //nolint:errcheck // nothing to be done
		}
		w.run(ctx, notify)
	}()
	return changes
}

type watcher struct {
	path    string
	last    [sha256.Size]byte
	stat    state
	changes chan<- struct{}
}

// state is what a file system tells of a file without its being read.
type state struct {
	at   time.Time
	size int64
}

func stateOf(path string) (s state) {
	if info, err := os.Stat(path); err == nil {
		s = state{info.ModTime(), info.Size()}
	}
	return s
}

func digest(path string) [sha256.Size]byte {
	sum := sha256.New()
	if file, err := open(path); err == nil { // one that is gone, or that cannot be read, is an empty one
		_, _ = io.Copy(sum, io.LimitReader(file, maxWatched))
		_ = file.Close()
	}
	return [sha256.Size]byte(sum.Sum(nil))
}

func (w *watcher) run(ctx context.Context, notify *fsnotify.Watcher) {
	ticks := time.NewTicker(poll)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			now := stateOf(w.path) // a module's file is large
			if now == w.stat {
				continue
			}
			w.stat = now
			quiet(ctx, notify) // it may be half written here too
		case <-notify.Errors: //nolint:errcheck // events were lost; the digest tells what they would have
		case <-notify.Events:
			quiet(ctx, notify)
		}
		if now := digest(w.path); now != w.last {
			w.last = now
			select {
			case w.changes <- struct{}{}:
			default: // one that has not been received yet stands for this one too
			}
		}
	}
}

// quiet waits until no event has come for a while.
func quiet(ctx context.Context, notify *fsnotify.Watcher) {
	enough := time.NewTimer(impatience)
	defer enough.Stop()
	calm := time.NewTimer(settle)
	defer calm.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-enough.C:
			return
		case <-calm.C:
			return
		case <-notify.Errors: //nolint:errcheck // as above
		case <-notify.Events:
			calm.Reset(settle)
		}
	}
}
