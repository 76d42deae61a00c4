package mock

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// maxSchemaDepth ends a schema that refers to itself.
const maxSchemaDepth = 32

// instanceOf makes up a JSON value that fits a JSON Schema, or a schema of Google's; an object with an answer where there is none.
func instanceOf(schema gjson.Result) string {
	if !schema.IsObject() {
		return `{"answer":"text"}`
	}
	return string(appendInstance(nil, schema, schema, 0))
}

func appendInstance(dst []byte, root, schema gjson.Result, depth int) []byte {
	if depth > maxSchemaDepth {
		return append(dst, "null"...)
	}
	if ref, ok := strings.CutPrefix(schema.Get("$ref").Str, "#/"); ok {
		target := root
		for name := range strings.SplitSeq(ref, "/") {
			target = member(target, name)
		}
		return appendInstance(dst, root, target, depth+1)
	}
	if value := schema.Get("const"); value.Exists() {
		return append(dst, value.Raw...)
	}
	if value := schema.Get("enum.0"); value.Exists() {
		return append(dst, value.Raw...)
	}
	for _, name := range [...]string{"anyOf", "oneOf", "allOf"} {
		if first := schema.Get(name + ".0"); first.Exists() {
			return appendInstance(dst, root, first, depth+1)
		}
	}
	kind := schema.Get("type")
	if kind.IsArray() {
		kind = kind.Get("0")
	}
	switch strings.ToLower(kind.Str) {
	case "object", "":
		dst = append(dst, '{')
		first := true
		schema.Get("properties").ForEach(func(key, value gjson.Result) bool {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(append(dst, key.Raw...), ':')
			dst = appendInstance(dst, root, value, depth+1)
			return true
		})
		return append(dst, '}')
	case "array":
		return append(appendInstance(append(dst, '['), root, schema.Get("items"), depth+1), ']')
	case "string":
		return append(dst, `"text"`...)
	case "integer", "number":
		return append(dst, '1')
	case "boolean":
		return append(dst, "true"...)
	default:
		return append(dst, "null"...)
	}
}

// member is an object's member by its name, which may have characters that mean something in a path.
func member(object gjson.Result, name string) (found gjson.Result) {
	object.ForEach(func(key, value gjson.Result) bool {
		if key.Str == name {
			found = value
		}
		return !found.Exists()
	})
	return found
}

// toolResult is the text of what a tool returned: of a string, of the texts of parts, or the JSON of anything else.
func toolResult(content gjson.Result) string {
	if content.Type == gjson.String {
		return content.Str
	}
	if content.IsArray() && !slices.ContainsFunc(content.Array(), func(part gjson.Result) bool { return !part.Get("text").Exists() }) {
		return textOf(content)
	}
	return content.Raw
}
