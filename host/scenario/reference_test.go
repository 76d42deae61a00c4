package scenario_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/invopop/jsonschema"

	"github.com/leash-gateway/leash/host/scenario"
)

const (
	introduction = "testdata/reference/introduction.md"
	exampleFile  = "testdata/reference/example.yaml"
)

// TestReferenceIsMadeFromTheTypes: the introduction and the example are files of their own, the tables are those of the JSON Schema.
func TestReferenceIsMadeFromTheTypes(t *testing.T) {
	var s jsonschema.Schema
	if err := json.Unmarshal(scenario.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	var doc bytes.Buffer
	doc.WriteString(strings.Replace(string(read(t, introduction)), "EXAMPLE\n", string(read(t, exampleFile)), 1))
	section := func(title string, one *jsonschema.Schema) {
		fmt.Fprintf(&doc, "\n## %s\n\n%s\n\n| field | type | |\n|---|---|---|\n", title, one.Description)
		for p := one.Properties.Oldest(); p != nil; p = p.Next() {
			fmt.Fprintf(&doc, "| `%s` | %s | %s |\n", p.Key, typeOf(p.Value), described(p.Key, p.Value.Description))
		}
	}
	s.Description = "A file is scenarios that have their surroundings in common."
	section("File", &s)
	for _, name := range []string{"Module", "Scenario", "Step", "Request", "Answer", "Expect", "Received", "Called", "Event", "Line"} {
		one := s.Definitions[name]
		if one == nil {
			t.Fatalf("the schema has no %s", name)
		}
		section(name, one)
		delete(s.Definitions, name)
	}
	for name := range s.Definitions {
		t.Errorf("%s is not in the reference", name)
	}
	golden.Assert(t, doc.String(), "../../../docs/reference/scenarios.md")
}

// typeOf is a field's type, with a link if it has a section.
func typeOf(s *jsonschema.Schema) string {
	switch {
	case s.Ref != "":
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	case len(s.Enum) > 0:
		var values []string
		for _, one := range s.Enum {
			values = append(values, fmt.Sprintf("`%v`", one))
		}
		return strings.Join(values, ", ")
	case s.Type == "array" && s.Items != nil:
		return "list of " + typeOf(s.Items)
	case s.Type == "object" && s.AdditionalProperties != nil:
		return "map of " + typeOf(s.AdditionalProperties)
	case s.Format == "regex":
		return "regular expression"
	case s.Format == "date-time":
		return "time"
	case s.Pattern != "":
		return "duration"
	case s.Type == "":
		return "any"
	}
	return s.Type
}

// described is what a field is, with its name in the file instead of that in Go.
func described(name, text string) string {
	_, rest, found := strings.Cut(text, " ")
	if !found {
		return text
	}
	return "`" + name + "` " + strings.ReplaceAll(rest, "\n", " ")
}

func TestTheExampleOfTheReferencePasses(t *testing.T) {
	for _, report := range run(t, runner(exampleFile), exampleFile) {
		for _, failure := range report.Failures {
			t.Errorf("%s: %v", report.Name, failure)
		}
	}
}
