package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// stagePrefix is put before the name of an extension that is being tried.
const stagePrefix = "stage."

// stage is the previous resources with the new ones that are untried beside them, on a listener that nobody can reach:
// a module that does not load is refused there, before any filter of the real listener is touched. nil if there is
// nothing to try.
//
// Envoy keeps the VM that it makes for it, so the module is not compiled twice.
func stage(previous, next *Resources) *Resources {
	if previous == nil {
		return nil
	}
	var filters []*hcm.HttpFilter
	staged := *previous
	staged.Extensions = append([]*core.TypedExtensionConfig(nil), previous.Extensions...)
	for _, e := range next.Extensions {
		if !next.Untried[e.GetName()] || has(previous.Extensions, e) {
			continue
		}
		name := stagePrefix + e.GetName()
		staged.Extensions = append(staged.Extensions, &core.TypedExtensionConfig{Name: name, TypedConfig: e.GetTypedConfig()})
		filters = append(filters, slot(name))
	}
	if filters == nil {
		return nil
	}
	staged.stage = &listener.Listener{
		Name:       "leash.stage",
		Address:    address("127.0.0.1", 1), // never bound
		BindToPort: wrapperspb.Bool(false),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{
			Name: "envoy.filters.network.http_connection_manager",
			ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(&hcm.HttpConnectionManager{
				StatPrefix:     "leash_stage",
				RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{Name: "leash.stage"}},
				HttpFilters:    append(filters, httpFilter("envoy.filters.http.router", &router.Router{})),
			})},
		}}}},
	}
	return &staged
}

func has(extensions []*core.TypedExtensionConfig, wanted *core.TypedExtensionConfig) bool {
	for _, e := range extensions {
		if proto.Equal(e, wanted) {
			return true
		}
	}
	return false
}

// slot is a filter that is filled over xDS.
func slot(name string) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_ConfigDiscovery{
		ConfigDiscovery: &core.ExtensionConfigSource{ConfigSource: adsSource(), TypeUrls: []string{wasmType}},
	}}
}
