// Package filters holds the manifests of Leash's own modules, which are in the folders below it. It imports none of them.
package filters

import (
	"embed"
	"fmt"

	"github.com/leash-gateway/leash/manifest"
)

//go:embed */module.yaml
var files embed.FS

// Manifest is what one of Leash's own modules is and may.
func Manifest(name string) (*manifest.Manifest, error) {
	file := name + "/" + manifest.FileName
	text, err := files.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", name, err)
	}
	return manifest.Parse("filters/"+file, text)
}
