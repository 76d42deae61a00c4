package extproc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/config"
)

// A Spec is a pipeline that is to be loaded.
type Spec struct {
	// Name is how exchanges and the management API call it.
	Name string
	// Filters run in this order over requests, and in the opposite one over responses.
	Filters []Filter
	// MaxBuffer is how many bytes of a body a module may hold back. Default 1 MiB.
	MaxBuffer int
}

// A Filter is one .wasm with a configuration.
type Filter struct {
	// Name tells it apart in logs.
	Name string
	// VM is what filters that share one have in common, besides the .wasm and Allow: limits outlive a pipeline under this name. By default it is the filter's.
	VM string
	// Wasm is the module itself.
	Wasm []byte
	// Configuration is what the module gets; RootID tells modules that hold several plugins which one is meant.
	Configuration []byte
	RootID        string
	// Allow are the host calls and callbacks that it may use. Empty: all.
	Allow []string
	// Policy says that exchanges are refused while it cannot run. Others (inspectors) are left out then.
	Policy bool
	// Unneeded are parts of an exchange that it does not look at as it is configured, though it has callbacks for them.
	Unneeded Parts
}

// pipelineName is what names are made of: they stand in headers and metrics.
var pipelineName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (s Spec) check() error {
	switch {
	case !pipelineName.MatchString(s.Name):
		return fmt.Errorf("the name %q is not 1 to 64 letters, digits, dots, dashes and underscores", s.Name)
	case len(s.Filters) == 0:
		return errors.New("it has no filters")
	}
	names := map[string]bool{}
	for i, f := range s.Filters {
		switch {
		case f.Name == "":
			return fmt.Errorf("filter %d has no name", i)
		case names[f.Name]:
			return fmt.Errorf("two filters are called %s: what they share and log could not be told apart", f.Name)
		}
		names[f.Name] = true
	}
	return nil
}

// A Selection says which modules of a leash.yaml make a pipeline.
type Selection string

// The selections.
const (
	// All is the whole pipeline.
	All Selection = "all"
	// Inspectors are the modules that only look, for an Envoy that must not wait for them.
	Inspectors Selection = "inspectors"
)

// slack is what a module may hold of a body besides what leash.yaml allows it, so that its own refusal comes first.
const slack = 1 << 20

// FromConfig is the pipeline of a leash.yaml; dir holds the .wasm files of Leash's own modules. Its error names the file
// that cannot be read.
func FromConfig(c *config.Config, dir string, selection Selection) (Spec, error) {
	spec := Spec{Name: DefaultPipeline, MaxBuffer: int(max(c.Limits.RequestBytes, c.Limits.ResponseBytes)) + slack}
	for _, f := range Select(c, selection) {
		file := f.File
		if !f.Own {
			file = filepath.Join(dir, file)
		}
		wasm, err := os.ReadFile(file) //nolint:gosec // the operator's own choice
		if err != nil {
			return spec, fmt.Errorf("read module %s: %w", f.Name, err)
		}
		name, _, _ := strings.Cut(f.Name, "~")
		spec.Filters = append(spec.Filters, Filter{Name: name, VM: f.VM, Wasm: wasm, Configuration: f.Config, Allow: f.Allow, Policy: f.Policy})
	}
	if len(spec.Filters) == 0 {
		return spec, fmt.Errorf("select %s: the pipeline of %s has none", selection, c.Path())
	}
	return spec, nil
}

// Select is the filters of a leash.yaml that a selection names.
func Select(c *config.Config, selection Selection) []config.Filter {
	if selection != Inspectors {
		return c.Filters()
	}
	apart := *c
	apart.Modules.Layout = config.Files // a file that holds policies too is a policy as a whole
	return slices.DeleteFunc(apart.Filters(), func(f config.Filter) bool { return f.Policy })
}
