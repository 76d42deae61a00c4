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
	Shared           bool     `json:"shared,omitempty"`
	Previous         bool     `json:"previous,omitempty"`
	Next             bool     `json:"next,omitempty"`
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

// The values of Modules.Layout.
const (
	Together = "together"
	Layered  = "filters"
	Files    = "files"
)

// AllFile is the .wasm that holds every one of Leash's modules.
const AllFile = "all.wasm"

var inspectors = []string{"costtracker", "logger", tracerModule}

// Filters are the Envoy filters of the pipeline, from first to last, laid out as Modules.Layout says. No others stand between them.
func (c *Config) Filters() []Filter { return c.filters(true) }

// OpenFilters are the same, but others may be put between them.
func (c *Config) OpenFilters() []Filter { return c.filters(false) }

func (c *Config) filters(closed bool) []Filter {
	groups := c.groups()
	s := spread{several: len(groups) > 1}
	s.vms = s.several && (c.Modules.Layout == Files || slices.ContainsFunc(groups, others))
	s.shared = c.Modules.Layout != Files && len(slices.DeleteFunc(slices.Clone(groups), others)) > 1
	filters := make([]Filter, len(groups))
	for i, group := range groups {
		ours := closed && s.shared && !others(group)
		s.previous = ours && i > 0 && !others(groups[i-1])
		s.next = ours && i+1 < len(groups) && !others(groups[i+1])
		filters[i] = c.filter(group, s)
	}
	return filters
}

// spread is how far the pipeline is spread: over several filters, over several VMs, and over several filters of Leash's one VM, of which one may stand
// directly ahead and behind.
type spread struct{ several, vms, shared, previous, next bool }

// place ends the name of a filter that has neighbours.
func (s spread) place() string {
	switch {
	case s.previous && s.next:
		return "~between"
	case s.previous:
		return "~last"
	case s.next:
		return "~first"
	}
	return ""
}

// others says that a group is a module of somebody else's.
func others(group []step) bool { return group[0].module.Own() }

// filterName is the name of a group's filter. Connections that are open when the pipeline changes keep the filters that they began with, but these get what is configured anew
// under their names. So a name never comes to stand for other modules while some of them move to another filter: the old ones would go on without auth, or
// without route. Nor does it come to stand for a filter that knows its neighbours, where others stand between. One filter that holds all modules has the
// same name always, so that each change holds at once. None is a module's: these have no ~.
func (c *Config) filterName(group []step, s spread) string {
	switch {
	case group[0].module.Own() || c.Modules.Layout != Together:
		return "leash." + group[0].Name + s.place()
	case !s.several:
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
		if !s.module.Own() && c.Modules.Layout == Together && last >= 0 && !groups[last][0].module.Own() {
			groups[last] = append(groups[last], s)
			continue
		}
		groups = append(groups, []step{s})
	}
	return groups
}

func (c *Config) filter(group []step, s spread) Filter {
	first := group[0]
	f := Filter{Name: c.filterName(group, s), VM: "leash." + first.Name, Kit: true}
	for _, one := range group {
		f.Policy = f.Policy || !one.module.Own() && !slices.Contains(inspectors, one.Name)
		f.Modules = append(f.Modules, one.path)
	}
	switch own := first.module; {
	case own.Own():
		a := c.admitted[first.Name]
		f.File, f.Allow, f.Kit = cmp.Or(a.File, own.File), a.Allow, a.Kit
		f.Own, f.Policy = true, cmp.Or(own.Kind, a.Kind) != "inspector"
	case c.Modules.Layout == Files:
		f.File, f.Allow = first.Name+".wasm", c.allowed(first.Name)
	default:
		c.share(&f)
	}
	p := plugin{
		Modules: group, Handover: s.vms, Shared: s.shared && !f.Own, Previous: s.previous, Next: s.next,
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

// share has a filter run in the VM of all of Leash's modules: an engine has their code once in its caches, and in its memory. What ends a VM ends it for the policies in it,
// route at least.
func (c *Config) share(f *Filter) {
	f.VM, f.File, f.Policy = "leash", AllFile, true
	all := []string{"route", carrierModule}
	if c.Tracing.On() {
		all = append(all, tracerModule)
	}
	for _, m := range c.Pipeline {
		if !m.Own() {
			all = append(all, m.Module)
		}
	}
	f.Allow = c.allowed(all...)
}

// allowed is what any of the modules of a .wasm may use, nothing if one of them may everything.
func (c *Config) allowed(modules ...string) (all []string) {
	for _, module := range modules {
		one := c.admitted[module].Allow
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
			s.Config = merge(m.Config, c.authConfig())
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
