package scenario

import (
	"encoding/json"
	"strconv"
	"strings"
)

// at is the value at a path such as choices[0].message.content, and whether there is one. Index -1 is the last of a list. A dot or
// bracket that belongs to a name is written behind a backslash.
func at(v any, path string) (any, bool) {
	for path != "" {
		name, index, rest := step(path)
		path = rest
		if index {
			list, ok := v.([]any)
			i, err := strconv.Atoi(name)
			if i < 0 {
				i += len(list)
			}
			if !ok || err != nil || i < 0 || i >= len(list) {
				return nil, false
			}
			v = list[i]
			continue
		}
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// step cuts the first name or index off a path.
func step(path string) (name string, index bool, rest string) {
	if path[0] == '[' {
		name, rest, _ = strings.Cut(path[1:], "]")
		return name, true, strings.TrimPrefix(rest, ".")
	}
	var text []byte
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && i+1 < len(path):
			i++
			text = append(text, path[i])
		case c == '.':
			return string(text), false, path[i+1:]
		case c == '[':
			return string(text), false, path[i:]
		default:
			text = append(text, c)
		}
	}
	return string(text), false, ""
}

// equal compares values as JSON means them: 1.0 is 1, and the order of fields does not count.
func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		other, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, err1 := a.Float64()
		y, err2 := other.Float64()
		return a == other || err1 == nil && err2 == nil && x == y && strings.ContainsAny(string(a)+string(other), ".eE")
	case []any:
		other, ok := b.([]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for i := range a {
			if !equal(a[i], other[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		other, ok := b.(map[string]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for key := range a {
			if value, there := other[key]; !there || !equal(a[key], value) {
				return false
			}
		}
		return true
	}
	return a == b
}
