// Package artifact packs a module as an OCI artefact and unpacks it again. The same module gives the same digest.
//
// Three layouts are known. [Image], the default, is the one that Istio's and Envoy Gateway's fetchers take: exactly two
// layers, one of them the .wasm. [Compat] is for what only takes container images: one tar+gzip layer that holds
// plugin.wasm. [CNCF] is the Wasm OCI artefact layout of the CNCF.
//
// https://github.com/solo-io/wasm/blob/master/spec/spec.md
// https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact
package artifact

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// A Format is a layout.
type Format string

// The layouts.
const (
	Image  Format = "image"
	Compat Format = "compat"
	CNCF   Format = "cncf"
)

// Media types.
const (
	wasmLayer   = "application/vnd.module.wasm.content.layer.v1+wasm"
	configLayer = "application/vnd.module.wasm.config.v1+json"
	cncfConfig  = "application/vnd.wasm.config.v0+json"
	cncfLayer   = "application/wasm"
)

// Annotations of the manifest besides those of OCI (org.opencontainers.image.…).
const (
	AnnotationKind = "leash.module.kind"
	AnnotationABI  = "leash.module.abi"

	// variantAnnotation tells the layout Compat from other images: https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md
	variantAnnotation = "module.wasm.image/variant"
)

// pluginFile is the .wasm's name in the layout Compat.
const pluginFile = "plugin.wasm"

// MaxModule bounds how large a .wasm may be, in bytes.
const MaxModule = wasmfile.MaxSize

// An Artifact is what is pushed.
type Artifact struct {
	// Manifest is the OCI manifest, Descriptor describes it.
	Manifest   []byte
	Descriptor ocispec.Descriptor
	// Blobs are configuration and layers, in the order in which they are pushed.
	Blobs []Blob
}

// A Blob is a part of an artefact.
type Blob struct {
	Descriptor ocispec.Descriptor
	Content    []byte
}

// Source is what is told of where a module comes from.
type Source struct {
	// ABI is the proxy-wasm version.
	ABI string
	// Revision is the commit, Created when it was made (RFC 3339).
	Revision, Created string
}

// Pack makes an artefact of a .wasm that carries its manifest.
func Pack(wasm []byte, m *manifest.Manifest, s Source, format Format) (*Artifact, error) {
	file := m.Name + ".wasm"
	a := &Artifact{}
	index := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Annotations: annotations(m, s),
	}
	switch format {
	case Image:
		text, err := runtimeConfig(m, s)
		if err != nil {
			return nil, fmt.Errorf("pack module: %w", err)
		}
		layers := []Blob{named(wasmLayer, file, wasm), named(configLayer, "runtime-config.json", text)}
		index.Config = a.add(named(ocispec.MediaTypeImageConfig, "", imageConfig(s, digest.FromBytes(wasm), digest.FromBytes(text))))
		index.Layers = []ocispec.Descriptor{a.add(layers[0]), a.add(layers[1])}
	case Compat:
		packed, plain, err := tarGzip(wasm)
		if err != nil {
			return nil, fmt.Errorf("pack module: %w", err)
		}
		index.Config = a.add(named(ocispec.MediaTypeImageConfig, "", imageConfig(s, plain)))
		index.Annotations[variantAnnotation] = "compat"
		index.Layers = []ocispec.Descriptor{a.add(named(ocispec.MediaTypeImageLayerGzip, "", packed))}
	case CNCF:
		config, err := json.Marshal(map[string]any{
			"created": cmp.Or(s.Created, noTime), "architecture": "wasm", "os": "wasip1", "layerDigests": []digest.Digest{digest.FromBytes(wasm)},
		})
		if err != nil {
			return nil, fmt.Errorf("pack module: %w", err)
		}
		index.Config = a.add(named(cncfConfig, "", config))
		index.Layers = []ocispec.Descriptor{a.add(named(cncfLayer, file, wasm))}
	default:
		return nil, fmt.Errorf("pack module: there is no format %q: there are %s, %s, %s", format, Image, Compat, CNCF)
	}
	var err error
	if a.Manifest, err = json.Marshal(index); err != nil {
		return nil, fmt.Errorf("pack module: %w", err)
	}
	a.Descriptor = ocispec.Descriptor{MediaType: index.MediaType, Digest: digest.FromBytes(a.Manifest), Size: int64(len(a.Manifest))}
	return a, nil
}

// noTime stands for the time of a module that tells none: the CNCF's layout must have one, and the digest must not change
// from one push to the next.
const noTime = "1970-01-01T00:00:00Z"

// runtimeConfig is the second layer of the layout Image, with the module's manifest in the part that is the runtime's own.
func runtimeConfig(m *manifest.Manifest, s Source) ([]byte, error) {
	abis := []string{}
	if s.ABI != "" {
		abis = append(abis, "v"+s.ABI)
	}
	return json.Marshal(map[string]any{
		"type": "envoy_proxy", "abiVersions": abis, "config": map[string]any{"rootIds": []string{}, "leash": m},
	})
}

func (a *Artifact) add(b Blob) ocispec.Descriptor {
	a.Blobs = append(a.Blobs, b)
	return b.Descriptor
}

// named is a blob; its title is the file name under which others' tools write it.
func named(mediaType, title string, content []byte) Blob {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	if title != "" {
		d.Annotations = map[string]string{ocispec.AnnotationTitle: title}
	}
	return Blob{d, content}
}

func annotations(m *manifest.Manifest, s Source) map[string]string {
	all := map[string]string{
		ocispec.AnnotationTitle: m.Name, ocispec.AnnotationVersion: m.Version, ocispec.AnnotationDescription: m.Description,
		ocispec.AnnotationLicenses: m.License, ocispec.AnnotationSource: m.Source, ocispec.AnnotationRevision: s.Revision,
		ocispec.AnnotationCreated: s.Created, AnnotationKind: string(m.Kind), AnnotationABI: s.ABI,
	}
	for name, value := range all {
		if value == "" {
			delete(all, name)
		}
	}
	return all
}

func imageConfig(s Source, layers ...digest.Digest) []byte {
	config := map[string]any{
		"architecture": "wasm", "os": "wasip1", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": layers},
	}
	if s.Created != "" {
		config["created"] = s.Created
	}
	encoded, _ := json.Marshal(config) // maps of strings
	return encoded
}

// tarGzip is a layer with the .wasm, and the digest of the layer before it is compressed. Neither holds a time.
func tarGzip(wasm []byte) (packed []byte, plain digest.Digest, err error) {
	var out bytes.Buffer
	compressor := gzip.NewWriter(&out)
	sum := digest.Canonical.Digester()
	archive := tar.NewWriter(io.MultiWriter(compressor, sum.Hash()))
	err = archive.WriteHeader(&tar.Header{Name: pluginFile, Mode: 0o644, Size: int64(len(wasm)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR})
	if err == nil {
		_, err = archive.Write(wasm)
	}
	if err = errors.Join(err, archive.Close(), compressor.Close()); err != nil {
		return nil, "", err
	}
	return out.Bytes(), sum.Digest(), nil
}

// ErrNoModule says that a manifest is of something else than a module.
var ErrNoModule = errors.New("it is no Wasm module")

// Layer picks the layer that holds the .wasm, and says in which format.
func Layer(manifestJSON []byte) (ocispec.Descriptor, Format, error) {
	var none ocispec.Descriptor
	var m ocispec.Manifest
	if err := json.Unmarshal(manifestJSON, &m); err != nil {
		return none, "", fmt.Errorf("read OCI manifest: %w", err)
	}
	if m.MediaType != "" && m.MediaType != ocispec.MediaTypeImageManifest && m.MediaType != "application/vnd.docker.distribution.manifest.v2+json" {
		return none, "", fmt.Errorf("%w, but %s", ErrNoModule, m.MediaType)
	}
	for _, layer := range m.Layers {
		format := map[string]Format{
			wasmLayer: Image, cncfLayer: CNCF,
			ocispec.MediaTypeImageLayerGzip: Compat, "application/vnd.docker.image.rootfs.diff.tar.gzip": Compat,
		}[layer.MediaType]
		if format == "" || format == Compat && len(m.Layers) > 1 {
			continue
		}
		if layer.Size < 0 || layer.Size > MaxModule {
			return none, "", fmt.Errorf("the module is %d bytes large, more than %d", layer.Size, MaxModule)
		}
		return layer, format, nil
	}
	return none, "", fmt.Errorf("%w: it has no layer of type %s or %s, nor a single one of %s", ErrNoModule, wasmLayer, cncfLayer, ocispec.MediaTypeImageLayerGzip)
}

// Unpack takes the .wasm out of the content of its layer.
func Unpack(layer []byte, format Format) ([]byte, error) {
	if format != Compat {
		return layer, nil
	}
	uncompressed, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		return nil, fmt.Errorf("unpack module: %w", err)
	}
	for archive := tar.NewReader(io.LimitReader(uncompressed, MaxModule+1<<20)); ; {
		header, err := archive.Next()
		switch {
		case err == io.EOF: //nolint:errorlint // tar documents it bare
			return nil, fmt.Errorf("unpack module: %w: there is no %s in the layer", ErrNoModule, pluginFile)
		case err != nil:
			return nil, fmt.Errorf("unpack module: %w", err)
		case path.Base(header.Name) != pluginFile || header.Typeflag != tar.TypeReg:
			continue
		case header.Size > MaxModule:
			return nil, fmt.Errorf("unpack module: it is %d bytes large, more than %d", header.Size, MaxModule)
		}
		wasm := make([]byte, header.Size)
		if _, err := io.ReadFull(archive, wasm); err != nil {
			return nil, fmt.Errorf("unpack module: %w", err)
		}
		return wasm, nil
	}
}
