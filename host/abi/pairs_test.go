package abi

import (
	"slices"
	"testing"
)

func TestMalformedPairsAreAnEmptyList(t *testing.T) {
	good := appendPairs(nil, []pair{{"a", "b"}, {"name", ""}})
	tests := map[string][]byte{
		"nothing":               {},
		"half a number":         {1, 0, 0},
		"fewer pairs than said": {2, 0, 0, 0},
		"a length past the end": append([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, good[8:]...),
		"no zero byte":          append(slices.Clone(good[:len(good)-1]), 'x'),
		"something behind":      append(slices.Clone(good), 0),
		"more pairs than may":   {0, 5, 0, 0},
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			if got := parsePairs(data); len(got) != 0 {
				t.Errorf("got %v", got)
			}
		})
	}
	if got := parsePairs(good); len(got) != 2 || got[0] != (pair{"a", "b"}) || got[1] != (pair{"name", ""}) {
		t.Errorf("got %v of well-formed pairs", got)
	}
}

func FuzzPairs(f *testing.F) {
	f.Add(appendPairs(nil, []pair{{"a", "b"}, {"name", ""}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		list := parsePairs(data)
		if len(list) == 0 {
			return
		}
		if got := appendPairs(nil, list); string(got) != string(data) || len(got) != pairsSize(list) {
			t.Errorf("%q became %q", data, got)
		}
	})
}
