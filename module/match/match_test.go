package match

import (
	"slices"
	"strings"
	"testing"
)

// compile makes a Set of keywords, regular expressions (between slashes) and built-in patterns (@name).
func compile(t testing.TB, patterns ...string) *Set {
	t.Helper()
	var all []Pattern
	for _, p := range patterns {
		switch {
		case strings.HasPrefix(p, "@"):
			b, ok := Builtin(p[1:])
			if !ok {
				t.Fatalf("there is no built-in pattern %q", p[1:])
			}
			all = append(all, b)
		case strings.HasPrefix(p, "/"):
			all = append(all, Pattern{Name: p, Regexp: p[1 : len(p)-1]})
		case strings.HasPrefix(p, "="):
			all = append(all, Pattern{Name: p, Keyword: p[1:], Whole: true})
		default:
			all = append(all, Pattern{Name: p, Keyword: p})
		}
	}
	s, err := Compile(all)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func redact(s *Set, text string) string {
	out, _ := s.Redact(text, func(Match) string { return "[x]" })
	return out
}

func TestKeywordsAreFoundHoweverTheyAreWritten(t *testing.T) {
	s := compile(t, "project bluebird", "=ada", "straße", "he", "hello")
	for name, tc := range map[string]struct{ text, want string }{
		"plainly":                   {"a project bluebird!", "a [x]!"},
		"in capitals":               {"PROJECT Bluebird", "[x]"},
		"with invisible characters": {"pro\u200bject\u00ad blue\u2060bird", "[x]"},
		"in full width":             {"ｐｒｏｊｅｃｔ　ｂｌｕｅｂｉｒｄ", "[x]"},
		"with a wide space":         {"project\u00a0bluebird", "[x]"},
		"over lines":                {"project\nbluebird, project\tbluebird, project\u2028bluebird", "[x], [x], [x]"},
		"a whole word":              {"ada, Ada", "[x], [x]"},
		"a part of a word":          {"adamant canada", "adamant canada"},
		"beyond ASCII":              {"STRAßE straẞe", "[x] [x]"},
		"the longest":               {"hello hell", "[x] [x]ll"},
		"twice over":                {"hehe", "[x][x]"},
		"bytes that are no UTF-8":   {"\xffhe\xfe", "\xff[x]\xfe"},
		"none":                      {"nothing to see", "nothing to see"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := redact(s, tc.text); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBuiltinPatterns(t *testing.T) {
	for name, tc := range map[string]struct{ pattern, text, want string }{
		"a card":                {"@card", "pay 4111 1111 1111 1111 now", "pay [x] now"},
		"a card in one piece":   {"@card", "5555555555554444", "[x]"},
		"not a card (Luhn)":     {"@card", "order 4111 1111 1111 1112", "order 4111 1111 1111 1112"},
		"an American card":      {"@card", "3782-822463-10005", "[x]"},
		"digits behind a card":  {"@card", "4111 1111 1111 1111 123, 4111 1111 1111 1111 12/27", "[x] 123, [x] 12/27"},
		"digits before a card":  {"@card", "order 25 4111 1111 1111 1111, 2222 2222 2222 4111 1111 1111 1111", "order 25 [x], 2222 2222 2222 [x]"},
		"a word behind an IBAN": {"@iban", "BE68 5390 0754 7034 THIS, BE68539007547034 500 EUR", "[x] THIS, [x] 500 EUR"},
		"a word before an IBAN": {"@iban", "AB12 ABCD ABCD BE68 5390 0754 7034", "AB12 ABCD ABCD [x]"},
		"a part of a number":    {"@card", "94111111111111111 4111111111111111_", "94111111111111111 4111111111111111_"},
		"an address":            {"@email", "write to first.last+tag@mail.example.co.uk.", "write to [x]."},
		"not an address":        {"@email", "a @ b, @handle, x@y", "a @ b, @handle, x@y"},
		"an IBAN":               {"@iban", "DE89 3704 0044 0532 0130 00", "[x]"},
		"not an IBAN":           {"@iban", "DE88 3704 0044 0532 0130 00", "DE88 3704 0044 0532 0130 00"},
		"a number":              {"@us_ssn", "123-45-6789", "[x]"},
		"not a number":          {"@us_ssn", "000-45-6789", "000-45-6789"},
		"an address of a host":  {"@ipv4", "at 192.168.0.1 and 999.1.1.1", "at [x] and 999.1.1.1"},
		"a telephone":           {"@phone", "call +49 (30) 901820 today", "call [x] today"},
		"a key":                 {"@api_key", "key sk-proj-abcdefghijklmnopqrst!", "key [x]!"},
		"a token":               {"@jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN", "[x]"},
		"a private key":         {"@private_key", "-----BEGIN RSA PRIVATE KEY-----", "[x]"},
		"text between the keys": {"@api_key", "ask-me-anything-about-this-or-that-please", "ask-me-anything-about-this-or-that-please"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := redact(compile(t, tc.pattern), tc.text); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	for _, name := range BuiltinNames() {
		compile(t, "@"+name)
	}
}

func TestWrongPatternsAreRefusedByName(t *testing.T) {
	for name, tc := range map[string]struct {
		pattern Pattern
		want    string
	}{
		"neither":             {Pattern{Name: "p"}, "pattern 0 (p): must be either a keyword or a regular expression"},
		"both":                {Pattern{Name: "p", Keyword: "a", Regexp: "b"}, "must be either"},
		"a broken expression": {Pattern{Name: "p", Regexp: "(a"}, "missing closing"},
		"the empty match":     {Pattern{Name: "p", Regexp: "a*"}, "matches the empty text"},
		"an invisible word":   {Pattern{Name: "p", Keyword: "\u200b"}, "no visible characters"},
		"bad UTF-8":           {Pattern{Name: "p", Keyword: "\xff"}, "not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile([]Pattern{tc.pattern}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// stream redacts a text that comes in pieces, and returns what has left after each.
func stream(s *Set, maxHold int, pieces []string) (left []string) {
	st := s.NewStream(maxHold)
	all := ""
	take := func(segments []Segment) {
		for _, one := range segments {
			if one.Pattern >= 0 || one.Undecided {
				all += "[x]"
			} else {
				all += one.Text
			}
		}
		left = append(left, all)
	}
	for _, piece := range pieces {
		take(st.Feed(piece))
	}
	take(st.Flush())
	return left
}

var streamPatterns = []string{
	"project bluebird", "=ada", "he", "hello", "@card", "@iban", "@email", "@api_key", `/\bseal-\d{5}\b/`, `/(?i)top secret/`, `/a+b/`, `/x.?y$/`,
}

var streamTexts = []string{
	"pay 4111 1111 1111 1111 now", "write to someone@example.com, or not", "hello help hell he", "the code is seal-12345 and seal-1234x",
	"ada adam ada", "all of project blue bird and project bluebird", "key sk-abcdefghijklmnopqrstuv end", "Top Secret top secre", "aaab aaac",
	"xy", "xzy more", "xay", "žluťoučký kůň 🐎 hello 🐎", "pro\u200bject blue\u200bbird", "4111 1111 1111 1112 4111111111111111",
	"4111 1111 1111 1111 123 or", "25 4111 1111 1111 1111", "2222 2222 2222 4111 1111 1111 1111", "BE68 5390 0754 7034 THIS IS", "to BE68539007547034 500", "a@b.c.d.e", "seal-123456",
	"all of project\nbluebird and project\r\nbluebird and project\u0085bluebird",
}

func TestAStreamIsRedactedAsTheWholeTextIs(t *testing.T) {
	s := compile(t, streamPatterns...)
	for _, text := range streamTexts {
		want := redact(s, text)
		for size := 1; size <= len(text); size++ {
			left := stream(s, 1024, slices.Collect(chunks(text, size)))
			if got := left[len(left)-1]; got != want {
				t.Errorf("%q in pieces of %d: got %q, want %q", text, size, got, want)
			}
			for _, early := range left {
				if !strings.HasPrefix(want, early) {
					t.Errorf("%q in pieces of %d: %q left early, want a beginning of %q", text, size, early, want)
				}
			}
		}
	}
}

func chunks(text string, size int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := min(size, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

func TestTextThatCannotBecomeAMatchIsNotHeld(t *testing.T) {
	s := compile(t, "project bluebird", "@card", `/\bseal-\d{5}\b/`)
	st := s.NewStream(0)
	for _, piece := range []string{"This is", " a plain", " sentence,", " with 12", " digits."} {
		if st.Feed(piece); st.Held() > 3 {
			t.Errorf("after %q %d bytes are held", piece, st.Held())
		}
	}
}

func TestWhatGrowsTooLongIsHandedOutUndecided(t *testing.T) {
	s := compile(t, `/secret.*end/`)
	st := s.NewStream(20)
	var got []Segment
	for _, piece := range []string{"a secret that", " is very long indeed", " and has no e"} {
		got = append(got, st.Feed(piece)...)
	}
	got = append(got, st.Flush()...)
	if !slices.ContainsFunc(got, func(s Segment) bool { return s.Undecided && s.Pattern == 0 && strings.HasPrefix(s.Text, "secret") }) {
		t.Errorf("got %+v, want a segment that is undecided", got)
	}
	var all strings.Builder
	for _, one := range got {
		all.WriteString(one.Text)
	}
	if want := "a secret that is very long indeed and has no e"; all.String() != want {
		t.Errorf("the segments are %q, want the whole text", all.String())
	}
}

func FuzzStream(f *testing.F) {
	s := compile(f, streamPatterns...)
	for _, text := range streamTexts {
		f.Add(text, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		if len(text) > 300 {
			return
		}
		want := redact(s, text)
		left := stream(s, 1<<20, slices.Collect(chunks(text, int(size)%20+1)))
		if got := left[len(left)-1]; got != want {
			t.Errorf("%q in pieces of %d: got %q, want %q", text, int(size)%20+1, got, want)
		}
		for _, early := range left {
			if !strings.HasPrefix(want, early) {
				t.Errorf("%q left early, want a beginning of %q", early, want)
			}
		}
	})
}

func benchmarkSet(b *testing.B) *Set {
	b.Helper()
	words := []string{"@card", "@email", "@api_key", "@iban", "@us_ssn", "@phone"}
	for i := range 50 {
		words = append(words, "keyword number "+strings.Repeat(string(rune('a'+i%26)), i%7+1))
	}
	return compile(b, words...)
}

func BenchmarkFindInCleanText(b *testing.B) {
	s := benchmarkSet(b)
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 23)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if s.Find(text) != nil {
			b.Fatal("found something")
		}
	}
}

func BenchmarkStreamEvent(b *testing.B) {
	s := benchmarkSet(b)
	st := s.NewStream(0)
	b.ReportAllocs()
	for b.Loop() {
		st.Feed("fox jumps over a dog")
	}
}
