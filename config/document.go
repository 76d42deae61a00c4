package config

import (
	"reflect"
	"strings"
)

// A Document is another file of Leash's that was read as a leash.yaml is, and knows where everything in it stands.
type Document struct{ stands *Config }

// Decode reads such a file into out, which points to a struct, as strictly as [Parse], but without variables; an empty one leaves
// out as it is. name stands for it in errors. What is wrong in it comes as Errors.
func Decode(name string, data []byte, out any) (*Document, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	d := &decoder{file: name, lines: lineBreak.Split(text, -1), optional: true, positions: map[string]position{}}
	if root := d.parse([]byte(text)); root != nil {
		d.decode(root, reflect.ValueOf(out).Elem(), "")
	}
	if len(d.errors) > 0 {
		for _, e := range d.errors {
			if revealing.MatchString(e.Source) {
				e.Source = ""
			}
		}
		return nil, d.errors.inOrder()
	}
	return &Document{&Config{file: name, positions: d.positions, lines: d.lines}}, nil
}

// Errorf is [Config.Errorf].
func (d *Document) Errorf(path, format string, args ...any) *Error {
	return d.stands.Errorf(path, format, args...)
}

// Placed is [Config.Placed].
func (d *Document) Placed(path string, err error) error { return d.stands.Placed(path, err) }
