package translate

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/leash-gateway/leash/llm"
)

// A writer appends members and elements with the commas between them.
type writer struct {
	b    []byte
	next bool // a comma is due
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

func (w *writer) open() {
	w.comma()
	w.b = append(w.b, '{')
	w.next = false
}

func (w *writer) close(c byte) {
	w.b = append(w.b, c)
	w.next = true
}

func (w *writer) comma() {
	if w.next {
		w.b = append(w.b, ',')
	}
	w.next = true
}

// key begins a member. The name needs no escapes.
func (w *writer) key(name string) {
	b, n := w.room(len(name) + 4)
	if w.next {
		b[n] = ','
		n++
	}
	b[n] = '"'
	n += 1 + copy(b[n+1:], name)
	b[n], b[n+1] = '"', ':'
	w.b, w.next = b[:n+2], false
}

// room is what was written so far with room for some bytes, and where they begin: one call for all of them.
func (w *writer) room(bytes int) (b []byte, at int) {
	at = len(w.b)
	if cap(w.b)-at < bytes {
		w.b = slices.Grow(w.b, bytes)
	}
	return w.b[:at+bytes], at
}

// value appends JSON.
func (w *writer) value(json []byte) {
	w.comma()
	w.b = append(w.b, json...)
}

// member begins a member whose name is JSON already.
func (w *writer) member(name []byte) {
	w.value(name)
	w.raw(":")
	w.next = false
}

// literal appends a member that is JSON already; what is nil is left out.
func (w *writer) literal(name string, json []byte) {
	if json == nil {
		return
	}
	b, n := w.room(len(name) + len(json) + 4)
	if w.next {
		b[n] = ','
		n++
	}
	b[n] = '"'
	n += 1 + copy(b[n+1:], name)
	b[n], b[n+1] = '"', ':'
	n += 2 + copy(b[n+2:], json)
	w.b, w.next = b[:n], true
}

// str appends a member whose string needs no escapes.
func (w *writer) str(name, s string) {
	b, n := w.room(len(name) + len(s) + 6)
	if w.next {
		b[n] = ','
		n++
	}
	b[n] = '"'
	n += 1 + copy(b[n+1:], name)
	b[n], b[n+1], b[n+2] = '"', ':', '"'
	n += 3 + copy(b[n+3:], s)
	b[n] = '"'
	w.b, w.next = b[:n+1], true
}

// text appends a member whose string may be anything.
func (w *writer) text(name, s string) {
	w.key(name)
	w.comma()
	w.b = llm.AppendString(w.b, s)
}

func (w *writer) number(name string, n int64) {
	w.key(name)
	w.comma()
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *writer) object(name string) {
	w.key(name)
	w.b = append(w.b, '{')
}

func (w *writer) array(name string) {
	w.key(name)
	w.b = append(w.b, '[')
}

// begin begins an object that end leaves out again if nothing was written into it.
func (w *writer) begin(name string) (before int) {
	before = len(w.b)
	w.object(name)
	return before
}

func (w *writer) end(before int) {
	if w.b[len(w.b)-1] != '{' {
		w.close('}')
		return
	}
	w.b, w.next = w.b[:before], true
}

// role writes who has said a message.
func (w *writer) role(m *message) {
	if m.assistant {
		w.str("role", "assistant")
	} else {
		w.str("role", "user")
	}
}

// quoted appends a member whose string is made of pieces: bytes from between quotes, and words without escapes.
func (w *writer) quoted(name string, pieces ...[]byte) {
	w.key(name)
	w.comma()
	w.b = append(w.b, '"')
	for _, p := range pieces {
		w.b = append(w.b, p...)
	}
	w.b = append(w.b, '"')
}

// inner is what stands between the quotes of a literal.
func inner(literal []byte) []byte {
	if len(literal) < 2 {
		return nil
	}
	return literal[1 : len(literal)-1]
}

// isEmpty tells whether a literal is none or "".
func isEmpty(literal []byte) bool { return len(literal) <= 2 }

// orEmpty is a literal, "" where it is none.
func orEmpty(literal []byte) []byte {
	if literal == nil {
		return []byte(`""`)
	}
	return literal
}

// literalOf makes a literal.
func literalOf(s string) []byte { return llm.AppendString(nil, s) }

// plainLiteral is a literal without escapes that need not be there, such as \/ in an address.
func plainLiteral(literal []byte) []byte {
	if bytes.IndexByte(literal, '\\') < 0 {
		return literal
	}
	return literalOf(string(llm.AppendMeaning(nil, literal)))
}

// asObject is the object that a literal holds, as the arguments of OpenAI's calls do; an empty one is {}. Ok is false
// where it holds something else, or what parsers read differently.
func asObject(literal []byte) (object []byte, ok bool) {
	object = bytes.TrimSpace(llm.AppendMeaning(make([]byte, 0, len(literal)), literal))
	if len(object) == 0 {
		return []byte("{}"), true
	}
	return object, object[0] == '{' && llm.Check(object) == nil
}

// appendQuoted appends JSON as a string.
func appendQuoted(dst, json []byte) []byte {
	dst = append(slices.Grow(dst, len(json)+len(json)/8+2), '"')
	start := 0
	for i, c := range json {
		var escaped string
		switch c {
		case '"':
			escaped = `\"`
		case '\\':
			escaped = `\\`
		case '\n':
			escaped = `\n`
		case '\r':
			escaped = `\r`
		case '\t':
			escaped = `\t`
		default:
			continue
		}
		dst = append(dst, json[start:i]...)
		dst = append(dst, escaped...)
		start = i + 1
	}
	dst = append(dst, json[start:]...)
	return append(dst, '"')
}

// objectOf appends a member that is what a call's arguments are, as an object. The error says that they are none.
func (x *Exchange) objectOf(w *writer, name string, p *part) error {
	switch w.key(name); {
	case p.quoted:
		start := len(w.b)
		w.b = llm.AppendMeaning(w.b, p.args)
		object := bytes.TrimSpace(w.b[start:])
		if len(object) == 0 {
			w.b = append(w.b[:start], "{}"...)
		} else if object[0] != '{' || llm.Check(object) != nil {
			return &Error{Field: messageFields[x.from], Reason: "the arguments of a call are no JSON object, which " + x.to.String() + " cannot say"}
		}
	case p.args == nil:
		w.b = append(w.b, "{}"...)
	default:
		w.b = append(w.b, p.args...)
	}
	w.next = true
	return nil
}

// textOf appends a member that is what a call's arguments are, as a string.
func (w *writer) textOf(name string, p *part) {
	if p.quoted || p.args == nil {
		w.literal(name, p.string())
		return
	}
	w.json(name, p.args)
}

// json appends a member that is a string of JSON.
func (w *writer) json(name string, json []byte) {
	w.key(name)
	w.b = appendQuoted(w.b, json)
	w.next = true
}

// object is a call's arguments as an object.
func (p *part) object() ([]byte, bool) {
	if !p.quoted {
		if p.args == nil {
			return []byte("{}"), true
		}
		return p.args, true
	}
	return asObject(p.args)
}

// isCut tells of a call in an answer that has met its limit whether it ends there.
func (p *part) isCut() bool {
	if p.kind != callPart || !p.quoted {
		return false
	}
	_, whole := asObject(p.args)
	return !whole || isEmpty(p.args)
}

// string is a call's arguments as a literal.
func (p *part) string() []byte {
	switch {
	case p.quoted && !isEmpty(p.args):
		return p.args
	case p.quoted || p.args == nil:
		return []byte(`"{}"`)
	default:
		return appendQuoted(make([]byte, 0, len(p.args)+len(p.args)/8+16), p.args)
	}
}

// cutDataURL takes data:image/png;base64,DATA apart; parameters of the type are left out. Ok is false for an address of another kind.
func cutDataURL(literal []byte) (mime, data []byte, ok bool) {
	rest, ok := bytes.CutPrefix(inner(literal), []byte("data:"))
	if !ok {
		return nil, nil, false
	}
	head, data, ok := bytes.Cut(rest, []byte(","))
	mime, ok2 := bytes.CutSuffix(head, []byte(";base64"))
	mime, _, _ = bytes.Cut(mime, []byte(";"))
	return mime, data, ok && ok2
}

// media makes p one whose bytes are in an address, or behind it.
func (p *part) media(kind partKind, address []byte) {
	address = plainLiteral(address)
	mime, data, ok := cutDataURL(address)
	if kind == filePart && bytes.HasPrefix(inner(address), []byte("JVBERi0")) { // a PDF without what says that it is one
		mime, data, ok = []byte("application/pdf"), inner(address), true
	}
	if p.kind, p.text, p.url = kind, nil, nil; !ok {
		p.url, mime, data = address, nil, nil
	}
	p.mime, p.data = mime, data
	p.settleType()
}

// imageTypes are those of images by the base64 that they begin with.
var imageTypes = [...]struct{ begin, mime string }{{"/9j/", "image/jpeg"}, {"iVBORw0KGgo", "image/png"}, {"R0lGOD", "image/gif"}, {"UklGR", "image/webp"}}

// settleType makes the type of an image what it is. Clients take it from a file's ending, and know image/jpg too; Anthropic and Google know neither, and OpenAI
// does not care.
func (p *part) settleType() {
	if p.kind != imagePart {
		return
	}
	for i := range imageTypes {
		if t := &imageTypes[i]; len(p.data) >= len(t.begin) && string(p.data[:len(t.begin)]) == t.begin {
			p.mime = []byte(t.mime)
			return
		}
	}
	if string(p.mime) == "image/jpg" {
		p.mime = []byte("image/jpeg")
	}
}
