// Package admission decides whether the modules of a leash.yaml may be loaded, before Envoy or a host of Leash is given
// them: the trust policy must let each run, it must keep to its manifest, its configuration must fit the manifest's
// schema, and what it may call is handed on to whoever loads it.
//
// What has been looked at is kept under the name of its digest, and that file is loaded: one that is changed afterwards
// changes nothing.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/trust"
)

// Options are what an admission needs.
type Options struct {
	// Builtin is the manifest of one of Leash's own modules.
	Builtin func(name string) (*manifest.Manifest, error)
	// Registries brings modules that are in registries. nil: there are none.
	Registries *remote.Client
	// Blobs keeps what has been looked at.
	Blobs blobs.Folder
	// InPlace leaves modules in files where they are: for configurations that are only looked at, or run elsewhere.
	InPlace bool
	// Log is told when a registry is not reached and what it gave last is taken. Default: nobody.
	Log *slog.Logger
	// Env looks up environment variables, for the trust policy.
	Env func(string) (string, bool)
	// Now is the time at which signatures must hold. Default: time.Now.
	Now func() time.Time
}

// Admit looks at the modules of a configuration and tells it what it has found out ([config.Config.Admit]). Every module
// that may not be loaded is told, with its place in leash.yaml.
func Admit(ctx context.Context, c *config.Config, o Options) error {
	a := &admission{c: c, o: o, now: time.Now()}
	if o.Now != nil {
		a.now = o.Now()
	}
	if o.Log == nil {
		a.o.Log = slog.New(slog.DiscardHandler)
	}
	if c.Modules.Trust != "" {
		var err error
		if a.trust, err = trust.Load(ctx, c.Modules.Trust, o.Env); err != nil {
			return c.Placed("modules.trust", err)
		}
	}
	for i := range c.Pipeline {
		a.admit(ctx, &c.Pipeline[i], "pipeline["+strconv.Itoa(i)+"]")
	}
	if !slices.ContainsFunc(c.Pipeline, func(m config.Module) bool { return m.Module == "route" }) {
		a.builtin("route", "routes") // the configuration adds it
	}
	a.builtin("provider", "providers")
	if c.Tracing.On() {
		a.builtin("tracer", "tracing")
	}
	if len(a.errors) == 0 {
		a.checkConfigurations()
	}
	return errors.Join(a.errors...)
}

type admission struct {
	c         *config.Config
	o         Options
	now       time.Time
	trust     *trust.Policy                 // nil: signatures are not asked for
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

func (a *admission) admit(ctx context.Context, m *config.Module, path string) {
	if !m.Own() {
		a.builtin(m.Module, path)
		return
	}
	var wasm []byte
	var err error
	name := m.File
	if m.Ref != "" {
		name, path = m.Ref, path+".ref"
		wasm, err = a.fetch(ctx, m.Ref)
	} else if wasm, err = os.ReadFile(m.File); err != nil {
		path += ".file"
	} else if a.trust != nil {
		_, err = a.trust.File(m.File, m.Module, wasm, a.now)
	}
	if err != nil {
		a.fail(path, "%v", err)
		return
	}
	kept := m.File
	if m.Ref != "" || !a.o.InPlace {
		if kept, err = a.o.Blobs.Put(wasm); err != nil {
			a.fail(path, "%v", err)
			return
		}
	}
	a.own(m, strings.TrimSuffix(path, ".ref"), name, kept, wasm)
}

// fetch brings a module from its registry. If that is not reached, it is the one that the same reference gave last.
func (a *admission) fetch(ctx context.Context, text string) ([]byte, error) {
	r, err := remote.Parse(text)
	if err != nil {
		return nil, err
	}
	if a.o.Registries == nil {
		return nil, errors.New("modules cannot be fetched here")
	}
	wasm, until, err := a.download(ctx, r)
	if err == nil {
		return wasm, a.remember(r, wasm, until)
	}
	if !remote.Unreachable(err) || ctx.Err() != nil {
		return nil, err
	}
	last, missing := a.lastGood(r)
	if missing != nil {
		return nil, fmt.Errorf("%w; %w", err, missing)
	}
	a.o.Log.Warn("a registry is not reached: the module that it gave last is taken", "ref", r.String(), "error", err.Error())
	return last, nil
}

// download brings a module, after the trust policy has been asked about the digest that its tag has now. until is when the first of
// its signatures runs out; the zero time is never.
func (a *admission) download(ctx context.Context, r remote.Reference) (wasm []byte, until time.Time, err error) {
	at, _, err := a.o.Registries.Resolve(ctx, r)
	if err != nil {
		return nil, until, err
	}
	if a.trust != nil {
		signatures, err := a.trust.Image(ctx, a.o.Registries, at, a.now)
		if err != nil {
			return nil, until, err
		}
		for _, s := range signatures {
			if !s.Expires.IsZero() && (until.IsZero() || s.Expires.Before(until)) {
				until = s.Expires
			}
		}
	}
	pulled, err := a.o.Registries.Pull(ctx, at)
	if err != nil {
		return nil, until, err
	}
	return pulled.Wasm, until, Versioned(at, pulled.Wasm)
}

// version is a tag that is a version of a module.
var version = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+.*)$`)

// Versioned says whether a tag that is a version is the version of the module that was pulled by it: a signed module is still
// signed when somebody moves the tag of a newer one to it.
func Versioned(r remote.Reference, wasm []byte) error {
	return versioned(r, wasm, "somebody has moved the tag")
}

// Taggable says whether a module may be pushed under a tag: one that is a version has to be the module's.
func Taggable(r remote.Reference, wasm []byte) error {
	return versioned(r, wasm, "push it under its version, or change version in module.yaml and build it")
}

func versioned(r remote.Reference, wasm []byte, otherwise string) error {
	tagged := version.FindStringSubmatch(r.Tag)
	if tagged == nil {
		return nil
	}
	m, err := manifest.Of(r.String(), wasm)
	if err != nil {
		return fmt.Errorf("the tag says version %s: %w", tagged[1], err)
	}
	// A tag cannot hold a plus.
	if strings.ReplaceAll(m.Version, "+", "_") != tagged[1] {
		return fmt.Errorf("the tag says version %s, but the module is version %s: %s", tagged[1], m.Version, otherwise)
	}
	return nil
}

// own looks at a .wasm that is not Leash's. kept is the file that is loaded.
func (a *admission) own(m *config.Module, path, name, kept string, wasm []byte) {
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		a.fail(path, "%s: %v: name the .wasm of a module, as leash module build makes it", name, err)
		return
	}
	what, err := manifest.Of(name, wasm)
	switch {
	case errors.Is(err, manifest.ErrNone):
		if m.Kind == "" {
			a.fail(path, "kind must be policy or inspector: %s carries no manifest that says so", name)
		}
		a.c.Admit(m.Module, config.Admitted{File: kept, Kind: m.Kind, Kit: f.Kit()})
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
	a.c.Admit(m.Module, config.Admitted{File: kept, Kind: string(what.Kind), Allow: what.Allowed(), Kit: f.Kit()})
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
