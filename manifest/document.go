package manifest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// An Error is something wrong in a module.yaml.
type Error struct {
	File         string
	Line, Column int
	// Path is where it stands, such as capabilities.host_calls[1].
	Path string
	// Reason says what is wrong and what to do.
	Reason string
}

// Error writes place and reason.
func (e *Error) Error() string {
	at := fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Path != "" {
		at += e.Path + ": "
	}
	return at + e.Reason
}

// Errors is everything that is wrong in a file, in the order of its lines.
type Errors []*Error

// Error writes one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

type place struct{ line, column int }

// document turns YAML into values as JSON has them, and remembers where they stood.
type document struct {
	file   string
	places map[string]place
	errors Errors
	values int
}

// maxValues and maxDepth bound what aliases can blow up.
const (
	maxValues = 20_000
	maxDepth  = 64
)

func (d *document) fail(path, format string, args ...any) {
	at := d.placeOf(path)
	d.errors = append(d.errors, &Error{File: d.file, Line: at.line, Column: at.column, Path: path, Reason: fmt.Sprintf(format, args...)})
}

// placeOf is where a part stands, or the nearest part around it.
func (d *document) placeOf(path string) place {
	for {
		if at, found := d.places[path]; found {
			return at
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return cmp.Or(d.places[""], place{1, 1})
		}
		path = path[:cut]
	}
}

func (d *document) sorted() Errors {
	slices.SortStableFunc(d.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
	return d.errors
}

func (d *document) parse(data []byte) any {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	switch err := decoder.Decode(&root); {
	case err == io.EOF: //nolint:errorlint // yaml documents it bare
		d.fail("", "the file is empty: it needs name, version, kind, description, license and phases")
		return nil
	case err != nil:
		d.fail("", "not well-formed YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	if decoder.Decode(&yaml.Node{}) != io.EOF { //nolint:errorlint // as above
		d.fail("", "the file holds a second document: remove the line ---")
		return nil
	}
	return d.value(root.Content[0], "", 0)
}

func (d *document) value(n *yaml.Node, path string, depth int) any {
	d.places[path] = place{n.Line, n.Column}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.values++
	if d.values > maxValues || depth > maxDepth {
		if d.values == maxValues+1 || depth == maxDepth+1 {
			d.fail(path, "the file is too large, or what its aliases stand for is")
			d.values = maxValues + 1
		}
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.fields(n, path, depth)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			list = append(list, d.value(item, path+"["+strconv.Itoa(i)+"]", depth+1))
		}
		return list
	default:
		return d.scalar(n, path)
	}
}

func (d *document) fields(n *yaml.Node, path string, depth int) any {
	table := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := key.Value
		if path != "" {
			at = path + "." + at
		}
		switch _, twice := table[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			d.places[at] = place{key.Line, key.Column}
			d.fail(at, "a key must be a plain word")
		case twice:
			d.places[at] = place{key.Line, key.Column}
			d.fail(at, "stands twice: remove one of them")
		default:
			table[key.Value] = d.value(n.Content[i+1], at, depth+1)
			d.places[at] = place{key.Line, key.Column}
		}
	}
	return table
}

// scalar is a single value: of YAML's numbers those that JSON has too, and dates as the texts that they are written as.
func (d *document) scalar(n *yaml.Node, path string) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		if whole, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			return whole
		}
		fallthrough
	case "!!float":
		number, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
			d.fail(path, "%q is not a number that JSON has", n.Value)
			return nil
		}
		return number
	default:
		return n.Value
	}
}
