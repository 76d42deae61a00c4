package llm

// Others are the texts of a request that stand beside its messages: the descriptions and schemas of tools and of the answer, and every other string of
// a field that is not known to be none for the model. They are read when they are asked for the first time, because tools may be many and few
// policies look at them. The error is a *FieldError: there may be 65,536.
//
// Names of tools, keys of objects, credentials, and where something is are none of them. BenchmarkOthers measures it.
func (r *Request) Others() ([]Text, error) {
	if r.read || len(r.beside) == 0 {
		return r.others, nil
	}
	p := blockReader{reader: reader{whole: shared(r.body), list: "tools"}}
	p.start(r.body)
	for _, at := range r.beside {
		p.pos = int(at.start)
		p.definition(inDefinition, Definition, 0)
	}
	if p.refused != nil {
		return nil, p.refused
	}
	for i := range p.texts {
		p.texts[i].Message, p.texts[i].Role = Outside, System
	}
	r.others, r.read = p.texts, true
	return r.others, nil
}

// SetOther replaces the value of the text i of Others.
func (r *Request) SetOther(i int, s string) { r.edits.setText(&r.others[i], s) }

// besides passes over the value of the member that was gone to last, which Others reads.
func (r *reader) besides(to *Request) {
	c, start := r.peek(), r.pos
	r.value()
	if (c == '"' || c == '{' || c == '[') && !isApart(r.known()) {
		to.beside = append(to.beside, spanOf(start, r.pos))
	}
}

// tools counts the tools that are defined, which Others reads.
func (r *reader) tools(to *Request) {
	c, start := r.peek(), r.pos
	to.Tools = r.elements()
	if c == '[' || c == '{' {
		to.beside = append(to.beside, spanOf(start, r.pos))
	}
}

// isApart tells the names of a request's members that no model reads.
func isApart(name []byte) bool {
	switch string(name) {
	case "metadata", "labels", "stop", "stop_sequences", "user", "safety_identifier", "prompt_cache_key",
		"previous_response_id", "conversation", "cached_content", "cachedcontent", "tool_choice", "toolconfig", "function_call":
		return true
	default:
		return false
	}
}

// A scope says which strings of a value are texts.
type scope uint8

const (
	inDefinition scope = iota // those that have not the name of something else (isNoText)
	inSchema                  // all but the names of types: what is called name there is a property
	inExample                 // all
)

// definition adds the strings of the value that is next, however deep.
func (r *blockReader) definition(in scope, kind Kind, part int) {
	switch r.peek() {
	case '"':
		r.leaf(kind, part)
	case '{':
		o, ok := r.object(exact)
		for ok && r.member(&o) {
			name, c := r.last(), r.peek()
			if in < inExample && c == '"' && string(name) == "type" || in == inDefinition && isNoText(name, c) {
				r.value()
			} else {
				r.definition(max(in, scopeOf(name)), kind, part)
			}
		}
	case '[':
		var a array
		ok := r.enter()
		for ok && r.element(&a) {
			r.definition(in, kind, part)
		}
	default:
		r.value()
	}
}

// isNoText tells members of a definition that are names, addresses, and with what a server is spoken to, whose value begins with first. An object
// that has the name of a name is none.
func isNoText(name []byte, first byte) bool {
	switch string(name) {
	case "name", "id", "role", "url", "server_url":
		return first == '"'
	case "server_label", "connector_id", "authorization", "authorization_token", "authentication", "headers",
		"vector_store_ids", "file_ids", "allowed_tools", "cache_control":
		return true
	default:
		return false
	}
}

// scopeOf is that of the value of a member.
func scopeOf(name []byte) scope {
	switch string(name) {
	case "parameters", "input_schema", "output_schema", "schema", "properties", "parametersJsonSchema", "parameters_json_schema",
		"responseSchema", "response_schema", "responseJsonSchema", "response_json_schema":
		return inSchema
	case "input_examples", "examples", "example", "enum", "const", "default", "attributes":
		return inExample
	default:
		return inDefinition
	}
}
