package llm

import "strconv"

// MaxCount is what greater counts in a body are cut to: 2^53, the last whole number that every JSON parser reads alike.
const MaxCount int64 = 1 << 53

// count reads a checked JSON number as a count: negative ones are -1, those above MaxCount are MaxCount, fractions are
// cut off. whole tells whether there was none.
func count(number []byte) (n int64, whole bool) {
	for _, c := range number {
		if !isDigit(c) {
			return countFloat(string(number))
		}
		n = n*10 + int64(c-'0')
		if n > MaxCount {
			return MaxCount, true // and if a fraction follows, it is beyond what can be told apart
		}
	}
	return n, true
}

// countFloat does it for numbers with a sign, fraction or exponent, such as 1e3.
func countFloat(number string) (n int64, whole bool) {
	f, err := strconv.ParseFloat(number, 64)
	switch {
	case f < 0:
		return -1, f >= -float64(MaxCount) && f == float64(int64(f))
	case err != nil || f >= float64(MaxCount): // out of range
		return MaxCount, true
	default:
		return int64(f), f == float64(int64(f))
	}
}
