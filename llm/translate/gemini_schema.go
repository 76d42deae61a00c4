package translate

import (
	"bytes"

	"github.com/leash-gateway/leash/llm"
)

// readGeminiSchema reads a schema of Google's, https://ai.google.dev/api/caching#Schema, as JSON Schema: its types are in capitals there,
// its numbers may be strings, and null is a type of its own.
func readGeminiSchema(c *llm.Cursor) []byte {
	if c.Next() == 'n' {
		c.Skip()
		return nil
	}
	w := &writer{}
	appendGeminiSchema(w, c)
	return w.b
}

func appendGeminiSchema(w *writer, c *llm.Cursor) {
	if c.Next() != '{' {
		w.value(c.Raw())
		return
	}
	nullable := false
	var kind []byte
	w.open()
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = bytes.ToLower(c.Literal())
		case "nullable":
			nullable = c.Bool()
		case "properties":
			w.object("properties")
			if c.Next() == '{' {
				for o := c.Members(); c.Member(&o); {
					w.value(o.Name)
					w.raw(":")
					w.next = false
					appendGeminiSchema(w, c)
				}
			} else {
				c.Skip()
			}
			w.close('}')
		case "items":
			w.key("items")
			appendGeminiSchema(w, c)
		case "anyof":
			w.array("anyOf")
			for list := c.Array(); c.Element(&list); {
				appendGeminiSchema(w, c)
			}
			w.close(']')
		case "maxitems", "minitems", "maxlength", "minlength", "maxproperties", "minproperties":
			key := string(o.Name[:3]) + string(bytes.ToUpper(o.Name[3:4])) + string(o.Name[4:])
			if c.Next() == '"' { // as protobuf writes whole numbers of 64 bits
				w.literal(key, inner(c.Literal()))
			} else {
				w.literal(key, c.Number())
			}
		case "propertyordering", "example":
			c.Skip()
		case "additionalproperties":
			w.literal("additionalProperties", c.Raw())
		default: // description, enum, format, pattern, required, title, minimum, maximum, default
			w.literal(string(o.Name), c.Raw())
		}
	}
	switch {
	case kind == nil || string(kind) == `"type_unspecified"`:
	case nullable:
		w.array("type")
		w.value(kind)
		w.value([]byte(`"null"`))
		w.close(']')
	default:
		w.literal("type", kind)
	}
	w.close('}')
}
