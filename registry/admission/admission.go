// Package admission decides whether the modules of a leash.yaml may be loaded, before Envoy or a host of Leash is given
// them: each must keep to its manifest, its configuration must fit the manifest's schema, and what it may call is handed
// on to whoever loads it.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/manifest"
)

// Options are what an admission needs.
type Options struct {
	// Builtin is the manifest of one of Leash's own modules.
	Builtin func(name string) (*manifest.Manifest, error)
}

// Admit looks at the modules of a configuration and tells it what it has found out ([config.Config.Admit]). Every module
// that may not be loaded is told, with its place in leash.yaml.
func Admit(ctx context.Context, c *config.Config, o Options) error {
	a := &admission{c: c, o: o}
	for i := range c.Pipeline {
		a.admit(ctx, &c.Pipeline[i], "pipeline["+strconv.Itoa(i)+"]")
	}
	if !slices.ContainsFunc(c.Pipeline, func(m config.Module) bool { return m.Module == "route" }) {
		a.builtin("route", "routes") // the configuration adds it
	}
	if len(a.errors) == 0 {
		a.checkConfigurations()
	}
	return errors.Join(a.errors...)
}

type admission struct {
	c         *config.Config
	o         Options
	manifests map[string]*manifest.Manifest // of own modules, by name
	errors    []error
}

func (a *admission) fail(path, format string, args ...any) {
	a.errors = append(a.errors, a.c.Errorf(path, format, args...))
}

func (a *admission) builtin(name, path string) {
	m, err := a.o.Builtin(name)
	if err != nil {
		a.fail(path, "%v", err)
		return
	}
	a.c.Admit(name, config.Admitted{Allow: m.Allowed()})
}

func (a *admission) admit(_ context.Context, m *config.Module, path string) {
	if !m.Own() {
		a.builtin(m.Module, path)
		return
	}
	wasm, err := os.ReadFile(m.File)
	if err != nil {
		a.fail(path+".file", "%v", err)
		return
	}
	a.own(m, path, m.File, wasm)
}

// own looks at a .wasm that is not Leash's.
func (a *admission) own(m *config.Module, path, file string, wasm []byte) {
	what, err := manifest.Of(file, wasm)
	switch {
	case errors.Is(err, manifest.ErrNone):
		if m.Kind == "" {
			a.fail(path, "kind must be policy or inspector: %s carries no manifest that says so", file)
		}
		a.c.Admit(m.Module, config.Admitted{File: file, Kind: m.Kind})
		return
	case err != nil:
		a.fail(path, "%v", err)
		return
	}
	if what.Name != m.Module {
		a.fail(path+".module", "the .wasm holds the module %s", what.Name)
	}
	if m.Kind != "" && m.Kind != string(what.Kind) {
		a.fail(path+".kind", "the manifest of %s says %s", what.Name, what.Kind)
	}
	if err := what.Check(wasm); err != nil {
		a.fail(path, "%v", err)
	}
	for _, upstream := range what.Capabilities.Callouts {
		provider, named := strings.CutPrefix(upstream, "provider.")
		if named && !strings.Contains(provider, "*") && a.c.Providers[provider] == nil {
			a.fail(path, "the module calls provider.%s, but there is no provider %s: add it, or see the module's documentation", provider, provider)
		}
	}
	if a.manifests == nil {
		a.manifests = map[string]*manifest.Manifest{}
	}
	a.manifests[m.Module] = what
	a.c.Admit(m.Module, config.Admitted{File: file, Kind: string(what.Kind), Allow: what.Allowed()})
}

// checkConfigurations holds the configurations of own modules, and those of tenants, against the schemas.
func (a *admission) checkConfigurations() {
	for _, f := range a.c.Filters() {
		var plugin struct {
			Modules []struct {
				Name    string
				Config  json.RawMessage
				Tenants map[string]json.RawMessage
			}
		}
		if err := json.Unmarshal(f.Config, &plugin); err != nil {
			a.fail(f.Modules[0], "%v", err)
			continue
		}
		for i, m := range plugin.Modules {
			what := a.manifests[m.Name]
			if what == nil {
				continue
			}
			a.problems(what, f.Modules[i]+".config", m.Config)
			for tenant, own := range m.Tenants {
				a.problems(what, "tenants."+tenant+".modules."+m.Name, own)
			}
		}
	}
}

func (a *admission) problems(m *manifest.Manifest, path string, configuration []byte) {
	for _, p := range m.CheckConfig(configuration) {
		at := path
		if p.Path != "" {
			at += "." + p.Path
		}
		a.errors = append(a.errors, a.c.Errorf(at, "%s (says the schema of %s %s)", p.Reason, m.Name, m.Version))
	}
}
