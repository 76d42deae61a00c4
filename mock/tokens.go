package mock

import (
	"strconv"
	"unicode/utf8"
)

// Tokens is how many tokens the mock counts in a text: its words, each with the white space before it; white space at the
// end is one more. Real tokenizers count differently; this one can be computed by a test.
//
// A prompt has the tokens of the text of all its messages' content; nothing is added for a message or a tool. A tool call
// has those of its name and its arguments.
func Tokens(text string) int64 {
	var n int64
	for text != "" {
		text = text[tokenEnd(text):]
		n++
	}
	return n
}

// tokenEnd is where the first token of a text ends; the text is not empty.
func tokenEnd(text string) int {
	i := 0
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	for i < len(text) && !isSpace(text[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// firstTokens is the text up to its n-th token.
func firstTokens(text string, n int64) string {
	end := 0
	for ; n > 0 && end < len(text); n-- {
		end += tokenEnd(text[end:])
	}
	return text[:end]
}

// pieceEnd is where the first piece of a streamed text ends: a token, or size bytes without cutting a character.
func pieceEnd(text string, size int) int {
	if size <= 0 {
		return tokenEnd(text)
	}
	if size >= len(text) {
		return len(text)
	}
	for size < len(text) && !utf8.RuneStart(text[size]) {
		size++
	}
	return size
}

const hexDigits = "0123456789abcdef"

// appendString writes s as a JSON string; with escape, every character as \uXXXX.
func appendString(dst []byte, s string, escape bool) []byte {
	dst = append(dst, '"')
	for _, r := range s { // what is not UTF-8 becomes U+FFFD
		switch {
		case escape || r < ' ':
			if r > 0xffff {
				r -= 0x10000
				dst = appendEscape(dst, 0xd800+r>>10)
				r = 0xdc00 + r&0x3ff
			}
			dst = appendEscape(dst, r)
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

func appendEscape(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
