// Package record writes what modules tell about an exchange, a JSON object in one line, for those who read it from the host's log.
package record

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leash-gateway/leash/llm"
)

// A Line is a JSON object being written. What is empty, or false, is left out.
type Line []byte

// Of begins the record of an event.
func Of(event string) Line {
	return append(append(append(make(Line, 0, 512), `{"event":"`...), event...), '"')
}

func (w Line) name(name string) Line {
	w = append(w, ',', '"')
	w = append(w, name...)
	return append(w, '"', ':')
}

// Text adds a text.
func (w Line) Text(name, value string) Line {
	if value == "" {
		return w
	}
	return appendText(w.name(name), value)
}

// Texts adds a list of them.
func (w Line) Texts(name string, values []string) Line {
	if len(values) == 0 {
		return w
	}
	w = append(w.name(name), '[')
	for i, value := range values {
		if i > 0 {
			w = append(w, ',')
		}
		w = appendText(w, value)
	}
	return append(w, ']')
}

// Number adds a number, 0 too.
func (w Line) Number(name string, value int64) Line {
	return strconv.AppendInt(w.name(name), value, 10)
}

// Positive adds a number that is more than 0.
func (w Line) Positive(name string, value int64) Line {
	if value <= 0 {
		return w
	}
	return w.Number(name, value)
}

// Flag adds what is true.
func (w Line) Flag(name string, value bool) Line {
	if !value {
		return w
	}
	return append(w.name(name), "true"...)
}

// String ends the line.
func (w Line) String() string { return string(append(w, '}')) }

func appendText(w Line, value string) Line {
	if !mayAct(value) {
		return llm.AppendString(w, value)
	}
	const hex = "0123456789abcdef"
	for _, r := range string(llm.AppendString(nil, value)) {
		if acts(r) {
			w = append(w, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		} else {
			w = utf8.AppendRune(w, r)
		}
	}
	return w
}

// acts tells the characters that JSON lets stand as they are and that do something where a line is read: a terminal obeys the controls, some
// readers end a line at its breaks, and others turn what follows around (https://trojansource.codes).
func acts(r rune) bool {
	return r >= 0x7F && r <= 0x9F || r >= 0x2028 && r <= 0x202E || r >= 0x2066 && r <= 0x2069
}

// mayAct tells by the first bytes of such characters in UTF-8, which most texts have none of.
func mayAct(text string) bool {
	for i := range len(text) {
		if c := text[i]; c == 0x7F || c == 0xC2 || c == 0xE2 {
			return true
		}
	}
	return false
}

// Cut bounds what a client has chosen.
func Cut(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
