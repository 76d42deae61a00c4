package scenario_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/scenario"
)

func TestSchemaIsMadeFromTheTypes(t *testing.T) {
	r := &jsonschema.Reflector{Anonymous: true, ExpandedStruct: true, Mapper: mapped}
	if err := r.AddGoComments("github.com/leash-gateway/leash/host/scenario", ".", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	s := r.Reflect(&scenario.File{})
	s.Title = "scenarios of a module"
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(s); err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, got.String(), "../schema.json")
}

// mapped are the types that are not what Go thinks they are.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[scenario.Value]():
		return &jsonschema.Schema{}
	case reflect.TypeFor[scenario.Block]():
		return &jsonschema.Schema{Type: "object"}
	case reflect.TypeFor[config.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`}
	case reflect.TypeFor[scenario.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[scenario.Pattern]():
		return &jsonschema.Schema{Type: "string", Format: "regex"}
	}
	return nil
}

// scenarioFiles are all scenario files of the project.
func scenarioFiles(t testing.TB) []string {
	t.Helper()
	filters, err1 := filepath.Glob("../../filters/*/scenarios/*.yaml")
	examples, err2 := filepath.Glob("../../examples/*/scenarios/*.yaml")
	if err1 != nil || err2 != nil || len(filters) < 6 || len(examples) == 0 {
		t.Fatalf("found %d and %d scenario files (%v, %v)", len(filters), len(examples), err1, err2)
	}
	return append(append(filters, examples...), "../harness/onenvoy/testdata/surroundings.yaml")
}

func TestSchemaTakesWhatTheReaderTakes(t *testing.T) {
	s := compiled(t)
	for _, file := range scenarioFiles(t) {
		if _, err := scenario.Load(file); err != nil {
			t.Error(err)
		}
		if err := s.Validate(value(t, read(t, file))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestSchemaRefusesWhatItCanSee(t *testing.T) {
	s := compiled(t)
	for _, name := range []string{"unknown-fields", "wrong-types"} {
		if s.Validate(value(t, read(t, filepath.Join("testdata", "errors", name+".yaml")))) == nil {
			t.Errorf("the schema takes %s", name)
		}
	}
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func compiled(t *testing.T) *validator.Schema {
	t.Helper()
	document, err := validator.UnmarshalJSON(bytes.NewReader(scenario.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := validator.NewCompiler()
	if err := compiler.AddResource("scenario.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("scenario.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// value is YAML as an editor's validator sees it.
func value(t *testing.T, data []byte) any {
	t.Helper()
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
