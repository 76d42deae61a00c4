package wildcard_test

import (
	"testing"

	"github.com/leash-gateway/leash/registry/wildcard"
)

func TestPatternsMatchWholeNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"edge", "edge", true},
		{"edge", "edge-1", false},
		{"", "", true},
		{"*", "", true},
		{"edge-*", "edge-", true},
		{"edge-*", "an-edge-1", false},
		{"*-canary", "edge-canary", true},
		{"*-canary", "edge-canary-2", false},
		{"a*a", "a", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"*ab*ab", "ab", false},
		{"**", "x", true},
	} {
		if got := wildcard.Match(tc.pattern, tc.text); got != tc.want {
			t.Errorf("%q and %q: got %t, want %t", tc.pattern, tc.text, got, tc.want)
		}
	}
}
