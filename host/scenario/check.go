package scenario

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/config"
)

// check looks at what the types cannot say.
func (d *decoder) check() {
	fail := func(path, hint, format string, args ...any) { d.fail(path, d.f.position(path), hint, format, args...) }
	if len(d.f.Scenarios) == 0 {
		fail("scenarios", "such as - {name: it passes, steps: [{request: {}, expect: {status: 200}}]}", "name at least one scenario")
	}
	d.enums(reflect.ValueOf(d.f).Elem(), "")
	names := map[string]bool{}
	for i, s := range d.f.Scenarios {
		path := "scenarios[" + strconv.Itoa(i) + "]"
		switch {
		case s.Name == "":
			fail(path, "it says what is promised", "name is missing")
		case names[s.Name]:
			fail(path+".name", "", "%q stands twice", s.Name)
		case len(s.Steps) == 0 && s.Refused == "":
			fail(path, "", "has neither steps nor refused")
		}
		names[s.Name] = true
		for k, step := range s.Steps {
			at := path + ".steps[" + strconv.Itoa(k) + "]"
			if step.Request == nil && step.Advance == 0 {
				fail(at, "such as request: {body: Hi}", "has neither request nor advance")
			}
			if step.Request != nil {
				d.content(at+".request", &step.Request.Content)
			}
			d.content(at+".answer", &step.Answer.Content)
			if step.Expect.Body != nil && step.Expect.BodyFile != "" {
				fail(at+".expect.body_file", "", "body is expected already")
			}
		}
		for name, answers := range s.Callouts {
			for k := range answers {
				d.content(path+".callouts."+name+"["+strconv.Itoa(k)+"]", &answers[k].Content)
			}
		}
	}
}

// content checks that there is one body only.
func (d *decoder) content(path string, c *Content) {
	bodies := 0
	for _, there := range []bool{c.Body != "", !c.JSON.IsZero(), c.Events != nil, c.Chunks != nil} {
		if there {
			bodies++
		}
	}
	switch {
	case bodies > 1:
		d.fail(path, d.f.position(path), "take one", "has more than one of body, json, events and chunks")
	case c.Chunks != nil && c.ChunkSize > 0:
		d.fail(path+".chunk_size", d.f.position(path+".chunk_size"), "", "is for a body, not for chunks")
	}
	for i, header := range c.HeaderList {
		if len(header) != 2 {
			at := path + ".header_list[" + strconv.Itoa(i) + "]"
			d.fail(at, d.f.position(at), "such as [x-name, value]", "must be a name and a value")
		}
	}
}

// enums checks fields of which only certain values are known, as the tags of the JSON Schema say.
func (d *decoder) enums(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			d.enums(v.Elem(), path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			d.enums(v.Index(i), path+"["+strconv.Itoa(i)+"]")
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			d.enums(v.MapIndex(key), join(path, key.String()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			switch {
			case field.Anonymous && field.IsExported():
				d.enums(v.Field(i), path)
			case name == "":
			case strings.Contains(field.Tag.Get("jsonschema"), "enum="):
				var known []string
				for tag := range strings.SplitSeq(field.Tag.Get("jsonschema"), ",") {
					known = append(known, strings.TrimPrefix(tag, "enum="))
				}
				if got := v.Field(i).String(); got != "" && !slices.Contains(known, got) {
					d.fail(join(path, name), d.f.position(join(path, name)), config.Suggestion(got, known), "%q is not known", got)
				}
			default:
				d.enums(v.Field(i), join(path, name))
			}
		}
	}
}

func join(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

// position is where a part of the file stands, or the nearest part that encloses it.
func (f *File) position(path string) position {
	for {
		if p, ok := f.positions[path]; ok && p.line > 0 {
			return p
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return position{1, 1}
		}
		path = path[:cut]
	}
}

// errorf gives an error its place in the file, unless it has one.
func (f *File) errorf(path string, err error) error {
	if _, placed := errors.AsType[config.Errors](err); placed {
		return err
	}
	at := f.position(path)
	return &config.Error{File: f.path, Line: at.line, Column: at.column, Path: path, Reason: err.Error()}
}
