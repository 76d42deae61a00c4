package translate

import "strings"

// A version is that of a model, such as 407 of claude-opus-4-7.
type version int

// Models that are asked in another way than those before them.
const (
	// Of Anthropic's: temperature and top_p are refused together.
	oneSampler version = 401
	// Of Anthropic's: how much to think is an effort, and no longer a number of tokens.
	// https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
	adaptive version = 406
	// Of Anthropic's: temperature, top_p and top_k are refused.
	unsampled version = 407
	// Of Google's: how much to think is a level, and calls come back with the signature of the thought that led to them, or are refused.
	// https://ai.google.dev/gemini-api/docs/thought-signatures
	signing version = 300
	// newest is what a name of the family has that says no version, such as gemini-flash-latest.
	newest version = 9999
)

// versionOf reads the version out of a model's name; 0 where the model is not of the family. What has more than two digits is a date:
// claude-3-5-sonnet-20241022, anthropic.claude-opus-4-7-v1:0, gemini-2.5-flash.
func versionOf(model, family string) version {
	_, rest, found := strings.Cut(model, family)
	if !found {
		return 0
	}
	for i := 0; i < len(rest); i++ {
		if !isDigit(rest[i]) {
			continue
		}
		major, end := digits(rest, i)
		if end-i > 2 {
			i = end
			continue
		}
		if end < len(rest) && (rest[end] == '-' || rest[end] == '.') {
			if minor, last := digits(rest, end+1); last > end+1 && last-end <= 3 {
				return version(major*100 + minor)
			}
		}
		return version(major * 100)
	}
	return newest
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// digits is the number that begins at an index, and where it ends.
func digits(s string, from int) (n, end int) {
	for end = from; end < len(s) && isDigit(s[end]); end++ {
		n = n*10%10000 + int(s[end]-'0')
	}
	return n, end
}
