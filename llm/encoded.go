package llm

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// data reads a string that is no text by its name. In requests it may be a text all the same: a file, in base64 or as a data URL, which
// providers read to their models like any other text.
func (r *reader) data(name []byte, part int) {
	switch string(name) {
	case "data", "file_data", "url", "image_url", "document_url", "file_url":
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
// they are of a type that is text, or look like one and are of none that is not.
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
		in64 = isBase64(before)
	} else if !bare {
		return
	}
	if !in64 {
		if isTextual(kind) {
			r.addEncoded(string(in), before, q, part)
		}
		return
	}
	if isTextual(kind) || !isMedia(kind) && looksLikeText(decoded(in[:min(len(in), 64)])) {
		if !r.readsAlike(in) {
			r.refuse(r.in(""), "has a file whose base64 is not of one alphabet, or goes on behind its end")
		}
		r.addEncoded(strings.ToValidUTF8(string(decoded(in)), string(utf8.RuneError)), before, q, part)
	}
}

// isBase64 tells whether what stands before the bytes of a data URL says that they are in base64. It is to be the last parameter, and not every
// reader minds where it is.
func isBase64(before string) bool {
	_, rest, found := strings.Cut(strings.TrimSuffix(before, ","), ";")
	for found && !strings.EqualFold(strings.TrimSpace(rest), "base64") {
		var one string
		if one, rest, found = strings.Cut(rest, ";"); strings.EqualFold(strings.TrimSpace(one), "base64") {
			return true
		}
	}
	return found
}

func (r *reader) addEncoded(value, before string, q quoted, part int) {
	if value != "" {
		r.keep(Text{Kind: Content, Part: part, Value: value, place: inEncoded, before: before, at: q.outer()})
	}
}

// readsAlike tells whether all readers take the same bytes out of a string in base64: some pass over an equals sign in the middle, and the signs of
// the other alphabet, where others end, or read them. Google's take either alphabet, as one of its own clients sends the other.
func (r *reader) readsAlike(in []byte) bool {
	in = bytes.TrimRight(in, "= \t\r\n")
	return bytes.IndexByte(in, '=') < 0 && (r.anyBase64 || !bytes.ContainsAny(in, "-_"))
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

// isMedia tells the types that nobody reads as text, whatever they begin with. All others may be: programs, letters and settings have hundreds.
func isMedia(kind string) bool {
	kind = strings.ToLower(kind)
	for _, begin := range [...]string{"image/", "audio/", "video/", "font/", "application/pdf"} {
		if strings.HasPrefix(kind, begin) {
			return true
		}
	}
	return false
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
	if t.before != "" && !isBase64(t.before) {
		return t.before + value
	}
	return t.before + base64.StdEncoding.EncodeToString([]byte(value))
}
