package scenario

import (
	"cmp"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/leash-gateway/leash/config"
)

// position is a place in the file.
type position struct{ line, column int }

// maxDepth bounds nesting, and with maxNodes what aliases can blow up.
const maxDepth, maxNodes = 100, 200_000

// Load reads a scenario file. What is wrong in it comes as config.Errors, with file, line and column, all of it at once.
func Load(path string) (*File, error) {
	data, err := config.ReadFile(path, config.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a scenario file that is already in memory; paths in it are relative to the folder of name.
func Parse(name string, data []byte) (*File, error) {
	f := &File{path: name, positions: map[string]position{}, lines: strings.Split(string(data), "\n")}
	d := &decoder{f: f}
	if len(data) > config.MaxFile {
		return nil, fmt.Errorf("read scenarios: %s is larger than %d bytes", name, config.MaxFile)
	}
	if root := d.parse(data); root != nil {
		d.decode(root, reflect.ValueOf(f).Elem(), "")
	}
	if len(d.errors) == 0 {
		d.check()
	}
	if len(d.errors) > 0 {
		slices.SortStableFunc(d.errors, func(a, b *config.Error) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, d.errors
	}
	return f, nil
}

// decoder reads YAML nodes into the types of this package, as package config does with leash.yaml's.
type decoder struct {
	f      *File
	errors config.Errors
	nodes  int
	depth  int
}

func (d *decoder) parse(data []byte) *yaml.Node {
	documents := yaml.NewDecoder(strings.NewReader(string(data)))
	var root, second yaml.Node
	err := documents.Decode(&root)
	switch {
	case errors.Is(err, io.EOF) || err == nil && (len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null"):
		d.fail("", position{1, 1}, "it needs at least scenarios", "the file is empty")
		return nil
	case err != nil:
		d.fail("", syntaxAt(err), "here or just below", "not well-formed YAML: %v", err)
		return nil
	case !errors.Is(documents.Decode(&second), io.EOF):
		d.fail("", position{max(second.Line, 1), max(second.Column, 1)}, "make it a file of its own", "the file holds a second document")
		return nil
	}
	return root.Content[0]
}

// syntaxAt is the line that the YAML library names.
func syntaxAt(err error) position {
	line := 1
	if _, after, found := strings.Cut(err.Error(), "line "); found {
		digits, _, _ := strings.Cut(after, ":")
		if n, err := strconv.Atoi(digits); err == nil {
			line = n
		}
	}
	return position{line, 1}
}

func (d *decoder) fail(path string, at position, hint, format string, args ...any) {
	e := &config.Error{File: d.f.path, Line: at.line, Column: at.column, Path: path, Hint: hint, Reason: fmt.Sprintf(format, args...)}
	if at.line > 0 && at.line <= len(d.f.lines) {
		e.Source = d.f.lines[at.line-1]
	}
	d.errors = append(d.errors, e)
}

func place(n *yaml.Node) position { return position{n.Line, n.Column} }

// enter resolves aliases and notes where a node stands; it says whether it can be looked at.
func (d *decoder) enter(n *yaml.Node, path string) (*yaml.Node, bool) {
	d.f.positions[path] = place(n)
	at := place(n)
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.nodes++
	if d.nodes == maxNodes || d.depth == maxDepth {
		d.fail("", at, "", "the file is too large or too deep, or what its aliases stand for is")
	}
	if n.Style&yaml.TaggedStyle != 0 && n.ShortTag() != "!!binary" {
		d.fail(path, at, "leave it away", "has the YAML tag %s, which is not used here", n.Tag)
		return n, false
	}
	return n, d.nodes < maxNodes && d.depth < maxDepth
}

var (
	valueType = reflect.TypeFor[Value]()
	blockType = reflect.TypeFor[Block]()
)

// decode reads a node into out.
func (d *decoder) decode(n *yaml.Node, out reflect.Value, path string) {
	n, ok := d.enter(n, path)
	if !ok {
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	switch out.Type() {
	case valueType:
		out.Set(reflect.ValueOf(Value{d.value(n, path), true}))
		return
	case blockType:
		out.Set(reflect.ValueOf(d.block(n)))
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return // as if it were not there
	}
	if out.Kind() == reflect.Pointer {
		out.Set(reflect.New(out.Type().Elem()))
		out = out.Elem()
	}
	if u, ok := out.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != yaml.ScalarNode {
			d.fail(path, place(n), "", "must be a single value, not %s", kindOf(n))
		} else if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			d.fail(path, place(n), "", "%v", err)
		}
		return
	}
	switch out.Kind() {
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.fail(path, place(n), "", "must be a list, not %s", kindOf(n))
			return
		}
		out.Set(reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			d.decode(item, out.Index(i), path+"["+strconv.Itoa(i)+"]")
		}
	case reflect.Map:
		out.Set(reflect.MakeMap(out.Type()))
		d.fields(n, path, func(key, value *yaml.Node, at string) {
			item := reflect.New(out.Type().Elem()).Elem()
			d.decode(value, item, at)
			out.SetMapIndex(reflect.ValueOf(key.Value), item)
		})
	case reflect.Struct:
		d.fields(n, path, func(key, value *yaml.Node, at string) {
			if field := fieldNamed(out, key.Value); field.IsValid() {
				d.decode(value, field, at)
				return
			}
			d.fail(at, place(key), config.Suggestion(key.Value, fieldNames(out.Type())), "unknown field")
		})
	default:
		d.decodeScalar(n, out, path)
	}
}

func (d *decoder) decodeScalar(n *yaml.Node, out reflect.Value, path string) {
	tag := n.ShortTag()
	switch out.Kind() {
	case reflect.String:
		if text, err := base64.StdEncoding.DecodeString(n.Value); tag == "!!binary" && err == nil {
			out.SetString(string(text))
		} else if tag != "!!str" && tag != "!!timestamp" {
			d.fail(path, place(n), "put it in quotes: "+strconv.Quote(n.Value), "must be a string, not %s", kindOf(n))
		} else {
			out.SetString(n.Value)
		}
	case reflect.Bool:
		if tag != "!!bool" || n.Value != "true" && n.Value != "false" {
			d.fail(path, place(n), "", "must be true or false, not %s", kindOf(n))
		}
		out.SetBool(n.Value == "true")
	case reflect.Int:
		number, err := strconv.Atoi(n.Value)
		if err != nil || tag != "!!int" {
			d.fail(path, place(n), "", "must be a whole number, not %s", kindOf(n))
		}
		out.SetInt(int64(number))
	default:
		panic("scenario: type " + out.Type().String() + " is not supported")
	}
}

// fields calls each for the entries of a map, once a key.
func (d *decoder) fields(n *yaml.Node, path string, each func(key, value *yaml.Node, at string)) {
	if n.Kind != yaml.MappingNode {
		d.fail(path, place(n), "", "must be a map of fields, not %s", kindOf(n))
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			d.fail(path, place(key), "", "a key must be a plain word")
		case first[key.Value] > 0:
			d.fail(at, place(key), "remove one of them", "stands twice, first on line %d", first[key.Value])
		default:
			first[key.Value] = key.Line
			each(key, n.Content[i+1], at)
		}
	}
}

// value is a node as JSON has it.
func (d *decoder) value(n *yaml.Node, path string) any {
	n, ok := d.enter(n, path)
	if !ok {
		return nil
	}
	d.depth++
	defer func() { d.depth-- }()
	switch n.Kind {
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.value(item, path+"["+strconv.Itoa(i)+"]")
		}
		return list
	case yaml.MappingNode:
		object := map[string]any{}
		d.fields(n, path, func(key, value *yaml.Node, at string) { object[key.Value] = d.value(value, at) })
		return object
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			d.fail(path, place(n), "", "JSON has no number %s", n.Value)
		}
		return json.Number(n.Value)
	}
	return n.Value
}

// block is a map in the file as text, at the lines and columns at which it stands.
func (d *decoder) block(n *yaml.Node) Block {
	if n.Kind != yaml.MappingNode || n.Style&yaml.FlowStyle != 0 {
		encoded, _ := yaml.Marshal(n) // it has just been read
		return Block{string(encoded)}
	}
	var text strings.Builder
	text.WriteString(strings.Repeat("\n", n.Line-1))
	for i, line := range d.f.lines[n.Line-1:] {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if i > 0 && indent < n.Column-1 && strings.TrimSpace(line) != "" {
			break
		}
		text.WriteString(line + "\n")
	}
	return Block{text.String()}
}

// fieldNamed is the field of a struct, or of one that is part of it, with this name in YAML.
func fieldNamed(s reflect.Value, name string) reflect.Value {
	for i := range s.NumField() {
		field := s.Type().Field(i)
		if field.Anonymous {
			if found := fieldNamed(s.Field(i), name); found.IsValid() {
				return found
			}
		} else if tag, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); field.IsExported() && tag == name {
			return s.Field(i)
		}
	}
	return reflect.Value{}
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if field := t.Field(i); field.Anonymous {
			names = append(names, fieldNames(field.Type)...)
		} else if tag, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); field.IsExported() {
			names = append(names, tag)
		}
	}
	return names
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a map"
	}
	if kind := map[string]string{"!!str": "text", "!!int": "a number", "!!float": "a number", "!!bool": "true or false", "!!null": "nothing"}[n.ShortTag()]; kind != "" {
		return kind
	}
	return strconv.Quote(n.Value)
}
