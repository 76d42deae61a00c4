package translate

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/leash-gateway/leash/llm"
)

// readGemini reads https://ai.google.dev/api/generate-content, and requests to count its tokens.
func (x *Exchange) readGemini(c *llm.Cursor, r *conversation) {
	g := &geminiReader{x: x, c: c, r: r}
	for o := c.Google(); c.Member(&o); {
		g.member(o.Name)
	}
	r.thoughts = g.thoughts
}

// A geminiReader remembers which calls have been answered: Google's calls need no ids, and other APIs ask for them.
type geminiReader struct {
	x        *Exchange
	c        *llm.Cursor
	r        *conversation
	thoughts bool
	calls    int
	open     openCalls
}

// openCalls are the calls of functions that have no answer yet, which are most often few: their ids, by the name of the function.
type openCalls struct {
	few  []openCall // in their order
	many map[string][][]byte
}

type openCall struct{ name, id []byte }

func (o *openCalls) add(name, id []byte) {
	if o.many == nil && len(o.few) < manyCalls {
		o.few = append(o.few, openCall{name, id})
		return
	}
	if o.many == nil {
		o.many = map[string][][]byte{}
		for _, call := range o.few {
			o.many[string(call.name)] = append(o.many[string(call.name)], call.id)
		}
	}
	o.many[string(name)] = append(o.many[string(name)], id)
}

// first is the first call of a function.
func (o *openCalls) first(name []byte) (id []byte, ok bool) {
	if o.many != nil {
		if ids := o.many[string(name)]; len(ids) > 0 {
			return ids[0], true
		}
		return nil, false
	}
	for i := range o.few {
		if call := &o.few[i]; bytes.Equal(call.name, name) {
			return call.id, true
		}
	}
	return nil, false
}

// answered takes the first call of a function away.
func (o *openCalls) answered(name []byte) {
	if o.many != nil {
		o.many[string(name)] = o.many[string(name)][1:]
		return
	}
	for i := range o.few {
		if bytes.Equal(o.few[i].name, name) {
			o.few = slices.Delete(o.few, i, i+1)
			return
		}
	}
}

func (g *geminiReader) member(name []byte) {
	x, c, r := g.x, g.c, g.r
	switch string(name) {
	case "model":
		c.Skip() // it is the one of the path
	case "contents":
		for list := c.Array(); c.Element(&list); {
			g.content()
		}
	case "systeminstruction":
		for o := c.Google(); named(c, &o, "parts"); {
			for list := c.Array(); c.Element(&list); {
				g.part(&r.system)
			}
		}
	case "generationconfig":
		for o := c.Google(); c.Member(&o); {
			g.config(o.Name)
		}
	case "tools":
		for list := c.Array(); c.Element(&list); {
			g.tool()
		}
	case "toolconfig":
		for o := c.Google(); named(c, &o, "functioncallingconfig"); {
			g.choice()
		}
	case "generatecontentrequest":
		for o := c.Google(); c.Member(&o); {
			g.member(o.Name)
		}
	default:
		x.unknown(c, name)
	}
}

func (g *geminiReader) config(name []byte) {
	x, c, r := g.x, g.c, g.r
	const in = "generationConfig."
	switch string(name) {
	case "maxoutputtokens":
		r.maxTokens = c.Count()
	case "candidatecount":
		r.n = c.Count()
	case "temperature":
		r.temperature = c.Number()
	case "topp":
		r.topP = c.Number()
	case "topk":
		x.number(c, in+"topK", &r.topK)
		r.topK = bytes.TrimSuffix(r.topK, []byte(".0")) // as Google's Python client has it, and Anthropic a whole number
	case "seed":
		x.number(c, in+"seed", &r.seed)
	case "frequencypenalty":
		x.number(c, in+"frequencyPenalty", &r.frequency)
	case "presencepenalty":
		x.number(c, in+"presencePenalty", &r.presence)
	case "stopsequences":
		for list := c.Array(); c.Element(&list); {
			r.stopAt(c.Literal())
		}
		if len(r.stop) > 0 && x.to == Responses {
			x.drop(c, in+"stopSequences")
		}
	case "responsemimetype":
		switch c.String() {
		case "", "text/plain":
		case "application/json":
			if r.format.kind == freeText {
				r.format.kind = anyObject
			}
		default:
			c.Fail("", "has no counterpart in "+x.to.String())
		}
	case "responseschema":
		if schema := readGeminiSchema(c); schema != nil {
			r.format.kind, r.format.schema = schemaOf, schema
		}
	case "responsejsonschema":
		if schema := c.Raw(); schema != nil {
			r.format.kind, r.format.schema = schemaOf, schema
		}
	case "responsemodalities":
		x.only(c, in+"responseModalities", "TEXT")
	case "thinkingconfig":
		g.thinking()
	default:
		x.unknown(c, append([]byte(in), name...))
	}
}

func (g *geminiReader) thinking() {
	c, r := g.c, g.r
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "thinkingbudget":
			switch number := c.Number(); {
			case number == nil || number[0] == '-': // as the model likes
			default:
				budget, _ := strconv.ParseFloat(string(number), 64) // 2000.0 and 2e3 are whole numbers of protocol buffers too
				r.effort = effortOfBudget(int64(budget))
			}
		case "thinkinglevel":
			if level, ok := effortOf(string(bytes.ToLower(inner(c.Literal())))); ok {
				r.effort = level
			}
		case "includethoughts":
			g.thoughts = c.Bool()
		default:
			c.Skip()
		}
	}
}

func (g *geminiReader) choice() {
	c, r := g.c, g.r
	var names [][]byte
	mode := ""
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "mode":
			mode = c.String()
		case "allowedfunctionnames":
			for list := c.Array(); c.Element(&list); {
				names = append(names, c.Literal())
			}
		default:
			c.Skip()
		}
	}
	switch {
	case len(names) > 1:
		g.x.drop(c, "toolConfig of several allowedFunctionNames")
	case mode == "ANY" && len(names) == 1:
		r.choice = choice{one, names[0]}
	case mode == "ANY":
		r.choice.mode = always
	case mode == "NONE":
		r.choice.mode = never
	case mode == "AUTO", mode == "VALIDATED": // by their schemas
		r.choice.mode = auto
	case mode == "", mode == "MODE_UNSPECIFIED":
	default:
		g.x.drop(c, "toolConfig of other modes")
	}
}

func (g *geminiReader) tool() {
	c, r := g.c, g.r
	for o := c.Google(); c.Member(&o); {
		if string(o.Name) != "functiondeclarations" {
			if c.Raw() != nil {
				g.x.drop(c, "tools[] of other types")
			}
			continue
		}
		for list := c.Array(); c.Element(&list); {
			r.tools = append(r.tools, tool{})
			t := &r.tools[len(r.tools)-1]
			for o := c.Google(); c.Member(&o); {
				switch string(o.Name) {
				case "name":
					t.name = c.Literal()
				case "description":
					t.about = c.Literal()
				case "parameters":
					t.schema = readGeminiSchema(c)
				case "parametersjsonschema":
					t.schema = c.Raw()
				default:
					c.Skip()
				}
			}
			if isEmpty(t.name) {
				c.Fail("", "has no name")
			}
		}
	}
}

func (g *geminiReader) content() {
	c := g.c
	role := ""
	from := g.r.next()
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "role":
			role = c.String()
		case "parts":
			for list := c.Array(); c.Element(&list); {
				g.part(&g.r.parts)
			}
		default:
			c.Skip()
		}
	}
	switch role {
	case "", "user", "function":
		g.r.said(false, from)
	case "model":
		g.r.said(true, from)
	default:
		c.Fail(".role", "has no counterpart in "+g.x.to.String())
	}
}

// part reads a part. Signatures of thoughts mean something to Google's models only.
func (g *geminiReader) part(parts *[]part) {
	c := g.c
	p := grow(parts)
	found, thought := false, false
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "text":
			p.text = c.Literal()
			found = found || !isEmpty(p.text)
		case "thought":
			thought = c.Bool()
		case "inlinedata", "filedata":
			g.media(p)
			found = true
		case "functioncall":
			readGeminiCall(c, p)
			if g.calls++; isEmpty(p.id) {
				p.id = literalOf("call_" + strconv.Itoa(g.calls))
			}
			g.open.add(p.name, p.id)
			found = true
		case "functionresponse":
			g.response(p)
			found = true
		case "mediaresolution":
			if c.Raw() != nil {
				g.x.drop(c, "contents[].parts[].mediaResolution")
			}
		case "thoughtsignature", "partmetadata":
			c.Skip()
		default:
			if c.Raw() != nil {
				g.x.drop(c, "contents[].parts[] of other types")
			}
		}
	}
	if thought && g.x.wantsThoughts() {
		p.kind, thought = thoughtPart, false
	}
	if thought {
		g.x.drop(c, "contents[].parts[].thought")
	}
	if thought || !found {
		cut(parts, len(*parts)-1)
	}
}

func (g *geminiReader) media(p *part) {
	c := g.c
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "mimetype":
			p.mime = inner(plainLiteral(c.Literal()))
		case "data":
			p.data = standardBase64(inner(plainLiteral(c.Literal())))
		case "fileuri":
			p.url = plainLiteral(c.Literal())
		case "displayname":
			p.name = c.Literal()
		default:
			c.Skip()
		}
	}
	switch kind, _, _ := bytes.Cut(p.mime, []byte("/")); string(kind) {
	case "image":
		p.kind = imagePart
		p.settleType()
	case "audio":
		if p.kind = audioPart; g.x.to != Chat && g.x.to != Converse || p.url != nil {
			g.x.drop(c, "contents[].parts[] of audio")
		}
	case "video":
		g.x.drop(c, "contents[].parts[] of video")
	default:
		p.kind = filePart
	}
	if bytes.Contains(p.url, []byte("://generativelanguage.googleapis.com/")) || bytes.HasPrefix(p.url, []byte(`"gs://`)) {
		g.x.drop(c, "contents[].parts[] of files at Google")
	}
}

// readGeminiCall reads a call of a function, which may have no id.
func readGeminiCall(c *llm.Cursor, p *part) {
	p.kind = callPart
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "id":
			p.id = c.Literal()
		case "name":
			p.name = c.Literal()
		case "args":
			p.args = c.Raw()
		default:
			c.Skip()
		}
	}
}

func (g *geminiReader) response(p *part) {
	c := g.c
	p.kind = resultPart
	for o := c.Google(); c.Member(&o); {
		switch string(o.Name) {
		case "id":
			p.id = c.Literal()
		case "name":
			p.name = c.Literal()
		case "response":
			p.args = c.Raw()
		case "parts":
			for list := c.Array(); c.Element(&list); {
				g.part(&p.parts)
			}
		default:
			c.Skip()
		}
	}
	switch first, ok := g.open.first(p.name); {
	case isEmpty(p.id) && !ok:
		c.Fail("", "answers no call")
	case isEmpty(p.id):
		p.id = first
		g.open.answered(p.name)
	case ok && bytes.Equal(first, p.id):
		g.open.answered(p.name)
	}
	g.x.plainResult(p)
	if len(p.parts) > 0 { // pictures and files beside what it says
		said := part{text: p.text}
		if p.args != nil {
			said.text = appendQuoted(nil, p.args)
		}
		p.parts = append([]part{said}, p.parts...)
		p.text, p.args = nil, nil
	}
}

// plainResult makes a text of {"result": "text"}, {"output": "text"} and {"error": "text"}, the forms that Google's clients give
// what a function returned.
func (x *Exchange) plainResult(p *part) {
	c := x.readInner(p.args, false)
	if c.Next() != '{' {
		return
	}
	members := 0
	var text []byte
	failed := false
	for o := c.Object(); c.Member(&o); {
		members++
		known := string(o.Name) == "result" || string(o.Name) == "output" || string(o.Name) == "error"
		if failed = string(o.Name) == "error"; known && c.Next() == '"' {
			text = c.Literal()
		} else {
			c.Skip()
		}
	}
	if members == 1 && text != nil && c.Err() == nil {
		p.text, p.args, p.failed = text, nil, failed
	}
}

// standardBase64 is base64 in the alphabet that the other APIs take, and padded: protocol buffers in JSON may have either, and Google's Python
// client has the one for URLs. https://protobuf.dev/programming-guides/json/
func standardBase64(data []byte) []byte {
	if !bytes.ContainsAny(data, "-_") && len(data)%4 == 0 {
		return data
	}
	out := make([]byte, len(data), len(data)+3)
	for i, b := range data {
		switch b {
		case '-':
			b = '+'
		case '_':
			b = '/'
		}
		out[i] = b
	}
	for len(out)%4 != 0 {
		out = append(out, '=')
	}
	return out
}
