package config

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"go.yaml.in/yaml/v3"
)

// position is a place in the file; 0 is no place.
type position struct{ line, column int }

// decoder reads YAML nodes into the types of this package, strictly, and remembers where everything stood.
type decoder struct {
	file      string
	lines     []string
	env       func(string) (string, bool)
	positions map[string]position
	errors    Errors
	nodes     int
}

// maxNodes bounds what aliases can blow up.
const maxNodes = 200_000

// parse reads the file's single document.
func (d *decoder) parse(data []byte) *yaml.Node {
	documents := yaml.NewDecoder(strings.NewReader(string(data)))
	var root, second yaml.Node
	if err := documents.Decode(&root); err != nil {
		line := 1
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			line, _ = strconv.Atoi(m[1])
		}
		reason := yamlLine.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "")
		if err.Error() == "EOF" {
			reason = "is empty"
		}
		d.fail("", position{line, 1}, "", "%s", reason)
		return nil
	}
	if documents.Decode(&second) == nil {
		d.fail("", position{second.Line, max(second.Column, 1)}, "", "holds a second document")
	}
	if len(root.Content) == 0 {
		d.fail("", position{1, 1}, "", "is empty")
		return nil
	}
	return root.Content[0]
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func (d *decoder) fail(path string, at position, hint, format string, args ...any) {
	e := &Error{File: d.file, Line: at.line, Column: at.column, Path: path, Hint: hint, Reason: fmt.Sprintf(format, args...)}
	if at.line > 0 && at.line <= len(d.lines) {
		e.Source = d.lines[at.line-1]
	}
	d.errors = append(d.errors, e)
}

func place(n *yaml.Node) position { return position{n.Line, n.Column} }

// decode reads a node into out.
func (d *decoder) decode(n *yaml.Node, out reflect.Value, path string) {
	d.positions[path] = place(n)
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.fail(path, place(n), "", "is too large, or its aliases are")
		}
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" && out.Type() != rawType {
		return
	}
	if out.Kind() == reflect.Pointer {
		out.Set(reflect.New(out.Type().Elem()))
		d.decode(n, out.Elem(), path)
		return
	}
	if out.Type() == rawType {
		out.SetBytes(d.json(nil, n, path))
		return
	}
	if u, ok := out.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if text, ok := d.scalar(n, path, "a value"); ok {
			if err := u.UnmarshalText([]byte(text)); err != nil {
				d.fail(path, place(n), "", "%v", err)
			}
		}
		return
	}
	switch out.Kind() {
	case reflect.String:
		if text, ok := d.scalar(n, path, "a string"); ok {
			out.SetString(text)
		}
	case reflect.Bool:
		if text, ok := d.scalar(n, path, "true or false"); ok {
			if text != "true" && text != "false" {
				d.fail(path, place(n), "", "%q is neither true nor false", text)
			}
			out.SetBool(text == "true")
		}
	case reflect.Int:
		if text, ok := d.scalar(n, path, "a whole number"); ok {
			number, err := strconv.Atoi(text)
			if err != nil {
				d.fail(path, place(n), "", "%q is not a whole number", text)
			}
			out.SetInt(int64(number))
		}
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.fail(path, place(n), "", "must be a list")
			return
		}
		out.Set(reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			d.decode(item, out.Index(i), path+"["+strconv.Itoa(i)+"]")
		}
	case reflect.Map:
		d.decodeMap(n, out, path)
	case reflect.Struct:
		d.decodeStruct(n, out, path)
	default:
		panic("config: type " + out.Type().String() + " is not supported")
	}
}

func (d *decoder) decodeMap(n *yaml.Node, out reflect.Value, path string) {
	table := reflect.MakeMap(out.Type())
	d.fields(n, path, func(key, value *yaml.Node, at string) {
		item := reflect.New(out.Type().Elem()).Elem()
		d.decode(value, item, at)
		if item.Kind() == reflect.Pointer && item.IsNil() {
			item.Set(reflect.New(item.Type().Elem()))
		}
		table.SetMapIndex(reflect.ValueOf(key.Value), item)
	})
	out.Set(table)
}

func (d *decoder) decodeStruct(n *yaml.Node, out reflect.Value, path string) {
	if out.Type() == secretType && n.Kind == yaml.ScalarNode {
		// The message must not repeat what may be a key.
		d.errors = append(d.errors, &Error{
			File: d.file, Line: n.Line, Column: n.Column, Path: path, Reason: "must not hold the key itself",
			Hint: "refer to it: {env: NAME_OF_A_VARIABLE} or {file: PATH}",
		})
		return
	}
	d.fields(n, path, func(key, value *yaml.Node, at string) {
		for i := range out.NumField() {
			if f := out.Type().Field(i); f.IsExported() && f.Tag.Get("yaml") == key.Value {
				d.decode(value, out.Field(i), at)
				return
			}
		}
		d.fail(at, place(key), suggestion(key.Value, fieldNames(out.Type())), "unknown field")
	})
}

// fields calls each for the entries of a map, once a key.
func (d *decoder) fields(n *yaml.Node, path string, each func(key, value *yaml.Node, at string)) {
	if n.Kind != yaml.MappingNode {
		d.fail(path, place(n), "", "must be a map of fields")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := join(path, key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			d.fail(at, place(key), "", "a key must be a plain word")
		case seen[key.Value]:
			d.fail(at, place(key), "", "stands twice")
		default:
			seen[key.Value] = true
			each(key, n.Content[i+1], at)
		}
	}
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			names = append(names, f.Tag.Get("yaml"))
		}
	}
	return names
}

// suggestion says which known name was probably meant.
func suggestion(name string, known []string) string {
	best, least := "", len(name)/2+1
	for _, candidate := range known {
		if far := levenshtein.ComputeDistance(strings.ToLower(name), candidate); far < least {
			best, least = candidate, far
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	known = slices.Clone(known)
	slices.Sort(known)
	return "known are " + strings.Join(known, ", ")
}

// scalar reads a plain value, with variables from the environment put in.
func (d *decoder) scalar(n *yaml.Node, path, want string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fail(path, place(n), "", "must be %s", want)
		return "", false
	}
	text, err := expand(n.Value, d.env)
	if err != nil {
		d.fail(path, place(n), "", "%v", err)
		return "", false
	}
	return text, true
}

var (
	variable   = regexp.MustCompile(`\$(\$|\{[^}]*\}?)`)
	expression = regexp.MustCompile(`^\{([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?\}$`)
)

// expand puts variables in: ${NAME}, ${NAME:-default}; $$ is a dollar sign.
func expand(text string, env func(string) (string, bool)) (string, error) {
	var first error
	out := variable.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		m := expression.FindStringSubmatch(found[1:])
		if m == nil {
			first = fmt.Errorf("%s is not a variable: write ${NAME} or ${NAME:-default}, and $$ for a dollar sign", found)
			return ""
		}
		value, set := env(m[1])
		switch {
		case value != "" || set && m[2] == "":
			return value
		case m[2] != "":
			return m[3]
		}
		first = fmt.Errorf("environment variable %s is not set: set it, or write ${%s:-default}", m[1], m[1])
		return ""
	})
	return out, first
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var (
	rawType    = reflect.TypeFor[Raw]()
	secretType = reflect.TypeFor[Secret]()
)
