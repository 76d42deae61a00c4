package translate

import (
	"github.com/leash-gateway/leash/llm"
)

// Codex has tools that other APIs have no word for: custom ones, which take a text in a grammar instead of arguments, and namespaces, which hold others. The
// former are functions with that text as their one argument elsewhere, and the latter a part of the names. In answers they are again what they were.

// readResponsesTool reads a tool of a response. In a namespace there are others.
// It reports whether the tool is OpenAI's search of the web, which agents offer in each request beside tools of their own.
func (x *Exchange) readResponsesTool(c *llm.Cursor, r *conversation) (searches bool) {
	from := len(r.tools)
	kind := ""
	var t tool
	var grammar [2]string // its syntax, and itself
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "tools":
			for list := c.Array(); c.Element(&list); {
				searches = x.readResponsesTool(c, r) || searches
			}
		case "format":
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "syntax":
					grammar[0] = c.String()
				case "definition":
					grammar[1] = c.String()
				default:
					c.Skip()
				}
			}
		default:
			t.member(c, o.Name)
		}
	}
	switch kind {
	case "function":
	case "namespace":
		for i := from; i < len(r.tools); i++ {
			r.tools[i].space = t.name
		}
	case "custom":
		t.custom, t.schema = true, []byte(customSchema)
		if grammar[1] != "" {
			t.about = literalOf(string(llm.AppendMeaning(nil, t.about)) + "\n\nThe input has this grammar (" + grammar[0] + "):\n" + grammar[1])
		}
	case "web_search", "web_search_preview":
		x.drop(c, "tools[] of type web_search, beside others")
		return true
	default:
		x.drop(c, "tools[] of other types")
		return false
	}
	if isEmpty(t.name) {
		c.Fail("", "has no name")
	}
	if kind != "namespace" {
		r.tools = append(r.tools, t)
	}
	return searches
}

const customSchema = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`

// qualified is the name of a tool with that of its namespace in front.
func qualified(space, name []byte) []byte {
	if isEmpty(space) {
		return name
	}
	b := append(append(append(make([]byte, 0, len(space)+len(name)), space[:len(space)-1]...), "__"...), inner(name)...)
	return append(b, '"')
}

// customInput is the text that a custom tool was called with, as a literal: the one argument, or all that the model has said in its place.
func (p *part) customInput() []byte {
	if object, ok := p.object(); ok {
		c := llm.NewCursor(object, true)
		var text []byte
		for o := c.Object(); c.Member(&o); {
			if string(o.Name) == "input" && c.Next() == '"' {
				text = c.Literal()
			} else {
				c.Skip()
			}
		}
		if text != nil && c.Err() == nil {
			return text
		}
	}
	return p.string()
}
