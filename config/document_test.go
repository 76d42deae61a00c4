package config_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/leash-gateway/leash/config"
)

// other is a file of another kind.
type other struct {
	Listen string        `yaml:"listen"`
	Every  time.Duration `yaml:"every"`
	Bytes  int64         `yaml:"bytes"`
	Until  time.Time     `yaml:"until,omitempty"`
	Inner  *struct {
		Names []string `yaml:"names"`
	} `yaml:"inner"`
	unseen int
}

func TestOtherFilesAreReadAsStrictlyAsLeashYAML(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"all of it":        {"listen: ${A}\nevery: 1m30s\nbytes: 5000000000\ninner: {names: [a]}\nuntil: 2027-12-31\n", ""},
		"nothing":          {"", ""},
		"only a comment":   {"# listen: here\n", ""},
		"a misspelled one": {"lisen: x\n", "other.yaml:1:1: lisen: unknown field (did you mean listen?)\n    lisen: x\n    ^"},
		"one not exported": {"unseen: 1\n", "other.yaml:1:1: unseen: unknown field (did you mean listen?)\n    unseen: 1\n    ^"},
		"a number":         {"listen: 8080\n", "other.yaml:1:9: listen: must be a string, not a number (put it in quotes: \"8080\")\n    listen: 8080\n            ^"},
		"a secret":         {"token: sesame\n", "other.yaml:1:1: token: unknown field (known are bytes, every, inner, listen, until)"},
		"a token":          {"lisen: leash_0123456789012345678901234567890123456789012\n", "other.yaml:1:1: lisen: unknown field (did you mean listen?)"},
		"no time":          {"until: soon\n", "other.yaml:1:8: until: \"soon\" is not a time (write it as 2027-12-31T23:59:59Z)\n    until: soon\n           ^"},
		"no name":          {"'': x\n", "other.yaml:1:1: unknown field (known are bytes, every, inner, listen, until)\n    '': x\n    ^"},
		"no duration":      {"every: soon\n", "other.yaml:1:8: every: \"soon\" is not a duration: write it as 500ms, 90s or 1h30m\n    every: soon\n           ^"},
		"no time at all":   {"every: 0s\n", "other.yaml:1:8: every: \"0s\" is not longer than nothing: write it as 500ms, 90s or 1h30m, or leave the field out\n    every: 0s\n           ^"},
		"a bare *":         {"listen: *\n", "other.yaml:1:1: not well-formed YAML: did not find expected alphabetic or numeric character (a value that begins with * stands in quotes)\n    listen: *\n    ^"},
		"one in a map":     {"inner: {names: [*-a]}\n", "other.yaml:1:1: not well-formed YAML: unknown anchor '-a' referenced (a value that begins with * stands in quotes)\n    inner: {names: [*-a]}\n    ^"},
		"one in a list":    {"inner:\n  names:\n    - a\n    - @b\n", "other.yaml:4:5: not well-formed YAML: found character that cannot start any token (a value that begins with @ stands in quotes)\n        - @b\n        ^"},
		"too large":        {"bytes: 99999999999999999999\n", "other.yaml:1:8: bytes: \"99999999999999999999\" is not a whole number\n    bytes: 99999999999999999999\n           ^"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got other
			_, err := config.Decode("other.yaml", []byte(tc.text), &got)
			if (err == nil) != (tc.want == "") || err != nil && err.Error() != tc.want {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
	got, want := other{unseen: 7}, other{Listen: "${A}", Every: 90 * time.Second, Bytes: 5e9, Until: time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC), unseen: 7}
	want.Inner = &struct {
		Names []string `yaml:"names"`
	}{[]string{"a"}}
	where, err := config.Decode("other.yaml", []byte(tests["all of it"].text), &got)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got, want := where.Errorf("inner.names[0]", "is %s", "wrong").Error(), "other.yaml:4:17: inner.names[0]: is wrong\n    inner: {names: [a]}\n                    ^"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
