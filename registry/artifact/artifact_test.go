package artifact_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
	"github.com/leash-gateway/leash/registry/registrytest"
)

func packed(t *testing.T, format artifact.Format) *artifact.Artifact {
	t.Helper()
	wasm := registrytest.Module(t, "greeter", "1.0.0", "content")
	m, err := manifest.Of("greeter.wasm", wasm)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{ABI: "0.2.1", Revision: "abc", Created: "2026-11-24T12:00:00Z"}, format)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTheDefaultIsWhatIstioAsksFor(t *testing.T) {
	var m struct {
		MediaType   string
		Layers      []struct{ MediaType string }
		Annotations map[string]string
	}
	if err := json.Unmarshal(packed(t, artifact.Image).Manifest, &m); err != nil {
		t.Fatal(err)
	}
	if m.MediaType != "application/vnd.oci.image.manifest.v1+json" || len(m.Layers) != 2 || m.Layers[0].MediaType != "application/vnd.module.wasm.content.layer.v1+wasm" {
		t.Errorf("got %+v", m)
	}
	for name, want := range map[string]string{
		"org.opencontainers.image.title": "greeter", "org.opencontainers.image.version": "1.0.0", "org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.revision": "abc", "org.opencontainers.image.created": "2026-11-24T12:00:00Z", "leash.module.kind": "inspector", "leash.module.abi": "0.2.1",
	} {
		if got := m.Annotations[name]; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// parts are an artefact as its consumers read it.
type parts struct {
	SchemaVersion int
	MediaType     string
	Config        struct{ MediaType, Digest string }
	Layers        []struct {
		MediaType, Digest string
		Annotations       map[string]string
	}
	Annotations map[string]string
}

func partsOf(t *testing.T, a *artifact.Artifact) (p parts) {
	t.Helper()
	if err := json.Unmarshal(a.Manifest, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTheSecondLayerIsWhatTheImageSpecificationAsksFor compares with https://github.com/solo-io/wasm/blob/master/spec/spec.md
func TestTheSecondLayerIsWhatTheImageSpecificationAsksFor(t *testing.T) {
	a := packed(t, artifact.Image)
	layer := partsOf(t, a).Layers[1]
	if layer.MediaType != "application/vnd.module.wasm.config.v1+json" || layer.Annotations["org.opencontainers.image.title"] != "runtime-config.json" {
		t.Errorf("got %+v", layer)
	}
	var config struct {
		Type        string
		ABIVersions []string
		Config      struct {
			RootIDs []string
			Leash   struct{ Name, Kind string }
		}
	}
	if err := json.Unmarshal(a.Blobs[2].Content, &config); err != nil {
		t.Fatal(err)
	}
	if config.Type != "envoy_proxy" || len(config.ABIVersions) != 1 || config.ABIVersions[0] != "v0.2.1" || config.Config.Leash.Name != "greeter" {
		t.Errorf("got %+v", config)
	}
}

// TestTheCompatLayoutIsWhatItsSpecificationAsksFor compares with https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md
func TestTheCompatLayoutIsWhatItsSpecificationAsksFor(t *testing.T) {
	p := partsOf(t, packed(t, artifact.Compat))
	if len(p.Layers) != 1 || p.Layers[0].MediaType != "application/vnd.oci.image.layer.v1.tar+gzip" || p.Annotations["module.wasm.image/variant"] != "compat" {
		t.Errorf("got %+v", p)
	}
}

// TestTheCNCFLayoutIsWhatItsConsumersCheck asks what the reference implementation asks (bytecodealliance/rust-oci-wasm 0.5,
// in Rust, so it cannot be called from here): https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact
func TestTheCNCFLayoutIsWhatItsConsumersCheck(t *testing.T) {
	a := packed(t, artifact.CNCF)
	p := partsOf(t, a)
	var config struct {
		Created          *time.Time // needed
		OS, Architecture string
		LayerDigests     []string
		Component        any
	}
	if err := json.Unmarshal(a.Blobs[0].Content, &config); err != nil {
		t.Fatal(err)
	}
	for what, ok := range map[string]bool{
		"the manifest says its type":                   p.SchemaVersion == 2 && p.MediaType == "application/vnd.oci.image.manifest.v1+json",
		"there is exactly one layer":                   len(p.Layers) == 1,
		"it is application/wasm":                       p.Layers[0].MediaType == "application/wasm",
		"it is the .wasm, not compressed":              bytes.HasPrefix(a.Blobs[1].Content, []byte("\x00asm")) && digest.FromBytes(a.Blobs[1].Content).String() == p.Layers[0].Digest,
		"the configuration says its type":              p.Config.MediaType == "application/vnd.wasm.config.v0+json",
		"the configuration is what the manifest names": digest.FromBytes(a.Blobs[0].Content).String() == p.Config.Digest,
		"it was created at a time":                     config.Created != nil && config.Created.Format(time.RFC3339) == "2026-11-24T12:00:00Z",
		"the architecture is wasm":                     config.Architecture == "wasm",
		"a module that is no component is wasip1":      config.OS == "wasip1" && config.Component == nil,
		"the layers are listed in their order":         len(config.LayerDigests) == 1 && config.LayerDigests[0] == p.Layers[0].Digest,
	} {
		if !ok {
			t.Errorf("not so: %s\n%s\n%s", what, a.Manifest, a.Blobs[0].Content)
		}
	}
}

func TestWhatIsNoModuleIsRefused(t *testing.T) {
	const layer = `{"mediaType":%q,"digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","size":%d}`
	for name, tc := range map[string]struct{ manifest, want string }{
		"no JSON":               {"x", "read OCI manifest"},
		"an index":              {`{"mediaType":"application/vnd.oci.image.index.v1+json"}`, "it is no Wasm module, but application/vnd.oci.image.index"},
		"no layers":             {`{}`, "it is no Wasm module"},
		"layers of an image":    {`{"layers":[` + fmt.Sprintf(layer, "application/vnd.oci.image.layer.v1.tar+gzip", 1) + "," + fmt.Sprintf(layer, "application/vnd.oci.image.layer.v1.tar+gzip", 1) + `]}`, "it is no Wasm module"},
		"a module that is huge": {`{"layers":[` + fmt.Sprintf(layer, "application/wasm", 1<<40) + `]}`, "bytes large, more than"},
		"a negative size":       {`{"layers":[` + fmt.Sprintf(layer, "application/wasm", -1) + `]}`, "bytes large, more than"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := artifact.Layer([]byte(tc.manifest)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// archive is a layer with these files; a size that is not theirs may be claimed.
func archive(t *testing.T, claimed int64, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	compressor := gzip.NewWriter(&out)
	w := tar.NewWriter(compressor)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: claimed, Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte("wasm"))
	}
	_ = w.Flush()
	if err := compressor.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestLayersOfImagesAreUnpackedCarefully(t *testing.T) {
	for name, tc := range map[string]struct {
		layer []byte
		want  string
	}{
		"plugin.wasm":              {archive(t, 4, "plugin.wasm"), ""},
		"in a folder":              {archive(t, 4, "etc/hosts", "./plugin.wasm"), ""},
		"no archive":               {[]byte("this is no archive"), "unpack module: gzip"},
		"another file":             {archive(t, 4, "other.wasm"), "there is no plugin.wasm"},
		"a size that is not there": {archive(t, 100, "plugin.wasm"), "unexpected EOF"},
		"a size that is huge":      {archive(t, artifact.MaxModule+1, "plugin.wasm"), "bytes large, more than"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := artifact.Unpack(tc.layer, artifact.Compat)
			switch {
			case tc.want == "" && (err != nil || string(got) != "wasm"):
				t.Errorf("got %q, %v", got, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func FuzzLayer(f *testing.F) {
	f.Add([]byte(`{"layers":[{"mediaType":"application/wasm","digest":"sha256:0","size":4}]}`), []byte("wasm"))
	f.Add([]byte(`{"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":4}]}`), []byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, manifest, layer []byte) {
		d, format, err := artifact.Layer(manifest)
		if err != nil {
			return
		}
		if d.Size < 0 || d.Size > artifact.MaxModule {
			t.Errorf("a layer of %d bytes was taken", d.Size)
		}
		_, _ = artifact.Unpack(layer, format)
	})
}
