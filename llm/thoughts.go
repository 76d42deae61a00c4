package llm

import "bytes"

// Signatures that are empty, as clients write them.
var unsigned = [...][]byte{[]byte(`"signature":""`), []byte(`"signature": ""`)}

// WithoutUnsignedThoughts is the body of a request for a message of Anthropic's without the blocks of thoughts that have no signature, and
// without the messages that have nothing else. Anthropic refuses such: clients have them from providers whose answers were translated. The body must
// be one that was parsed; where there is no such block, or no message would be left, it is the same slice.
func WithoutUnsignedThoughts(body []byte) []byte {
	if !bytes.Contains(body, unsigned[0]) && !bytes.Contains(body, unsigned[1]) {
		return body
	}
	list, ok := findMember(body, "messages")
	if !ok || body[list.value.start] != '[' {
		return body
	}
	left := listWithout(body, list.value, func(message []byte) []byte {
		content, ok := findMember(message, "content")
		if !ok || message[content.value.start] != '[' {
			return message
		}
		blocks := listWithout(message, content.value, func(block []byte) []byte {
			if isUnsignedThought(block) {
				return nil
			}
			return block
		})
		switch {
		case blocks == nil:
			return message
		case string(blocks) == "[]":
			return nil
		default:
			return replaced(message, content.value, blocks)
		}
	})
	if left == nil || string(left) == "[]" {
		return body
	}
	return replaced(body, list.value, left)
}

// listWithout is an array of what keep makes of its elements, nil for those that are left out; it is nil itself where all are kept as they are.
func listWithout(src []byte, at span, keep func(element []byte) []byte) []byte {
	var p blockReader
	p.start(src[at.start:at.end])
	left, changed := []byte{'['}, false
	var a array
	ok := p.enter()
	for ok && p.element(&a) {
		start := p.pos
		p.value()
		element := p.src[start:p.pos]
		kept := keep(element)
		changed = changed || len(kept) != len(element)
		if kept == nil {
			continue
		}
		if len(left) > 1 {
			left = append(left, ',')
		}
		left = append(left, kept...)
	}
	if !changed {
		return nil
	}
	return append(left, ']')
}

func isUnsignedThought(block []byte) bool {
	kind, ok := findMember(block, "type")
	if !ok || string(block[kind.value.start:kind.value.end]) != `"thinking"` {
		return false
	}
	signature, ok := findMember(block, "signature")
	return ok && string(block[signature.value.start:signature.value.end]) == `""`
}
