package llm_test

import (
	"math"
	"math/big"
	"regexp"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func TestPicodollarsAreWrittenExactly(t *testing.T) {
	tests := map[string]struct {
		amount llm.Picodollars
		want   string
	}{
		"nothing":        {0, "0 USD"},
		"the least":      {1, "0.000000000001 USD"},
		"a few tokens":   {123_000_000, "0.000123 USD"},
		"whole":          {5_000_000_000_000, "5 USD"},
		"with cents":     {12_340_000_000_000, "12.34 USD"},
		"all decimals":   {1_000_000_000_001, "1.000000000001 USD"},
		"negative":       {-1_500_000_000_000, "-1.5 USD"},
		"the greatest":   {math.MaxInt64, "9223372.036854775807 USD"},
		"the very least": {math.MinInt64, "-9223372.036854775808 USD"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.amount.String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestParseUSDPerMillion(t *testing.T) {
	tests := map[string]struct {
		decimal string
		want    llm.Picodollars
	}{
		"whole":             {"30", 30_000_000},
		"zero":              {"0", 0},
		"half":              {"0.5", 500_000},
		"six decimals":      {"15.625001", 15_625_001},
		"zeros in front":    {"002.5", 2_500_000},
		"zeros behind":      {"2.500000", 2_500_000},
		"the greatest":      {"9223372036854.775807", math.MaxInt64},
		"the least of them": {"0.000001", 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := llm.ParseUSDPerMillion(tc.decimal); err != nil || got != tc.want {
				t.Errorf("got %d %v, want %d", got, err, tc.want)
			}
		})
	}
}

func TestParseUSDPerMillionRefusesWhatIsNotExact(t *testing.T) {
	for name, decimal := range map[string]string{
		"nothing": "", "point": ".", "no whole part": ".5", "no fraction": "5.", "sign": "-5", "plus": "+5", "exponent": "1e3", "words": "five",
		"seven decimals": "0.0000001", "seven decimals, all zero": "1.0000000", "space": " 5", "underscore": "1_000", "two points": "1.2.3",
		"sign in the fraction": "1.-5", "beyond an int64": "9223372036854.775808", "far beyond": "99999999999999999999", "not ASCII": "٣",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := llm.ParseUSDPerMillion(decimal); err == nil {
				t.Errorf("got %d", got)
			}
		})
	}
}

func FuzzParseUSDPerMillion(f *testing.F) {
	f.Add("15.625")
	f.Add("9223372036854.775808")
	form := regexp.MustCompile(`^[0-9]+(\.[0-9]{1,6})?$`)
	f.Fuzz(func(t *testing.T, decimal string) {
		got, err := llm.ParseUSDPerMillion(decimal)
		want, ok := new(big.Rat), form.MatchString(decimal)
		if ok {
			want.SetString(decimal)
			want.Mul(want, big.NewRat(1e6, 1))
			ok = want.Num().IsInt64()
		}
		if (err == nil) != ok || ok && want.Num().Int64() != int64(got) {
			t.Errorf("%q is %d %v, want %v %v", decimal, got, err, want, ok)
		}
	})
}
