package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/invopop/jsonschema"
)

func reflected(t *testing.T) *jsonschema.Schema {
	t.Helper()
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, Mapper: func(t reflect.Type) *jsonschema.Schema {
		switch t {
		case reflect.TypeFor[Schema]():
			return &jsonschema.Schema{Type: "object"}
		case reflect.TypeFor[Size]():
			return &jsonschema.Schema{Type: "string", Pattern: sizePattern}
		case reflect.TypeFor[Phase]():
			s := &jsonschema.Schema{Type: "string"}
			for _, p := range Phases {
				s.Enum = append(s.Enum, string(p))
			}
			return s
		}
		return nil
	}}
	if err := r.AddGoComments("github.com/leash-gateway/leash/manifest", ".", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	s := r.Reflect(&Manifest{})
	s.Title = FileName
	// These hold commas, which tags cannot.
	s.Properties.Value("version").Pattern = versionPattern
	s.Properties.Value("license").Pattern = licensePattern
	return s
}

func TestSchemaIsMadeFromTheTypes(t *testing.T) {
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(reflected(t)); err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, got.String(), "../schema.json")
}

func TestReferenceIsMadeFromTheTypes(t *testing.T) {
	s := reflected(t)
	var b strings.Builder
	b.WriteString("# The manifest: module.yaml\n\n<!-- Generated from manifest/: go test ./manifest -update -->\n\n" +
		"It stands in the module's folder and travels inside its `.wasm`. `leash schema --manifest` prints its JSON Schema; a first line\n" +
		"`# yaml-language-server: $schema=FILE` makes editors complete it. Unknown fields are refused, with the line.\n\n")
	fields := func(title string, of *jsonschema.Schema) {
		fmt.Fprintf(&b, "## %s\n\n| field | needed | what it is |\n|---|---|---|\n", title)
		for p := of.Properties.Oldest(); p != nil; p = p.Next() {
			needed := ""
			if slices.Contains(of.Required, p.Key) {
				needed = "yes"
			}
			v := p.Value
			if v.Ref != "" {
				v = s.Definitions[strings.TrimPrefix(v.Ref, "#/$defs/")]
			}
			text := strings.TrimSpace(p.Value.Description)
			if text == "" {
				text = strings.TrimSpace(v.Description)
			}
			for _, enum := range [][]any{v.Enum, itemsEnum(v)} {
				if len(enum) > 0 {
					text += fmt.Sprintf(" One of %s.", quotedList(enum))
				}
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Key, needed, strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), "|", "\\|"))
		}
		b.WriteString("\n")
	}
	fields("Fields", s)
	fields("capabilities", s.Definitions["Capabilities"])
	fields("resources", s.Definitions["Resources"])
	b.WriteString("## Groups of host calls\n\nWhat `capabilities.host_calls` may name. The functions become Envoy's `capability_restriction_config` and the restriction of\n" +
		"Leash's own hosts: a call of another is refused by the host, and a `.wasm` that imports another is not loaded at all. Envoy restricts\n" +
		"functions only, not what they are called with: `callouts`, `properties` and `shared_data` tell a reader what to expect, and\n" +
		"`leash validate` checks that each `provider.NAME` among the callouts is there.\n\n| group | functions |\n|---|---|\n")
	for _, name := range groupNames() {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", name, strings.Join(groups[name], "` `"))
	}
	fmt.Fprintf(&b, "\nOne by one: `%s`.\n\nWithout asking: `%s`.\n", strings.Join(rare, "` `"), strings.Join(everybodys, "` `"))
	golden.Assert(t, b.String(), "../../docs/reference/manifest.md")
}

func itemsEnum(s *jsonschema.Schema) []any {
	if s.Items == nil {
		return nil
	}
	return s.Items.Enum
}

func quotedList(values []any) string {
	var out []string
	for _, v := range values {
		out = append(out, fmt.Sprintf("`%v`", v))
	}
	return strings.Join(out, ", ")
}

func TestEveryFunctionStandsInOnePlace(t *testing.T) {
	seen := map[string]bool{}
	for _, list := range append([][]string{everybodys, rare}, sortedGroups()...) {
		for _, f := range list {
			if seen[f] {
				t.Errorf("%s stands twice", f)
			}
			seen[f] = true
		}
	}
}

func sortedGroups() (all [][]string) {
	for _, name := range groupNames() {
		all = append(all, groups[name])
	}
	return all
}
