package build

import (
	"context"
	"path/filepath"

	"github.com/leash-gateway/leash/manifest"
)

// Registered holds what a project's code registers against its manifest, without building it.
func Registered(ctx context.Context, o Options) error {
	m, err := manifest.Load(filepath.Join(o.Dir, manifest.FileName))
	if err != nil {
		return err
	}
	made, err := contentsOf(ctx, o)
	if err != nil {
		return err
	}
	return checkRegistered(o.Dir, m, made.packages)
}
