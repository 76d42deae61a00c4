package artifact_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

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

// TestTheCNCFLayoutIsAsItIsWritten compares with https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact
func TestTheCNCFLayoutIsAsItIsWritten(t *testing.T) {
	a := packed(t, artifact.CNCF)
	var m struct {
		Config struct{ MediaType string }
		Layers []struct{ MediaType, Digest string }
	}
	var config struct {
		OS, Architecture string
		LayerDigests     []string
	}
	if err := errors.Join(json.Unmarshal(a.Manifest, &m), json.Unmarshal(a.Blobs[0].Content, &config)); err != nil {
		t.Fatal(err)
	}
	if m.Config.MediaType != "application/vnd.wasm.config.v0+json" || len(m.Layers) != 1 || m.Layers[0].MediaType != "application/wasm" {
		t.Errorf("got %+v", m)
	}
	if config.OS != "wasip1" || config.Architecture != "wasm" || len(config.LayerDigests) != 1 || config.LayerDigests[0] != m.Layers[0].Digest {
		t.Errorf("got %+v", config)
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
