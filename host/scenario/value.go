package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Value is any JSON value, written as YAML. The zero Value stands for nothing having been written, which null is not.
type Value struct {
	v   any // nil, bool, json.Number, string, []any, map[string]any
	set bool
}

// ValueOf is a value of bool, json.Number, string, []any, map[string]any or nil.
func ValueOf(v any) Value { return Value{v, true} }

// IsZero says that nothing was written.
func (v Value) IsZero() bool { return !v.set }

// MarshalJSON writes the value.
func (v Value) MarshalJSON() ([]byte, error) { return encode(v.v) }

// MarshalYAML gives the value to the YAML library.
func (v Value) MarshalYAML() (any, error) { return plain(v.v), nil }

// plain is a value with numbers that a YAML library knows.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key := range v {
			out[key] = plain(v[key])
		}
		return out
	}
	return v
}

// text is text as it is, and all else as JSON.
func (v Value) text() string {
	if s, ok := v.v.(string); ok || !v.set {
		return s
	}
	encoded, _ := encode(v.v) // made of what JSON has
	return string(encoded)
}

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// decodeJSON reads JSON without losing digits.
func decodeJSON(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if decoder.More() {
		return nil, fmt.Errorf("read JSON: there is something after the value")
	}
	return v, nil
}

// Block is a part of the file in another format, as text at the lines at which it stands.
type Block struct{ text string }

// MarshalYAML gives the block to the YAML library.
func (b Block) MarshalYAML() (any, error) {
	var v any
	err := yaml.Unmarshal([]byte(b.text), &v)
	return v, err
}

// IsZero says that there is none.
func (b Block) IsZero() bool { return b.text == "" }

// Time is a moment, written as 2026-11-01T12:00:00Z.
type Time struct{ time.Time }

// UnmarshalText reads a moment.
func (t *Time) UnmarshalText(text []byte) (err error) {
	if t.Time, err = time.Parse(time.RFC3339Nano, string(text)); err != nil {
		return fmt.Errorf("%q is not a time: write it as 2026-11-01T12:00:00Z", text)
	}
	return nil
}

// Pattern is a regular expression in RE2's syntax. It matches a part of the text unless ^ and $ say otherwise.
type Pattern struct{ re *regexp.Regexp }

// IsZero says that there is none.
func (p Pattern) IsZero() bool { return p.re == nil }

// UnmarshalText compiles the expression.
func (p *Pattern) UnmarshalText(text []byte) (err error) {
	p.re, err = regexp.Compile(string(text))
	return err
}

// MarshalText writes it.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.re.String()), nil }
