package llm

import "slices"

// A dialect is how a provider's reading of an API differs from its maker's, as bits.
type dialect uint8

const (
	oldLimit dialect = 1 << iota
	withoutStreamOptions
	withVertexVersion
	withoutModel
)

// VertexVersion is what a body says instead of the model, for Anthropic's models on Google's Vertex AI:
// https://docs.anthropic.com/en/api/claude-on-vertex-ai.
const VertexVersion = "vertex-2023-10-16"

// OldLimit gives the limit of the answer its older name, max_tokens, for servers that refuse or ignore max_completion_tokens. Of a body that
// has both, max_completion_tokens counts unless it is null. It does nothing for other formats than OpenAI's chats.
func (r *Request) OldLimit() {
	if r.format == OpenAIChat {
		r.dialect |= oldLimit
	}
}

// WithoutStreamOptions takes stream_options out, those of AskUsage too, for servers that refuse what is in them and tell the usage
// unasked. It does nothing for other formats than OpenAI's chats and completions.
func (r *Request) WithoutStreamOptions() {
	if r.format == OpenAIChat || r.format == OpenAICompletions {
		r.dialect |= withoutStreamOptions
	}
}

// ForVertex makes the body of a request for one of Anthropic's models what Vertex AI reads: the version of the API stands in the body there,
// and the model in the path, but for counting tokens, whose path is the same for all models. It does nothing for other formats than
// Anthropic's.
func (r *Request) ForVertex() {
	switch r.format {
	case AnthropicMessages:
		r.dialect |= withVertexVersion | withoutModel
	case AnthropicCountTokens:
		r.dialect |= withVertexVersion
	}
}

// apply returns body as the dialect has it, in new memory where that differs. Each change is a pass of its own: bodies have one or two.
func (d dialect) apply(body []byte) []byte {
	if d&oldLimit != 0 {
		if limit, ok := findMember(body, "max_completion_tokens"); ok {
			older, both := findMember(body, "max_tokens")
			if !both {
				body = replaced(body, limit.key, []byte(`"max_tokens"`))
			} else {
				if body[limit.value.start] != 'n' {
					body = replaced(body, older.value, body[limit.value.start:limit.value.end])
				}
				body = without(body, "max_completion_tokens")
			}
		}
	}
	if d&withoutStreamOptions != 0 {
		body = without(body, "stream_options")
	}
	if d&withoutModel != 0 {
		body = without(body, "model")
	}
	if d&withVertexVersion != 0 {
		body = without(body, "anthropic_version")
		if top := slices.Index(body, '{') + 1; top > 0 {
			body = replaced(body, spanOf(top, top), []byte(`"anthropic_version":"`+VertexVersion+`",`))
		}
	}
	return body
}

func replaced(body []byte, at span, by []byte) []byte {
	return splice(body, edits{{at: at, json: by}})
}

// An outerMember is one of the body itself, and where it lies.
type outerMember struct {
	key, value span // with their quotes
}

// findMember finds a member of a body that was checked, whatever the case of its letters.
func findMember(body []byte, name string) (found outerMember, ok bool) {
	var p blockReader
	p.start(body)
	if p.peek() != '{' {
		return found, false
	}
	o, more := p.object(anyCase)
	for more && p.member(&o) {
		k := *p.open.last()
		is, start := string(p.known()) == name, p.pos
		if !is {
			p.value()
			continue
		}
		key := quoted{span: span{k.start, k.end}}.outer()
		if k.start&inNames != 0 {
			key = p.outerName(k)
		}
		p.value()
		return outerMember{key, spanOf(start, p.pos)}, true
	}
	return found, false
}

// without is a body without a member, and one of the commas around it.
func without(body []byte, name string) []byte {
	m, ok := findMember(body, name)
	if !ok {
		return body
	}
	start, end := int(m.key.start), int(m.value.end)
	rest := skipSpace(body, end)
	if rest < len(body) && body[rest] == ',' {
		end = rest + 1
	} else {
		before := start
		for before > 0 && isSpace(body[before-1]) {
			before--
		}
		if before > 0 && body[before-1] == ',' {
			start = before - 1
		}
	}
	return replaced(body, spanOf(start, end), nil)
}

func isSpace(c byte) bool {
	return c <= ' ' && uint64(1)<<c&(1<<' '|1<<'\n'|1<<'\r'|1<<'\t') != 0
}
