package config_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/leash-gateway/leash/config"
)

func TestSchemaIsMadeFromTheTypes(t *testing.T) { golden.Assert(t, string(made(t)), "../schema.json") }

// made is the schema as the types have it now.
func made(t *testing.T) []byte {
	t.Helper()
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, Mapper: mapped}
	if err := r.AddGoComments("github.com/leash-gateway/leash/config", ".", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	schema := r.Reflect(&config.Config{})
	schema.Title = "leash.yaml"
	for _, kind := range config.Kinds() {
		field := schema.Definitions["Provider"].Properties.Value("kind")
		field.Enum = append(field.Enum, kind)
	}
	for _, definition := range append(slices.Collect(maps.Values(schema.Definitions)), schema) {
		speakOfFields(definition)
		letVariablesStand(definition)
	}
	schema.Definitions["Secret"].OneOf = []*jsonschema.Schema{{Required: []string{"env"}}, {Required: []string{"file"}}}
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		t.Fatal(err)
	}
	return got.Bytes()
}

// mapped are the types that are not what Go thinks they are.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[config.Size]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "1"}, {Type: "string", Pattern: `^[0-9]+ *([KMG]iB)?$`}, variable(),
		}}
	case reflect.TypeFor[config.Duration]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`}, variable(),
		}}
	case reflect.TypeFor[config.URL]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `^https?://[^/?#@]+`}, variable()}}
	case reflect.TypeFor[config.Network]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `^[0-9a-fA-F.:]+/[1-9][0-9]{0,2}$`}, variable()}}
	case reflect.TypeFor[config.Raw]():
		return &jsonschema.Schema{Type: "object"}
	}
	return nil
}

// speakOfFields names fields in their descriptions as they are written in a leash.yaml, not as Go does.
func speakOfFields(s *jsonschema.Schema) {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		first, rest, _ := strings.Cut(p.Value.Description, " ")
		if strings.EqualFold(first, strings.ReplaceAll(p.Key, "_", "")) {
			p.Value.Description = p.Key + " " + rest
		}
	}
}

// variable is a value that comes from the environment, at least in part.
func variable() *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Pattern: `\$\{`} }

// letVariablesStand lets a variable stand where else only certain values may.
func letVariablesStand(s *jsonschema.Schema) {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		if v := p.Value; v.Type == "integer" || v.Type == "boolean" || v.Pattern != "" || v.Enum != nil {
			plain := *v
			plain.Description, plain.Examples = "", nil
			p.Value = &jsonschema.Schema{Description: v.Description, AnyOf: []*jsonschema.Schema{&plain, variable()}}
		}
	}
}

func TestSchemaTakesWhatLeashTakes(t *testing.T) {
	schema := compiled(t)
	files := inputs(t, "valid")
	examples, err := filepath.Glob("../examples/*/leash.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("find examples: %v", err)
	}
	for _, file := range append(files, examples...) {
		t.Run(filepath.ToSlash(file), func(t *testing.T) {
			if err := schema.Validate(value(t, file)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSchemaRefusesWhatItCanSee(t *testing.T) {
	schema := compiled(t)
	for _, name := range []string{"unknown-fields", "wrong-types", "secrets", "not-a-map", "nothing-needed-is-there", "budgets"} {
		t.Run(name, func(t *testing.T) {
			if schema.Validate(value(t, filepath.Join("testdata", "errors", name+".yaml"))) == nil {
				t.Error("the schema takes it")
			}
		})
	}
}

func compiled(t *testing.T) *validator.Schema {
	t.Helper()
	document, err := validator.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := validator.NewCompiler()
	if err := compiler.AddResource("leash.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("leash.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// value is a YAML file as an editor's validator sees it.
func value(t *testing.T, file string) any {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var decoded any
	if err := yaml.Unmarshal(data, &decoded); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	out, err := validator.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
