package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// position is a place in the file; 0 is no place.
type position struct{ line, column int }

// decoder reads YAML nodes into the types of this package, strictly, and remembers where everything stood.
//
// The library go.yaml.in/yaml/v3 only parses: what a node means is decided here, so that every mistake is found in one
// pass and has its place. docs/decisions tells why this library.
type decoder struct {
	file      string
	lines     []string
	env       func(string) (string, bool) // nil: $ is a character like others
	optional  bool                        // the file may be empty
	positions map[string]position
	errors    Errors
	// literals are secrets that stand in the file by mistake.
	literals []string
	nodes    int
	depth    int
}

const (
	// maxNodes bounds what aliases can blow up.
	maxNodes = 100_000
	// maxDepth bounds nesting, also that of an alias inside of what it stands for.
	maxDepth = 64
	// maxErrors bounds what is reported of one file.
	maxErrors = 50
)

// parse reads the file's single document.
func (d *decoder) parse(data []byte) *yaml.Node {
	documents := yaml.NewDecoder(strings.NewReader(string(data)))
	var root, second yaml.Node
	if err := documents.Decode(&root); err == io.EOF { //nolint:errorlint // yaml documents it bare
		d.failEmpty()
		return nil
	} else if err != nil {
		d.failSyntax(err)
		return nil
	}
	switch err := documents.Decode(&second); {
	case err == nil:
		d.fail("", position{second.Line, max(second.Column, 1)}, "remove the line ---", "the file holds a second document")
	case err != io.EOF: //nolint:errorlint // yaml documents it bare
		d.failSyntax(err)
	}
	if len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
		d.failEmpty()
		return nil
	}
	return root.Content[0]
}

func (d *decoder) failEmpty() {
	if !d.optional {
		d.fail("", position{1, 1}, "leash.yaml needs at least providers, routes and a pipeline", "the file is empty")
	}
}

// bareVariable is a variable without quotes within {} or [], where YAML takes its braces for a map's.
var bareVariable = regexp.MustCompile(`[\[{][^"']*\$\{`)

// bareMark is a value without quotes that begins with what means something to YAML: every pattern for all models, say.
var bareMark = regexp.MustCompile("(?:^ *-|[:,\\[{]) *([*&@%`])")

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// failSyntax reports what the YAML library says. It names a line only, and often the one where the block begins that is
// not well-formed, so the first line that cannot follow those above is looked for.
func (d *decoder) failSyntax(err error) {
	m := yamlLine.FindStringSubmatch(err.Error())
	line := 1
	if m[1] != "" {
		line, _ = strconv.Atoi(m[1]) // digits
	}
	line = min(max(line, d.wellFormed()+1), len(d.lines))
	text := d.lines[line-1]
	at := position{line, 1 + len(text) - len(strings.TrimLeft(text, " "))}
	hint := "here or just below"
	switch {
	case strings.HasPrefix(text[at.column-1:], "\t"):
		hint = "indent with blanks: YAML takes no tabs there"
	case bareMark.MatchString(text):
		hint = "a value that begins with " + bareMark.FindStringSubmatch(text)[1] + " stands in quotes"
	case bareVariable.MatchString(text):
		hint = `within {} and [] a variable stands in quotes: "${NAME}"`
	}
	d.fail("", at, hint, "not well-formed YAML: %s", strings.TrimPrefix(err.Error(), m[0]))
}

// wellFormed is the number of lines at the file's beginning that are well-formed together, found by bisection. Within
// brackets or quotes over several lines no line is the end of something well-formed, so a few before it are tried too.
func (d *decoder) wellFormed() int {
	const tries = 12
	well, ill := 0, len(d.lines)
	for ill-well > 1 {
		middle, found := (well+ill)/2, false
		for k := middle; k > well && k > middle-tries && !found; k-- {
			var n yaml.Node
			if found = yaml.Unmarshal([]byte(strings.Join(d.lines[:k], "\n")), &n) == nil; found {
				well = k
			}
		}
		if !found {
			ill = middle
		}
	}
	return well
}

func (d *decoder) fail(path string, at position, hint, format string, args ...any) {
	e := &Error{File: d.file, Line: at.line, Column: at.column, Path: path, Hint: hint, Reason: fmt.Sprintf(format, args...)}
	if at.line > 0 && at.line <= len(d.lines) {
		e.Source = d.lines[at.line-1]
	}
	if len(d.errors) <= maxErrors { // one more than is shown, so that it can be told that there are more
		d.errors = append(d.errors, e)
	}
}

func place(n *yaml.Node) position { return position{n.Line, n.Column} }

// enter resolves aliases, notes where a node stands, and says whether it can be looked at.
func (d *decoder) enter(n *yaml.Node, path string) (*yaml.Node, bool) {
	at := place(n)
	d.positions[path] = at
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.nodes++
	switch {
	case d.nodes == maxNodes+1:
		d.fail("", at, "", "the file is too large, or what its aliases stand for is: more than %d values", maxNodes)
	case d.depth == maxDepth && d.nodes <= maxNodes:
		d.fail("", at, "", "is nested more than %d deep", maxDepth)
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(path, at, "leave it away", "has the YAML tag %s, which is not used here", n.Tag)
		return n, false
	}
	return n, d.nodes <= maxNodes && d.depth < maxDepth
}

// decode reads a node into out.
func (d *decoder) decode(n *yaml.Node, out reflect.Value, path string) {
	n, ok := d.enter(n, path)
	if !ok {
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	if out.Type() == rawType {
		out.SetBytes(d.rawMap(n, path))
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return // as if it were not there
	}
	if out.Kind() == reflect.Pointer {
		out.Set(reflect.New(out.Type().Elem()))
		out = out.Elem()
	}
	text := out.Addr()
	if out.Type() == durationType {
		text = text.Convert(reflect.TypeFor[*Duration]())
	}
	if out.Type() == timeType {
		if _, ok := d.scalar(n, path, "a time"); ok && n.Decode(out.Addr().Interface()) != nil {
			d.fail(path, place(n), "write it as 2027-12-31T23:59:59Z", "%q is not a time", n.Value)
		}
		return
	}
	if u, ok := text.Interface().(encoding.TextUnmarshaler); ok {
		if s, ok := d.scalar(n, path, "a single value"); ok {
			if err := u.UnmarshalText([]byte(s.text)); err != nil {
				d.fail(path, place(n), "", "%v", err)
			}
		}
		return
	}
	switch out.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		d.decodeScalar(n, out, path)
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
		d.decodeMap(n, out, path)
	case reflect.Struct:
		d.decodeStruct(n, out, path)
	default:
		panic("config: type " + out.Type().String() + " is not supported")
	}
}

// decodeScalar reads a plain value of the type that the field has: 8080 is no string and "true" no truth value, as in
// the JSON Schema. Only where a variable was put in does the text alone decide.
func (d *decoder) decodeScalar(n *yaml.Node, out reflect.Value, path string) {
	want := map[reflect.Kind]string{reflect.String: "a string", reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Int64: "a whole number"}[out.Kind()]
	s, ok := d.scalar(n, path, want)
	if !ok {
		return
	}
	switch out.Kind() {
	case reflect.String:
		if !s.variables && s.tag != "!!str" && s.tag != "!!timestamp" {
			d.fail(path, place(n), "put it in quotes: "+strconv.Quote(s.text), "must be a string, not %s", tags[s.tag])
			return
		}
		out.SetString(s.text)
	case reflect.Bool:
		if s.text != "true" && s.text != "false" || !s.variables && s.tag != "!!bool" {
			d.fail(path, place(n), "", "%q is neither true nor false", s.text)
			return
		}
		out.SetBool(s.text == "true")
	default:
		number, err := strconv.ParseInt(s.text, 10, out.Type().Bits())
		if err != nil || !s.variables && s.tag != "!!int" {
			d.fail(path, place(n), "", "%q is not a whole number", s.text)
			return
		}
		out.SetInt(number)
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
	if out.Type() == secretType && n.Kind != yaml.MappingNode {
		d.hide(n)
		d.fail(path, place(n), "refer to it: {env: NAME_OF_A_VARIABLE} or {file: PATH}", "must not hold the key itself")
		return
	}
	d.fields(n, path, func(key, value *yaml.Node, at string) {
		for i := range out.NumField() {
			if name := fieldName(out.Type().Field(i)); name != "" && name == key.Value {
				d.decode(value, out.Field(i), at)
				return
			}
		}
		if out.Type() == secretType {
			d.hide(value)
		}
		d.fail(at, place(key), Suggestion(key.Value, fieldNames(out.Type())), "unknown field")
	})
}

// fields calls each for the entries of a map, once a key.
func (d *decoder) fields(n *yaml.Node, path string, each func(key, value *yaml.Node, at string)) {
	if n.Kind != yaml.MappingNode {
		d.fail(path, place(n), "", "must be a map of fields, not %s", kindOf(n))
		return
	}
	first := map[string]int{} // lines
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := join(path, key.Value)
		switch {
		case key.ShortTag() == "!!merge":
			d.fail(path, place(key), "write the fields out, or use an alias for the whole value", "YAML's merge key << is not supported")
		case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0:
			d.fail(path, place(key), "", "a key must be a plain word")
		case first[key.Value] > 0:
			d.fail(at, place(key), "remove one of them", "stands twice, first on line %d", first[key.Value])
		default:
			first[key.Value] = key.Line
			each(key, n.Content[i+1], at)
			if n.Content[i+1].Line > key.Line { // whoever looks for a block is shown its name, not what stands in it first
				d.positions[at] = place(key)
			}
		}
	}
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if name := fieldName(t.Field(i)); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// fieldName is what a field is called in YAML; "" for one that is not there.
func fieldName(f reflect.StructField) string {
	if !f.IsExported() {
		return ""
	}
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

// scalar is a single value, with variables from the environment put in.
type scalar struct {
	text string
	// tag is YAML's own type of the text: !!str, !!int and so on.
	tag string
	// variables says that a variable was put in.
	variables bool
}

func (d *decoder) scalar(n *yaml.Node, path, want string) (scalar, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fail(path, place(n), "", "must be %s, not %s", want, kindOf(n))
		return scalar{}, false
	}
	if d.env == nil {
		return scalar{text: n.Value, tag: n.ShortTag()}, true
	}
	text, variables, err := expand(n.Value, d.env)
	if err != nil {
		d.fail(path, place(n), "", "%v", err)
		return scalar{}, false
	}
	s := scalar{text, n.ShortTag(), variables}
	if variables && n.Style == 0 { // what has no quotes has the type that its value looks like
		s.tag = (&yaml.Node{Kind: yaml.ScalarNode, Value: text}).ShortTag()
	}
	return s, true
}

// tags are YAML's types in words.
var tags = map[string]string{
	"!!str": "a string", "!!int": "a number", "!!float": "a number", "!!bool": "true or false", "!!null": "nothing", "!!timestamp": "a date",
	"!!merge": "a merge key", "!!binary": "binary data",
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a map"
	default:
		return tags[n.ShortTag()]
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var (
	rawType      = reflect.TypeFor[Raw]()
	secretType   = reflect.TypeFor[Secret]()
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
)
