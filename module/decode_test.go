package module_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
)

// level is a value with a text form of its own.
type level int

func (l *level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "low":
		*l = 1
	case "high":
		*l = 2
	default:
		return errors.New(`must be "low" or "high"`)
	}
	return nil
}

type tenant string

// window has defaults and checks of its own.
type window struct {
	Length time.Duration `json:"length"`
	Count  int           `json:"count"`
}

func (w *window) SetDefaults() { w.Length = time.Minute }
func (w *window) Validate() error {
	if w.Count < 0 {
		return errors.New("count: must not be negative")
	}
	if w.Count > 9 {
		return errors.New("nine windows: that is the most")
	}
	return nil
}

type common struct {
	Title string `json:"title"`
}

// everything has a field of each type that Decode knows.
type everything struct {
	common
	Text     string            `json:"text"`
	Flag     bool              `json:"flag"`
	Int      int               `json:"int"`
	Int32    int32             `json:"int32"`
	Int64    int64             `json:"int64"`
	Uint     uint              `json:"uint"`
	Byte     byte              `json:"byte"`
	Float    float64           `json:"float"`
	Float32  float32           `json:"float32"`
	Pair     [2]int            `json:"pair"`
	Wait     time.Duration     `json:"wait"`
	Level    level             `json:"level"`
	Raw      module.RawConfig  `json:"raw"`
	List     []string          `json:"list"`
	Table    map[string]int    `json:"table"`
	Named    map[tenant]string `json:"named"`
	Nested   window            `json:"nested"`
	Preset   window            `json:"preset"`
	Pointer  *window           `json:"pointer"`
	Windows  []window          `json:"windows"`
	ByName   map[string]window `json:"by_name"`
	Hidden   string            `json:"-"`
	Untagged string
}

func (e *everything) SetDefaults() { e.Text, e.Preset = "default", window{Length: time.Hour, Count: 5} }

func TestDecodeReadsEveryType(t *testing.T) {
	defaults := func(change func(*everything)) everything {
		var e everything
		e.SetDefaults()
		change(&e)
		return e
	}
	tests := map[string]struct {
		config string
		want   everything
	}{
		"nothing":             {``, defaults(func(*everything) {})},
		"null":                {`null`, defaults(func(*everything) {})},
		"null keeps":          {`{"text":null,"preset":null,"list":null}`, defaults(func(*everything) {})},
		"string":              {`{"text":"é\u00e9\n"}`, defaults(func(e *everything) { e.Text = "éé\n" })},
		"bool":                {`{"flag":true}`, defaults(func(e *everything) { e.Flag = true })},
		"integers":            {`{"int":-1,"int32":2147483647,"int64":9223372036854775807}`, defaults(func(e *everything) { e.Int, e.Int32, e.Int64 = -1, 1<<31-1, 1<<63-1 })},
		"unsigned":            {`{"uint":4294967295,"byte":255}`, defaults(func(e *everything) { e.Uint, e.Byte = 1<<32-1, 255 })},
		"float32":             {`{"float32":0.5}`, defaults(func(e *everything) { e.Float32 = 0.5 })},
		"array":               {`{"pair":[1,2]}`, defaults(func(e *everything) { e.Pair = [2]int{1, 2} })},
		"float":               {`{"float":-1.5e2}`, defaults(func(e *everything) { e.Float = -150 })},
		"duration":            {`{"wait":"1m30s"}`, defaults(func(e *everything) { e.Wait = 90 * time.Second })},
		"text form":           {`{"level":"high"}`, defaults(func(e *everything) { e.Level = 2 })},
		"raw":                 {`{"raw":{"a":[1, 2]}}`, defaults(func(e *everything) { e.Raw = module.RawConfig(`{"a":[1, 2]}`) })},
		"list":                {`{"list":["a","b"]}`, defaults(func(e *everything) { e.List = []string{"a", "b"} })},
		"empty list":          {`{"list":[]}`, defaults(func(e *everything) { e.List = []string{} })},
		"map":                 {`{"table":{"a b":1}}`, defaults(func(e *everything) { e.Table = map[string]int{"a b": 1} })},
		"map of named keys":   {`{"named":{"acme":"x"}}`, defaults(func(e *everything) { e.Named = map[tenant]string{"acme": "x"} })},
		"embedded":            {`{"title":"t"}`, defaults(func(e *everything) { e.Title = "t" })},
		"without a tag":       {`{"untagged":"u"}`, defaults(func(e *everything) { e.Untagged = "u" })},
		"nested defaults":     {`{"nested":{"count":1}}`, defaults(func(e *everything) { e.Nested = window{time.Minute, 1} })},
		"defaults of outside": {`{"preset":{"count":1}}`, defaults(func(e *everything) { e.Preset = window{time.Hour, 1} })},
		"pointer":             {`{"pointer":{}}`, defaults(func(e *everything) { e.Pointer = &window{time.Minute, 0} })},
		"items' defaults":     {`{"windows":[{},{"length":"2s"}]}`, defaults(func(e *everything) { e.Windows = []window{{time.Minute, 0}, {2 * time.Second, 0}} })},
		"values' defaults":    {`{"by_name":{"a":{}}}`, defaults(func(e *everything) { e.ByName = map[string]window{"a": {time.Minute, 0}} })},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got everything
			if err := module.Decode([]byte(tc.config), &got); err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tc.want)
			}
		})
	}
}

func TestDecodeNamesThePathOfWhatIsWrong(t *testing.T) {
	tests := map[string]struct{ config, want string }{
		"no JSON":                 {`{"a":}`, "configuration: invalid JSON at byte "},
		"two values":              {`{} {}`, "configuration: invalid JSON at byte "},
		"no object":               {`[]`, "configuration: [] is not a map of fields"},
		"negative unsigned":       {`{"uint":-1}`, "uint: -1 is not a whole number from 0 on"},
		"a byte too large":        {`{"byte":256}`, "byte: 256 is not a whole number from 0 on"},
		"another length":          {`{"pair":[1]}`, "pair: has 1 values, not 2"},
		"inside an array":         {`{"pair":[1,"b"]}`, `pair[1]: "b" is not a whole number`},
		"unknown field":           {`{"txet":"a"}`, "txet: unknown field; the known ones are title, text, flag"},
		"unknown field inside":    {`{"windows":[{"cuont":1}]}`, "windows[0].cuont: unknown field; the known ones are length, count"},
		"hidden field":            {`{"-":"a"}`, "-: unknown field"},
		"field in another case":   {`{"Text":"a"}`, "Text: unknown field"},
		"a field twice":           {`{"text":"a","te\u0078t":"b"}`, `configuration: invalid JSON at byte 12: key "text" appears twice`},
		"a key twice":             {`{"table":{"a":1,"a":2}}`, `configuration: invalid JSON at byte 16: key "a" appears twice`},
		"string":                  {`{"text":1}`, "text: 1 is not a string"},
		"bool":                    {`{"flag":"true"}`, `flag: "true" is not true or false`},
		"integer":                 {`{"int":1.5}`, "int: 1.5 is not a whole number"},
		"integer with exponent":   {`{"int":1e3}`, "int: 1e3 is not a whole number"},
		"integer too large":       {`{"int32":2147483648}`, "int32: 2147483648 is not a whole number"},
		"float":                   {`{"float":"1"}`, `float: "1" is not a number`},
		"duration without a unit": {`{"wait":"90"}`, `wait: "90" is not a duration (such as "90s" or "1h")`},
		"duration as a number":    {`{"wait":90}`, "wait: 90 is not a duration"},
		"text form":               {`{"level":"middle"}`, `level: must be "low" or "high"`},
		"text form of a number":   {`{"level":1}`, "level: 1 is not a string"},
		"list":                    {`{"list":"a"}`, `list: "a" is not a list`},
		"item":                    {`{"list":["a",{}]}`, "list[1]: {} is not a string"},
		"map":                     {`{"table":[]}`, "table: [] is not a map"},
		"value of a map":          {`{"table":{"a":"b"}}`, `table.a: "b" is not a whole number`},
		"nested":                  {`{"nested":3}`, "nested: 3 is not a map of fields"},
		"nested check":            {`{"nested":{"count":-1}}`, "nested.count: must not be negative"},
		"pointer's check":         {`{"pointer":{"count":-1}}`, "pointer.count: must not be negative"},
		"item's check":            {`{"windows":[{},{"count":-1}]}`, "windows[1].count: must not be negative"},
		"value's check":           {`{"by_name":{"a":{"count":-1}}}`, "by_name.a.count: must not be negative"},
		"check of no field":       {`{"nested":{"count":10}}`, "nested: nine windows: that is the most"},
		"long value":              {`{"int":"` + strings.Repeat("a", 500) + `"}`, `int: "` + strings.Repeat("a", 39) + "… is not a whole number"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got everything
			if err := module.Decode([]byte(tc.config), &got); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// copied could set its defaults in a copy only.
type copied struct{ A int }

func (copied) SetDefaults() {}

func TestDecodeSaysWhichTypesItDoesNotKnow(t *testing.T) {
	tests := map[string]struct {
		target any
		config string
		want   string
	}{
		"anything":            {&struct{ A any }{}, `{"a":1}`, "a: configuration type interface {} is not supported: module.Decode names those that are, and module.RawConfig keeps any JSON"},
		"map of numbers":      {&struct{ M map[int]string }{}, `{"m":{"1":"a"}}`, "m: configuration type map[int]string is not supported: module.Decode names those that are, and module.RawConfig keeps any JSON"},
		"defaults of a copy":  {&copied{}, `{}`, "SetDefaults of module_test.copied sets nothing, since it is given a copy: its receiver must be a pointer"},
		"one within":          {&struct{ In copied }{}, `{"in":{}}`, "SetDefaults of module_test.copied sets nothing, since it is given a copy: its receiver must be a pointer"},
		"not exported":        {&struct{ limit int }{}, `{"limit":1}`, "limit: unknown field; the field limit of struct { limit int } cannot be set: its name must begin with a capital letter"},
		"no field at all":     {&struct{}{}, `{"a":1}`, "a: unknown field; there are none here"},
		"embedded, no struct": {&struct{ tenant }{}, `{"tenant":"a"}`, "tenant: unknown field"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if err := module.Decode([]byte(tc.config), tc.target); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func FuzzDecodeNeverPanics(f *testing.F) {
	for _, seed := range []string{``, `null`, `{"text":"a","wait":"1s","windows":[{"count":1}],"by_name":{"a":{}}}`, `{"raw":[[]],"level":"low"}`, `{"a`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		var first, second everything
		err := module.Decode(config, &first)
		again := module.Decode(config, &second)
		if (err == nil) != (again == nil) || err == nil && !reflect.DeepEqual(first, second) {
			t.Errorf("got %+v, %v and then %+v, %v", first, err, second, again)
		}
	})
}
