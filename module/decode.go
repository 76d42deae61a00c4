package module

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module/printf"
)

// Decode reads a module's JSON configuration into the struct that target points to. Fields are named by their json
// tags, unknown ones are refused, and an error names the path of the value: limits[1].window: "1x" is not a duration.
// SetDefaults is called before and Validate after, where target has them; so it is for every value inside, if it is there
// and nothing has set it yet. An error of Validate that begins with the name of a field, as in "window: is too short", is
// about that field.
//
// Supported are structs, slices, arrays, maps with string keys, pointers, strings, booleans, integers, floats, time.Duration
// (written "1m30s"), types with UnmarshalText, and RawConfig for all else. It exists because the standard decoder knows no paths for unknown
// fields and costs a megabyte of .wasm (docs/decisions/011-config-decoding-in-modules.md).
func Decode(config []byte, target any) error {
	if len(config) == 0 {
		config = []byte("{}")
	}
	whole, err := checked(config)
	if err != nil {
		return err
	}
	if err := setDefaults(reflect.ValueOf(target).Elem()); err != nil {
		return err
	}
	if err := decodeValue(whole, reflect.ValueOf(target).Elem(), ""); err != nil {
		return err
	}
	if v, ok := target.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// setDefaults has a value set its own defaults, if it does.
func setDefaults(v reflect.Value) error {
	d, ok := v.Addr().Interface().(interface{ SetDefaults() })
	if !ok {
		return nil
	}
	if _, copied := v.Interface().(interface{ SetDefaults() }); copied && v.Kind() == reflect.Struct {
		return printf.Errorf("SetDefaults of %s sets nothing, since it is given a copy: its receiver must be a pointer", v.Type())
	}
	d.SetDefaults()
	return nil
}

// checked is a whole configuration, if it is JSON that everybody reads alike.
func checked(config []byte) (value, error) {
	if err := llm.Check(config); err != nil {
		return nil, printf.Errorf("configuration: %w", err)
	}
	return llm.NewCursor(config, true).Raw(), nil
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	rawType      = reflect.TypeFor[RawConfig]()
)

// RawConfig is a part of a configuration that is kept as it is, JSON, to be decoded later.
type RawConfig []byte

func decodeValue(in value, out reflect.Value, path string) error {
	if out.Type() == rawType {
		out.SetBytes([]byte(in.String()))
		return nil
	}
	if in == nil {
		return nil
	}
	if out.Kind() == reflect.Pointer {
		if out.IsNil() {
			out.Set(reflect.New(out.Type().Elem()))
		}
		return decodeItem(in, out.Elem(), path)
	}
	if out.Type() == durationType {
		d, err := time.ParseDuration(in.text())
		if !in.is('"') || err != nil {
			return wrong(in, path, `a duration (such as "90s" or "1h")`)
		}
		out.SetInt(int64(d))
		return nil
	}
	if u, ok := out.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if !in.is('"') {
			return wrong(in, path, "a string")
		}
		if err := u.UnmarshalText([]byte(in.text())); err != nil {
			return printf.Errorf("%s: %w", pathName(path), err)
		}
		return nil
	}
	switch out.Kind() {
	case reflect.String:
		if !in.is('"') {
			return wrong(in, path, "a string")
		}
		out.SetString(in.text())
	case reflect.Bool:
		if !in.is('t') && !in.is('f') {
			return wrong(in, path, "true or false")
		}
		out.SetBool(in.is('t'))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(in.String(), 10, out.Type().Bits())
		if err != nil {
			return wrong(in, path, "a whole number")
		}
		out.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(in.String(), 10, out.Type().Bits())
		if err != nil {
			return wrong(in, path, "a whole number from 0 on")
		}
		out.SetUint(n)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(in.String(), out.Type().Bits())
		if !in.is('0') || err != nil {
			return wrong(in, path, "a number")
		}
		out.SetFloat(n)
	case reflect.Slice, reflect.Array:
		return decodeList(in, out, path)
	case reflect.Map:
		return decodeMap(in, out, path)
	case reflect.Struct:
		return decodeStruct(in, out, path)
	default:
		return unsupported(out, path)
	}
	return nil
}

func unsupported(out reflect.Value, path string) error {
	return printf.Errorf("%s: configuration type %s is not supported: module.Decode names those that are, and module.RawConfig keeps any JSON", pathName(path), out.Type())
}

func decodeList(in value, out reflect.Value, path string) error {
	if !in.is('[') {
		return wrong(in, path, "a list")
	}
	items := in.elements()
	list := out
	if out.Kind() == reflect.Slice {
		list = reflect.MakeSlice(out.Type(), len(items), len(items))
	} else if len(items) != out.Len() {
		return printf.Errorf("%s: has %d values, not %d", pathName(path), len(items), out.Len())
	}
	for i, item := range items {
		if err := decodeItem(item, list.Index(i), path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	out.Set(list)
	return nil
}

func decodeMap(in value, out reflect.Value, path string) error {
	if out.Type().Key().Kind() != reflect.String {
		return unsupported(out, path)
	}
	if !in.is('{') {
		return wrong(in, path, "a map")
	}
	table := reflect.MakeMap(out.Type())
	for _, m := range in.members() {
		item := reflect.New(out.Type().Elem()).Elem()
		if err := decodeItem(m.value, item, join(path, m.name)); err != nil {
			return err
		}
		key := reflect.New(out.Type().Key()).Elem()
		key.SetString(m.name)
		table.SetMapIndex(key, item)
	}
	out.Set(table)
	return nil
}

func wrong(in value, path, want string) error {
	return printf.Errorf("%s: %s is not %s", pathName(path), brief(in.String()), want)
}

// decodeItem decodes a value inside the configuration, which brings its own defaults and checks. Defaults that the value
// around it has set come first.
func decodeItem(in value, out reflect.Value, path string) error {
	if out.IsZero() {
		if err := setDefaults(out); err != nil {
			return err
		}
	}
	if err := decodeValue(in, out, path); err != nil {
		return err
	}
	if v, ok := out.Addr().Interface().(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			if path != "" && aboutField(out, err) {
				return printf.Errorf("%s.%w", path, err)
			}
			return printf.Errorf("%s: %w", pathName(path), err)
		}
	}
	return nil
}

// aboutField says whether an error of Validate begins with the name of one of the value's fields.
func aboutField(value reflect.Value, err error) bool {
	if value.Kind() != reflect.Struct {
		return false
	}
	name := err.Error()
	if end := strings.IndexAny(name, ":.["); end > 0 {
		_, known := fieldNamed(value, name[:end])
		return known
	}
	return false
}

func decodeStruct(in value, out reflect.Value, path string) error {
	if !in.is('{') {
		return wrong(in, path, "a map of fields")
	}
	for _, m := range in.members() {
		field, known := fieldNamed(out, m.name)
		if !known {
			return unknownField(out.Type(), path, m.name)
		}
		if m.value != nil || field.Type() == rawType {
			if err := decodeItem(m.value, field, join(path, m.name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func unknownField(of reflect.Type, in, name string) error {
	path, names := join(in, name), fieldNames(of)
	for i := range of.NumField() {
		if f := of.Field(i); !f.IsExported() && !embedded(f) && tagName(f) == name {
			return printf.Errorf("%s: unknown field; the field %s of %s cannot be set: its name must begin with a capital letter", path, f.Name, of)
		}
	}
	if len(names) == 0 {
		return printf.Errorf("%s: unknown field; there are none here", pathName(path))
	}
	return printf.Errorf("%s: unknown field; the known ones are %s", pathName(path), strings.Join(names, ", "))
}

func fieldNamed(out reflect.Value, name string) (reflect.Value, bool) {
	for i := range out.NumField() {
		f := out.Type().Field(i)
		if embedded(f) {
			if inner, ok := fieldNamed(out.Field(i), name); ok {
				return inner, true
			}
		} else if f.IsExported() && name != "-" && tagName(f) == name {
			return out.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if embedded(f) {
			names = append(names, fieldNames(f.Type)...)
		} else if f.IsExported() && tagName(f) != "-" {
			names = append(names, tagName(f))
		}
	}
	return names
}

// embedded says whether the fields of f count as those of the struct that f stands in.
func embedded(f reflect.StructField) bool { return f.Anonymous && f.Type.Kind() == reflect.Struct }

func tagName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		return strings.ToLower(f.Name)
	}
	return name
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func pathName(path string) string {
	if path == "" {
		return "configuration"
	}
	return path
}

func brief(raw string) string {
	const most = 40
	if len(raw) > most {
		return raw[:most] + "…"
	}
	return raw
}
