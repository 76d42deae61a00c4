package cli

import (
	"context"
	"slices"

	"github.com/leash-gateway/leash/config"
)

// namedFiles tells when a file that a configuration names has changed: a module of the user's own that was built anew, a secret or certificates
// that were replaced, or one that was missed when the configuration was refused. It follows the files of the configuration that was read last; its
// goroutines end with ctx.
type namedFiles struct {
	ctx     context.Context // of the goroutines
	files   map[string]context.CancelFunc
	changed chan struct{}
}

func newNamedFiles(ctx context.Context) *namedFiles {
	return &namedFiles{ctx: ctx, files: map[string]context.CancelFunc{}, changed: make(chan struct{}, 1)}
}

// watch follows the files of a configuration, besides those that it follows already, and no others any more: each takes one of the few watches
// that the system gives a user.
func (m *namedFiles) watch(c *config.Config) {
	named := c.Files()
	for file, stop := range m.files {
		if !slices.Contains(named, file) {
			stop()
			delete(m.files, file)
		}
	}
	for _, file := range named {
		if m.files[file] != nil {
			continue
		}
		ctx, stop := context.WithCancel(m.ctx)
		m.files[file] = stop
		changes := config.Watch(ctx, file)
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
