package llm

import "bytes"

// WithTurn is the body of a request with a turn of the model's behind all others, which has said text: a model goes on from there. The body must
// be one that was parsed. ok is false for formats whose conversation cannot be gone on with so.
func WithTurn(f Format, body []byte, text string) (longer []byte, ok bool) {
	list, turn := "messages", []byte(`{"role":"assistant","content":`)
	closing := "}"
	switch f {
	case OpenAIChat, AnthropicMessages:
	case GoogleGenerate, GoogleStream:
		list, turn, closing = "contents", []byte(`{"role":"model","parts":[{"text":`), "}]}"
	default:
		return nil, false
	}
	m, ok := findMember(body, list)
	if !ok || body[m.value.start] != '[' {
		return nil, false
	}
	end := bytes.LastIndexByte(body[m.value.start:m.value.end], ']')
	at := int(m.value.start) + end
	turn = append(appendString(append([]byte{','}, turn...), text), closing...)
	return replaced(body, spanOf(at, at), turn), true
}
