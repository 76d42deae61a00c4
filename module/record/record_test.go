package record_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/module/record"
)

func TestALineIsOneJSONObject(t *testing.T) {
	line := record.Of("exchange").Text("a", "x\"\n\u2028y").Text("none", "").Texts("list", []string{"1", "\u2029"}).Texts("no_list", nil).
		Number("n", 0).Positive("p", 0).Positive("q", 2).Flag("f", true).Flag("g", false).String()
	if want := `{"event":"exchange","a":"x\"\n\u2028y","list":["1","\u2029"],"n":0,"q":2,"f":true}`; line != want {
		t.Errorf("got  %s\nwant %s", line, want)
	}
}

func TestNothingInALineActsOnWhoReadsIt(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"a terminal's escape, in one character": {"\u009b31m", `\u009b31m`},
		"and in another":                        {"\x1b[31m", `\u001b[31m`},
		"the end of a line":                     {"a\u0085b", `a\u0085b`},
		"the other direction":                   {"a\u202eb\u2066c", `a\u202eb\u2066c`},
		"delete":                                {"a\x7f", `a\u007f`},
		"only text":                             {"“Größe” © 2×3", `“Größe” © 2×3`},
	} {
		if got, want := record.Of("e").Text("a", tc.text).String(), `{"event":"e","a":"`+tc.want+`"}`; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func FuzzNoTextBreaksTheLine(f *testing.F) {
	for _, text := range []string{"", "a\nb", "\u2028", "\u0085", "\xff\"}", `","event":"x`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line := record.Of("exchange").Text("a", text).Texts("b", []string{text}).String()
		var read struct {
			Event, A string
			B        []string
		}
		if err := json.Unmarshal([]byte(line), &read); err != nil || read.Event != "exchange" {
			t.Fatalf("%q: %v", line, err)
		}
		if strings.ContainsAny(line, "\n\r\u0085\u2028\u2029") {
			t.Errorf("%q is more than one line", line)
		}
	})
}

func TestWhatAClientHasChosenIsBounded(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"short": {"abc", "abc"}, "long": {strings.Repeat("x", 201), strings.Repeat("x", 200) + "…"},
		"in the middle of a character": {strings.Repeat("x", 199) + "ü!", strings.Repeat("x", 199) + "…"},
	} {
		if got := record.Cut(tc.text); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
