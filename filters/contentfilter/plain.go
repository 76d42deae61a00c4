package contentfilter

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A plain is a text that comes in pieces, as whoever it is for will read it: in JSON, as tools are called with it and as structured answers
// are, a character may stand as its number (\u0061), and no rule would see it there. In its place comes the character itself, which means
// the same; what JSON demands the escape for stays. Text that begins with neither { nor [ is none;
// a byte order mark may stand ahead of them.
type plain struct {
	begun, json bool
	held        string // the beginning of an escape
}

// feed takes the next piece.
func (p *plain) feed(piece string) string {
	if !p.begun {
		if rest := strings.TrimLeft(piece, " \t\r\n\ufeff"); rest != "" {
			p.begun, p.json = true, rest[0] == '{' || rest[0] == '['
		}
	}
	if p.held == "" && (!p.json || strings.IndexByte(piece, '\\') < 0) {
		return piece
	}
	text := p.held + piece
	p.held = ""
	out := make([]byte, 0, len(text))
	for {
		at := strings.IndexByte(text, '\\')
		if at < 0 {
			return string(append(out, text...))
		}
		out, text = append(out, text[:at]...), text[at:]
		r, size := escape(text)
		switch {
		case size > len(text):
			p.held = text
			return string(out)
		case r < 0:
			out = append(out, text[:size]...)
		default:
			out = utf8.AppendRune(out, r)
		}
		text = text[size:]
	}
}

// flush is what was held back.
func (p *plain) flush() string {
	held := p.held
	p.held = ""
	return held
}

// escape reads the escape that a text begins with. r is the character that may take its place, -1 if it must stay. size is more than there
// is where the escape may not be whole.
func escape(text string) (r rune, size int) {
	const short, long = len(`\n`), len(`\u0061`)
	switch {
	case len(text) < short:
		return -1, short
	case text[1] == '/':
		return '/', short
	case text[1] != 'u':
		return -1, short
	}
	r, whole := unit(text)
	switch {
	case !whole && r < 0:
		return -1, short // none at all
	case !whole:
		return -1, long
	case utf16.IsSurrogate(r):
		low, whole := unit(text[long:])
		if pair := utf16.DecodeRune(r, low); whole && pair != utf8.RuneError {
			return pair, 2 * long
		}
		if !whole && low >= 0 && r < 0xDC00 {
			return -1, 2 * long
		}
		return -1, long
	case r < ' ' || r == '"' || r == '\\' || r == 0x7F:
		return -1, long
	}
	return r, long
}

// unit reads \uXXXX. Where it is not whole, r is -1 unless it may become so.
func unit(text string) (r rune, whole bool) {
	const begin = `\u`
	if len(text) < len(begin) {
		if strings.HasPrefix(begin, text) {
			return 0, false
		}
		return -1, false
	}
	digits := text[len(begin):min(len(text), len(begin)+4)]
	n, err := strconv.ParseUint("0"+digits, 16, 32)
	if !strings.HasPrefix(text, begin) || err != nil {
		return -1, false
	}
	return rune(n), len(digits) == 4 //nolint:gosec // four digits
}

// plainOf is a whole text so.
func plainOf(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var p plain
	out := p.feed(text)
	return out + p.flush()
}
