package proxywasm

import (
	"slices"
	"testing"
)

func TestHeadersAreTakenApartAsTheyWerePutTogether(t *testing.T) {
	for name, want := range map[string][][2]string{
		"none":       {},
		"one":        {{":path", "/v1/chat/completions"}},
		"empty":      {{"x-empty", ""}, {"", "x"}},
		"repeated":   {{"x", "a"}, {"x", "b"}},
		"with zeros": {{"x", "a\x00b"}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := appendPairs(nil, want)
			got := pairs(raw)
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			_ = append(got, [2]string{"y", "c"})
			if again := pairs(raw); !slices.Equal(again, want) {
				t.Errorf("after a header was added to the list: got %q, want %q", again, want)
			}
		})
	}
	if got := pairs(nil); got != nil {
		t.Errorf("of nothing: got %q, want nil", got)
	}
}
