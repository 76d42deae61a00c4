package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Filter is one Envoy filter: a .wasm with one or several modules of the pipeline in it.
type Filter struct {
	// Name tells it apart in Envoy.
	Name string
	// VM is what filters that share one have in common: the same file, and the same Allow.
	VM string
	// File is the .wasm: a file name below Modules.Dir, or the path of a module of the user's own.
	File string
	// Own says that the file is the user's own.
	Own bool
	// Policy says that a policy is among the modules: then its failure refuses requests.
	Policy bool
	// Config is what the .wasm gets as its configuration, JSON.
	Config []byte
	// Modules are the places in the configuration of the modules, in the order of Config: pipeline[3], say.
	Modules []string
	// Allow are the host calls and callbacks that the .wasm may use, sorted. Empty: all.
	Allow []string
	// Kit says that the .wasm is made with Leash's kit.
	Kit bool
}

// Admitted is what has been found out about a module before it is loaded.
type Admitted struct {
	// File is the .wasm that has been looked at; "" leaves the one that leash.yaml names.
	File string
	// Kind is policy or inspector; "" leaves the one that leash.yaml names.
	Kind string
	// Allow are the host calls and callbacks that it may use. Empty: all.
	Allow []string
	// Kit says that it is made with Leash's kit.
	Kit bool
}

// Admit tells what has been found out about a module of the pipeline, by its name. Filters then says so.
func (c *Config) Admit(module string, a Admitted) {
	if c.admitted == nil {
		c.admitted = map[string]Admitted{}
	}
	c.admitted[module] = a
}

// plugin is the configuration of a .wasm; package module reads it.
type plugin struct {
	Modules          []step   `json:"modules"`
	MaxRequestBytes  int64    `json:"max_request_bytes"`
	MaxResponseBytes int64    `json:"max_response_bytes"`
	Passthrough      []string `json:"passthrough,omitempty"`
	Handover         bool     `json:"handover,omitempty"`
	Wire             bool     `json:"wire,omitempty"`
}

// step is a module in a .wasm.
type step struct {
	Name    string         `json:"name"`
	Config  Raw            `json:"config"`
	Tenants map[string]Raw `json:"tenants,omitempty"`

	module Module
	path   string
}

// AllFile is the .wasm that holds every one of Leash's modules.
const AllFile = "all.wasm"

var inspectors = []string{"costtracker", "logger", tracerModule}

// Filters are the Envoy filters of the pipeline, from first to last. Neighbours of Leash's own share one, unless
// Modules.Separate is set.
func (c *Config) Filters() []Filter {
	groups := c.groups()
	filters := make([]Filter, len(groups))
	for i, group := range groups {
		filters[i] = c.filter(group, len(groups) > 1)
	}
	return filters
}

// filterName is the name of a group's filter. Connections that are open when the pipeline changes keep the filters that they began with, but these get what is configured anew
// under their names. So a name never comes to stand for other modules while some of them move to another filter: the old ones would go on without auth, or
// without route. One filter that holds all modules has the same name always, so that each change holds at once.
// None is a module's: these have no ~.
func (c *Config) filterName(group []step, several bool) string {
	switch {
	case group[0].module.Own() || c.Modules.Separate:
		return "leash." + group[0].Name
	case !several:
		return "leash.pipeline~"
	}
	var names []string
	for _, s := range group {
		names = append(names, s.Name)
	}
	sum := sha256.Sum256([]byte(strings.Join(names, " ")))
	return "leash." + group[0].Name + "~" + hex.EncodeToString(sum[:4])
}

// groups are the modules that have a filter together.
func (c *Config) groups() (groups [][]step) {
	for _, s := range c.steps() {
		last := len(groups) - 1
		if !s.module.Own() && !c.Modules.Separate && last >= 0 && !groups[last][0].module.Own() {
			groups[last] = append(groups[last], s)
			continue
		}
		groups = append(groups, []step{s})
	}
	return groups
}

// holdsRoute says that Leash's module route is in a group, which those that carry share a VM with.
func holdsRoute(group []step) bool {
	return slices.ContainsFunc(group, func(s step) bool { return s.Name == "route" && !s.module.Own() })
}

func (c *Config) filter(group []step, handover bool) Filter {
	f := Filter{Name: c.filterName(group, handover), VM: "leash." + group[0].Name, File: group[0].Name + ".wasm", Kit: true}
	switch own := group[0].module; {
	case own.Own():
		a := c.admitted[own.Module]
		f.Own, f.File, f.Policy, f.Kit = true, cmp.Or(a.File, own.File), cmp.Or(own.Kind, a.Kind) != "inspector", a.Kit
	case !c.Modules.Separate:
		f.File = AllFile
	}
	for _, s := range group {
		f.Policy = f.Policy || !s.module.Own() && !slices.Contains(inspectors, s.Name)
		f.Modules = append(f.Modules, s.path)
	}
	f.Allow = c.allowed(group)
	if !c.Modules.Separate && holdsRoute(group) {
		f.Allow = c.allowed(append(slices.Clone(group), step{Name: carrierModule}))
	}
	p := plugin{
		Modules: group, Handover: handover,
		MaxRequestBytes: int64(c.Limits.RequestBytes), MaxResponseBytes: int64(c.Limits.ResponseBytes),
	}
	for _, r := range c.Routes {
		if r.Path != "" {
			p.Passthrough = append(p.Passthrough, r.Path)
		}
	}
	encoded, err := json.Marshal(p)
	if err != nil {
		panic("config: encode a filter: " + err.Error()) // Raw is JSON by construction
	}
	f.Config = encoded
	return f
}

// carrierModule is the module that takes exchanges to a provider.
const carrierModule = "provider"

// Carrier is the filter that takes exchanges to a provider, once for each attempt, and translates where the client has
// another API. In one file with the other modules it shares their VM, and always what workers share: what it finds out about the provider the
// module route wants to know. base is the path of the base URL; wire says that it is to send requests as bytes.
func (c *Config) Carrier(provider, base string, wire bool) Filter {
	kind := c.Providers[provider].Description()
	f := Filter{
		Name: "leash." + carrierModule + "." + provider, VM: "leash.route", File: carrierModule + ".wasm", Policy: true, Kit: true,
		Allow: c.admitted[carrierModule].Allow, Modules: []string{"providers." + provider},
	}
	if groups := c.groups(); !c.Modules.Separate {
		router := c.filter(groups[slices.IndexFunc(groups, holdsRoute)], true) // steps ends with it
		f.VM, f.File, f.Allow = router.VM, router.File, router.Allow
	}
	p := c.Providers[provider]
	own, _ := json.Marshal(struct {
		Name     string            `json:"name"`
		API      string            `json:"api"`
		Formats  []string          `json:"formats"`
		BasePath string            `json:"base_path,omitempty"`
		Paths    map[string]string `json:"paths,omitempty"`
		Streams  map[string]string `json:"streams,omitempty"`
		Quirks   []string          `json:"quirks,omitempty"`
		Breaker  breaker           `json:"breaker"`
		Trace    bool              `json:"trace,omitempty"`
	}{provider, kind.API, kind.Formats, base, p.expandedAll(kind.Paths), p.expandedAll(kind.Streams), kind.Quirks, breakerOf(p), c.Tracing.On()}) // strings and numbers only
	f.Config, _ = json.Marshal(plugin{
		Modules:         []step{{Name: carrierModule, Config: own}},
		MaxRequestBytes: int64(c.Limits.RequestBytes) + carrierSlack, MaxResponseBytes: int64(c.Limits.ResponseBytes), Wire: wire,
	})
	return f
}

// breaker is a provider's, as the module takes it.
type breaker struct {
	Consecutive int      `json:"consecutive"`
	Percent     int      `json:"percent"`
	Volume      int      `json:"volume"`
	Window      Duration `json:"window"`
	Open        Duration `json:"open"`
	MaxOpen     Duration `json:"max_open"`
}

func breakerOf(p *Provider) breaker { return breaker(p.Breaker) }

// carrierSlack is what a request may have grown by in the modules, in bytes.
const carrierSlack = 1 << 20

// allowed is what any of the modules of a .wasm may use, nothing if one of them may everything.
func (c *Config) allowed(group []step) (all []string) {
	for _, s := range group {
		one := c.admitted[s.Name].Allow
		if len(one) == 0 {
			return nil
		}
		all = append(all, one...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Own says that the module is the user's own, not one that Leash brings.
func (m *Module) Own() bool { return m.File != "" || m.Ref != "" }

// steps are the modules of the pipeline with their whole configurations.
func (c *Config) steps() []step {
	var steps []step
	traced := false
	for i, m := range c.Pipeline {
		s := step{Name: m.Module, Config: m.Config, module: m, path: "pipeline[" + strconv.Itoa(i) + "]"}
		switch m.Module {
		case "auth":
			s.Config = c.authConfig()
		case "route":
			s.Config = c.routeConfig()
		}
		for tenant, t := range c.Tenants {
			if override, ok := t.Modules[m.Module]; ok {
				if s.Tenants == nil {
					s.Tenants = map[string]Raw{}
				}
				s.Tenants[tenant] = merge(s.Config, override)
			}
		}
		if c.Tracing.On() && !traced && !slices.Contains(inspectors, m.Module) {
			steps, traced = append(steps, c.tracer()), true
		}
		steps = append(steps, s)
	}
	if c.Tracing.On() && !traced {
		steps = append(steps, c.tracer())
	}
	if !c.hasModule("route") {
		steps = append(steps, step{Name: "route", Config: c.routeConfig(), path: "routes"})
	}
	return steps
}

func (c *Config) authConfig() Raw {
	type key struct {
		SHA256 string `json:"sha256"`
		Tenant string `json:"tenant"`
		Name   string `json:"name"`
		User   string `json:"user,omitempty"`
	}
	keys := []key{}
	for _, tenant := range slices.Sorted(maps.Keys(c.Tenants)) {
		for _, k := range c.Tenants[tenant].Keys {
			keys = append(keys, key{k.SHA256, tenant, k.Name, k.User})
		}
	}
	encoded, _ := json.Marshal(map[string]any{"keys": keys}) // strings only
	return encoded
}
