package manifest

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

//go:embed schema.json
var schemaJSON []byte

// JSONSchema is the JSON Schema of module.yaml, made from the types of this package (go test -update refreshes it).
func JSONSchema() []byte { return schemaJSON }

var manifestSchema = sync.OnceValue(func() *jsonschema.Schema {
	s, err := compile(schemaJSON)
	if err != nil {
		panic("manifest: " + err.Error()) // a test compiles it
	}
	return s
})

// A Problem is something wrong in a configuration.
type Problem struct {
	// Path is where it stands, such as limits[0].window; "" is the whole.
	Path string
	// Reason says what is wrong.
	Reason string
}

func (p Problem) String() string {
	if p.Path == "" {
		return p.Reason
	}
	return p.Path + ": " + p.Reason
}

// compile reads a JSON Schema. What it refers to must stand in it: nothing is fetched.
func compile(schema []byte) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	if _, ok := document.(map[string]any); !ok {
		return nil, errors.New("must be a JSON Schema: a map of fields")
	}
	const name = "schema.json"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nowhere{})
	c.AssertFormat()
	if err := c.AddResource(name, document); err != nil {
		return nil, fmt.Errorf("is not a JSON Schema: %w", err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("is not a JSON Schema: %w", err)
	}
	return compiled, nil
}

type nowhere struct{}

// Load refuses: a schema that is fetched could change under those who have read it.
func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %s, but nothing is fetched: put it in below $defs", url)
}

func decodeJSON(data []byte) (any, error) { return jsonschema.UnmarshalJSON(bytes.NewReader(data)) }

// problems are what is wrong with a value, each with its place.
func problems(schema *jsonschema.Schema, value any) (list []Problem) {
	err := schema.Validate(value)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []Problem{{Reason: err.Error()}}
	}
	english := message.NewPrinter(language.English)
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		switch k := e.ErrorKind.(type) {
		case *kind.AdditionalProperties:
			for _, name := range k.Properties {
				list = append(list, Problem{join(pathOf(e.InstanceLocation), name), "unknown field" + knownFields(schema, e.SchemaURL)})
			}
			return
		case *kind.AnyOf, *kind.OneOf: // the alternatives one by one say little
			if len(e.Causes) > 0 && !slices.ContainsFunc(e.Causes, deeper(e)) {
				list = append(list, Problem{pathOf(e.InstanceLocation), alternatives(e, english)})
				return
			}
		}
		if len(e.Causes) == 0 {
			list = append(list, Problem{pathOf(e.InstanceLocation), reason(e, english)})
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(invalid)
	return list
}

// deeper says of a cause whether it is about a part of what its parent is about.
func deeper(parent *jsonschema.ValidationError) func(*jsonschema.ValidationError) bool {
	return func(cause *jsonschema.ValidationError) bool {
		return len(cause.InstanceLocation) > len(parent.InstanceLocation)
	}
}

func alternatives(e *jsonschema.ValidationError, english *message.Printer) string {
	var all []string
	for _, cause := range e.Causes {
		if r := reason(cause, english); !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return strings.Join(all, "; or: ")
}

func reason(e *jsonschema.ValidationError, english *message.Printer) string {
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return "lacks " + strings.Join(k.Missing, ", ")
	case *kind.Enum:
		var known []string
		for _, one := range k.Want {
			known = append(known, fmt.Sprint(one))
		}
		return fmt.Sprintf("%v is not one of %s", k.Got, strings.Join(known, ", "))
	case *kind.Type:
		return "must be " + strings.Join(k.Want, " or ") + ", not " + k.Got
	case *kind.Pattern:
		return fmt.Sprintf("%q does not match %s", k.Got, k.Want)
	default:
		return e.ErrorKind.LocalizedString(english)
	}
}

// knownFields lists the fields of the part of a schema that url points to, where it is simple to find.
func knownFields(schema *jsonschema.Schema, url string) string {
	found := find(schema, url, map[*jsonschema.Schema]bool{})
	if found == nil || len(found.Properties) == 0 {
		return ""
	}
	return ": known are " + strings.Join(slices.Sorted(maps.Keys(found.Properties)), ", ")
}

func find(s *jsonschema.Schema, url string, seen map[*jsonschema.Schema]bool) *jsonschema.Schema {
	if s == nil || seen[s] {
		return nil
	}
	seen[s] = true
	if s.Location == url {
		return s
	}
	next := []*jsonschema.Schema{s.Ref, s.Items2020}
	for _, p := range s.Properties {
		next = append(next, p)
	}
	next = append(append(append(next, s.AllOf...), s.AnyOf...), s.OneOf...)
	if additional, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
		next = append(next, additional)
	}
	for _, n := range next {
		if found := find(n, url, seen); found != nil {
			return found
		}
	}
	return nil
}

// pathOf writes a location as paths are written everywhere else.
func pathOf(location []string) string {
	path := ""
	for _, part := range location {
		if _, err := strconv.Atoi(part); err == nil && path != "" {
			path += "[" + part + "]"
			continue
		}
		path = join(path, part)
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
