package cli

import (
	"context"

	"github.com/leash-gateway/leash/config"
)

// namedFiles tells when a file that a configuration names has changed: a module of the user's own that was built anew, a secret that was
// replaced, or one that was missed when the configuration was refused. It follows the files that a configuration has named since it began;
// its goroutines end with ctx.
type namedFiles struct {
	ctx     context.Context // of the goroutines
	files   map[string]bool
	changed chan struct{}
}

func newNamedFiles(ctx context.Context) *namedFiles {
	return &namedFiles{ctx: ctx, files: map[string]bool{}, changed: make(chan struct{}, 1)}
}

// watch follows the files of a configuration besides those that it follows already.
func (m *namedFiles) watch(c *config.Config) {
	for _, file := range c.Files() {
		if m.files[file] {
			continue
		}
		m.files[file] = true
		changes := config.Watch(m.ctx, file)
		go func() {
			for range changes {
				select {
				case m.changed <- struct{}{}:
				default: // one that has not been received yet stands for this one too
				}
			}
		}()
	}
}
