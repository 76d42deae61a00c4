package distribution

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	wasmfilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	wasm "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
	"github.com/leash-gateway/leash/registry/catalog"
)

// A filter is what a slot is filled with.
type filter struct {
	build catalog.Build
	// version tells it from others of its slot, in xDS and in Envoy's /config_dump.
	version string
	// encoded is the google.protobuf.Any of the resource. All streams send these same bytes.
	encoded []byte
	// spent says that it was refused, and that the same version is to be asked about again: with another filter.
	spent atomic.Bool
}

// errConfig says that a module does not take the configuration of a slot.
var errConfig = errors.New("the module does not take its configuration")

// newFilter makes the filter of a module. config is its configuration, JSON. Filters with other numbers are other ones for Envoy.
func newFilter(s Slot, module *catalog.Module, config json.RawMessage, number int64) (*filter, error) {
	m := module.Manifest
	if err := m.Check(module.Bytes); err != nil {
		return nil, err
	}
	if err := checkConfig(m, config); err != nil {
		return nil, err
	}
	plugin, err := pluginOf(s, m, module.Bytes, config)
	if err != nil {
		return nil, err
	}
	// Envoy 1.40 takes a configuration, without a look at it, that is to the byte the last that it was sent, even if it has refused that. So none is: the
	// pause before a VM that has died is replaced is Envoy's default, and what is below a millisecond of it is of no account.
	pause := time.Second + time.Duration(number)%time.Millisecond
	plugin.ReloadConfig = &wasm.ReloadConfig{Backoff: &core.BackoffStrategy{BaseInterval: durationpb.New(pause)}}
	typed, err := pack(&wasmfilter.Wasm{Config: plugin})
	if err != nil {
		return nil, err
	}
	resource, err := pack(&core.TypedExtensionConfig{Name: s.String(), TypedConfig: typed})
	if err != nil {
		return nil, err
	}
	encoded, err := proto.Marshal(resource)
	if err != nil {
		return nil, err
	}
	return &filter{build: module.Build, version: versionOf(module.Version, module.Digest, config), encoded: encoded}, nil
}

// checkConfig holds a configuration against the module's schema.
func checkConfig(m *manifest.Manifest, config []byte) error {
	problems := m.CheckConfig(config)
	if len(problems) == 0 {
		return nil
	}
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = p.String()
	}
	return fmt.Errorf("%w: the schema of %s %s says: %s", errConfig, m.Name, m.Version, strings.Join(texts, "; "))
}

// versionOf names what a slot is filled with: the module's version and digest, and which configuration.
func versionOf(version string, d digest.Digest, config []byte) string {
	sum := sha256.Sum256(config)
	return fmt.Sprintf("%s %s %s", version, d, hex.EncodeToString(sum[:4]))
}

// settings is the configuration of a .wasm that is made with the kit.
type settings struct {
	Modules       []moduleSettings `json:"modules"`
	Handover      bool             `json:"handover"`
	NoHeaderPause bool             `json:"no_header_pause,omitempty"`
}

type moduleSettings struct {
	Name   string `json:"name"`
	Config any    `json:"config"`
}

// settingsOf is that of a module, which is alone in its VM: who calls, usage and refusals are handed from one to the other by the host. Otherwise a
// limit of each key, behind auth, would be one of all callers.
func settingsOf(m *manifest.Manifest, config any) settings {
	return settings{Modules: []moduleSettings{{m.Name, config}}, Handover: true}
}

// pluginOf is the module as Envoy loads it.
//
// The VM's id says nothing of version and channel: what modules keep in shared data outlives a promotion, and a release that
// another channel has loaded already needs not be compiled again.
func pluginOf(s Slot, m *manifest.Manifest, module []byte, config json.RawMessage) (*wasm.PluginConfig, error) {
	f, err := wasmfile.Parse(module)
	if err != nil {
		return nil, err
	}
	allowed := map[string]*wasm.SanitizationConfig{}
	for _, name := range m.Allowed() {
		allowed[name] = &wasm.SanitizationConfig{}
	}
	if f.Kit() {
		if config, err = json.Marshal(settingsOf(m, config)); err != nil {
			return nil, fmt.Errorf("configure %s: %w", m.Name, err)
		}
	}
	configuration, _ := anypb.New(wrapperspb.String(string(config))) // a string always fits
	plugin := &wasm.PluginConfig{
		Name: s.Module,
		Vm: &wasm.PluginConfig_VmConfig{VmConfig: &wasm.VmConfig{
			VmId:                        strings.TrimSuffix(s.Module+"/"+s.Config, "/"),
			Runtime:                     "envoy.wasm.runtime.v8",
			CapabilityRestrictionConfig: &wasm.CapabilityRestrictionConfig{AllowedCapabilities: allowed},
			Code: &core.AsyncDataSource{Specifier: &core.AsyncDataSource_Local{Local: &core.DataSource{
				Specifier: &core.DataSource_InlineBytes{InlineBytes: module},
			}}},
		}},
		Configuration: configuration,
	}
	if f.Kit() {
		// Without it Envoy turns a filter's pause on headers into a stop of everything, and no body would ever come. With it a body that
		// passes takes the held headers with it, which the kit sees to and other SDKs do not.
		plugin.AllowOnHeadersStopIteration = wrapperspb.Bool(true)
	}
	if m.Kind == manifest.Inspector {
		plugin.FailOpen = true //nolint:staticcheck // FAIL_OPEN of the newer field refuses the request on which the VM dies
	} else {
		plugin.FailurePolicy = wasm.FailurePolicy_FAIL_RELOAD
	}
	return plugin, nil
}

func pack(m proto.Message) (*anypb.Any, error) {
	packed := &anypb.Any{}
	if err := anypb.MarshalFrom(packed, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil, fmt.Errorf("pack %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return packed, nil
}
