package module

import "testing"

// FuzzParseUsage reads what another filter has set as a property.
func FuzzParseUsage(f *testing.F) {
	f.Add("true 1 2 3 4 5 6 7 8 stream_error")
	f.Add("false")
	f.Add("true  9223372036854775808 -1 x")
	f.Fuzz(func(t *testing.T, raw string) {
		h := parseUsage(raw)
		if again := parseUsage(string(appendUsage(nil, h))); again != h {
			t.Errorf("got %+v of %q, and %+v when it is handed over again", h, raw, again)
		}
	})
}
