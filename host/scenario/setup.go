package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/harness"
)

// Finder finds the .wasm of a module by its name. Not finding it is an error that says what to do.
type Finder func(name string) (file string, err error)

// setup is what a scenario asks for, as the harness takes it.
func (f *File) setup(s *Scenario, module string, find Finder) (harness.Setup, error) {
	around := f.with(s.Surroundings)
	setup := harness.Setup{Name: f.path + ":" + s.Name, Clock: around.Clock.Time, Shared: around.Shared, Properties: properties(around.Properties)}
	for name, answers := range around.Callouts {
		if setup.Callouts == nil {
			setup.Callouts = map[string][]harness.Answer{}
		}
		for _, a := range answers {
			setup.Callouts[name] = append(setup.Callouts[name], a.answer())
		}
	}
	var err error
	switch {
	case !around.Leash.IsZero() || around.LeashFile != "":
		setup.Modules, err = f.pipeline(around, find)
	case around.Modules != nil:
		for _, m := range around.Modules {
			one := harness.Module{
				Name: m.Name, Config: m.Config.text(), RootID: m.RootID, VMConfig: m.VMConfig, Env: m.Env, Allow: m.Allow,
				File: f.beside(m.File), Inspector: m.Kind == "inspector",
			}
			if m.File == "" {
				one.File, err = find(m.Name)
			}
			if err != nil {
				break
			}
			setup.Modules = append(setup.Modules, one)
		}
	default:
		if around.Module != "" {
			module = around.Module
		}
		one := harness.Module{Name: module, Config: around.Config.text()}
		one.File, err = find(module)
		setup.Modules = []harness.Module{one}
	}
	return setup, err
}

// with is what the scenario says before what its file says.
func (s Surroundings) with(own Surroundings) Surroundings {
	if own.Module != "" || own.Modules != nil || !own.Leash.IsZero() || own.LeashFile != "" {
		s.Module, s.Modules, s.Leash, s.LeashFile = own.Module, own.Modules, own.Leash, own.LeashFile
	}
	if own.Only != "" {
		s.Only = own.Only
	}
	if !own.Config.IsZero() {
		s.Config = own.Config
	}
	if !own.Clock.IsZero() {
		s.Clock = own.Clock
	}
	s.Properties, s.Callouts, s.Shared = merged(s.Properties, own.Properties), merged(s.Callouts, own.Callouts), merged(s.Shared, own.Shared)
	return s
}

func merged[V any](all, own map[string]V) map[string]V {
	if len(own) == 0 {
		return all
	}
	out := maps.Clone(all)
	if out == nil {
		out = map[string]V{}
	}
	maps.Copy(out, own)
	return out
}

// pipeline is the modules of a leash.yaml.
func (f *File) pipeline(around Surroundings, find Finder) ([]harness.Module, error) {
	name, data := f.path, []byte(around.Leash.text)
	if around.LeashFile != "" {
		var err error
		name = f.beside(around.LeashFile)
		if data, err = os.ReadFile(name); err != nil { //nolint:gosec // the author names the file
			return nil, fmt.Errorf("read leash_file: %w", err)
		}
	}
	c, err := config.Parse(name, data, func(string) (string, bool) { return "", false })
	if err != nil {
		return nil, err
	}
	var modules []harness.Module
	for _, one := range c.Filters() {
		m := harness.Module{Name: one.Name, File: one.File, Config: string(one.Config), Inspector: !one.Policy}
		if !one.Own {
			if m.File, err = find(strings.TrimSuffix(one.File, ".wasm")); err != nil {
				return nil, err
			}
		}
		modules = append(modules, m)
	}
	return modules, nil
}

// alone says whether a scenario needs nothing but a module and files below the folder of its own.
func (f *File) alone(s *Scenario, around Surroundings, module string) bool {
	if around.Modules != nil || !around.Leash.IsZero() || around.LeashFile != "" || around.Module != "" && around.Module != module {
		return false
	}
	for i := range s.Steps {
		if golden := s.Steps[i].Expect.BodyFile; golden != "" && !filepath.IsLocal(golden) {
			return false
		}
	}
	return true
}

// beside is a path that is relative to the file.
func (f *File) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.path), path)
}

func properties(values map[string]Value) map[string]any {
	out := map[string]any{}
	for path, value := range values {
		switch v := value.v.(type) {
		case bool:
			out[path] = v
		default:
			if number, err := strconv.Atoi(value.text()); err == nil && !isText(v) {
				out[path] = number
			} else {
				out[path] = value.text()
			}
		}
	}
	return out
}

func isText(v any) bool { _, ok := v.(string); return ok }

// request is a step's exchange.
func (s *Step) request() harness.Request {
	r := s.Request
	out := harness.Request{
		Method: r.Method, Path: r.Path, Authority: r.Authority, Headers: r.headers(), ChunkSize: r.ChunkSize, Trailers: sorted(r.Trailers),
		Leaves: harness.Leaves(r.Leaves), Properties: properties(r.Properties), Answer: s.Answer.answer(),
	}
	out.Body, out.Chunks = r.body()
	return out
}

func (a Answer) answer() harness.Answer {
	out := harness.Answer{
		Status: a.Status, Headers: a.headers(), ChunkSize: a.ChunkSize, Trailers: sorted(a.Trailers),
		Delay: time.Duration(a.Delay), Pace: time.Duration(a.Pace), Failure: harness.Failure(a.Failure),
	}
	out.Body, out.Chunks = a.body()
	return out
}

func (c Content) headers() harness.Headers {
	h := sorted(c.Headers)
	for _, one := range c.HeaderList {
		h = append(h, [2]string{one[0], one[1]})
	}
	return h
}

func sorted(values map[string]string) harness.Headers {
	var h harness.Headers
	for _, name := range slices.Sorted(maps.Keys(values)) {
		h = append(h, [2]string{name, values[name]})
	}
	return h
}

// body is the body, or the pieces in which it is sent.
func (c Content) body() (body string, chunks []string) {
	switch {
	case !c.JSON.IsZero():
		encoded, _ := encode(c.JSON.v) // made of what JSON has
		return string(encoded), nil
	case c.Events != nil:
		for _, event := range c.Events {
			chunks = append(chunks, "data: "+strings.ReplaceAll(event.text(), "\n", "\ndata: ")+"\n\n")
		}
		if c.ChunkSize > 0 {
			return strings.Join(chunks, ""), nil
		}
		return "", chunks
	}
	return c.Body, c.Chunks
}

// In finds modules in folders: NAME.wasm in the first that has it. Named goes before.
func In(named map[string]string, dirs ...string) Finder {
	return func(name string) (string, error) {
		if file, found := named[name]; found {
			return file, nil
		}
		for _, dir := range dirs {
			file := filepath.Join(dir, name+".wasm")
			if _, err := os.Stat(file); err == nil {
				return file, nil
			} else if !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
		}
		return "", fmt.Errorf("found no %s.wasm in %s: build it, or name it with --module %s=FILE.wasm", name, strings.Join(dirs, ", "), name)
	}
}
