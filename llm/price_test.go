package llm_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func TestCostOfListedModels(t *testing.T) {
	tests := map[string]struct {
		provider, model string
		usage           llm.Usage
		want            string
	}{
		// 19 * 0.15 + 10 * 0.60 = 8.85 millionths
		"plain": {"openai", "gpt-4o-mini", llm.Usage{Input: 19, Output: 10}, "0.00000885 USD"},
		// 936 * 2.50 + 1024 * 1.25 + 500 * 10 = 8620 millionths
		"cached input": {"openai", "gpt-4o", llm.Usage{Input: 1960, CachedInput: 1024, Output: 500, OutputReasoning: 200}, "0.00862 USD"},
		// 70 * 2.50 + 30 * 40 + 15 * 10 + 5 * 80 = 1925 millionths
		"audio": {"openai", "gpt-4o-audio-preview-2024-12-17", llm.Usage{Input: 100, InputAudio: 30, Output: 20, OutputAudio: 5}, "0.001925 USD"},
		// 100 * 1 + 200 * 0.1 + 300 * 1.25 + 400 * 2 + 50 * 5 = 1545 millionths
		"cache written": {"anthropic", "claude-haiku-4-5", llm.Usage{Input: 1000, CachedInput: 200, CacheWrite: 300, CacheWrite1h: 400, Output: 50}, "0.001545 USD"},
		// 200,000 * 1.25 + 10 * 10 = 250,100 millionths
		"just not above 200k": {"google", "gemini-2.5-pro", llm.Usage{Input: 200_000, Output: 10}, "0.2501 USD"},
		// 100,001 * 2.50 + 100,000 * 0.25 + 10 * 15 = 275,152.5 millionths: the dearer price is that of the whole request
		"above 200k": {"google", "gemini-2.5-pro", llm.Usage{Input: 200_001, CachedInput: 100_000, Output: 10}, "0.2751525 USD"},
		// 200,001 * 0.15 = 30,000.15 millionths
		"above 200k where it makes no difference": {"openai", "gpt-4o-mini", llm.Usage{Input: 200_001}, "0.03000015 USD"},
		// 5 * 0.2 = 1 millionth; what it puts out is free
		"free output": {"google", "gemini-embedding-2", llm.Usage{Input: 5, Output: 1000}, "0.000001 USD"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p, ok := llm.DefaultPrices().Find(tc.provider, tc.model)
			if !ok {
				t.Fatal("no price")
			}
			if got := p.Cost(tc.usage).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPricesThatAreNotKnownAreThoseOfTheWhole(t *testing.T) {
	long := int64(200_001)
	tests := map[string]struct {
		price llm.Price
		usage llm.Usage
		want  llm.Picodollars
	}{
		"cached input":              {llm.Price{Input: 7}, llm.Usage{Input: 10, CachedInput: 4}, 70},
		"cache written":             {llm.Price{Input: 7}, llm.Usage{Input: 10, CacheWrite: 4}, 70},
		"cache written for an hour": {llm.Price{Input: 7, CacheWrite: 9}, llm.Usage{Input: 10, CacheWrite1h: 4}, 6*7 + 4*9},
		"audio":                     {llm.Price{Input: 7, Output: 3}, llm.Usage{Input: 10, InputAudio: 4, Output: 10, OutputAudio: 5}, 100},
		"reasoning":                 {llm.Price{Output: 3}, llm.Usage{Output: 10, OutputReasoning: 5}, 30},
		"reasoning of its own":      {llm.Price{Output: 3, OutputReasoning: 4}, llm.Usage{Output: 10, OutputReasoning: 5}, 35},
		"cached input above":        {llm.Price{Input: 1, InputAbove200k: 2}, llm.Usage{Input: long, CachedInput: 1}, 2 * 200_001},
		"cached as below":           {llm.Price{Input: 10, CachedInput: 1, InputAbove200k: 20}, llm.Usage{Input: long, CachedInput: 1}, 20*200_000 + 1},
		"written above":             {llm.Price{Input: 1, InputAbove200k: 2}, llm.Usage{Input: long, CacheWrite: 1}, 2 * 200_001},
		"output above":              {llm.Price{Output: 1, OutputAbove200k: 2}, llm.Usage{Input: long, Output: 5, OutputReasoning: 2}, 10},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.price.Cost(tc.usage); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestEachTokenIsChargedOnce(t *testing.T) {
	p := llm.Price{Input: 1, CachedInput: 10, CacheWrite: 100, CacheWrite1h: 1000, InputAudio: 10_000, Output: 2, OutputReasoning: 20, OutputAudio: 200}
	tests := map[string]struct {
		usage llm.Usage
		want  llm.Picodollars
	}{
		"nothing":                  {llm.Usage{}, 0},
		"parts beyond the whole":   {llm.Usage{Input: 5, CachedInput: 3, CacheWrite: 9, InputAudio: 9}, 3*10 + 2*100},
		"parts without a whole":    {llm.Usage{CachedInput: 3, OutputReasoning: 3}, 0},
		"reasoning beyond":         {llm.Usage{Output: 5, OutputReasoning: 9, OutputAudio: 9}, 5 * 20},
		"negative":                 {llm.Usage{Input: -5, Output: -5, CachedInput: -2}, 0},
		"negative part":            {llm.Usage{Input: 5, CachedInput: -2}, 5},
		"one of each":              {llm.Usage{Input: 5, CachedInput: 1, CacheWrite: 1, CacheWrite1h: 1, InputAudio: 1, Output: 3, OutputReasoning: 1, OutputAudio: 1}, 11111 + 222},
		"the greatest counts":      {llm.Usage{Input: math.MaxInt64, Output: math.MaxInt64}, math.MaxInt64},
		"a sum beyond an int64":    {llm.Usage{Input: math.MaxInt64, Output: 1}, math.MaxInt64},
		"the last sum that fits":   {llm.Usage{Input: math.MaxInt64 - 2, Output: 1}, math.MaxInt64},
		"the one before":           {llm.Usage{Input: math.MaxInt64 - 3, Output: 1}, math.MaxInt64 - 1},
		"a product beyond 64 bits": {llm.Usage{Input: math.MaxInt64, InputAudio: math.MaxInt64}, math.MaxInt64},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := p.Cost(tc.usage); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestCostAgreesWithBigNumbers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	number := func() int64 { return random.Int64() >> random.IntN(63) }
	for range 10_000 {
		p := llm.Price{Input: llm.Picodollars(number()), Output: llm.Picodollars(number())}
		u := llm.Usage{Input: number(), Output: number()}
		sum := new(big.Int).Mul(big.NewInt(int64(p.Input)), big.NewInt(u.Input))
		sum.Add(sum, new(big.Int).Mul(big.NewInt(int64(p.Output)), big.NewInt(u.Output)))
		want := int64(math.MaxInt64)
		if sum.IsInt64() {
			want = sum.Int64()
		}
		if got := int64(p.Cost(u)); got != want {
			t.Fatalf("%+v at %+v: got %d, want %d", u, p, got, want)
		}
	}
}
