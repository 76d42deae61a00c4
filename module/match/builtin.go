package match

import (
	"slices"
	"strings"
)

// builtins are ready patterns for what people should not send.
var builtins = map[string]Pattern{
	// https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address, with a dot required in the domain
	"email": {Regexp: `[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.[A-Za-z]{2,24}\b`, Begins: email, Anywhere: true},
	// ISO/IEC 7812: 13 to 19 digits, in groups, with a check digit
	"card": {Regexp: `\b[2-6]\d(?:[ -]?\d){11,17}\b`, Begins: card},
	"us_ssn": {Regexp: `\b\d{3}-\d{2}-\d{4}\b`, Check: func(s string) bool {
		return s[:3] != "000" && s[:3] != "666" && s[0] != '9' && s[4:6] != "00" && s[7:] != "0000"
	}},
	"ipv4": {Regexp: `\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b`},
	// ISO 13616, with its check digits
	"iban":  {Regexp: `\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b`, Begins: iban},
	"phone": {Regexp: `\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,12}\b`},
	// the forms that OpenAI, Anthropic, AWS, GitHub, GitLab, Slack, Google and Stripe give out
	"api_key":     {Regexp: `\b(?:sk-[A-Za-z0-9_-]{16,200}|sk_live_[A-Za-z0-9]{16,100}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,100}|glpat-[A-Za-z0-9_-]{20,60}|xox[abprs]-[A-Za-z0-9-]{10,100}|AIza[0-9A-Za-z_-]{35})`},
	"jwt":         {Regexp: `\beyJ[A-Za-z0-9_-]{8,400}\.eyJ[A-Za-z0-9_-]{8,400}\.[A-Za-z0-9_-]{8,400}`, Begins: jwt},
	"private_key": {Regexp: `-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY-----`},
}

// Builtin returns the ready pattern of that name; BuiltinNames lists them.
func Builtin(name string) (Pattern, bool) {
	p, ok := builtins[name]
	p.Name = name
	return p, ok
}

// BuiltinNames lists the ready patterns, sorted.
func BuiltinNames() []string {
	names := make([]string, 0, len(builtins))
	for name := range builtins {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// card is how long the longest card number is that a text begins with, by its check digit:
// https://en.wikipedia.org/wiki/Luhn_algorithm. Other digits may stand behind it: a date, a code.
func card(text string) (length int) {
	if len(text) < 2 || text[0] < '2' || text[0] > '6' || !isASCIIDigit(text[1]) {
		return 0
	}
	var sums [2]int // of the digits, those at even or at odd places doubled
	digits := 0
	for i := 0; i < len(text) && digits < 19; i++ {
		if c := text[i]; !isASCIIDigit(c) {
			if c != ' ' && c != '-' || i+1 == len(text) || !isASCIIDigit(text[i+1]) {
				break
			}
			continue
		}
		digit := int(text[i] - '0')
		double := 2 * digit
		if double > 9 {
			double -= 9
		}
		sums[digits%2] += double
		sums[1-digits%2] += digit
		digits++
		if digits >= 13 && sums[digits%2]%10 == 0 && (i+1 == len(text) || !isWordByte(text[i+1])) {
			length = i + 1
		}
	}
	return length
}

// email is how long the longest address is that a text begins with.
func email(text string) (length int) {
	if !isAlphanumeric(text[0]) {
		return 0
	}
	at := run(text, 64, isOfLocalPart)
	if at == len(text) || text[at] != '@' {
		return 0
	}
	at++
	for label := range 6 { // the last of which is the top-level domain
		if label > 0 {
			letters := run(text[at:], 24, isLetter)
			if end := at + letters; letters >= 2 && (end == len(text) || !isWordByte(text[end])) {
				length = end
			}
		}
		n := run(text[at:], 63, isOfLabel)
		at += n
		if n == 0 || at == len(text) || text[at] != '.' {
			break
		}
		at++
	}
	return length
}

// jwt is how long the longest token is that a text begins with: https://www.rfc-editor.org/rfc/rfc7519#section-3.
func jwt(text string) int {
	const begins, least, most = "eyJ", 8, 400
	at := 0
	for range 2 {
		if !strings.HasPrefix(text[at:], begins) {
			return 0
		}
		at += len(begins)
		n := run(text[at:], most, isOfBase64URL)
		at += n
		if n < least || at == len(text) || text[at] != '.' {
			return 0
		}
		at++
	}
	if n := run(text[at:], most, isOfBase64URL); n >= least {
		return at + n
	}
	return 0
}

// run is how many bytes at the beginning of a text are of a kind, of the first so many.
func run(text string, most int, is func(c byte) bool) (n int) {
	for n < min(len(text), most) && is(text[n]) {
		n++
	}
	return n
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isAlphanumeric(c byte) bool { return isASCIIDigit(c) || isLetter(c) }

func isOfLabel(c byte) bool { return isAlphanumeric(c) || c == '-' }

func isOfBase64URL(c byte) bool { return isOfLabel(c) || c == '_' }

func isOfLocalPart(c byte) bool { return isOfBase64URL(c) || c == '.' || c == '%' || c == '+' }

func isASCIIDigit(c byte) bool { return c-'0' <= 9 }

// iban is how long the longest international bank account number is that a text begins with, by its check digits, modulo 97 as ISO 13616
// says. It is in groups of four, between which a space may stand. Words in capitals may stand behind it.
func iban(text string) (length int) {
	head, size, rest := 0, 0, 0 // what the first four say, which count as the last; how many characters there are; and what those behind the first four say
	for i := 0; i < len(text) && size < 34; i++ {
		c := text[i]
		if c == ' ' && size >= 4 && size%4 == 0 && text[i-1] != ' ' {
			continue
		}
		digit := isASCIIDigit(c)
		if !digit && (c < 'A' || c > 'Z') || size < 2 && digit || (size == 2 || size == 3) && !digit {
			break
		}
		if size < 4 {
			head = appendIBAN(head, c)
		} else {
			rest = appendIBAN(rest, c) % 97
		}
		size++
		if size >= 15 && (rest*1_000_000+head)%97 == 1 && (i+1 == len(text) || !isWordByte(text[i+1])) {
			length = i + 1
		}
	}
	return length
}

// appendIBAN puts a character behind a number: letters are those from 10 on.
func appendIBAN(n int, c byte) int {
	if c >= 'A' {
		return n*100 + int(c-'A') + 10
	}
	return n*10 + int(c-'0')
}
