// Package envoy turns a configuration into Envoy's resources and runs Envoy on them.
//
// Translate is a pure function; Render writes its result as a static bootstrap for operators who run Envoy themselves;
// Server gives it to a running Envoy over xDS; Run finds, starts and restarts Envoy.
package envoy

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	wasm "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	wasmfilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"

	"github.com/leash-gateway/leash/config"
)

// Options are what a translation needs to know besides the configuration.
type Options struct {
	// ModulesDir holds the .wasm files of Leash's own modules.
	ModulesDir string
	// CAFile are the certificates that vouch for providers without a ca_file of their own.
	CAFile string
	// Authorities are the contents of such files and of ca_files, by the file's name, to be sent over xDS. Of others Envoy itself reads the
	// file, and does not read it again when it changes.
	Authorities map[string][]byte
	// Mock, by the name of a provider, is the base URL of the mock that answers in its place.
	Mock map[string]*url.URL
	// Secrets are the providers' keys, and tokens of service accounts, by the provider's name, to be sent over xDS. Without them the
	// resources refer to the environment variable or file, which Envoy then reads itself.
	Secrets map[string]config.SecretValue
	// AWS are likewise access keys of Amazon's.
	AWS map[string]config.AWSKey
	// Generation is part of the VM of filters that hold inspectors only: another one makes Envoy load them anew.
	Generation int
	// Static puts everything into one bootstrap instead of resources that refer to each other over xDS.
	Static bool

	// withoutCarriers is for an Envoy that loads no Wasm: it has nothing to translate with.
	withoutCarriers bool
}

// Resources are a configuration in Envoy's terms.
type Resources struct {
	Listener   *listener.Listener
	Carriers   []*listener.Listener // internal ones, on the way to providers
	Routes     *route.RouteConfiguration
	Clusters   []*cluster.Cluster
	Extensions []*core.TypedExtensionConfig // the modules
	// Untried are the names of extensions that only Envoy can tell whether they work.
	Untried map[string]bool
	Secrets []*tls.Secret

	hidden []string                  // what Envoy's log must not hold, besides Secrets
	places map[string]place          // of the providers, by name
	others bool                      // a module that is not Leash's is among the extensions
	apart  *route.RouteConfiguration // Routes as they are beside such a module
	stage  *listener.Listener        // on which untried extensions are tried
}

// Translate makes Envoy's resources of a configuration.
func Translate(c *config.Config, o Options) (*Resources, error) {
	t := &translation{c: c, o: o, apart: !o.Static || holdsOthers(c), steps: map[string][]*route.Route{}, trusted: map[string]bool{}}
	r := &Resources{others: holdsOthers(c), Untried: map[string]bool{}, places: map[string]place{}}
	r.Routes = t.routes()
	r.apart = r.Routes
	if t.apart && !r.others {
		t.apart = false
		r.Routes = t.routes()
	}
	filters := c.Filters
	if o.Static { // operators put filters of their own between these
		filters = c.OpenFilters
	}
	for _, f := range filters() {
		extension, err := t.module(f)
		if err != nil {
			return nil, err
		}
		r.Extensions = append(r.Extensions, extension)
		r.Untried[f.Name] = f.Own
	}
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		if err := t.provider(r, name); err != nil {
			return nil, err
		}
	}
	for _, file := range slices.Sorted(maps.Keys(t.trusted)) {
		r.Secrets = append(r.Secrets, authorities(file, o.Authorities[file]))
	}
	if t.hedges() && !o.withoutCarriers {
		r.Carriers, r.Clusters = append(r.Carriers, t.hedge()), append(r.Clusters, toInternal(hedgeName))
	}
	r.Listener = t.listener(r)
	if !o.Static {
		if err := r.markSteps(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

type translation struct {
	c *config.Config
	o Options
	// apart keeps the keys of providers from what stands in the listener; steps are the routes behind it, by the provider (apart.go).
	apart bool
	steps map[string][]*route.Route
	// trusted are the files of Options.Authorities that vouch for a provider.
	trusted map[string]bool
}

// provider adds what a provider needs: its clusters, the ways to them, its key.
func (t *translation) provider(r *Resources, name string) error {
	if err := t.checkStatic(name); err != nil {
		return err
	}
	r.places[name] = t.place(name)
	r.Clusters = append(r.Clusters, t.cluster(name, 0))
	for _, bound := range t.c.ConnectBounds(name) {
		r.Clusters = append(r.Clusters, t.cluster(name, bound))
	}
	if !t.o.withoutCarriers {
		carrier, err := t.carrier(name)
		if err != nil {
			return err
		}
		r.Carriers = append(r.Carriers, carrier, t.exit(name))
		r.Clusters = append(r.Clusters, toInternal(carrierName(name)), toExit(name))
	}
	if len(t.steps[name]) > 0 {
		behind, to := t.step(name)
		r.Carriers, r.Clusters = append(r.Carriers, behind), append(r.Clusters, to)
	}
	if secret := t.secret(name); secret != nil {
		r.Secrets = append(r.Secrets, secret)
	}
	if key, signs := t.o.AWS[name]; signs {
		r.hidden = append(r.hidden, key.Secret.Reveal(), key.Token.Reveal())
	}
	return nil
}

// baseURL is where a provider's requests go.
func (t *translation) baseURL(provider string) *url.URL {
	if mock := t.o.Mock[provider]; mock != nil {
		return mock
	}
	return &t.c.Providers[provider].BaseURL.URL
}

// module is a .wasm file as an Envoy extension.
func (t *translation) module(f config.Filter) (*core.TypedExtensionConfig, error) {
	file := f.File
	if !f.Own {
		file = filepath.Join(t.o.ModulesDir, f.File)
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("locate module %s: %w", f.Name, err)
	}
	plugin := &wasm.PluginConfig{
		Name: f.Name,
		Vm: &wasm.PluginConfig_VmConfig{VmConfig: &wasm.VmConfig{
			VmId:    f.VM,
			Runtime: "envoy.wasm.runtime.v8",
			Code: &core.AsyncDataSource{Specifier: &core.AsyncDataSource_Local{Local: &core.DataSource{
				Specifier: &core.DataSource_Filename{Filename: file},
			}}},
		}},
		Configuration: pack(wrapperspb.String(string(f.Config))),
		// A VM that died (out of memory, stack exhausted) is made anew for the next request; until then requests are
		// refused.
		FailurePolicy: wasm.FailurePolicy_FAIL_RELOAD,
	}
	if f.Kit {
		// Without it Envoy turns a filter's pause on headers into a stop of everything, and no body would ever come:
		// https://github.com/proxy-wasm/proxy-wasm-cpp-host/issues/143. With it a body that passes takes the held headers with it, which
		// the kit sees to and other SDKs do not.
		plugin.AllowOnHeadersStopIteration = wrapperspb.Bool(true)
	}
	if !f.Policy {
		// Envoy can reload or let pass, not both, so it lets pass, and the dead VM is replaced through Generation. (The
		// newer FAIL_OPEN of the same field refuses the very request on which the VM died: measured on 1.40.)
		plugin.FailurePolicy = wasm.FailurePolicy_UNSPECIFIED
		plugin.FailOpen = true //nolint:staticcheck // see above
		if t.o.Generation > 0 {
			plugin.GetVmConfig().VmId += "#" + strconv.Itoa(t.o.Generation)
		}
	}
	if len(f.Allow) > 0 {
		allowed := map[string]*wasm.SanitizationConfig{}
		for _, name := range f.Allow {
			allowed[name] = &wasm.SanitizationConfig{}
		}
		plugin.GetVmConfig().CapabilityRestrictionConfig = &wasm.CapabilityRestrictionConfig{AllowedCapabilities: allowed}
	}
	return &core.TypedExtensionConfig{Name: f.Name, TypedConfig: pack(&wasmfilter.Wasm{Config: plugin})}, nil
}

func pack(m proto.Message) *anypb.Any {
	packed := &anypb.Any{}
	// Deterministic: what has not changed must not look changed to Envoy.
	if err := anypb.MarshalFrom(packed, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic("envoy: pack " + string(m.ProtoReflect().Descriptor().FullName()) + ": " + err.Error()) // valid by construction
	}
	return packed
}

func unpack(packed *anypb.Any, m proto.Message) {
	if err := packed.UnmarshalTo(m); err != nil {
		panic("envoy: unpack " + packed.GetTypeUrl() + ": " + err.Error()) // packed by pack
	}
}
