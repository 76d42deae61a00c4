package build

import (
	"encoding/json"
	"errors"
	"fmt"
)

// BuildType names what [Build] does, in provenance: https://slsa.dev/spec/v1.0/provenance#buildType
const BuildType = "https://github.com/leash-gateway/leash/module-build/v1"

// Provenance is the predicate that says how a module was built, as far as the module itself tells: from which sources,
// with which tools, out of which parts.
func (d *Description) Provenance() (json.RawMessage, error) {
	if d.Build == nil || d.Manifest == nil {
		return nil, errors.New("the module does not tell what it was built from: leash module build makes one that does")
	}
	type resource struct {
		URI    string            `json:"uri"`
		Digest map[string]string `json:"digest,omitempty"`
	}
	var parts []resource
	if d.Build.Revision != "" {
		uri := d.Manifest.Source
		if uri == "" {
			uri = d.Build.Module
		}
		parts = append(parts, resource{"git+" + uri, map[string]string{"gitCommit": d.Build.Revision}})
	}
	var sbom struct {
		Components []struct {
			Purl string `json:"purl"`
		} `json:"components"`
	}
	if len(d.SBOM) > 0 {
		if err := json.Unmarshal(d.SBOM, &sbom); err != nil {
			return nil, fmt.Errorf("read SBOM: %w", err)
		}
	}
	for _, c := range sbom.Components {
		parts = append(parts, resource{URI: c.Purl})
	}
	return json.Marshal(map[string]any{
		"buildDefinition": map[string]any{
			"buildType":            BuildType,
			"externalParameters":   map[string]any{"module": d.Manifest.Name, "version": d.Manifest.Version, "goModule": d.Build.Module},
			"internalParameters":   map[string]any{"go": d.Build.Go, "kit": d.Build.Kit, "modified": d.Build.Modified},
			"resolvedDependencies": parts,
		},
		"runDetails": map[string]any{
			"builder":    map[string]any{"id": BuildType, "version": map[string]string{"leash": d.Build.Tool, "go": d.Build.Go}},
			"byproducts": []map[string]any{{"name": d.Manifest.Name + ".wasm", "digest": map[string]string{"sha256": d.Digest[len("sha256:"):]}}},
		},
	})
}
