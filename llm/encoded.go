package llm

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// data reads the value of a member that is no text by its name. In requests it may be a text all the same: a file, in base64 or as a data
// URL, which providers read to their models like any other text.
func (r *reader) data(name []byte, part int) {
	switch string(name) {
	case "data", "file_data", "url", "image_url", "file_url":
		if r.answer || r.peek() != '"' {
			break
		}
		bare := string(name) == "data" || string(name) == "file_data"
		if q, ok := r.str(); ok {
			r.encoded(q, "", bare, part)
		}
		return
	}
	r.value()
}

// encoded takes the text out of a string that is a data URL (https://www.rfc-editor.org/rfc/rfc2397) or, where bare is set, bytes in base64, if
// they are of a type that is text, or look like one where they have none.
func (r *reader) encoded(q quoted, kind string, bare bool, part int) {
	if r.answer {
		return
	}
	in := r.meant(q)
	before, in64 := "", true
	if len(in) > len("data:") && strings.EqualFold(string(in[:len("data:")]), "data:") {
		head, rest, _ := bytes.Cut(in, []byte(","))
		before, in = string(head)+",", rest
		kind, _, _ = strings.Cut(before[len("data:"):], ";")
		kind = strings.TrimSuffix(kind, ",")
		in64 = strings.HasSuffix(strings.ToLower(before), ";base64,")
	} else if !bare {
		return
	}
	if !in64 {
		if isTextual(kind) {
			r.addEncoded(string(in), before, q, part)
		}
		return
	}
	if isTextual(kind) || isUnknown(kind) && looksLikeText(decoded(in[:min(len(in), 64)])) {
		r.addEncoded(strings.ToValidUTF8(string(decoded(in)), string(utf8.RuneError)), before, q, part)
	}
}

func (r *reader) addEncoded(value, before string, q quoted, part int) {
	if value != "" {
		r.keep(Text{Kind: Content, Part: part, Value: value, place: inEncoded, before: before, at: q.outer()})
	}
}

// decoded is what base64 of either alphabet means, up to the first sign that it has ended. What is not of its alphabet is passed over, as many
// readers do.
func decoded(in []byte) []byte {
	clean := make([]byte, 0, len(in))
	for _, c := range in {
		switch {
		case c == '=':
			return decodeClean(clean)
		case c == '-':
			c = '+'
		case c == '_':
			c = '/'
		case !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '+' && c != '/':
			continue
		}
		clean = append(clean, c)
	}
	return decodeClean(clean)
}

func decodeClean(clean []byte) []byte {
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	n, _ := base64.RawStdEncoding.Decode(clean, clean) // of its alphabet only
	return clean[:n]
}

// isTextual tells the types that are text, https://www.iana.org/assignments/media-types.
func isTextual(kind string) bool {
	kind = strings.ToLower(kind)
	if strings.HasPrefix(kind, "text/") {
		return true
	}
	for _, part := range [...]string{"json", "xml", "yaml", "javascript", "typescript", "markdown", "csv", "x-sh", "x-python", "sql"} {
		if strings.Contains(kind, part) {
			return true
		}
	}
	return false
}

// isUnknown tells the types that say nothing.
func isUnknown(kind string) bool {
	return kind == "" || strings.EqualFold(kind, "application/octet-stream")
}

// looksLikeText tells text from the beginnings of pictures, sounds and archives.
func looksLikeText(b []byte) bool {
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && utf8.FullRune(b) || c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
		b = b[n:]
	}
	return true
}

// encode is a text as it stood in the body.
func (t *Text) encode(value string) string {
	if t.before != "" && !strings.HasSuffix(strings.ToLower(t.before), ";base64,") {
		return t.before + value
	}
	return t.before + base64.StdEncoding.EncodeToString([]byte(value))
}
