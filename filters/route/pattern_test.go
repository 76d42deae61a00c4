package route

import (
	"regexp"
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"gpt-4o", "gpt-4o", true},
		{"gpt-4o", "gpt-4o-mini", false},
		{"gpt-4o", "GPT-4o", false},
		{"gpt-*", "gpt-", true},
		{"gpt-*", "gpt-4o", true},
		{"gpt-*", "a-gpt-4o", false},
		{"*-mini", "gpt-4o-mini", true},
		{"*-mini", "gpt-4o-mini-2", false},
		{"*", "", true},
		{"*", "anything", true},
		{"*4o*", "gpt-4o-mini", true},
		{"*4o*", "gpt-5", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"*ab*ab", "ab", false},
		{"**", "x", true},
		{"gpt.4o", "gpt-4o", false},
		{"é*", "ébène", true},
	}
	for _, tc := range tests {
		if got := matches(tc.pattern, tc.name); got != tc.want {
			t.Errorf("%q and %q: got %t, want %t", tc.pattern, tc.name, got, tc.want)
		}
	}
}

func FuzzPatternsMatchAsExpressionsDo(f *testing.F) {
	f.Add("a*b*c", "aXbXbc")
	f.Add("*", "")
	f.Add("a*a", "a")
	f.Add("a*ab*b", "aab")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		pieces := strings.Split(strings.ToValidUTF8(pattern, ""), "*")
		for i := range pieces {
			pieces[i] = regexp.QuoteMeta(pieces[i])
		}
		name = strings.ToValidUTF8(name, "")
		want := regexp.MustCompile(`(?s)\A` + strings.Join(pieces, `.*`) + `\z`).MatchString(name)
		if got := matches(strings.ToValidUTF8(pattern, ""), name); got != want {
			t.Errorf("%q and %q: got %t, want %t", pattern, name, got, want)
		}
	})
}
