package llm

import (
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Picodollars is an amount of money: 1 US dollar is 1e12 of them, so that prices of a single token are whole numbers.
// The greatest amount is about 9.2 million dollars; sums in this package stop there.
type Picodollars int64

const dollar Picodollars = 1e12

// String writes the exact amount, such as "0.000123 USD".
func (p Picodollars) String() string {
	b := make([]byte, 0, 32)
	n := uint64(p) //nolint:gosec // the sign is written, and its two's complement undone
	if p < 0 {
		b = append(b, '-')
		n = -n
	}
	b = strconv.AppendUint(b, n/uint64(dollar), 10)
	if cents := n % uint64(dollar); cents > 0 {
		b = append(b, '.')
		point := len(b)
		b = strconv.AppendUint(b, cents+uint64(dollar), 10) // the leading 1 keeps the zeros after the point
		b = append(b[:point], b[point+1:]...)
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return string(append(b, " USD"...))
}

var errPrice = errors.New("parse price: want US dollars such as 2.5, with 6 decimals at most")

// ParseUSDPerMillion reads a price as providers list them, in US dollars per million tokens, and returns it per token:
// "2.5" is 2,500,000 picodollars. It is exact, so more than 6 decimals are an error, as are signs, exponents and more
// than an int64 holds.
func ParseUSDPerMillion(decimal string) (Picodollars, error) {
	whole, fraction, point := strings.Cut(decimal, ".")
	if whole == "" || (point && fraction == "") || len(fraction) > 6 {
		return 0, errPrice
	}
	for _, part := range [...]string{whole, fraction} {
		for i := range len(part) {
			if !isDigit(part[i]) {
				return 0, errPrice
			}
		}
	}
	// A dollar per million is 1e6 picodollars a token: all digits with the point moved by six.
	n, err := strconv.ParseInt(whole+fraction+"000000"[len(fraction):], 10, 64)
	if err != nil {
		return 0, errPrice
	}
	return Picodollars(n), nil
}

// times is tokens at a price, no less than 0.
func (p Picodollars) times(tokens int64) Picodollars {
	if p <= 0 || tokens <= 0 {
		return 0
	}
	high, low := bits.Mul64(uint64(p), uint64(tokens))
	if high != 0 || low > math.MaxInt64 {
		return math.MaxInt64
	}
	return Picodollars(low)
}

// plus adds amounts that are no less than 0.
func (p Picodollars) plus(q Picodollars) Picodollars {
	if q > math.MaxInt64-p {
		return math.MaxInt64
	}
	return p + q
}
