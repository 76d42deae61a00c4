// Package printf is fmt's Sprintf and Errorf for what modules say in errors and refusals, without fmt: that alone is a
// tenth of a small module's code, which every Envoy compiles when it loads it.
//
// It knows the verbs %v, %s, %q, %d, %t, %f, %T and, in Errorf, %w; of flags only a precision of one digit (%.2f). Values
// are booleans, numbers, strings, errors, what has a String method, and lists of these; all are written as fmt writes
// them. Of any other value, such as a struct, the type is written: (main.Config).
package printf

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sprintf returns the format with its verbs replaced.
func Sprintf(format string, args ...any) string {
	vetSprintf(format, args...)
	var p printer
	p.print(format, args)
	return string(p.text)
}

// Errorf returns an error with that text. It wraps the error that a verb %w stands for, if there is one; of several it
// wraps the last.
func Errorf(format string, args ...any) error {
	vetErrorf(format, args...)
	var p printer
	p.print(format, args)
	if p.cause == nil {
		return errors.New(string(p.text))
	}
	return &wrapped{string(p.text), p.cause}
}

type wrapped struct {
	text  string
	cause error
}

// Error returns the text.
func (w *wrapped) Error() string { return w.text }

// Unwrap returns the error that %w stood for.
func (w *wrapped) Unwrap() error { return w.cause }

type printer struct {
	text  []byte
	cause error // of %w
}

// add appends pieces of text.
func (p *printer) add(pieces ...string) {
	for _, piece := range pieces {
		p.text = append(p.text, piece...)
	}
}

func (p *printer) print(format string, args []any) {
	for {
		before, after, more := strings.Cut(format, "%")
		if p.add(before); !more {
			return
		}
		precision := -1
		if len(after) > 1 && after[0] == '.' && after[1] >= '0' && after[1] <= '9' {
			precision, after = int(after[1]-'0'), after[2:]
		}
		verb, size := utf8.DecodeRuneInString(after)
		format = after[size:]
		switch {
		case size == 0:
			p.add("%!(NOVERB)")
		case verb == '%':
			p.add("%")
		case len(args) == 0:
			p.add("%!", string(verb), "(MISSING)")
		default:
			p.value(verb, precision, args[0])
			args = args[1:]
		}
	}
}

func (p *printer) value(verb rune, precision int, value any) {
	if verb == 'w' {
		p.cause, _ = value.(error)
		verb = 'v'
	}
	switch {
	case verb == 'T':
		p.add(typeOf(value))
		return
	case value == nil && verb == 'v':
		p.add("<nil>")
		return
	case value == nil:
		p.add("%!", string(verb), "(<nil>)")
		return
	case verb == 'v' || verb == 's' || verb == 'q':
		switch said := value.(type) {
		case error:
			p.quoted(verb, said.Error())
			return
		case interface{ String() string }:
			p.quoted(verb, said.String())
			return
		}
	}
	p.plain(verb, precision, value)
}

// plain writes a value that does not say itself what it is called.
func (p *printer) plain(verb rune, precision int, value any) {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.String:
		if verb == 'v' || verb == 's' || verb == 'q' {
			p.quoted(verb, v.String())
			return
		}
	case reflect.Bool:
		if verb == 'v' || verb == 't' {
			p.text = strconv.AppendBool(p.text, v.Bool())
			return
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if verb == 'v' || verb == 'd' {
			p.text = strconv.AppendInt(p.text, v.Int(), 10)
			return
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if verb == 'v' || verb == 'd' {
			p.text = strconv.AppendUint(p.text, v.Uint(), 10)
			return
		}
	case reflect.Float32, reflect.Float64:
		if verb == 'v' || verb == 'f' {
			p.float(verb, precision, v)
			return
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 && (verb == 's' || verb == 'q') {
			p.quoted(verb, string(v.Bytes()))
		} else {
			p.list(verb, precision, v)
		}
		return
	default:
		if verb == 'v' {
			p.add("(", typeOf(value), ")")
			return
		}
	}
	p.add("%!", string(verb), "(", typeOf(value), "=")
	p.value('v', -1, value)
	p.add(")")
}

func (p *printer) float(verb rune, precision int, v reflect.Value) {
	form := byte('g')
	if verb == 'f' {
		form = 'f'
		if precision < 0 {
			precision = 6
		}
	}
	p.text = strconv.AppendFloat(p.text, v.Float(), form, precision, v.Type().Bits())
}

// quoted writes a text, between quotes if the verb is %q.
func (p *printer) quoted(verb rune, text string) {
	if verb == 'q' {
		p.text = strconv.AppendQuote(p.text, text)
	} else {
		p.add(text)
	}
}

func (p *printer) list(verb rune, precision int, list reflect.Value) {
	p.add("[")
	for i := range list.Len() {
		if i > 0 {
			p.add(" ")
		}
		p.value(verb, precision, list.Index(i).Interface())
	}
	p.add("]")
}

func typeOf(value any) string {
	if value == nil {
		return "<nil>"
	}
	return reflect.TypeOf(value).String()
}
