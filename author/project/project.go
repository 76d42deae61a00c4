// Package project makes a module's project from a template: code, typed configuration, manifest, scenarios, tests and
// the kit, so that it builds and passes its tests at once.
package project

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"golang.org/x/mod/module"

	"github.com/leash-gateway/leash/author/kit"
)

// A Template is what a project begins as.
type Template struct {
	// Name is how it is chosen.
	Name string
	// About says in a sentence what the module does.
	About string
	// config is what stands in leash.yaml for it.
	config string
	// providers are those that the module calls, besides.
	providers string
}

// Templates are all of them, the simplest first.
var Templates = []Template{
	{Name: "minimal", About: "Tells the provider which tenant asks: the smallest module there is."},
	{Name: "policy", About: "Refuses requests for models that are not allowed, and prompts that are too long.", config: "max_prompt_bytes: 20000"},
	{Name: "inspector", About: "Counts the words of answers by tenant and model, and changes nothing.", config: "log: true"},
	{Name: "request-transform", About: "Rewrites requests before they leave: model names and words of the prompt.", config: "replace: {ACME: a customer}"},
	{Name: "response-stream", About: "Replaces words in answers, also where a stream cuts them into pieces.", config: `replace: {forbidden: "[...]"}`},
	{
		Name: "callout", About: "Asks an HTTP service whether a tenant may go on.", config: "timeout: 500ms",
		providers: "  accounts: {base_url: http://127.0.0.1:8090} # the service that is asked\n",
	},
	{
		Name: "collector", About: "Sends a record of each exchange to an HTTP service, many at once and while nobody waits.", config: "path: /records",
		providers: "  collector: {base_url: http://127.0.0.1:8090} # the service that takes the records\n",
	},
	{Name: "plain-http", About: "Checks and changes JSON requests that are not LLM traffic.", config: "path: /orders"},
}

// Options say what to make. Only Name is needed.
type Options struct {
	// Name is the module's: lower-case letters, digits and dashes.
	Name string
	// Template is the name of a template. Default: minimal.
	Template string
	// Dir is the project's folder, which must not be there yet or be empty. Default: Name.
	Dir string
	// GoModule is the path in go.mod. Default: Name.
	GoModule string
	// License is an SPDX expression. Default: Apache-2.0.
	License string
}

// ErrUsage marks errors that are about the options.
var ErrUsage = errors.New("bad options")

//go:embed all:templates
var templates embed.FS

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// values are what templates put in.
type values struct {
	Options
	KitPath, KitVersion, KitFolder, Go, About, PipelineConfig, Providers string
}

// New makes a project and returns its folder. Nothing is written when the options are wrong; an error later leaves what
// has been written, in a folder that was empty before.
func New(o Options) (dir string, err error) {
	t, err := o.complete()
	if err != nil {
		return "", err
	}
	v := values{Options: o, KitPath: kit.ModulePath, KitFolder: kit.Folder, About: t.About, Providers: t.providers}
	if t.config != "" {
		v.PipelineConfig = "\n    config: {" + t.config + "}"
	}
	if v.KitVersion, err = kit.Version(); err != nil {
		return "", err
	}
	if v.Go, err = kit.GoVersion(); err != nil {
		return "", err
	}
	files := map[string][]byte{}
	for _, folder := range []string{"common", t.Name} {
		if err := render(folder, v, files); err != nil {
			return "", err
		}
	}
	for name, content := range files {
		file := filepath.Join(o.Dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // sources are for everybody to read
			return "", fmt.Errorf("make project: %w", err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil { //nolint:gosec // as above
			return "", fmt.Errorf("make project: %w", err)
		}
	}
	_, err = kit.Write(filepath.Join(o.Dir, kit.Folder))
	return o.Dir, err
}

func (o *Options) complete() (Template, error) {
	var none Template
	usage := func(format string, args ...any) (Template, error) {
		return none, fmt.Errorf("%w: %s", ErrUsage, fmt.Sprintf(format, args...))
	}
	if !validName.MatchString(o.Name) {
		return usage("%q cannot be a module's name: it is made of lower-case letters, digits and dashes, up to 63", o.Name)
	}
	if o.Template == "" {
		o.Template = Templates[0].Name
	}
	at := slices.IndexFunc(Templates, func(t Template) bool { return t.Name == o.Template })
	if at < 0 {
		var names []string
		for _, t := range Templates {
			names = append(names, t.Name)
		}
		return usage("there is no template %q: there are %s", o.Template, strings.Join(names, ", "))
	}
	if o.GoModule == "" {
		o.GoModule = o.Name
	}
	if err := module.CheckImportPath(o.GoModule); err != nil {
		return usage("%v", err)
	}
	if o.GoModule == kit.ModulePath || strings.HasPrefix(o.GoModule, kit.ModulePath+"/") {
		return usage("%s is Leash's own", o.GoModule)
	}
	if o.License == "" {
		o.License = "Apache-2.0"
	}
	if o.Dir == "" {
		o.Dir = o.Name
	}
	if entries, err := os.ReadDir(o.Dir); err == nil && len(entries) > 0 {
		return usage("the folder %s is not empty: name another with --dir", o.Dir)
	}
	return Templates[at], nil
}

// render fills in the templates of a folder.
func render(folder string, v values, files map[string][]byte) error {
	root := path.Join("templates", folder)
	return fs.WalkDir(templates, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := templates.ReadFile(name)
		if err != nil {
			return err
		}
		t, err := template.New(name).Delims("<<", ">>").Parse(string(text))
		if err != nil {
			return fmt.Errorf("read template: %w", err)
		}
		var out bytes.Buffer
		if err := t.Execute(&out, v); err != nil {
			return fmt.Errorf("fill in template: %w", err)
		}
		files[strings.TrimSuffix(strings.TrimPrefix(name, root+"/"), ".tmpl")] = out.Bytes()
		return nil
	})
}
