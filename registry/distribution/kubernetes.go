package distribution

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// A Mesh is a module in the terms of another control plane, which fetches it itself from its registry. It is pinned by
// its digest: a promotion is then another manifest, and who applies it watches over it.
type Mesh struct {
	// Namespace is where the resource goes; "" leaves it to who applies it.
	Namespace string
	// Ref is the module in its registry, by its digest: REGISTRY/REPOSITORY@sha256:….
	Ref string
	// Wasm is the module, with its manifest inside.
	Wasm []byte
	// Config is its configuration, JSON; nil is {}.
	Config json.RawMessage
	// Selector are the labels of the pods that get it (Istio); none: all of the namespace.
	Selector map[string]string
	// Gateway is the name of the Gateway that gets it (Envoy Gateway).
	Gateway string
}

// WasmPlugin is Istio's resource, as YAML.
// https://istio.io/v1.31/docs/reference/config/proxy_extensions/wasm-plugin/
func (m Mesh) WasmPlugin() ([]byte, error) {
	what, config, err := m.look()
	if err != nil {
		return nil, err
	}
	spec := map[string]any{
		"url": "oci://" + m.Ref, "imagePullPolicy": "IfNotPresent", "pluginName": what.Name, "type": "HTTP",
		"failStrategy": "FAIL_RELOAD", "phase": "AUTHZ", "pluginConfig": config,
	}
	if what.Kind == manifest.Inspector {
		spec["failStrategy"], spec["phase"] = "FAIL_OPEN", "STATS"
	}
	if len(m.Selector) > 0 {
		spec["selector"] = map[string]any{"matchLabels": m.Selector}
	}
	return m.encode("extensions.istio.io/v1alpha1", "WasmPlugin", what, spec)
}

// EnvoyExtensionPolicy is Envoy Gateway's resource, as YAML. Where the module looks at bodies, which Envoy buffers for it, a
// ClientTrafficPolicy stands behind it: of its own accord a Gateway buffers 32 KiB, 64 KiB over HTTP/2, and answers what is longer with 413 or 500.
// https://gateway.envoyproxy.io/v1.9/api/extension_types/#envoyextensionpolicy
func (m Mesh) EnvoyExtensionPolicy() ([]byte, error) {
	what, config, err := m.look()
	if err != nil {
		return nil, err
	}
	if m.Gateway == "" {
		return nil, fmt.Errorf("render %s: name the Gateway that gets it", what.Name)
	}
	const version = "gateway.envoyproxy.io/v1alpha1"
	gateway := []any{map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": m.Gateway}}
	policy, err := m.encode(version, "EnvoyExtensionPolicy", what, map[string]any{
		"targetRefs": gateway,
		"wasm": []any{map[string]any{
			"name": what.Name, "failOpen": what.Kind == manifest.Inspector, "config": config,
			"code": map[string]any{"type": "Image", "image": map[string]any{"url": m.Ref}, "pullPolicy": "IfNotPresent"},
		}},
	})
	if err != nil || !looksAtBodies(what) {
		return policy, err
	}
	buffers, err := yaml.Marshal(map[string]any{
		"apiVersion": version, "kind": "ClientTrafficPolicy", "metadata": m.metadata("leash-" + m.Gateway), // one for all modules of the Gateway
		"spec": map[string]any{
			"targetRefs": gateway, "connection": map[string]any{"bufferLimit": gatewayBuffers},
			// Of an HTTP/2 stream Envoy lets filters hold as much as its window is, and takes no heed of the connection's limit.
			"http2": map[string]any{"initialStreamWindowSize": gatewayBuffers},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", what.Name, err)
	}
	return append(append(policy, "---\n"...), buffers...), nil
}

// gatewayBuffers has room for the longest answer that modules take unless they are told otherwise, 32 MiB: theirs is the better error.
const gatewayBuffers = "33Mi"

// looksAtBodies says whether Envoy must hold bodies until the module has seen them.
func looksAtBodies(what *manifest.Manifest) bool {
	without := []manifest.Phase{manifest.RequestHeader, manifest.ResponseHeader, manifest.Finish, manifest.Connection}
	return slices.ContainsFunc(what.Phases, func(p manifest.Phase) bool { return !slices.Contains(without, p) })
}

// holders are Leash's own modules that are of no use where headers leave before the body is looked at.
var holders = []string{"route", "provider"}

// look is what the module says of itself, and its configuration as it gets it.
func (m Mesh) look() (*manifest.Manifest, any, error) {
	what, err := manifest.Of(m.Ref, m.Wasm)
	if err != nil {
		return nil, nil, fmt.Errorf("render %s: %w", m.Ref, err)
	}
	if !strings.Contains(m.Ref, "@sha256:") {
		return nil, nil, fmt.Errorf("render %s: it is not pinned by its digest", m.Ref)
	}
	config := m.Config
	if len(config) == 0 {
		config = json.RawMessage("{}")
	}
	if err := checkConfig(what, config); err != nil {
		return nil, nil, fmt.Errorf("render %s: %w", m.Ref, err)
	}
	var plain any
	if err := json.Unmarshal(config, &plain); err != nil {
		return nil, nil, fmt.Errorf("render %s: configuration: %w", m.Ref, err)
	}
	f, err := wasmfile.Parse(m.Wasm)
	if err != nil {
		return nil, nil, fmt.Errorf("render %s: %w", m.Ref, err)
	}
	if slices.Contains(holders, what.Name) {
		return nil, nil, fmt.Errorf("render %s: %s sets headers by what is in the body, and neither Istio nor Envoy Gateway lets a module hold them back for that: "+
			"leash render without --target prints an Envoy in which it works", m.Ref, what.Name)
	}
	if f.Kit() {
		settings := settingsOf(what, plain)
		// Neither control plane can set allow_on_headers_stop_iteration, without which a module that holds headers until it has seen
		// the body would wait for ever.
		settings.NoHeaderPause = looksAtBodies(what)
		plain = settings
	}
	return what, plain, nil
}

func (m Mesh) encode(version, kind string, what *manifest.Manifest, spec map[string]any) ([]byte, error) {
	metadata := m.metadata(what.Name)
	metadata["annotations"] = map[string]any{"leash.module.version": what.Version}
	text, err := yaml.Marshal(map[string]any{"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", what.Name, err)
	}
	return text, nil
}

func (m Mesh) metadata(name string) map[string]any {
	metadata := map[string]any{"name": name}
	if m.Namespace != "" {
		metadata["namespace"] = m.Namespace
	}
	return metadata
}
