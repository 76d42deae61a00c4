package translate

import (
	"slices"

	"github.com/leash-gateway/leash/llm"
)

// readMessages reads https://docs.anthropic.com/en/api/messages, and requests to count its tokens.
func (x *Exchange) readMessages(c *llm.Cursor, r *conversation) {
	thinks := true
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "model":
			x.model = c.String()
		case "messages":
			for list := c.Array(); c.Element(&list); {
				x.readTurn(c, r)
			}
		case "system":
			said := len(r.system)
			readContent(c, &r.system, x.readBlock)
			if said > 0 { // by a message that stands ahead
				r.system = append(slices.Clone(r.system[said:]), r.system[:said]...)
			}
		case "stream":
			r.stream = c.Bool()
		case "max_tokens":
			silent := c.Next() == '0'
			if r.maxTokens = c.Count(); silent && r.maxTokens == 0 && x.op == generate {
				x.drop(c, "max_tokens of 0")
			}
		case "temperature":
			r.temperature = c.Number()
		case "top_p":
			r.topP = c.Number()
		case "top_k":
			x.number(c, "top_k", &r.topK)
		case "stop_sequences":
			for list := c.Array(); c.Element(&list); {
				r.stopAt(c.Literal())
			}
			if len(r.stop) > 0 && x.to == Responses {
				x.drop(c, "stop_sequences")
			}
		case "metadata":
			for o := c.Object(); named(c, &o, "user_id"); {
				x.readUser(c, r, "metadata.user_id")
			}
		case "tools":
			for list := c.Array(); c.Element(&list); {
				x.readMessagesTool(c, r)
			}
		case "tool_choice":
			x.readMessagesChoice(c, r)
		case "thinking":
			thinks = readThinking(c, r)
		case "output_format": // where output_config.format was while it was tried out
			x.readFormat(c, r, "")
		case "output_config":
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "effort":
					x.readEffort(c, r)
				case "format":
					x.readFormat(c, r, "")
				default:
					c.Skip()
				}
			}
		default:
			x.unknown(c, o.Name)
		}
	}
	if !thinks { // whatever the effort, which is then one of speaking
		r.effort = effortUnset
		if _, known := openAIOf(x.providerModel()); known || x.to == Gemini { // another server may not know that none is one
			r.effort = effortNone
		}
	}
}

// readThinking reports whether the model may think.
func readThinking(c *llm.Cursor, r *conversation) bool {
	kind, display := "", ""
	budget := int64(0)
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "budget_tokens":
			budget = c.Count()
		case "display":
			display = c.String()
		default:
			c.Skip()
		}
	}
	r.thoughts = (kind == "enabled" || kind == "adaptive") && display != "omitted"
	if kind == "enabled" && r.effort == effortUnset {
		r.effort = effortOfBudget(budget)
	}
	return kind != "disabled"
}

func (x *Exchange) readMessagesTool(c *llm.Cursor, r *conversation) {
	r.tools = append(r.tools, tool{})
	t := &r.tools[len(r.tools)-1]
	kind := ""
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "name":
			t.name = c.Literal()
		case "description":
			t.about = c.Literal()
		case "input_schema":
			t.schema = c.Raw()
		case "strict":
			t.strict = c.Raw()
		case "cache_control":
			t.cache = x.readCache(c)
		default:
			c.Skip()
		}
	}
	switch {
	case kind != "" && kind != "custom":
		x.drop(c, "tools[] of other types")
	case isEmpty(t.name):
		c.Fail("", "has no name")
	}
}

// readCache reads what Bedrock alone can say too.
func (x *Exchange) readCache(c *llm.Cursor) cacheTTL {
	if c.Next() != '{' {
		c.Skip()
		return notCached
	}
	ttl := cachedMinutes
	for o := c.Object(); named(c, &o, "ttl"); {
		if string(c.Word()) == "1h" {
			ttl = cachedHour
		}
	}
	if x.to == Converse {
		return ttl
	}
	x.drop(c, "cache_control")
	return notCached
}

func (x *Exchange) readMessagesChoice(c *llm.Cursor, r *conversation) {
	kind := ""
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "name":
			r.choice.name = c.Literal()
		case "disable_parallel_tool_use":
			r.sequential = c.Bool()
		default:
			c.Skip()
		}
	}
	switch kind {
	case "":
	case "auto":
		r.choice.mode = auto
	case "any":
		r.choice.mode = always
	case "none":
		r.choice.mode = never
	case "tool":
		r.choice.mode = one
	default:
		c.Fail(".type", "is not one that is known")
	}
}

func (x *Exchange) readTurn(c *llm.Cursor, r *conversation) {
	role := ""
	from := r.next()
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "role":
			role = c.String()
		case "content":
			readContent(c, &r.parts, x.readBlock)
		default:
			c.Skip()
		}
	}
	switch role {
	case "user":
		r.said(false, from)
	case "assistant":
		r.said(true, from)
	case "system":
		r.instruct(from)
	default:
		c.Fail(".role", "has no counterpart in "+x.to.String())
	}
}

// readBlock reads a block, and reports whether it is a part of the conversation.
func (x *Exchange) readBlock(c *llm.Cursor, p *part) bool {
	kind, object := "", false
	var origin []byte
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "citations": // an object where they are asked for, and a list of those in earlier answers
			x.unasked(c, "messages[].content[].citations")
		case "context":
			if text := c.Literal(); !isEmpty(text) {
				x.drop(c, "messages[].content[].context")
			}
		case "text", "thinking":
			p.text = c.Literal()
		case "id", "tool_use_id":
			p.id = c.Literal()
		case "name", "title":
			p.name = c.Literal()
		case "input":
			p.args = c.Raw()
		case "is_error":
			if p.failed = c.Bool(); p.failed && (x.to == Chat || x.to == Responses) {
				x.drop(c, "messages[].content[].is_error")
			}
		case "content":
			switch c.Next() {
			case '"':
				p.text = c.Literal()
			case '{': // as what tools of the provider's own did has it
				c.Skip()
				object = true
			default:
				readContent(c, &p.parts, x.readBlock)
			}
		case "source":
			if c.Next() == '{' {
				x.readSource(c, p)
			} else {
				origin = c.Literal() // of a search result
			}
		case "cache_control":
			p.cache = x.readCache(c)
		default:
			c.Skip()
		}
	}
	switch kind {
	case "text":
		return !isEmpty(p.text)
	case "image":
		p.kind = imagePart
		p.settleType()
		return true
	case "document":
		if p.text == nil {
			p.kind = filePart
			return true
		}
		p.text = joinedTexts(part{text: p.name}, part{text: p.text}) // which every API can say
		return !isEmpty(p.text)
	case "search_result":
		if !onlyTexts(p.parts) {
			x.drop(c, "messages[].content[] of other types")
		}
		p.text, p.parts = joinedTexts(append([]part{{text: p.name}, {text: origin}}, p.parts...)...), nil
		return !isEmpty(p.text)
	case "tool_use":
		p.kind = callPart
		return true
	case "tool_result":
		if object {
			c.Fail(".content", "must be a string or an array")
		}
		p.kind = resultPart
		for i := range p.parts { // Bedrock has a mark behind the whole only
			p.cache = max(p.cache, p.parts[i].cache)
			p.parts[i].cache = notCached
		}
		return true
	case "thinking", "redacted_thinking":
		if p.kind = thoughtPart; x.wantsThoughts() {
			return !isEmpty(p.text)
		}
		x.drop(c, "messages[].content[] of type thinking")
		return false
	default:
		x.drop(c, "messages[].content[] of other types")
		return false
	}
}

// joinedTexts is one text of several, with an empty line between them.
func joinedTexts(texts ...part) []byte {
	w := &writer{}
	w.joined(slices.DeleteFunc(texts, func(p part) bool { return isEmpty(p.text) }), textPart, emptyLine)
	return w.b
}

// unasked drops an object, but one that says that it is not enabled.
func (x *Exchange) unasked(c *llm.Cursor, field string) {
	if c.Next() != '{' {
		c.Skip()
		return
	}
	for o := c.Object(); named(c, &o, "enabled"); {
		if c.Bool() {
			x.drop(c, field)
		}
	}
}

func (x *Exchange) readSource(c *llm.Cursor, p *part) {
	kind := ""
	var data []byte
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "media_type":
			p.mime = inner(plainLiteral(c.Literal()))
		case "data":
			data = c.Literal()
		case "url":
			p.url = plainLiteral(c.Literal())
		case "content": // pieces that are to be cited by themselves
			readContent(c, &p.parts, x.readBlock)
		default:
			c.Skip()
		}
	}
	if kind == "content" && onlyTexts(p.parts) {
		kind, data, p.parts = "text", joinedTexts(p.parts...), nil
	}
	switch kind {
	case "base64":
		p.data = inner(plainLiteral(data))
	case "url":
	case "text":
		p.text, p.mime = data, nil
	default:
		x.drop(c, "messages[].content[].source of other types")
	}
}
