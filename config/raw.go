package config

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Raw is a part of the configuration that somebody else reads: a module's own, as a JSON object in the order of the file.
type Raw []byte

// MarshalJSON gives the JSON itself.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("{}"), nil
	}
	return r, nil
}

// rawMap is a module's configuration, which must be a map; nothing stands for the empty one.
func (d *decoder) rawMap(n *yaml.Node, path string) Raw {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return nil
	case n.Kind != yaml.MappingNode:
		d.fail(path, place(n), "", "must be a map of fields, not %s", kindOf(n))
		return nil
	}
	return d.json(nil, n, path)
}

// json appends a node as JSON, and remembers where its parts stand.
func (d *decoder) json(dst []byte, n *yaml.Node, path string) []byte {
	n, ok := d.enter(n, path)
	if !ok {
		return append(dst, "null"...)
	}
	d.depth++
	defer func() { d.depth-- }()
	switch n.Kind {
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, item := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = d.json(dst, item, path+"["+strconv.Itoa(i)+"]")
		}
		return append(dst, ']')
	case yaml.MappingNode:
		dst = append(dst, '{')
		first := len(dst)
		d.fields(n, path, func(key, value *yaml.Node, at string) {
			if len(dst) > first {
				dst = append(dst, ',')
			}
			dst = append(append(dst, quoted(key.Value)...), ':')
			dst = d.json(dst, value, at)
		})
		return append(dst, '}')
	default:
		return append(dst, d.jsonScalar(n, path)...)
	}
}

// jsonScalar is a single value as JSON: of YAML's numbers those that JSON has too, and dates as the strings that they
// are written as.
func (d *decoder) jsonScalar(n *yaml.Node, path string) []byte {
	s, ok := d.scalar(n, path, "a single value")
	if !ok {
		return []byte("null")
	}
	switch s.tag {
	case "!!null":
		return []byte("null")
	case "!!bool":
		return strconv.AppendBool(nil, s.text == "true" || s.text == "True" || s.text == "TRUE")
	case "!!int", "!!float":
		return d.jsonNumber(n, s, path)
	default:
		return quoted(s.text)
	}
}

func (d *decoder) jsonNumber(n *yaml.Node, s scalar, path string) []byte {
	if json.Valid([]byte(s.text)) {
		return []byte(s.text) // as it was written: 1.10 stays 1.10
	}
	var number float64 // what only YAML has: 0x1F, +5, .5, 1_000, .inf
	if err := (&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: s.text}).Decode(&number); err != nil {
		d.fail(path, place(n), "", "%q is not a number", s.text)
		return []byte("null")
	}
	if math.IsNaN(number) || math.IsInf(number, 0) {
		d.fail(path, place(n), "", "must be a finite number")
		return []byte("null")
	}
	encoded, _ := json.Marshal(number) // finite
	return encoded
}

func quoted(s string) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string always encodes
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// merge puts the fields of b over those of a: maps are merged, everything else is replaced.
func merge(a, b Raw) Raw {
	var left, right map[string]json.RawMessage
	if json.Unmarshal(b, &right) != nil || right == nil {
		return b
	}
	if json.Unmarshal(a, &left) != nil || left == nil {
		return b
	}
	for name, value := range right {
		left[name] = json.RawMessage(merge(Raw(left[name]), Raw(value)))
	}
	out, _ := json.Marshal(left) // sorted, so that the same file gives the same bytes
	return out
}
