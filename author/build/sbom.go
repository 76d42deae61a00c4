package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/CycloneDX/cyclonedx-go"

	"github.com/leash-gateway/leash/manifest"
)

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sbomOf lists what is in the .wasm, in the CycloneDX format: https://cyclonedx.org/docs/1.6/json
// It holds neither time nor random number, so that the same build gives the same bytes.
func sbomOf(m *manifest.Manifest, info Info, parts []part) ([]byte, error) {
	own := cyclonedx.Component{
		BOMRef: "module", Type: cyclonedx.ComponentTypeApplication, Name: m.Name, Version: m.Version, Description: m.Description,
		Licenses: &cyclonedx.Licenses{{Expression: m.License}},
	}
	if m.Source != "" {
		own.ExternalReferences = &[]cyclonedx.ExternalReference{{Type: cyclonedx.ERTypeVCS, URL: m.Source}}
	}
	components := []cyclonedx.Component{{
		BOMRef: "std", Type: cyclonedx.ComponentTypeLibrary, Name: "std", Version: info.Go, PackageURL: "pkg:golang/std@" + info.Go,
		Description: "Go's standard library and runtime",
	}}
	needs := []string{"std"}
	for _, p := range parts {
		if p.Main {
			continue
		}
		version := p.Version
		if p.Replace != nil && p.Replace.Version != "" {
			version = p.Replace.Version
		}
		purl := "pkg:golang/" + p.Path + "@" + version
		c := cyclonedx.Component{BOMRef: purl, Type: cyclonedx.ComponentTypeLibrary, Name: p.Path, Version: version, PackageURL: purl}
		if p.Sum != "" {
			c.Properties = &[]cyclonedx.Property{{Name: "go.sum", Value: p.Sum}}
		}
		components = append(components, c)
		needs = append(needs, purl)
	}
	bom := cyclonedx.NewBOM()
	bom.SerialNumber = ""
	bom.Metadata = &cyclonedx.Metadata{Component: &own, Lifecycles: &[]cyclonedx.Lifecycle{{Phase: cyclonedx.LifecyclePhaseBuild}}}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: "module", Dependencies: &needs}}
	var out bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetEscapeHTML(false).Encode(bom); err != nil {
		return nil, fmt.Errorf("encode SBOM: %w", err)
	}
	return out.Bytes(), nil
}
