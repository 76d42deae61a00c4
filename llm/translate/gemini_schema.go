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

// A geminiSchema is what of a schema hangs together: its values depend on its type, and so does what null is added to.
type geminiSchema struct {
	kind     []byte // literal, in lower case
	nullable bool
	enum     [][]byte // literals
	ref      []byte   // literal
	any      []byte   // an array
}

func appendGeminiSchema(w *writer, c *llm.Cursor) {
	if c.Next() != '{' {
		if raw := c.Raw(); raw != nil {
			w.value(raw)
		} else { // which asks for nothing
			w.value([]byte("{}"))
		}
		return
	}
	var s geminiSchema
	w.open()
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			if kind := c.Literal(); kind != nil {
				s.kind = bytes.ToLower(kind)
			}
		case "nullable":
			s.nullable = c.Bool()
		case "enum":
			for list := c.Array(); c.Element(&list); {
				s.enum = append(s.enum, c.Raw())
			}
		case "ref":
			s.ref = jsonRef(c.Literal())
		case "properties":
			appendGeminiSchemas(w, c, "properties")
		case "defs":
			appendGeminiSchemas(w, c, "$defs")
		case "items":
			appendGeminiSchemaOf(w, c, "items")
		case "anyof":
			choices := &writer{}
			for list := c.Array(); c.Element(&list); {
				appendGeminiSchema(choices, c)
			}
			s.any = choices.b
		case "maxitems", "minitems", "maxlength", "minlength", "maxproperties", "minproperties":
			key := string(o.Name[:3]) + string(bytes.ToUpper(o.Name[3:4])) + string(o.Name[4:])
			if c.Next() == '"' { // as protobuf writes whole numbers of 64 bits
				if number := inner(c.Literal()); isNumber(number) {
					w.literal(key, number)
				}
			} else {
				w.literal(key, c.Number())
			}
		case "description", "format", "pattern", "required", "title", "minimum", "maximum", "default":
			w.literal(string(o.Name), c.Raw())
		case "additionalproperties":
			appendGeminiSchemaOf(w, c, "additionalProperties")
		default: // propertyOrdering, example, and what Google knows no more than we
			c.Skip()
		}
	}
	if string(s.kind) == `"type_unspecified"` {
		s.kind = nil
	}
	w.geminiSchema(&s)
	w.close('}')
}

// appendGeminiSchemaOf reads the schema that a member is.
func appendGeminiSchemaOf(w *writer, c *llm.Cursor, name string) {
	if c.Next() == 'n' {
		c.Skip()
		return
	}
	w.key(name)
	appendGeminiSchema(w, c)
}

// isNumber tells of what stands in a string whether it is a number.
func isNumber(s []byte) bool { return len(s) > 0 && s[0] <= '9' && llm.Check(s) == nil }

// appendGeminiSchemas reads schemas by name.
func appendGeminiSchemas(w *writer, c *llm.Cursor, name string) {
	w.object(name)
	if c.Next() == '{' {
		for o := c.Members(); c.Member(&o); {
			w.member(o.Name)
			appendGeminiSchema(w, c)
		}
	} else {
		c.Skip()
	}
	w.close('}')
}

// jsonRef is a reference to a definition, which JSON Schema has in $defs.
func jsonRef(ref []byte) []byte {
	if name, ok := bytes.CutPrefix(inner(ref), []byte("#/defs/")); ok {
		return append(append([]byte(`"#/$defs/`), name...), '"')
	}
	return ref
}

// geminiSchema writes what hangs together. A reference stands alone, as some readers pass over what is beside it.
func (w *writer) geminiSchema(s *geminiSchema) {
	null := []byte(`{"type":"null"}`)
	switch {
	case s.ref == nil && len(s.any) > 0:
		w.array("anyOf")
		if w.value(s.any); s.nullable {
			w.value(null)
		}
		w.close(']')
	case s.ref == nil:
	case s.nullable:
		w.array("anyOf")
		w.open()
		w.literal("$ref", s.ref)
		w.close('}')
		w.value(null)
		w.close(']')
	default:
		w.literal("$ref", s.ref)
	}
	switch {
	case s.kind == nil:
	case s.nullable:
		w.array("type")
		w.value(s.kind)
		w.value([]byte(`"null"`))
		w.close(']')
	default:
		w.literal("type", s.kind)
	}
	if len(s.enum) == 0 {
		return
	}
	w.array("enum")
	for _, value := range s.enum {
		number := inner(value) // it is a string, whatever the type
		if numeric := string(s.kind) == `"integer"` || string(s.kind) == `"number"`; numeric && isNumber(number) {
			value = number
		}
		w.value(value)
	}
	if s.nullable {
		w.value([]byte("null"))
	}
	w.close(']')
}
