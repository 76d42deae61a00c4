package build

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/leash-gateway/leash/author/kit"
	"github.com/leash-gateway/leash/manifest"
)

// settle is how long all must be quiet before it is built again: editors write in several steps.
const settle = 60 * time.Millisecond

// Watch builds now, and again whenever a source of the project changes, until ctx ends. Each result, or what went wrong,
// goes to report. A build that a change overtakes is given up.
func Watch(ctx context.Context, o Options, report func(*Result, error)) error {
	if o.Dir == "" {
		o.Dir = "."
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer notify.Close() //nolint:errcheck // the end
	if err := watchFolders(notify, o.Dir); err != nil {
		return err
	}
	for {
		building, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if r, err := Build(building, o); building.Err() == nil {
				report(r, err)
			}
		}()
		changed := waitForChange(ctx, notify, o.Dir)
		stop()
		<-done
		if !changed {
			return nil
		}
	}
}

// watchFolders watches a folder with those below it, but for what is built, hidden, or has a go.mod of its own.
func watchFolders(notify *fsnotify.Watcher, dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if path != dir && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "build" || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != dir && entry.Name() != kit.Folder {
			return filepath.SkipDir
		}
		return notify.Add(path)
	})
}

// waitForChange waits until a source has changed and all is quiet. It says false when ctx ends.
func waitForChange(ctx context.Context, notify *fsnotify.Watcher, dir string) bool {
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-quiet:
			return true
		case <-notify.Errors: //nolint:errcheck // events were lost: build
			quiet = time.After(settle)
		case event := <-notify.Events:
			if event.Op == fsnotify.Chmod || !isSource(event.Name) {
				if event.Has(fsnotify.Create) {
					if info, err := os.Stat(event.Name); err == nil && info.IsDir() && !strings.HasPrefix(event.Name, filepath.Join(dir, "build")) {
						_ = watchFolders(notify, event.Name) // a new folder; it may be gone again
					}
				}
				continue
			}
			quiet = time.After(settle)
		}
	}
}

func isSource(file string) bool {
	name := filepath.Base(file)
	return name == manifest.FileName || name == "go.mod" || name == "go.sum" ||
		strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".json")
}
