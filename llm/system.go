package llm

import "bytes"

// WithSystemPrompt is the body of a request with a system prompt ahead of what it has of them. The body must be one that was parsed. ok is false
// for formats that have none, such as those of embeddings.
func WithSystemPrompt(f Format, body []byte, text string) (longer []byte, ok bool) {
	quoted := appendString(nil, text)
	switch f {
	case OpenAIChat:
		return withFirst(body, "messages", `{"role":"`+systemRole(body)+`","content":`, quoted)
	case OpenAIResponses:
		return withParagraph(body, "instructions", quoted)
	case AnthropicMessages, AnthropicCountTokens:
		if m, ok := findMember(body, "system"); ok && body[m.value.start] == '[' {
			return withFirst(body, "system", `{"type":"text","text":`, quoted)
		}
		return withParagraph(body, "system", quoted)
	case GoogleGenerate, GoogleStream:
		m, ok := findMember(body, "systeminstruction")
		if !ok {
			m, ok = findMember(body, "system_instruction")
		}
		if ok && body[m.value.start] == '{' {
			instruction, ok := withFirst(body[m.value.start:m.value.end], "parts", `{"text":`, quoted)
			if !ok {
				return nil, false
			}
			return replaced(body, m.value, instruction), true
		}
		return withValue(body, "systemInstruction", m, append(append([]byte(`{"parts":[{"text":`), quoted...), "}]}"...))
	default:
		return nil, false
	}
}

// systemRole is that of system prompts in a chat: one that the developer begins is not to have a system beside them.
func systemRole(body []byte) string {
	if m, ok := findMember(body, "messages"); ok {
		list := body[m.value.start+1 : m.value.end]
		list = list[skipSpace(list, 0):]
		if role, ok := findMember(list, "role"); ok && string(list[role.value.start:role.value.end]) == `"developer"` {
			return "developer"
		}
	}
	return "system"
}

// withFirst puts an object with a text, of which opening is all that stands ahead of it, at the beginning of a list.
func withFirst(body []byte, list, opening string, quoted []byte) ([]byte, bool) {
	m, ok := findMember(body, list)
	if !ok || body[m.value.start] != '[' {
		return nil, false
	}
	at := m.value.start + 1
	rest := skipSpace(body, int(at))
	object := append(append([]byte(opening), quoted...), '}')
	if body[rest] != ']' {
		object = append(object, ',')
	}
	return replaced(body, span{at, at}, object), true
}

// withParagraph puts a text ahead of the one that a member has.
func withParagraph(body []byte, name string, quoted []byte) ([]byte, bool) {
	m, ok := findMember(body, name)
	if !ok || body[m.value.start] != '"' {
		return withValue(body, name, m, quoted)
	}
	both := append(quoted[:len(quoted)-1], `\n\n`...)
	return replaced(body, m.value, append(both, body[m.value.start+1:m.value.end]...)), true
}

// withValue gives a member a value that is null or not there.
func withValue(body []byte, name string, m outerMember, value []byte) ([]byte, bool) {
	switch {
	case m.value.empty():
		at := bytes.IndexByte(body, '{') + 1
		member := append(append(appendString(nil, name), ':'), value...)
		return replaced(body, spanOf(at, at), append(member, ',')), true // another one follows: no request is empty
	case body[m.value.start] == 'n':
		return replaced(body, m.value, value), true
	default:
		return nil, false
	}
}
