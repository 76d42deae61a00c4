package match

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
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
	s := compile(t, "project bluebird", "=ada", "straße", "he", "hello", "first", "o'brien", "of  \tit", "Istanbul")
	for name, tc := range map[string]struct{ text, want string }{
		"plainly":                   {"a project bluebird!", "a [x]!"},
		"in capitals":               {"PROJECT Bluebird", "[x]"},
		"with invisible characters": {"pro\u200bject\u00ad blue\u2060bird", "[x]"},
		"in full width":             {"ｐｒｏｊｅｃｔ　ｂｌｕｅｂｉｒｄ", "[x]"},
		"with a wide space":         {"project\u00a0bluebird", "[x]"},
		"with Braille's":            {"project\u2800bluebird", "[x]"},
		"over lines":                {"project\nbluebird, project\tbluebird, project\u2028bluebird, project\r\n\t  bluebird", "[x], [x], [x], [x]"},
		"with many spaces":          {"project  bluebird, project \u200b\u00a0 bluebird, of  it, of\nit", "[x], [x], [x], [x]"},
		"among letters unseen":      {"\u3164ada\u3164 ada\uffa0", "\u3164[x]\u3164 [x]\uffa0"},
		"a whole word":              {"ada, Ada", "[x], [x]"},
		"a part of a word":          {"adamant canada", "adamant canada"},
		"beyond ASCII":              {"STRAßE straẞe İstanbul", "[x] [x] [x]"},
		"the longest":               {"hello hell", "[x] [x]ll"},
		"twice over":                {"hehe", "[x][x]"},
		"bytes that are no UTF-8":   {"\xffhe\xfe", "\xff[x]\xfe"},
		"in mathematics' letters":   {"𝓹𝓻𝓸𝓳𝓮𝓬𝓽 𝕓𝕝𝕦𝕖𝕓𝕚𝕣𝕕", "[x]"},
		"struck through":            {"p\u0336r\u0336o\u0336ject bluebird", "[x]"},
		"with controls":             {"pro\x00ject\x08 blue\x7fbird", "[x]"},
		"with ligatures":            {"a ﬁrst ﬂight of o’brien", "a [x] ﬂight of [x]"},
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

// digits4111 is a card number in the digits that begin with this zero.
func digits4111(zero rune) string {
	return strings.Map(func(r rune) rune { return zero + r - '0' }, "4111111111111111")
}

// What takes the place of an expression that counts finds what that does.
func TestAddressesAndTokensAreFoundAsTheirExpressionsAre(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	long := []string{strings.Repeat("a", 62), strings.Repeat("b", 24), strings.Repeat("c1", 200), "eyJabcdefgh", "a@b.de"}
	units := map[string][]string{
		"email": append(strings.Split("a b 1 . . - _ % @ @ é A de x@y.z \xff", " "), long...),
		"jwt":   append(strings.Split("eyJ eyJ .eyJ . . - _ a 12345678 é é12345678 eyJabcdefgh.eyJ12345678 .abcdefgh \xff", " "), long...),
	}
	for name, of := range units {
		found := 0
		quick, expression := compile(t, "@"+name), compile(t, "/"+builtins[name].Regexp+"/")
		for range 2_000 {
			var text strings.Builder
			for range 1 + random.IntN(14) {
				text.WriteString(of[random.IntN(len(of))])
			}
			got, want := quick.Find(text.String()), expression.Find(text.String())
			if !slices.Equal(got, want) {
				t.Fatalf("%s: got %v, want %v in %q", name, got, want, text.String())
			}
			pieces := slices.Collect(chunks(text.String(), 1+random.IntN(50)))
			if got, want := stream(quick, 0, pieces), stream(expression, 0, pieces); !slices.Equal(got, want) {
				t.Fatalf("%s, in pieces: got %q, want %q", name, got, want)
			}
			found += len(want)
		}
		if found < 100 {
			t.Errorf("%s: found %d times, which tells little", name, found)
		}
	}
}

func TestExpressionsSeeThroughSpellings(t *testing.T) {
	ones := func(one, four string) string { return four + strings.Repeat(one, 15) }
	for name, tc := range map[string]struct{ pattern, text, want string }{
		"full width":                   {"@card", "pay " + digits4111('０') + ".", "pay [x]."},
		"mathematics, bold":            {"@card", digits4111('𝟎'), "[x]"},
		"mathematics, double-struck":   {"@card", digits4111('𝟘'), "[x]"},
		"mathematics, monospace":       {"@card", digits4111('𝟶'), "[x]"},
		"Arabic":                       {"@card", digits4111('٠') + "، " + digits4111('۰'), "[x]، [x]"},
		"Thai":                         {"@card", digits4111('๐'), "[x]"},
		"subscripts":                   {"@card", digits4111('₀'), "[x]"},
		"superscripts":                 {"@card", ones("¹", "⁴"), "[x]"},
		"circles":                      {"@card", ones("①", "④"), "[x]"},
		"keycaps":                      {"@card", ones("1\ufe0f\u20e3", "4\ufe0f\u20e3") + "!", "[x]\ufe0f\u20e3!"},
		"struck through":               {"@card", ones("1\u0336", "4\u0336"), "[x]\u0336"},
		"a space of no width":          {"@card", "\u200b" + ones("\u200b1", "4") + "\u200b", "\u200b[x]\u200b"},
		"joiners":                      {"@card", ones("1\u200d", "4\u200c") + ".", "[x]\u200d."},
		"word joiners":                 {"@card", ones("1\u2060", "4\ufeff"), "[x]\u2060"},
		"soft hyphens":                 {"@card", "4111\u00ad1111\u00ad1111\u00ad1111", "[x]"},
		"marks of direction":           {"@card", "\u202e4111\u2066 1111\u2069 1111 1111\u202c", "\u202e[x]\u202c"},
		"tags":                         {"@card", "41\U000e0041\U000e007f11 1111 1111 1111", "[x]"},
		"controls":                     {"@card", "4111\x00 1111\x08 1111\u0090 11\x7f11", "[x]"},
		"spaces that do not break":     {"@card", "4111\u00a01111\u202f1111\u20091111", "[x]"},
		"hyphens that do not break":    {"@card", "4111\u20111111\u20131111\u22121111", "[x]"},
		"all at once":                  {"@card", "４\u200b𝟏1①\u2060 ١1\u00ad11 1111 1111", "[x]"},
		"what is no card is none":      {"@card", digits4111('０')[3:] + "２", digits4111('０')[3:] + "２"},
		"a card ahead of a long one":   {"@card", "4111111111111111\u200b1", "[x]\u200b1"},
		"an account":                   {"@iban", "ＤＥ８９\u00a0３７０４ ００４４ ０５３２ ０１３０ ００", "[x]"},
		"an address":                   {"@email", "ada＠example。com, 𝖺𝖽𝖺@𝖾𝗑𝖺𝗆𝗉𝗅𝖾.𝖼𝗈𝗆, a\u200bda\u200b@exam\u00adple.com", "[x], [x], [x]"},
		"a number with checks":         {"@us_ssn", "１２３‑４５‑６７８９ ０００‑４５‑６７８９", "[x] ０００‑４５‑６７８９"},
		"an author's digits":           {`/\d{16}/`, digits4111('０') + " 4111\u200b111111111111", "[x] [x]"},
		"an author's letters":          {`/(?i)sea[lm]-\d{5}/`, "ＳＥＡＬ－１２３４５ 𝓼𝓮𝓪𝓵-12345 ⓢⓔⓐⓛ-12345 🅂🄴🄰🄻-12345 ℓ", "[x] [x] [x] [x] ℓ"},
		"ligatures":                    {`/\bconfidential\b/`, "conﬁdential conﬁden", "[x] conﬁden"},
		"a part of a ligature":         {`/idential/`, "conﬁdential", "con[x]"},
		"full width, looked for":       {`/[０-９]{4}/`, "１２３４ 1234", "[x] 1234"},
		"invisible ones, looked for":   {`/\x{200b}+/`, "a\u200b\u200bb", "a[x]b"},
		"the beginning of a text":      {`/^key/`, "\u200bkey", "\u200b[x]"},
		"the end of a text":            {`/key$/`, "key\u200b", "[x]\u200b"},
		"lines":                        {`/(?m)^key$/`, "a\n\ufeffkey\u200b\nｋｅｙ", "a\n\ufeff[x]\u200b\n[x]"},
		"bytes that are no UTF-8":      {`/é/`, "\xc3\u200b\xa9 e\xcc\xcc", "\xc3\u200b\xa9 e\xcc\xcc"},
		"letters that only look alike": {`/сор/`, "cop сор", "cop [x]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := redact(compile(t, tc.pattern), tc.text); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDigitsOfAllScriptsAreRead(t *testing.T) {
	n := 0
	for r := range rune(unicode.MaxRune) {
		if !unicode.IsDigit(r) {
			n = 0
			continue
		}
		if plain := plainRune(r); plain != '0'+rune(n%10) {
			t.Errorf("%U is %q, want %d", r, plain, n%10)
		}
		n++
	}
}

func TestSpellingsStandForPlainLettersAndDigits(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for spelled, want := range map[string]string{
		"𝐀𝐙𝐚𝐳𝐴𝑍𝑎𝑧𝒜𝒵𝒶𝓏𝕬𝖅𝖆𝖟𝙰𝚉𝚊𝚣":             "AZazAZazAZazAZazAZaz",
		"ℂℊℋℌℍℎℐℑℒℓℕℙℚℛℜℝℤℨKℬℭℯℰℱℳℴℹⅅⅆⅇⅈⅉ": "CgHHHhIILlNPQRRRZZKBCeEFMoiDdeij",
		"⒜⒵ⒶⓏⓐⓩ🄐🄩🄰🅉🅐🅩🅰🆉🇦🇿":                 "azAZazAZAZAZAZAZ",
		"①⑨⑴⑼⒈⒐⓪⓵⓽⓿❶❾➀➈➊➒🄀🄁🄊²³¹⁰⁴⁹₀₉🯰🯹":    "19191901901919190092310490909",
		"！～＠＼　。｡․﹒﹘﹣﹫‐‑‒–−":                "!~@\\ ....--@-----",
		"žЖ漢字ㅎ한🐎é—’":                       "žЖ漢字ㅎ한🐎é—’",
		alphabet:                           alphabet,
	} {
		if got, _ := respell(spelled, plainRune, false); got != want {
			t.Errorf("%q: got %q, want %q", spelled, got, want)
		}
	}
	if !slices.IsSortedFunc(spellings, func(a, b spelling) int { return int(a.last - b.first) }) {
		t.Error("the spellings are not in order, or overlap")
	}
	for r := range rune(unicode.MaxRune) {
		if plain := plainRune(r); plain >= 0 && plainRune(plain) != plain {
			t.Errorf("%U stands for %U, which stands for something else", r, plain)
		}
		if folded := foldRune(r); folded >= 0 && (foldRune(folded) != folded || foldRune(unicode.SimpleFold(r)) != folded) {
			t.Errorf("%U is compared as %U, which is not so with the cases of it", r, folded)
		}
		if (plainRune(r) == r) != isOrdinary(byte(r)) && r < utf8.RuneSelf {
			t.Errorf("%U: ordinary is not what stays as it is", r)
		}
	}
}

func TestWrongPatternsAreRefusedByName(t *testing.T) {
	for name, tc := range map[string]struct {
		pattern Pattern
		want    string
	}{
		"neither":             {Pattern{Name: "p"}, "pattern 0 (p): is empty"},
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
	`/_\d\d/`, `/ \d{7}/`, `/(?m)^key: \w+$/`, `/[０-９]{3}/`, `/\d{4}é/`, `/\x{200b}{2}/`, `/w\Bz+/`, "o'brien", " two ", "two  three", "for ",
	"@ipv4", `/\b\d-\d/`, `/\b/`,
}

var streamTexts = []string{
	"pay 4111 1111 1111 1111 now", "write to someone@example.com, or not", "hello help hell he", "the code is seal-12345 and seal-1234x",
	"ada adam ada", "all of project blue bird and project bluebird", "key sk-abcdefghijklmnopqrstuv end", "Top Secret top secre", "aaab aaac",
	"xy", "xzy more", "xay", "žluťoučký kůň 🐎 hello 🐎", "pro\u200bject blue\u200bbird", "4111 1111 1111 1112 4111111111111111",
	"4111 1111 1111 1111 123 or", "25 4111 1111 1111 1111", "2222 2222 2222 4111 1111 1111 1111", "BE68 5390 0754 7034 THIS IS", "to BE68539007547034 500", "a@b.c.d.e", "seal-123456",
	"all of project\nbluebird and project\r\nbluebird and project\u0085bluebird",
	"a12 (1234567", "a\nkey: b\nkey: c d\n", "key: x", "\u200bkey: x\u200b", "ž1234é", "a４\u200b𝟏1①\u2060 ١1\u00ad11 1111 1111 ２",
	"４１１１１１１１１１１１１１１１１ ４１１１１１１１１１１１１１１１", "4111\u200b1111 1111\u202f1111\u200b1", "4111 1111 1111 1111\u200ba \u200b\u200b 12\u200b34é",
	"ＢＥ６８ ５３９０ ０７５４ ７０３４ ＴＨＩＳ", "ada＠example。com is ａｄａ’s, O’Brien", "ﬃ ﬁrst w\u200bz wzz \u200bzz", "\xc3\u200b\xa9 \xe2\x80 he\xe2", "１２３\u200b４１２３４",
	"all of project\r\n\t bluebird and project  blue", "one  two   three for  four", "06\x15397547034 20", "1234.1.1.1 12-3-4 5-6", "for\n", "two\n\nthree  two  ", "\u3164ada\u3164 two\u00a0 \u200b three",
}

func TestAStreamIsRedactedAsTheWholeTextIs(t *testing.T) {
	redactedAsWhole(t, compile(t, streamPatterns...))
	for _, pattern := range streamPatterns { // alone, it lets text go that others would hold
		t.Run(pattern, func(t *testing.T) { redactedAsWhole(t, compile(t, pattern)) })
	}
}

func redactedAsWhole(t *testing.T, s *Set) {
	t.Helper()
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

// BenchmarkFindIsLinear has what somebody may send to keep the matcher busy: the MB/s of both lengths are alike.
func BenchmarkFindIsLinear(b *testing.B) {
	s := compile(b, append(streamPatterns, "for ", " ")...)
	for name, unit := range map[string]string{
		"blanks": " ", "lines": "for\n\n", "invisible": "4\u200b", "full width": "４", "Arabic": "٤", "tags": "\U000e0041", "no UTF-8": "\xe2\x80", "ligatures": "ﬃ", "words": "project blue",
	} {
		for _, size := range []int{1 << 15, 1 << 17} {
			text := strings.Repeat(unit, size/len(unit))
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					s.Find(text)
				}
			})
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

// TestKeywordsAreFoundAsTheStandardLibraryFindsThem takes words of few letters, of which many overlap, whole and in pieces.
func TestKeywordsAreFoundAsTheStandardLibraryFindsThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's
	letters := func(of string, most int) string {
		var b strings.Builder
		for range 1 + random.IntN(most) {
			b.WriteByte(of[random.IntN(len(of))])
		}
		return b.String()
	}
	for range 3000 {
		var words, expressions []string
		for range 1 + random.IntN(3) {
			if word := strings.Join(strings.Fields(letters("abc d", 6)), " "); word != "" {
				words, expressions = append(words, word), append(expressions, strings.ReplaceAll(word, " ", `\s+`))
			}
		}
		if words == nil {
			continue
		}
		s := compile(t, words...)
		want := regexp.MustCompile("(?i:" + strings.Join(expressions, "|") + ")")
		want.Longest()
		text := letters("abcABC dx \n", 40)
		redacted := want.ReplaceAllLiteralString(text, "[x]")
		if got := redact(s, text); got != redacted {
			t.Fatalf("%q in %q: got %q, want %q", words, text, got, redacted)
		}
		left := stream(s, 0, slices.Collect(chunks(text, 1+random.IntN(7))))
		if got := left[len(left)-1]; got != redacted {
			t.Fatalf("%q in pieces of %q: got %q, want %q", words, text, got, redacted)
		}
	}
}

// disguised spells each character of ASCII in one of many ways, as the numbers say.
func disguised(text string, how []byte) string {
	alphabets := []rune("Ａ𝐀𝑨𝒜𝔄𝕬𝖠𝙰🄰🅰Ⓐ")
	zeros := []rune("０𝟎𝟘𝟢𝟬𝟶٠०๐")
	var b strings.Builder
	for i, r := range text {
		n := 0
		if len(how) > 0 {
			n = int(how[i%len(how)])
		}
		switch {
		case n%2 == 0:
		case r >= 'A' && r <= 'Z':
			r += alphabets[n/2%len(alphabets)] - 'A'
		case r >= 'a' && r <= 'z' && n < 128:
			r += 'ａ' - 'a'
		case r >= 'a' && r <= 'z':
			r += '𝕒' - 'a'
		case r >= '0' && r <= '9':
			r += zeros[n/2%len(zeros)] - '0'
		case r == ' ':
			r = '\u00a0'
		case r == '-':
			r = '\u2011'
		case r > ' ' && r < 0x7F:
			r += '！' - '!'
		}
		b.WriteRune(r)
		if n%5 == 0 {
			b.WriteRune([]rune("\u200b\u200d\u2060\ufeff\u00ad\u202e\u0336\U000e0041\x01")[n/5%9])
		}
	}
	return b.String()
}

// FuzzSpellings: what is found in a plain text is found in every other spelling of it, and what the standard library finds in any.
func FuzzSpellings(f *testing.F) {
	patterns := []string{"project bluebird", "he", "@card", "@iban", "@email", "@us_ssn", "@api_key", `/\bseal-\d{5}\b/`, `/(?i)top secret/`, `/[Kk]+s/`, `/(?i)skS/`, `/a.\x{FFFD}/`}
	for _, text := range streamTexts {
		f.Add(text, []byte{1, 2, 7, 133})
	}
	var sets []*Set
	for _, p := range patterns {
		sets = append(sets, compile(f, p))
	}
	f.Fuzz(func(t *testing.T, text string, how []byte) {
		if len(text) > 300 {
			return
		}
		plain, _ := respell(text, plainRune, false)
		spelled := disguised(plain, how)
		for i, s := range sets {
			if _, found := s.Contains(plain); found {
				if _, again := s.Contains(spelled); !again {
					t.Errorf("%s is found in %q, but not in %q", patterns[i], plain, spelled)
				}
			}
			if p := patterns[i]; p[0] == '/' && regexp.MustCompile(p[1:len(p)-1]).MatchString(text) {
				if _, found := s.Contains(text); !found {
					t.Errorf("%s is not found in %q", p, text)
				}
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

// cleanTexts are texts of about a kilobyte in which nothing is found.
var cleanTexts = map[string]string{
	"ascii":      strings.Repeat("The quick brown fox jumps over the lazy dog. ", 23),
	"german":     strings.Repeat("Zwölf Boxkämpfer jagen Viktor quer über den großen Deich. ", 17),
	"russian":    strings.Repeat("Съешь же ещё этих мягких булок, да выпей чаю. ", 12),
	"chinese":    strings.Repeat("敏捷的棕色狐狸，跳过了那只懒狗。", 21),
	"full width": strings.Repeat("Ｔｈｅ　ｑｕｉｃｋ　ｂｒｏｗｎ　ｆｏｘ．", 16),
}

func BenchmarkFindInCleanText(b *testing.B) {
	s := benchmarkSet(b)
	for name, text := range cleanTexts {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if s.Find(text) != nil {
					b.Fatal("found something")
				}
			}
		})
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

// A word that may become an address is looked through as quickly as one that may not, whole and in one piece of a stream.
func BenchmarkLongWords(b *testing.B) {
	s := compile(b, "@email", "@jwt")
	for name, text := range map[string]string{
		"no address": strings.Repeat("x", 100_000), "an address behind it": strings.Repeat("x", 100_000) + " a@b.de", "beginnings of a token": strings.Repeat("eyJ-", 25_000) + ".eyJ",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				s.Find(text)
				s.NewStream(0).Feed(text)
			}
		})
	}
}
