package translate

import (
	"github.com/leash-gateway/leash/llm"
)

// readResponses reads https://platform.openai.com/docs/api-reference/responses/create.
func (x *Exchange) readResponses(c *llm.Cursor, r *conversation) {
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "model":
			x.model = c.String()
		case "input":
			if c.Next() == '"' {
				r.add(false, c.Literal())
			} else {
				for list := c.Array(); c.Element(&list); {
					x.readItem(c, r)
				}
			}
		case "instructions":
			if c.Next() == '[' {
				c.Fail("", "has no counterpart in "+x.to.String()+" unless it is a text")
				c.Skip()
			} else if text := c.Literal(); !isEmpty(text) {
				grow(&r.system)
				copy(r.system[1:], r.system)
				r.system[0] = part{text: text}
			}
		case "stream":
			r.stream = c.Bool()
		case "max_output_tokens":
			r.maxTokens = c.Count()
		case "temperature":
			r.temperature = c.Number()
		case "top_p":
			r.topP = c.Number()
		case "user", "safety_identifier":
			x.readUser(c, r, string(o.Name))
		case "tools":
			searches := false
			for list := c.Array(); c.Element(&list); {
				searches = x.readResponsesTool(c, r) || searches
			}
			if searches && len(r.tools) == 0 {
				c.Fail("", "has no counterpart in "+x.to.String()+": the request is to search the web, and nothing else")
			}
		case "tool_choice":
			x.readToolChoice(c, r)
		case "parallel_tool_calls":
			parallel(c, r)
		case "reasoning":
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "effort":
					x.readEffort(c, r)
				case "summary":
					r.thoughts = c.Raw() != nil
				default:
					c.Skip()
				}
			}
		case "text":
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "format":
					x.readFormat(c, r, "")
				case "verbosity":
					if c.Raw() != nil {
						x.drop(c, "text.verbosity")
					}
				default:
					c.Skip()
				}
			}
		case "truncation":
			if s := c.String(); s != "" && s != "disabled" {
				x.drop(c, "truncation")
			}
		default:
			x.unknown(c, o.Name)
		}
	}
}

// readItem reads an item of the input. One without a type is a message.
func (x *Exchange) readItem(c *llm.Cursor, r *conversation) {
	var id, called, space, args, text []byte
	var thoughts []part
	from := r.next()
	kind, role := "message", ""
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "role":
			role = c.String()
		case "content":
			if c.Next() == 'n' {
				c.Skip()
				continue
			}
			readContent(c, &r.parts, x.readItemPart)
		case "output":
			readContent(c, &r.parts, x.readItemPart)
		case "summary":
			readContent(c, &thoughts, x.readItemPart)
		case "call_id":
			id = c.Literal()
		case "name":
			called = c.Literal()
		case "namespace":
			space = c.Literal()
		case "arguments":
			args = readArguments(c) // which items of other types have as an object
		case "input":
			text = c.Literal()
		default:
			c.Skip()
		}
	}
	switch kind {
	case "message":
		switch role {
		case "system", "developer":
			r.instruct(from)
		case "user":
			r.said(false, from)
		case "assistant":
			r.said(true, from)
		default:
			c.Fail(".role", "has no counterpart in "+x.to.String())
		}
	case "function_call":
		p := grow(&r.parts)
		p.kind, p.quoted, p.id, p.name, p.args = callPart, true, id, qualified(space, called), args
		r.said(true, len(r.parts)-1)
	case "custom_tool_call":
		p := grow(&r.parts)
		p.kind, p.id, p.name = callPart, id, qualified(space, called)
		p.args = append(append([]byte(`{"input":`), orEmpty(text)...), '}')
		r.said(true, len(r.parts)-1)
	case "function_call_output", "custom_tool_call_output":
		if isEmpty(id) {
			c.Fail(".call_id", "is missing")
		}
		r.answered(id, from)
	case "reasoning":
		if !x.wantsThoughts() {
			cut(&r.parts, from)
			x.drop(c, "input[] of type reasoning")
			return
		}
		if len(r.parts) == from { // what it thought is not told, but a summary
			r.parts = append(r.parts, thoughts...)
		}
		for i := from; i < len(r.parts); i++ {
			r.parts[i].kind = thoughtPart
		}
		r.said(true, from)
	case "web_search_call":
		x.drop(c, "input[] of type web_search_call")
	case "item_reference":
		c.Fail("", "stands for an item that OpenAI has kept, and "+x.to.String()+" has not: send the item itself (Vercel's AI SDK does with the option store: false)")
	default:
		x.drop(c, "input[] of other types")
	}
}

// readItemPart reads a part, and reports whether there is anything in it.
func (x *Exchange) readItemPart(c *llm.Cursor, p *part) bool {
	kind := ""
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "text":
			p.text = c.Literal()
		case "refusal":
			p.kind, p.text = refusalPart, c.Literal()
		case "image_url":
			if address := c.Literal(); address != nil {
				p.media(imagePart, address)
			}
		case "file_data", "file_url":
			if address := c.Literal(); address != nil {
				p.media(filePart, address)
			}
		case "filename":
			p.name = c.Literal()
		case "file_id":
			if c.Raw() != nil {
				x.drop(c, "file_id")
			}
		case "detail":
			if d := c.String(); d != "" && d != "auto" {
				x.drop(c, "input[].content[].detail")
			}
		default:
			c.Skip()
		}
	}
	switch kind {
	case "input_text", "output_text", "text", "refusal", "input_image", "input_file", "reasoning_text", "summary_text":
	default:
		c.Fail(".type", "has no counterpart in "+x.to.String())
	}
	return !p.isEmpty()
}
