// Package record writes what modules tell about an exchange, a JSON object in one line, for those who read it from the host's log.
package record

import (
	"strconv"
	"strings"

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

// lineBreaks are those of Unicode, at which some readers end a line; firstByte is that of both in UTF-8. JSON needs them not escaped.
const lineBreaks, firstByte = "\u2028\u2029", 0xe2

var unbroken = strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`)

func appendText(w Line, value string) Line {
	if strings.IndexByte(value, firstByte) >= 0 && strings.ContainsAny(value, lineBreaks) {
		return append(w, unbroken.Replace(string(llm.AppendString(nil, value)))...)
	}
	return llm.AppendString(w, value)
}

// Cut bounds what a client has chosen.
func Cut(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
