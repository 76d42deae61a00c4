package translate

import (
	"bytes"

	"github.com/leash-gateway/leash/llm"
)

// readChat reads https://platform.openai.com/docs/api-reference/chat/create, or the older completions.
func (x *Exchange) readChat(c *llm.Cursor, r *conversation) {
	var maxTokens int64
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "model":
			x.model = c.String()
		case "messages":
			for list := c.Array(); c.Element(&list); {
				x.readChatMessage(c, r)
			}
		case "prompt":
			x.readPrompt(c, r)
		case "stream":
			r.stream = c.Bool()
		case "stream_options":
			for o := c.Object(); named(c, &o, "include_usage"); {
				x.wantUsage = c.Bool()
			}
		case "max_tokens":
			maxTokens = c.Count()
		case "max_completion_tokens":
			r.maxTokens = c.Count()
		case "n":
			r.n = c.Count()
		case "temperature":
			r.temperature = c.Number()
		case "top_p":
			r.topP = c.Number()
		case "seed":
			x.number(c, "seed", &r.seed)
		case "frequency_penalty":
			x.number(c, "frequency_penalty", &r.frequency)
		case "presence_penalty":
			x.number(c, "presence_penalty", &r.presence)
		case "stop":
			x.readStop(c, r)
		case "user", "safety_identifier":
			x.readUser(c, r, string(o.Name))
		case "tools":
			for list := c.Array(); c.Element(&list); {
				x.readTool(c, r)
			}
		case "tool_choice":
			x.readToolChoice(c, r)
		case "parallel_tool_calls":
			parallel(c, r)
		case "response_format":
			x.readFormat(c, r, "json_schema")
		case "reasoning_effort":
			x.readEffort(c, r)
		case "modalities":
			x.only(c, "modalities", "text")
		default:
			x.unknown(c, o.Name)
		}
	}
	if r.maxTokens == 0 {
		r.maxTokens = maxTokens
	}
}

// unknown does with a field that is not translated what the list says. Null, false, and empty texts and lists ask for nothing.
func (x *Exchange) unknown(c *llm.Cursor, name []byte) {
	field := string(name)
	asks := true
	switch raw := c.Raw(); string(raw) {
	case "", "false", "[]", `""`:
		asks = false
	case "{}":
		asks = field == "web_search_options" // which is how a search is asked for
	case "0":
		asks = field != "top_logprobs"
	case "1":
		asks = field != "best_of"
	}
	if asks {
		x.drop(c, field)
	}
}

// number reads a number that not all APIs know.
func (x *Exchange) number(c *llm.Cursor, field string, to *[]byte) {
	n := c.Number()
	if n == nil {
		return
	}
	if t := treatment(x.from, x.to, field); t == Dropped || t == Refused {
		if string(n) != "0" {
			x.drop(c, field)
		}
		return
	}
	*to = n
}

// only refuses values of a list but one.
func (x *Exchange) only(c *llm.Cursor, field, value string) {
	for list := c.Array(); c.Element(&list); {
		if s := c.Literal(); len(s) > 0 && !bytes.EqualFold(inner(s), []byte(value)) {
			x.drop(c, field)
		}
	}
}

func (x *Exchange) readStop(c *llm.Cursor, r *conversation) {
	if c.Next() == '"' {
		r.stopAt(c.Literal())
	} else {
		for list := c.Array(); c.Element(&list); {
			r.stopAt(c.Literal())
		}
	}
	if len(r.stop) > 0 && x.to == Responses {
		x.drop(c, "stop")
	}
}

func (x *Exchange) readUser(c *llm.Cursor, r *conversation, field string) {
	user := c.Literal()
	switch {
	case user == nil:
	case x.to == Gemini || x.to == Converse:
		x.drop(c, field)
	default:
		r.user = userForms[x.to].settled(user)
	}
}

// userForms are what APIs take for the name of a user. Claude Code's has more than a hundred characters.
var userForms = [apis]idForm{Chat: {longest: 64}, Responses: {longest: 64}, Messages: {longest: 256}}

func parallel(c *llm.Cursor, r *conversation) {
	if c.Next() == 'f' {
		r.sequential = true
	}
	c.Skip()
}

func (x *Exchange) readEffort(c *llm.Cursor, r *conversation) {
	name := c.String()
	if name == "" {
		return
	}
	var ok bool
	if r.effort, ok = effortOf(name); !ok {
		c.Fail("", "is not one that is known")
	}
}

// readFormat reads a format of the answer; a schema stands in the member nested, or beside its type where that is empty.
func (x *Exchange) readFormat(c *llm.Cursor, r *conversation, nested string) {
	kind := ""
	for o := c.Object(); c.Member(&o); {
		switch {
		case string(o.Name) == "type":
			kind = c.String()
		case nested != "" && string(o.Name) == nested:
			for o := c.Object(); c.Member(&o); {
				r.format.member(c, o.Name)
			}
		default:
			r.format.member(c, o.Name)
		}
	}
	switch kind {
	case "", "text":
	case "json_object":
		r.format.kind = anyObject
	case "json_schema":
		r.format.kind = schemaOf
		if r.format.schema == nil {
			c.Fail("", "has no schema")
		}
	default:
		c.Fail(".type", "has no counterpart in "+x.to.String())
	}
}

func (f *format) member(c *llm.Cursor, name []byte) {
	switch string(name) {
	case "name":
		f.name = c.Literal()
	case "schema":
		f.schema = c.Raw()
	case "strict":
		f.strict = c.Raw()
	default:
		c.Skip()
	}
}

// readTool reads a tool: a function.
func (x *Exchange) readTool(c *llm.Cursor, r *conversation) {
	r.tools = append(r.tools, tool{})
	t := &r.tools[len(r.tools)-1]
	function := false
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "type":
			function = string(c.Word()) == "function"
		case "function":
			for o := c.Object(); c.Member(&o); {
				t.member(c, o.Name)
			}
		default:
			t.member(c, o.Name)
		}
	}
	switch {
	case !function:
		x.drop(c, "tools[] of other types")
	case isEmpty(t.name):
		c.Fail("", "has no name")
	}
}

func (t *tool) member(c *llm.Cursor, name []byte) {
	switch string(name) {
	case "name":
		t.name = c.Literal()
	case "description":
		t.about = c.Literal()
	case "parameters":
		t.schema = c.Raw()
	case "strict":
		t.strict = c.Raw()
	default:
		c.Skip()
	}
}

// readToolChoice reads the choice of OpenAI's two APIs.
func (x *Exchange) readToolChoice(c *llm.Cursor, r *conversation) {
	if c.Next() == '"' {
		switch c.String() {
		case "auto":
			r.choice.mode = auto
		case "none":
			r.choice.mode = never
		case "required":
			r.choice.mode = always
		default:
			c.Fail("", "is not one that is known")
		}
		return
	}
	kind := ""
	found := false
	for o := c.Object(); c.Member(&o); {
		found = true
		switch string(o.Name) {
		case "type":
			kind = c.String()
		case "name":
			r.choice.name = c.Literal()
		case "function":
			for o := c.Object(); named(c, &o, "name"); {
				r.choice.name = c.Literal()
			}
		default:
			c.Skip()
		}
	}
	switch {
	case !found:
	case (kind == "function" || kind == "custom" && x.from == Responses) && !isEmpty(r.choice.name):
		r.choice.mode = one
	default:
		x.drop(c, "tool_choice of other types")
	}
}

func (x *Exchange) readPrompt(c *llm.Cursor, r *conversation) {
	if c.Next() != '"' {
		c.Skip()
		c.Fail("", "has no counterpart in "+x.to.String()+" unless it is one text")
		return
	}
	r.add(false, c.Literal())
}

func (x *Exchange) readChatMessage(c *llm.Cursor, r *conversation) {
	role := ""
	from := r.next()
	cut(&r.calls, 0)
	var id, thought, refusal []byte
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "role":
			role = c.String()
		case "content":
			readContent(c, &r.parts, x.readChatPart)
		case "tool_call_id":
			id = c.Literal()
		case "refusal":
			refusal = c.Literal()
		case "reasoning_content", "reasoning":
			if c.Next() == '"' {
				thought = c.Literal()
			} else {
				c.Skip()
			}
		case "tool_calls":
			for list := c.Array(); c.Element(&list); {
				x.readChatCall(c, grow(&r.calls))
			}
		case "function_call":
			if c.Raw() != nil {
				x.drop(c, "messages[].function_call")
			}
		case "audio":
			if c.Raw() != nil {
				x.drop(c, "messages[].audio")
			}
		case "name":
			if c.Raw() != nil {
				x.drop(c, "messages[].name")
			}
		default:
			c.Skip()
		}
	}
	if !isEmpty(thought) {
		x.drop(c, "messages[].reasoning_content")
	}
	switch role {
	case "system", "developer":
		r.instruct(from)
	case "user":
		r.said(false, from)
	case "assistant":
		if !isEmpty(refusal) {
			p := grow(&r.parts)
			p.kind, p.text = refusalPart, refusal
		}
		r.parts = append(r.parts, r.calls...)
		r.said(true, from)
	case "tool":
		if isEmpty(id) {
			c.Fail(".tool_call_id", "is missing")
		}
		r.answered(id, from)
	default:
		c.Fail(".role", "has no counterpart in "+x.to.String())
	}
}

func (x *Exchange) readChatCall(c *llm.Cursor, p *part) {
	p.kind, p.quoted = callPart, true
	function := false
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "id":
			p.id = c.Literal()
		case "function":
			function = true
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "name":
					p.name = c.Literal()
				case "arguments":
					p.args = readArguments(c)
				default:
					c.Skip()
				}
			}
		case "extra_content":
			p.sign = readSignature(c)
		default:
			c.Skip()
		}
	}
	if !function || isEmpty(p.name) {
		x.drop(c, "tools[] of other types")
	}
}

// readArguments reads those of a call, which some servers and clients have as an object.
func readArguments(c *llm.Cursor) []byte {
	if c.Next() == '{' {
		return appendQuoted(nil, c.Raw())
	}
	return c.Literal()
}

// readSignature reads what Google's own chats have beside a call: https://ai.google.dev/gemini-api/docs/thought-signatures#openai
func readSignature(c *llm.Cursor) (sign []byte) {
	for o := c.Object(); named(c, &o, "google"); {
		for o := c.Object(); named(c, &o, "thought_signature"); {
			sign = c.Literal()
		}
	}
	return sign
}

// readContent reads what a message or a tool says: a string, or parts. read reports whether there is anything in one.
func readContent(c *llm.Cursor, parts *[]part, read func(*llm.Cursor, *part) bool) {
	if c.Next() == '"' {
		if text := c.Literal(); !isEmpty(text) {
			grow(parts).text = text
		}
		return
	}
	for list := c.Array(); c.Element(&list); {
		if !read(c, grow(parts)) {
			cut(parts, len(*parts)-1)
		}
	}
}

// readChatPart reads a part, and reports whether there is anything in it.
func (x *Exchange) readChatPart(c *llm.Cursor, p *part) bool {
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
			if c.Next() == '"' {
				p.media(imagePart, c.Literal())
				continue
			}
			for o := c.Object(); c.Member(&o); {
				switch string(o.Name) {
				case "url":
					p.media(imagePart, c.Literal())
				case "detail":
					if d := c.String(); d != "" && d != "auto" {
						x.drop(c, "messages[].content[].image_url.detail")
					}
				default:
					c.Skip()
				}
			}
		case "input_audio":
			readAudio(c, p)
		case "file":
			x.readFile(c, p)
		default:
			c.Skip()
		}
	}
	switch kind {
	case "text", "image_url", "refusal", "file":
	case "input_audio":
		if x.to != Gemini && x.to != Converse {
			x.drop(c, "messages[].content[].input_audio")
		}
	default:
		c.Fail(".type", "has no counterpart in "+x.to.String())
	}
	return !p.isEmpty()
}

func readAudio(c *llm.Cursor, p *part) {
	p.kind = audioPart
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "data":
			p.data = inner(plainLiteral(c.Literal()))
		case "format":
			p.mime = append([]byte("audio/"), inner(c.Literal())...)
		default:
			c.Skip()
		}
	}
}

func (x *Exchange) readFile(c *llm.Cursor, p *part) {
	for o := c.Object(); c.Member(&o); {
		switch string(o.Name) {
		case "file_data":
			p.media(filePart, c.Literal())
		case "filename":
			p.name = c.Literal()
		case "file_id":
			if c.Raw() != nil {
				x.drop(c, "file_id")
			}
		default:
			c.Skip()
		}
	}
}
