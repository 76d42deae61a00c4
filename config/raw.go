package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Raw is a part of the configuration that somebody else reads: a module's own, as JSON in the order of the file.
type Raw []byte

// MarshalJSON gives the JSON itself.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("{}"), nil
	}
	return r, nil
}

// json appends a node as JSON, and remembers where its parts stand.
func (d *decoder) json(dst []byte, n *yaml.Node, path string) []byte {
	d.positions[path] = place(n)
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.fail(path, place(n), "", "is too large, or its aliases are")
		}
		return append(dst, "null"...)
	}
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

func (d *decoder) jsonScalar(n *yaml.Node, path string) []byte {
	text, ok := d.scalar(n, path, "a value")
	if !ok {
		return []byte("null")
	}
	var value any
	if err := n.Decode(&value); err != nil {
		d.fail(path, place(n), "", "%v", err)
		return []byte("null")
	}
	switch v := value.(type) {
	case nil:
		return []byte("null")
	case bool, int, int64, uint64:
		return fmt.Append(nil, v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			d.fail(path, place(n), "", "must be a finite number")
			return []byte("null")
		}
		encoded, _ := json.Marshal(v)
		return encoded
	default: // strings, and what YAML takes for dates
		return quoted(text)
	}
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
	if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil || left == nil || right == nil {
		return b
	}
	for name, value := range right {
		left[name] = json.RawMessage(merge(Raw(left[name]), Raw(value)))
	}
	out, _ := json.Marshal(left) // sorted, so that the same file gives the same bytes
	return out
}
