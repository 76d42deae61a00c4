package translate

import (
	"bytes"

	"github.com/leash-gateway/leash/llm"
)

// closed is the schema of an answer as Anthropic's models take it: of every object it says that it has no other members than those that are named.
// Where a schema says so, or the contrary, it stays. https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
func (x *Exchange) closed(schema []byte) []byte {
	c := x.readInner(schema, false)
	w := &writer{b: make([]byte, 0, len(schema)+len(schema)/4+64)}
	if appendClosed(w, c); c.Err() != nil {
		return schema
	}
	return w.b
}

func appendClosed(w *writer, c *llm.Cursor) {
	if c.Next() != '{' {
		w.value(orNull(c.Raw()))
		return
	}
	object, told := false, false
	w.open()
	for o := c.Members(); c.Member(&o); {
		w.member(o.Name)
		switch name := string(inner(o.Name)); name {
		case "properties", "$defs", "definitions":
			appendClosedMembers(w, c)
		case "items", "anyOf", "oneOf", "allOf", "prefixItems":
			appendClosedList(w, c)
		default:
			raw := c.Raw()
			object = object || name == "type" && bytes.Contains(raw, []byte(`"object"`))
			told = told || name == "additionalProperties"
			w.value(orNull(raw))
		}
	}
	if object && !told {
		w.literal("additionalProperties", []byte("false"))
	}
	w.close('}')
}

// appendClosedMembers reads schemas by name.
func appendClosedMembers(w *writer, c *llm.Cursor) {
	if c.Next() != '{' {
		w.value(orNull(c.Raw()))
		return
	}
	w.open()
	for o := c.Members(); c.Member(&o); {
		w.member(o.Name)
		appendClosed(w, c)
	}
	w.close('}')
}

// appendClosedList reads schemas one behind the other, or one.
func appendClosedList(w *writer, c *llm.Cursor) {
	if c.Next() != '[' {
		appendClosed(w, c)
		return
	}
	w.comma()
	w.b = append(w.b, '[')
	w.next = false
	for list := c.Array(); c.Element(&list); {
		appendClosed(w, c)
	}
	w.close(']')
}

// orNull is JSON that was read, where null is none.
func orNull(raw []byte) []byte {
	if raw == nil {
		return []byte("null")
	}
	return raw
}

// objectSchema is the schema of what a tool is called with, of which Anthropic and Bedrock demand that it says that it is an object.
func (x *Exchange) objectSchema(schema []byte) []byte {
	if schema == nil {
		return []byte(`{"type":"object","properties":{}}`)
	}
	c := x.readInner(schema, false)
	if c.Next() != '{' {
		return schema
	}
	for o := c.Members(); c.Member(&o); {
		if string(o.Name) == `"type"` {
			return schema
		}
		c.Skip()
	}
	rest := bytes.TrimSpace(schema[1:])
	if rest[0] != '}' {
		rest = append([]byte{','}, rest...)
	}
	return append([]byte(`{"type":"object"`), rest...)
}
