package build

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// A Description is what can be told of a .wasm without running it.
type Description struct {
	// Digest is the SHA-256 of the file as "sha256:…", Bytes its size.
	Digest string `json:"digest"`
	Bytes  int    `json:"bytes"`
	// ABI is the proxy-wasm version that it was made for; "" is none.
	ABI string `json:"abi,omitempty"`
	// Manifest is its module.yaml, nil if it carries none. Faults are what it does not keep to.
	Manifest *manifest.Manifest `json:"manifest,omitempty"`
	Faults   string             `json:"faults,omitempty"`
	// Build is what it was built from, nil if that is not known.
	Build *Info `json:"build,omitempty"`
	// Imports are the host calls that it may make, Exports what a host can call, both sorted.
	Imports []string `json:"imports"`
	Exports []string `json:"exports"`
	// MemoryBytes are how much memory it begins with, and may grow to (0: no bound of its own).
	MemoryBytes    uint64 `json:"memory_bytes"`
	MaxMemoryBytes uint64 `json:"max_memory_bytes,omitempty"`
	// Sections tell what takes the space, the largest first.
	Sections []wasmfile.Share `json:"sections"`
	// SBOM is the list of what is in it, CycloneDX as JSON.
	SBOM json.RawMessage `json:"sbom,omitempty"`
}

// Describe looks at a .wasm; name stands for it in errors.
func Describe(name string, wasm []byte) (*Description, error) {
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		return nil, err
	}
	d := &Description{Digest: digestOf(wasm), Bytes: len(wasm), ABI: f.ABI(), Exports: slices.Clone(f.Exports)}
	for _, i := range f.Imports {
		d.Imports = append(d.Imports, i.Module+"."+i.Name)
	}
	slices.Sort(d.Imports)
	d.Imports = slices.Compact(d.Imports) // a linker may import a function for each of its users
	slices.Sort(d.Exports)
	if f.Memory != nil {
		d.MemoryBytes = f.Memory.Min * wasmfile.PageSize
		if f.Memory.Bounded {
			d.MaxMemoryBytes = f.Memory.Max * wasmfile.PageSize
		}
	}
	d.Sections, _ = f.Shares()
	if d.Manifest, err = manifest.Of(name, wasm); err != nil && !errors.Is(err, manifest.ErrNone) {
		return nil, err
	}
	if d.Manifest != nil {
		if err := d.Manifest.Check(wasm); err != nil {
			d.Faults = err.Error()
		}
	}
	if text, found := f.CustomSection(InfoSection); found {
		d.Build = &Info{}
		if json.Unmarshal(text, d.Build) != nil {
			d.Build = nil // somebody else's section
		}
	}
	if text, found := f.CustomSection(SBOMSection); found && json.Valid(text) {
		d.SBOM = text
	}
	return d, nil
}
