package config_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/config"
)

func TestReferenceIsCurrent(t *testing.T) {
	golden.Assert(t, reference(t), "../../docs/reference/configuration.md")
}

// shortest is a configuration in which everything has its default.
const shortest = `
providers: {openai: {base_url: "https://api.openai.com/v1", api_key: {env: OPENAI_API_KEY}}}
tenants: {demo: {keys: [{name: laptop, sha256: dab3d8f1dd8779081d1d3d277bce527d52ab534b88700d61f3d3ed54fb16e8b3}]}}
routes: [{model: gpt-4o-mini, provider: openai}]
pipeline: [{module: auth}]
`

func reference(t *testing.T) string {
	t.Helper()
	c, err := config.Parse("leash.yaml", []byte(shortest), environment)
	if err != nil {
		t.Fatal(err)
	}
	*c.Providers["openai"].APIKey, c.Routes[0] = config.Secret{}, config.Route{Targets: []config.Target{{}}} // which have no defaults
	c.Tracing.Headers = map[string]*config.Secret{"authorization": {}}
	c.Providers["openai"].APIKeys = []config.ProviderKey{{}}
	c.Providers["openai"].AWS = &config.AWS{AccessKeyID: &config.Secret{}, SecretAccessKey: &config.Secret{}, SessionToken: &config.Secret{}}
	c.Providers["openai"].ServiceAccount = &config.Secret{}
	r := &references{}
	if err := json.Unmarshal(made(t), &r.schema); err != nil {
		t.Fatal(err)
	}
	r.out.WriteString(`# leash.yaml

<!-- Generated from package config: go test ./config -update -->

The shortest one that works:

` + "```yaml" + shortest + "```" + `

` + "[`examples/quickstart/leash.yaml`](../../examples/quickstart/leash.yaml)" + ` shows more. ` + "`leash validate`" + ` checks a file and those that it names, ` + "`leash schema`" + ` prints its
JSON Schema for editors. An unknown field or a wrong value is refused with its line and column.

` + "`${NAME}` and `${NAME:-default}`" + ` stand for an environment variable, within any value; ` + "`$$`" + ` is a dollar sign. What stands in a variable is
text: it cannot add fields. Within ` + "`{}` and `[]` it stands in quotes: `\"${NAME}\"`" + `. Files are relative to the folder of ` + "`leash.yaml`" + `. Sizes are written as ` + "`512KiB`, `10MiB`, `1GiB`" + `, durations as
` + "`500ms`, `90s`, `1h30m`" + `.

A changed file is applied while ` + "`leash up`" + ` runs, with all that it refers to, and so is what it names when its file
changes: modules, secrets, certificates (` + "`ca_file`" + `), the trust policy. SIGHUP does the same, and reads again which certificates the system trusts. Only ` + "`control.listen`, `envoy.admin`" + `
and ` + "`envoy.concurrency`" + ` need a new start.
What a module is configured with holds for all requests from then on. Where filters come or go, as with a module of one's own or another
` + "`modules.layout`" + `, or ` + "`limits` or `trusted_proxies`" + ` change, Envoy serves one more request as before on a connection that is open.
`)
	r.section("", "", reflect.ValueOf(c).Elem())
	r.out.WriteString(`
## Kinds of providers

| kind | base URL | what it is sent as clients send it | key in |
|---|---|---|---|
`)
	for _, name := range config.Kinds() {
		k := (&config.Provider{Kind: name}).Description()
		key := "`" + k.Auth.Header + "`"
		if k.Auth.SigV4 != "" {
			key += ", or `aws`"
		}
		if k.Auth.Google {
			key += ", or `service_account`"
		}
		base := "needed"
		if k.BaseURL != "" {
			base = "`" + k.BaseURL + "`"
		}
		fmt.Fprintf(&r.out, "| `%s` | %s | %s | %s |\n", name, base, strings.Join(k.Formats, ", "), key)
	}
	r.out.WriteString(`
All else is translated into the provider's API ([how](../translation.md)). [providers](../guides/providers.md) shows how routes lead to several
of them.

## Configuration of the modules

What stands under ` + "`pipeline[].config`, and under `tenants.NAME.modules.MODULE`" + ` for one tenant, is the module's own:
`)
	for _, name := range []string{"auth", "ratelimit", "contentfilter", "costtracker", "logger", "route"} {
		fmt.Fprintf(&r.out, "[%s](../../filters/%s/README.md)%s", name, name, map[bool]string{true: ".\n", false: ",\n"}[name == "route"])
	}
	r.out.WriteString("`auth` and `route` get theirs from `tenants` and `routes`.\n")
	return r.out.String()
}

// references writes a table of fields for each struct of the configuration.
type references struct {
	out    strings.Builder
	schema struct {
		part

		Definitions map[string]part `json:"$defs"`
	}
}

// part is a struct in the schema.
type part struct {
	Description string
	Properties  map[string]struct {
		Description string
		AnyOf       []struct{ Enum []string }
	}
	Required []string
}

// section writes the fields of a struct, and then the sections of the structs in it.
func (r *references) section(path, about string, v reflect.Value) {
	if path != "" {
		fmt.Fprintf(&r.out, "\n## `%s`\n\n%s\n", path, about)
		path += "."
	}
	r.out.WriteString("\n| field | value | default | what it is |\n|---|---|---|---|\n")
	in := r.schema.part
	if d, ok := r.schema.Definitions[v.Type().Name()]; ok {
		in = d
	}
	var later []func()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "" {
			continue
		}
		value, inner, at := described(v.Field(i), path+name)
		field := in.Properties[name]
		const few = 8 // of more there is a table
		if len(field.AnyOf) > 0 && field.AnyOf[0].Enum != nil && len(field.AnyOf[0].Enum) <= few {
			value = "`" + strings.Join(field.AnyOf[0].Enum, "`, `") + "`"
		}
		standard := ""
		switch {
		case slices.Contains(in.Required, name):
			standard = "needed"
		case !inner.IsValid() && !v.Field(i).IsZero():
			standard = "`" + written(v.Field(i)) + "`"
		}
		fmt.Fprintf(&r.out, "| `%s` | %s | %s | %s |\n", name, value, standard, cell.Replace(field.Description))
		if inner.IsValid() {
			later = append(later, func() { r.section(at, r.schema.Definitions[inner.Type().Name()].Description, inner) })
		}
	}
	for _, section := range later {
		section()
	}
}

// cell keeps a text within its column.
var cell = strings.NewReplacer("\n", " ", "|", `\|`)

// described says what a field's value is, and what struct is in it and where.
func described(v reflect.Value, path string) (value string, inner reflect.Value, at string) {
	switch v.Interface().(type) {
	case config.Size:
		return "size", inner, ""
	case config.Duration:
		return "duration", inner, ""
	case config.URL:
		return "URL", inner, ""
	case config.Raw:
		return "map", inner, ""
	case []config.Network:
		return "list of networks", inner, ""
	}
	switch v.Kind() {
	case reflect.Pointer:
		return described(v.Elem(), path)
	case reflect.Struct:
		return "fields, see below", v, path
	case reflect.Slice:
		switch v.Type().Elem().Kind() {
		case reflect.String:
			return "list of texts", inner, ""
		case reflect.Int:
			return "list of whole numbers", inner, ""
		}
		return "list, see below", reflect.Indirect(v.Index(0)), path + "[]"
	case reflect.Map:
		switch v.Type().Elem() {
		case reflect.TypeFor[config.Raw]():
			return "maps by name", inner, ""
		case reflect.TypeFor[string]():
			return "texts by name", inner, ""
		}
		return "fields by name, see below", v.MapIndex(v.MapKeys()[0]).Elem(), path + ".NAME"
	case reflect.Bool:
		return "`true`, `false`", inner, ""
	case reflect.Int:
		return "whole number", inner, ""
	default:
		return "text", inner, ""
	}
}

// written is a value as it stands in a leash.yaml.
func written(v reflect.Value) string {
	if size, ok := v.Interface().(config.Size); ok && size%(1<<20) == 0 {
		return fmt.Sprintf("%dMiB", size>>20)
	}
	if d, ok := v.Interface().(config.Duration); ok {
		text, _ := d.MarshalText()
		if minutes, whole := strings.CutSuffix(string(text), "m0s"); whole {
			return minutes + "m" // 5m rather than 5m0s
		}
		return string(text)
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, _ := m.MarshalText()
		return string(text)
	}
	return fmt.Sprint(v.Interface())
}
