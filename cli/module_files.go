package cli

import (
	"context"

	"github.com/leash-gateway/leash/config"
)

// moduleFiles tells when a module of the user's own has been built anew. It follows the files that a configuration has
// named since it began; its goroutines end with ctx.
type moduleFiles struct {
	ctx     context.Context // of the goroutines
	files   map[string]bool
	changed chan struct{}
}

func newModuleFiles(ctx context.Context) *moduleFiles {
	return &moduleFiles{ctx: ctx, files: map[string]bool{}, changed: make(chan struct{}, 1)}
}

// watch follows the files of a configuration besides those that it follows already.
func (m *moduleFiles) watch(c *config.Config) {
	for _, one := range c.Pipeline {
		if one.File == "" || m.files[one.File] {
			continue
		}
		m.files[one.File] = true
		changes := config.Watch(m.ctx, one.File)
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
