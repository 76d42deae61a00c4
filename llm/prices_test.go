package llm_test

import (
	"testing"

	"github.com/leash-gateway/leash/llm"
)

func TestFind(t *testing.T) {
	tests := map[string]struct {
		provider, model string
		want            string // provider/model, empty when there is none
	}{
		"exact":                              {"openai", "gpt-4o", "openai/gpt-4o"},
		"any provider":                       {"", "claude-haiku-4-5", "anthropic/claude-haiku-4-5"},
		"unknown provider":                   {"my-server", "gpt-4o", "openai/gpt-4o"},
		"known provider, other's model":      {"google", "claude-haiku-4-5", "anthropic/claude-haiku-4-5"},
		"Google's name of it, there":         {"google", "claude-haiku-4-5@20251001", "anthropic/claude-haiku-4-5-20251001"},
		"with the maker ahead":               {"openrouter", "openai/gpt-4o", "openai/gpt-4o"},
		"with the maker ahead, and dated":    {"openrouter", "openai/gpt-4o-2029-08-06", "openai/gpt-4o"},
		"with the maker ahead, with a dot":   {"openrouter", "anthropic/claude-haiku-4.5", "anthropic/claude-haiku-4-5"},
		"Vertex' name in OpenAI's API":       {"vertex", "google/gemini-2.5-flash", "google/gemini-2.5-flash"},
		"free of charge there":               {"openrouter", "openai/gpt-4o:free", ""},
		"of the maker's, by others":          {"groq", "openai/gpt-oss-120b", ""},
		"with somebody else ahead":           {"vllm", "acme/gpt-4o", ""},
		"dated, in the list":                 {"anthropic", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5-20251001"},
		"dated, not in the list":             {"openai", "gpt-4o-mini-2029-07-18", "openai/gpt-4o-mini"},
		"dated without dashes, not in it":    {"anthropic", "claude-haiku-5-5-20270101", "anthropic/claude-haiku-5-5"},
		"dated, unknown provider":            {"my-server", "gpt-4o-mini-2029-07-18", "openai/gpt-4o-mini"},
		"other suffix":                       {"openai", "gpt-4o-mini-latest", ""},
		"date too short":                     {"openai", "gpt-4o-mini-2024-07", ""},
		"date of letters":                    {"openai", "gpt-4o-mini-2024-ab-18", ""},
		"fine-tuned, with prices of its own": {"openai", "ft:gpt-4o-mini-2024-07-18:acme::1", ""},
		"nothing but a date":                 {"", "-2024-07-18", ""},
		"nothing":                            {"", "", ""},
		"Amazon's name":                      {"bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic/claude-haiku-4-5-20251001"},
		"of an inference profile":            {"bedrock", "us.anthropic.claude-haiku-4-5-20290101-v1:0", "anthropic/claude-haiku-4-5"},
		"of its ARN":                         {"bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic/claude-haiku-4-5-20251001"},
		"of an ARN that tells nothing":       {"bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", ""},
		"Google's name of another's model":   {"vertex", "claude-haiku-4-5@20251001", "anthropic/claude-haiku-4-5-20251001"},
		"Google's name without a date":       {"vertex", "claude-haiku-4-5@default", ""},
		"nothing but a maker":                {"bedrock", "anthropic.", ""},
		"case counts":                        {"openai", "GPT-4o", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p, ok := llm.DefaultPrices().Find(tc.provider, tc.model)
			got := ""
			if ok {
				got = p.Provider + "/" + p.Model
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDefaultPricesAreWhatTheFileSays(t *testing.T) {
	got, ok := llm.DefaultPrices().Find("google", "gemini-2.5-pro")
	if !ok {
		t.Fatal("no price")
	}
	want := llm.Price{
		Provider: "google", Model: "gemini-2.5-pro", Mode: "chat",
		Input: 1_250_000, CachedInput: 125_000, Output: 10_000_000,
		InputAbove200k: 2_500_000, CachedInputAbove200k: 250_000, OutputAbove200k: 15_000_000,
		Context: 1_048_576, MaxOutput: 65_536,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if first, second := llm.DefaultPrices(), llm.DefaultPrices(); first != second {
		t.Error("the list is parsed anew")
	}
}

func TestTheDearerOfTwoPricesCounts(t *testing.T) {
	const cheap, dear = `{"provider":"p","model":"m","input":"0","output":"9"}`, `{"provider":"p","model":"m","input":"1","output":"2"}`
	for name, list := range map[string]string{"first": dear + "," + cheap, "second": cheap + "," + dear} {
		t.Run(name, func(t *testing.T) {
			prices, err := llm.ParsePrices([]byte(`{"models":[` + list + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			for _, provider := range []string{"p", ""} {
				if p, _ := prices.Find(provider, "m"); p.Input != 1_000_000 {
					t.Errorf("provider %q: got %+v", provider, p)
				}
			}
		})
	}
}

func TestTheFirstProviderOfAModelIsTaken(t *testing.T) {
	prices, err := llm.ParsePrices([]byte(`{"models":[{"provider":"a","model":"m","input":"1","output":"1"},{"provider":"b","model":"m","input":"2","output":"2"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for provider, want := range map[string]string{"": "a", "c": "a", "a": "a", "b": "b"} {
		if p, _ := prices.Find(provider, "m"); p.Provider != want {
			t.Errorf("provider %q: got %+v", provider, p)
		}
	}
}

func TestAnOptionalPriceOfZeroIsFree(t *testing.T) {
	prices, err := llm.ParsePrices([]byte(`{"models":[{"provider":"p","model":"m","input":"1","output":"1","cached_input":"0","output_reasoning":"0.000000"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := prices.Find("p", "m")
	if got := p.Cost(llm.Usage{Input: 5, CachedInput: 4, Output: 5, OutputReasoning: 3}); got != 3_000_000 {
		t.Errorf("got %d", got)
	}
}

func TestParsePricesRefuses(t *testing.T) {
	tests := map[string]struct{ list, want string }{
		"no JSON":         {`{`, `invalid JSON at byte 1: ends where a key in quotes should be`},
		"no object":       {`[]`, `the body must be an object`},
		"no list":         {`{"_about":"x"}`, `models: is missing`},
		"object as list":  {`{"models":{}}`, `models: must be an array`},
		"unknown field":   {`{"models":[],"about":1}`, `about: is not known`},
		"string as model": {`{"models":["m"]}`, `models[0]: must be an object`},
		"no provider":     {`{"models":[{"model":"m","input":"1","output":"1"}]}`, `models[0]: needs provider, model, input and output`},
		"no output":       {`{"models":[{"provider":"p","model":"m","input":"1","output":"1"},{"provider":"p","model":"m","input":"1"}]}`, `models[1]: needs provider, model, input and output`},
		"number as price": {`{"models":[{"provider":"p","model":"m","input":1,"output":"1"}]}`, `models[0].input: must be a string`},
		"price of words":  {`{"models":[{"provider":"p","model":"m","input":"a lot","output":"1"}]}`, `models[0].input: parse price: want US dollars such as 2.5, with 6 decimals at most`},
		"unknown price":   {`{"models":[{"provider":"p","model":"m","input":"1","output":"1","output_above_1m":"2"}]}`, `models[0].output_above_1m: is not known`},
		"string as limit": {`{"models":[{"provider":"p","model":"m","input":"1","output":"1","context":"5"}]}`, `models[0].context: must be a whole number`},
		"negative limit":  {`{"models":[{"provider":"p","model":"m","input":"1","output":"1","max_output":-5}]}`, `models[0].max_output: must be a whole number`},
		"null as name":    {`{"models":[{"provider":null,"model":"m","input":"1","output":"1"}]}`, `models[0].provider: must be a string`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := llm.ParsePrices([]byte(tc.list)); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func FuzzParsePrices(f *testing.F) {
	f.Add([]byte(`{"_about":"x","models":[{"provider":"p","model":"m","mode":"chat","input":"1","output":"0","cached_input":"0","context":5}]}`))
	f.Fuzz(func(t *testing.T, list []byte) {
		prices, err := llm.ParsePrices(list)
		if err != nil {
			return
		}
		if p, ok := prices.Find("", "m"); ok {
			if cost := p.Cost(llm.Usage{Input: 1 << 40, CachedInput: 1 << 20, Output: 1 << 40}); cost < 0 {
				t.Errorf("%q costs %s", list, cost)
			}
		}
	})
}
