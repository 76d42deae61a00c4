package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lookEvery is how often --watch looks for changes. It looks itself, because a build replaces files on all kinds of file systems.
const lookEvery = 200 * time.Millisecond

// watch runs everything now, and again after each change, until it is interrupted. It ends as the last run did.
func (t *moduleTest) watch(ctx context.Context) error {
	for {
		before := t.look()
		err := t.find()
		if err == nil {
			err = t.run(ctx)
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // being interrupted is how watching ends
		}
		if err != nil && !errors.Is(err, errScenarios) {
			_, _ = fmt.Fprintf(t.c.App.ErrWriter, "leash: %v\n", err)
		}
		// The run may have found out that it reads more. What has changed meanwhile still differs from before.
		if now := t.look(); unchangedAmong(before, now) {
			before = now
		}
		_, _ = fmt.Fprintln(t.c.App.ErrWriter, "watching for changes")
		if !t.changed(ctx, before) {
			return err
		}
	}
}

// changed waits until what is read changes, and then until it has been quiet for a moment; false: interrupted.
func (t *moduleTest) changed(ctx context.Context, seen map[string]stamp) bool {
	ticks := time.NewTicker(lookEvery)
	defer ticks.Stop()
	different := false
	for {
		select {
		case <-ctx.Done():
			return false
		case <-ticks.C:
		}
		now := t.look()
		if unchanged(seen, now) {
			if different {
				return true
			}
			continue
		}
		seen, different = now, true
	}
}

// stamp is what tells one version of a file from another.
type stamp struct {
	size    int64
	changed time.Time
}

// look is how all that is read stands now: scenario files and what lies beside them, manifests and modules.
func (t *moduleTest) look() map[string]stamp {
	files := map[string]bool{}
	for name := range t.read {
		files[name] = true
	}
	for _, place := range t.places {
		folder := filepath.Join(place, "scenarios")
		if info, err := os.Stat(place); err == nil && !info.IsDir() {
			folder = filepath.Dir(place)
		}
		beside, _ := filepath.Glob(filepath.Join(folder, "*")) // the pattern is well-formed but for a folder's odd name
		for _, name := range beside {
			files[name] = true
		}
	}
	now := map[string]stamp{}
	for name := range files {
		if info, err := os.Stat(name); err == nil && !info.IsDir() {
			now[name] = stamp{info.Size(), info.ModTime()}
		}
	}
	return now
}

func unchanged(a, b map[string]stamp) bool { return len(a) == len(b) && unchangedAmong(a, b) }

// unchangedAmong tells whether what is in a is the same in b.
func unchangedAmong(a, b map[string]stamp) bool {
	for name, one := range a {
		if other, there := b[name]; !there || other.size != one.size || !other.changed.Equal(one.changed) {
			return false
		}
	}
	return true
}
