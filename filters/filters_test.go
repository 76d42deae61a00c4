package filters_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/filters"
	"github.com/leash-gateway/leash/filters/auth"
	"github.com/leash-gateway/leash/filters/contentfilter"
	"github.com/leash-gateway/leash/filters/costtracker"
	"github.com/leash-gateway/leash/filters/logger"
	"github.com/leash-gateway/leash/filters/provider"
	"github.com/leash-gateway/leash/filters/ratelimit"
	"github.com/leash-gateway/leash/filters/route"
	"github.com/leash-gateway/leash/filters/tracer"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// configs are the configurations of all filters: pointers, so that defaults can be set.
var configs = map[string]any{
	"auth": &auth.Config{}, "contentfilter": &contentfilter.Config{}, "costtracker": &costtracker.Config{},
	"logger": &logger.Config{}, "provider": &provider.Config{}, "ratelimit": &ratelimit.Config{}, "route": &route.Config{},
	"tracer": &tracer.Config{},
}

// names are the folders with a manifest.
func names(t testing.TB) []string {
	t.Helper()
	manifests, err := filepath.Glob("*/module.yaml")
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifests here: %v", err)
	}
	for i := range manifests {
		manifests[i] = filepath.Dir(manifests[i])
	}
	return manifests
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// phases are the phases that a module's type implements, as manifests name them.
func phases(m any) []string {
	var names []string
	add := func(name string, implemented bool) {
		if implemented {
			names = append(names, name)
		}
	}
	_, requestHeader := m.(module.RequestHeaderHandler)
	_, request := m.(module.RequestHandler)
	_, body := m.(module.BodyHandler)
	_, responseHeader := m.(module.ResponseHeaderHandler)
	_, response := m.(module.ResponseHandler)
	_, event := m.(module.EventHandler)
	_, usage := m.(module.UsageReader)
	_, finish := m.(module.Finisher)
	_, carry := m.(module.Carrier)
	add("request_header", requestHeader)
	add("request", request)
	add("body", body)
	add("response_header", responseHeader)
	add("response", response)
	add("event", event)
	add("usage", usage)
	add("finish", finish)
	add("carry", carry)
	return names
}

func TestManifestsAgreeWithTheCode(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			manifest, err := filters.Manifest(name)
			if err != nil {
				t.Fatal(err)
			}
			definition, registered := module.Lookup(name)
			if !registered {
				t.Fatalf("no module %s is registered", name)
			}
			built, err := definition.New(nil)
			if err != nil {
				t.Fatalf("build without a configuration: %v", err)
			}
			if manifest.Name != name {
				t.Errorf("name is %q, want that of the folder, %q", manifest.Name, name)
			}
			if string(manifest.Kind) != string(definition.Kind) {
				t.Errorf("kind is %q, registered is %q", manifest.Kind, definition.Kind)
			}
			var got []string
			for _, p := range manifest.Phases {
				got = append(got, string(p))
			}
			if want := phases(built); !slices.Equal(got, want) {
				t.Errorf("phases are %v, implemented are %v", got, want)
			}
			if manifest.License != "Apache-2.0" {
				t.Errorf("license is %q", manifest.License)
			}
		})
	}
}

func TestEveryFilterIsBuilt(t *testing.T) {
	all := read(t, "all/main.go")
	modules := regexp.MustCompile(`(?m)^modules +:= (.*)$`).FindStringSubmatch(read(t, "../Makefile"))
	if modules == nil {
		t.Fatal("the Makefile has no list of modules")
	}
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			path := `"github.com/leash-gateway/leash/filters/` + name + `"`
			if !strings.Contains(all, path) {
				t.Errorf("filters/all does not import it")
			}
			if !strings.Contains(read(t, name+"/wasm/main.go"), path) {
				t.Errorf("filters/%s/wasm does not import it", name)
			}
			if !slices.Contains(strings.Fields(modules[1]), name) {
				t.Errorf("the Makefile's modules are %s", modules[1])
			}
		})
	}
}

// field is a line of a README's table of fields.
type field struct{ kind, preset string }

// fieldsOf lists the fields of a configuration by path. The default is "" where the documentation words it.
func fieldsOf(config reflect.Value, path string, fields map[string]field) {
	if d, ok := config.Addr().Interface().(interface{ SetDefaults() }); ok {
		d.SetDefaults()
	}
	for i := range config.NumField() {
		f, value := config.Type().Field(i), config.Field(i)
		name := path + f.Tag.Get("json")
		switch {
		case f.Type == reflect.TypeFor[time.Duration]() && value.IsZero():
			fields[name] = field{"duration", ""}
		case f.Type == reflect.TypeFor[time.Duration]():
			fields[name] = field{"duration", "`" + time.Duration(value.Int()).String() + "`"}
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.String:
			fields[name] = field{"list of texts", ""}
		case f.Type.Kind() == reflect.Slice:
			fields[name] = field{"list", ""}
			fieldsOf(reflect.New(f.Type.Elem()).Elem(), name+"[].", fields)
		case f.Type == reflect.TypeFor[map[string]string]():
			fields[name] = field{"map of texts", ""}
		case f.Type.Kind() == reflect.Map:
			fields[name] = field{"map", ""}
			fieldsOf(reflect.New(f.Type.Elem()).Elem(), name+".NAME.", fields)
		case f.Type.Kind() == reflect.Struct:
			fieldsOf(value, name+".", fields)
		case f.Type.Kind() == reflect.Bool:
			fields[name] = field{"true or false", "false"}
		case f.Type.Kind() == reflect.String && value.String() != "":
			fields[name] = field{"text", "`" + value.String() + "`"}
		case f.Type.Kind() == reflect.String:
			fields[name] = field{"text", ""}
		case value.IsZero():
			fields[name] = field{"whole number", ""}
		default:
			fields[name] = field{"whole number", "`" + strconv.FormatInt(value.Int(), 10) + "`"}
		}
	}
}

func TestReadmesDescribeEveryField(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|\n]+) \\|([^|\n]*)\\|([^|\n]*)\\| *([^|\n]+) \\|$")
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			want := map[string]field{}
			fieldsOf(reflect.ValueOf(configs[name]).Elem(), "", want)
			got := map[string]field{}
			for _, cells := range row.FindAllStringSubmatch(read(t, name+"/README.md"), -1) {
				got[cells[1]] = field{strings.TrimSpace(cells[2]), strings.TrimSpace(cells[4])}
			}
			for path, f := range want {
				switch described, there := got[path]; {
				case !there:
					t.Errorf("%s is not described", path)
				case described.kind != f.kind:
					t.Errorf("%s is described as %q, want %q", path, described.kind, f.kind)
				case f.preset != "" && described.preset != f.preset:
					t.Errorf("%s is said to default to %s, want %s", path, described.preset, f.preset)
				case described.preset == "":
					t.Errorf("%s is described without a default", path)
				}
			}
			for path := range got {
				if _, there := want[path]; !there {
					t.Errorf("%s is described, and no field", path)
				}
			}
		})
	}
}

// property is what a manifest's schema says of a field.
type property struct {
	Type       string              `json:"type"`
	Enum       []string            `json:"enum"`
	Default    any                 `json:"default"`
	Items      *property           `json:"items"`
	Properties map[string]property `json:"properties"`
	// Additional is false, or the schema of what stands in a map.
	Additional json.RawMessage `json:"additionalProperties"`
}

// kind is what fieldsOf calls it.
func (p *property) kind(t *testing.T) string {
	t.Helper()
	switch {
	case p.Type == "boolean":
		return "true or false"
	case p.Type == "integer":
		return "whole number"
	case p.Type == "string", p.Type == "" && p.Enum != nil:
		return "text"
	case p.Type == "array" && p.Items != nil && p.Items.kind(t) == "text":
		return "list of texts"
	case p.Type == "array":
		return "list"
	case p.Type == "object" && p.others(t) != nil && p.others(t).kind(t) == "text":
		return "map of texts"
	default:
		return "map"
	}
}

// others is the schema of what stands in a map; nil for a map of fields.
func (p *property) others(t *testing.T) *property {
	t.Helper()
	if string(p.Additional) == "false" {
		return nil
	}
	var other property
	if err := json.Unmarshal(p.Additional, &other); err != nil {
		t.Fatalf("additionalProperties is %s: %v", p.Additional, err)
	}
	return &other
}

// list adds the fields of a schema by path, as fieldsOf does.
func (p *property) list(t *testing.T, path string, all map[string]property) {
	t.Helper()
	if p.Properties == nil {
		t.Errorf("%q has no properties", path)
	}
	if p.others(t) != nil {
		t.Errorf("%q takes fields that are not known", path)
	}
	for name, of := range p.Properties {
		name = path + name
		switch of.kind(t) {
		case "list":
			all[name] = of
			of.Items.list(t, name+"[].", all)
		case "map":
			if other := of.others(t); other != nil {
				all[name] = of
				other.list(t, name+".NAME.", all)
			} else {
				of.list(t, name+".", all)
			}
		default:
			all[name] = of
		}
	}
}

func TestManifestsSchemasHaveTheFieldsOfTheCode(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			want := map[string]field{}
			fieldsOf(reflect.ValueOf(configs[name]).Elem(), "", want)
			manifest, err := filters.Manifest(name)
			if err != nil {
				t.Fatal(err)
			}
			var schema property
			if err := json.Unmarshal(manifest.Config, &schema); err != nil {
				t.Fatal(err)
			}
			got := map[string]property{}
			schema.list(t, "", got)
			for path, f := range want {
				in, there := got[path]
				if !there {
					t.Errorf("%s is missing", path)
					continue
				}
				preset := ""
				if in.Default != nil {
					preset = "`" + fmt.Sprint(in.Default) + "`"
				}
				switch kind := in.kind(t); f.kind {
				case "duration":
					if d, err := time.ParseDuration(strings.Trim(preset, "`")); err == nil {
						preset = "`" + d.String() + "`"
					}
					if kind != "text" {
						t.Errorf("%s is %s, want a text, for a duration", path, kind)
					}
				default:
					if preset == "`false`" || f.preset == "false" && preset == "" {
						preset = "false"
					}
					if kind != f.kind {
						t.Errorf("%s is %s, want %s", path, kind, f.kind)
					}
				}
				if preset != f.preset {
					t.Errorf("%s defaults to %q, want %q", path, preset, f.preset)
				}
			}
			for path := range got {
				if _, there := want[path]; !there {
					t.Errorf("there is no field %s", path)
				}
			}
		})
	}
}

func TestReadmesHaveTheirSections(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			readme := read(t, name+"/README.md")
			at := 0
			for _, heading := range []string{"# " + name, "## Configuration", "## What clients see", "## Metrics", "## Facts"} {
				next := strings.Index(readme[at:], heading+"\n")
				if next < 0 {
					t.Fatalf("%q is missing, or not in its place", heading)
				}
				at += next
			}
		})
	}
}

func TestSnippetsOfGuidesBuild(t *testing.T) {
	for guide, least := range map[string]int{"providers": 5, "traces": 2} {
		snippets := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(read(t, "../docs/guides/"+guide+".md"), -1)
		if len(snippets) < least {
			t.Fatalf("found %d snippets in %s", len(snippets), guide)
		}
		for i, snippet := range snippets {
			t.Run(guide+" "+strconv.Itoa(i+1), func(t *testing.T) { build(t, snippet[1]+"pipeline: [{module: auth}]\n") })
		}
	}
}

// build builds the modules of a part of leash.yaml; what it takes besides to be a whole one is added.
func build(t *testing.T, file string) {
	t.Helper()
	provider := "openai"
	if names := regexp.MustCompile(`(?m)^  (\w+): ?\{?`).FindStringSubmatch(file); names != nil && strings.HasPrefix(file, "providers:") {
		provider = names[1]
	}
	for section, text := range map[string]string{
		"providers": "providers: {openai: {base_url: https://api.openai.com/v1}}\n",
		"routes":    "routes: [{model: gpt-4o, provider: " + provider + "}]\n",
		"tenants":   "tenants: {acme: {keys: [{name: web, sha256: " + strings.Repeat("ab", 32) + "}]}}\n",
	} {
		if !strings.Contains("\n"+file, "\n"+section+":") {
			file += text
		}
	}
	c, err := config.Parse("README.md", []byte(file), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, filter := range c.Filters() {
		moduletest.New(t, string(filter.Config))
	}
	for provider := range c.Providers {
		moduletest.New(t, string(c.Carrier(provider, "", false).Config))
	}
}

func TestTheExampleOfAReadmeBuilds(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(read(t, name+"/README.md"))
			if example == nil {
				t.Fatal("there is no example")
			}
			file := example[1]
			if name != "provider" && name != "tracer" && !strings.Contains(file, "- module: "+name+"\n") { // which Leash adds
				t.Errorf("the example does not use the module:\n%s", file)
			}
			build(t, file)
		})
	}
}
