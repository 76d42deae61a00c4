package match

import (
	"slices"
	"strings"
)

// builtins are ready patterns for what people should not send.
var builtins = map[string]Pattern{
	// https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address, with a dot required in the domain
	"email": {Regexp: `[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.[A-Za-z]{2,24}\b`},
	// ISO/IEC 7812: 13 to 19 digits, in groups, with a check digit
	"card": {Regexp: `\b[2-6]\d(?:[ -]?\d){11,17}\b`, Check: luhn},
	"us_ssn": {Regexp: `\b\d{3}-\d{2}-\d{4}\b`, Check: func(s string) bool {
		return s[:3] != "000" && s[:3] != "666" && s[0] != '9' && s[4:6] != "00" && s[7:] != "0000"
	}},
	"ipv4": {Regexp: `\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b`},
	// ISO 13616, with its check digits
	"iban":  {Regexp: `\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b`, Check: iban},
	"phone": {Regexp: `\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,12}\b`},
	// the forms that OpenAI, Anthropic, AWS, GitHub, GitLab, Slack, Google and Stripe give out
	"api_key":     {Regexp: `\b(?:sk-[A-Za-z0-9_-]{16,200}|sk_live_[A-Za-z0-9]{16,100}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,100}|glpat-[A-Za-z0-9_-]{20,60}|xox[abprs]-[A-Za-z0-9-]{10,100}|AIza[0-9A-Za-z_-]{35})`},
	"jwt":         {Regexp: `\beyJ[A-Za-z0-9_-]{8,400}\.eyJ[A-Za-z0-9_-]{8,400}\.[A-Za-z0-9_-]{8,400}`},
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

// luhn checks a card number's check digit: https://en.wikipedia.org/wiki/Luhn_algorithm
func luhn(found string) bool {
	sum, double := 0, false
	for i := len(found) - 1; i >= 0; i-- {
		if found[i] < '0' || found[i] > '9' {
			continue
		}
		digit := int(found[i] - '0')
		if double {
			if digit *= 2; digit > 9 {
				digit -= 9
			}
		}
		sum += digit
		double = !double
	}
	return sum%10 == 0
}

// iban checks the check digits of an international bank account number, modulo 97 as ISO 13616 says.
func iban(found string) bool {
	plain := strings.ReplaceAll(found, " ", "")
	if len(plain) < 15 || len(plain) > 34 {
		return false
	}
	rest := 0
	for _, c := range plain[4:] + plain[:4] {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	return rest == 1
}
