package costtracker

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/moduletest"
)

// slow is a module of the test that takes 100 ms for a request, and 20 ms for an event of a stream.
type slow struct{}

// clock is what slow moves on.
var clock *time.Time

func (slow) Request(*module.Exchange) error {
	*clock = clock.Add(100 * time.Millisecond)
	return nil
}

func (slow) Event(*module.Exchange, *module.Event) error {
	*clock = clock.Add(20 * time.Millisecond)
	return nil
}

func init() {
	module.Register("slow", module.Inspector, func(struct{}) (slow, error) { return slow{}, nil })
}

// newHost runs the module with this configuration. The caller and the route are told as other filters of the same Envoy
// would; see routed.
func newHost(t testing.TB, config string) *moduletest.Host {
	t.Helper()
	h := moduletest.New(t, `{"handover":true,"modules":[{"name":"costtracker","config":`+config+`},{"name":"slow"}]}`)
	clock = &h.Clock
	return h
}

// routed are the properties of an exchange of tenant acme that the route gpt-* leads to a provider.
func routed(provider string) map[string]string {
	return map[string]string{
		"leash.caller": "acme\x00app\x00", "leash.fact." + module.FactRoute: "gpt-*", "leash.fact." + module.FactProvider: provider,
	}
}

func chat(model string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"Hello there!"}]}`
}

func answer(usage string) string {
	return `{"choices":[{"index":0,"message":{"role":"assistant","content":"Good morning."},"finish_reason":"stop"}],"usage":` + usage + `}`
}

const usage = `{"prompt_tokens":93,"completion_tokens":15,"total_tokens":108,"prompt_tokens_details":{"cached_tokens":10},"completion_tokens_details":{"reasoning_tokens":4}}`

// The prices are of llm/prices.json, in picodollars a token: gpt-4o-mini 150,000 input, 75,000 cached, 600,000 output.
func TestTheCostOfAnExchangeIsExact(t *testing.T) {
	const own = `{"prices":{"house":{"input":"1.5","output":"3"},"cached":{"input":"1.5","cached_input":"0.000001","output":"0"},` +
		`"free":{"input":"1","cached_input":"0","output":"2"},"gpt-4o":{"input":"1","output":"1"}}}`
	tests := map[string]struct {
		model, provider, usage string
		want                   string // picodollars; "" for none
	}{
		"input, cached input and output":       {"gpt-4o-mini", "openai", usage, "22200000"}, // 83*150000 + 10*75000 + 15*600000
		"nothing cached":                       {"gpt-4o-mini", "openai", `{"prompt_tokens":1,"completion_tokens":0}`, "150000"},
		"all of it cached":                     {"gpt-4o-mini", "openai", `{"prompt_tokens":8,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":8}}`, "600000"},
		"more cached than there was":           {"gpt-4o-mini", "openai", `{"prompt_tokens":8,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":80}}`, "600000"},
		"a hundred million tokens":             {"gpt-4o-mini", "openai", `{"prompt_tokens":100000000,"completion_tokens":100000000}`, "75000000000000"},
		"a dated name costs as the plain one":  {"gpt-4o-mini-2029-01-31", "openai", `{"prompt_tokens":2,"completion_tokens":1}`, "900000"},
		"a provider that nobody knows":         {"gpt-4o-mini", "my-proxy", `{"prompt_tokens":2,"completion_tokens":1}`, "900000"},
		"an estimate, where none is told":      {"gpt-4o-mini", "openai", `null`, "3450000"}, // 12 bytes and a message: 7; 13 bytes: 4
		"a price of one's own":                 {"house", "openai", usage, "184500000"},      // 93*1500000 + 15*3000000
		"cached input at its own price":        {"cached", "openai", usage, "124500010"},     // 83*1500000 + 10*1
		"cached input free of charge":          {"free", "openai", usage, "113000000"},       // 83*1000000 + 15*2000000
		"a built-in price replaced":            {"gpt-4o", "openai", usage, "108000000"},
		"a dated name does not take one's own": {"gpt-4o-2024-08-06", "openai", `{"prompt_tokens":1,"completion_tokens":0}`, "2500000"},
		"a model without a price":              {"gpt-unheard-of", "openai", usage, ""},
		"a price is found in its own case":     {"GPT-4o-mini", "openai", usage, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, own)
			got := h.Do(moduletest.Exchange{Request: chat(tc.model), Answer: answer(tc.usage), Properties: routed(tc.provider)})
			if fact := got.Properties["leash.fact."+module.FactCost]; fact != tc.want {
				t.Errorf("the cost is %q, want %q", fact, tc.want)
			}
			want, _ := strconv.ParseInt(tc.want, 10, 64)
			label := tc.model
			if tc.want == "" {
				label = "gpt-*"
			}
			if n := h.Metrics["leash_cost_picodollars_total.[tenant=acme].[model="+label+"]"]; n != want {
				t.Errorf("counted %d, want %d: %v", n, want, h.Metrics)
			}
			if n := h.Metrics["leash_unpriced_exchanges_total.[model=gpt-*]"]; (n == 1) != (tc.want == "") {
				t.Errorf("%d exchanges are counted as unpriced", n)
			}
		})
	}
}

// With one price of one's own for each kind, all of them show in the sum: a price that leaves one out charges it as the kind that holds it.
func TestEachKindOfTokensHasAPriceOfItsOwn(t *testing.T) {
	const (
		whole   = `"input":"0.000001","output":"0.000002"`
		kinds   = `,"cached_input":"0.00001","cache_write":"0.0001","cache_write_1h":"0.001","input_audio":"0.01","output_reasoning":"0.00002","output_audio":"0.0002"`
		long    = `,"input_above_200k":"1","cached_input_above_200k":"10","output_above_200k":"100"`
		claude  = `{"type":"message","role":"assistant","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":`
		written = `{"input_tokens":5,"output_tokens":9,"cache_read_input_tokens":3,"cache_creation_input_tokens":6,` +
			`"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":4},"output_tokens_details":{"thinking_tokens":7}}}`
		heard = `{"prompt_tokens":10,"completion_tokens":9,"prompt_tokens_details":{"audio_tokens":4},"completion_tokens_details":{"audio_tokens":5}}`
	)
	tests := map[string]struct {
		price, path, answer string
		want                map[string]int64 // by kind, and the cost
	}{
		"written to the cache": {
			whole + kinds, "/v1/messages", claude + written,
			map[string]int64{"input": 14, "cached_input": 3, "cache_write": 2, "cache_write_1h": 4, "output": 9, "output_reasoning": 7, "cost": 5 + 3*10 + 2*100 + 4*1000 + 2*2 + 7*20},
		},
		"written to the cache, at the price of input": {
			whole, "/v1/messages", claude + written,
			map[string]int64{"input": 14, "cached_input": 3, "cache_write": 2, "cache_write_1h": 4, "output": 9, "output_reasoning": 7, "cost": 14 + 9*2},
		},
		"audio": {
			whole + kinds, "", answer(heard),
			map[string]int64{"input": 10, "input_audio": 4, "output": 9, "output_audio": 5, "cost": 6 + 4*10_000 + 4*2 + 5*200},
		},
		"long": {
			whole + kinds + long, "", answer(`{"prompt_tokens":200001,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":1}}`),
			map[string]int64{"input": 200_001, "cached_input": 1, "output": 3, "cost": 200_000*1_000_000 + 10_000_000 + 3*100_000_000},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, `{"prices":{"house":{`+tc.price+`}}}`)
			h.Do(moduletest.Exchange{Path: tc.path, Request: `{"model":"house","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}`, Answer: tc.answer, Properties: routed("claude")})
			got := map[string]int64{"cost": h.Metrics["leash_cost_picodollars_total.[tenant=acme].[model=house]"]}
			for series, n := range h.Metrics {
				if kind, ok := strings.CutPrefix(series, "leash_tokens_total.[tenant=acme].[model=house].[kind="); ok {
					got[strings.TrimSuffix(kind, "]")] = n
				}
			}
			if !maps.Equal(got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
		})
	}
}

func TestWhatIsCountedOfAnExchange(t *testing.T) {
	tests := map[string]struct {
		exchange moduletest.Exchange
		want     map[string]int64
	}{
		"an answer": {
			moduletest.Exchange{Request: chat("gpt-4o-mini"), Answer: answer(usage), Properties: routed("openai")},
			map[string]int64{
				"leash_requests_total.[tenant=acme].[model=gpt-4o-mini].[provider=openai].[status=200]": 1,
				"leash_request_duration_milliseconds.[model=gpt-4o-mini].[provider=openai]":             100,
				"leash_output_tokens_per_second.[model=gpt-4o-mini].[provider=openai]":                  150,
				"leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind=input]":                     93,
				"leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind=cached_input]":              10,
				"leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind=output]":                    15,
				"leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind=output_reasoning]":          4,
				"leash_cost_picodollars_total.[tenant=acme].[model=gpt-4o-mini]":                        22200000,
			},
		},
		"the model that the provider is asked for": {
			moduletest.Exchange{Request: chat("fast"), Answer: answer(`{"prompt_tokens":1,"completion_tokens":0}`), Properties: with(routed("openai"), "leash.fact."+module.FactUpstreamModel, "gpt-4o-mini")},
			map[string]int64{
				"leash_requests_total.[tenant=acme].[model=gpt-4o-mini].[provider=openai].[status=200]": 1,
				"leash_request_duration_milliseconds.[model=gpt-4o-mini].[provider=openai]":             100,
				"leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind=input]":                     1,
				"leash_cost_picodollars_total.[tenant=acme].[model=gpt-4o-mini]":                        150000,
			},
		},
		"a name that a client made up is no label": {
			moduletest.Exchange{Request: chat("gpt-made-up"), Answer: answer(`{"prompt_tokens":1,"completion_tokens":2}`), Properties: routed("openai")},
			map[string]int64{
				"leash_requests_total.[tenant=acme].[model=gpt-*].[provider=openai].[status=200]": 1,
				"leash_request_duration_milliseconds.[model=gpt-*].[provider=openai]":             100,
				"leash_output_tokens_per_second.[model=gpt-*].[provider=openai]":                  20,
				"leash_tokens_total.[tenant=acme].[model=gpt-*].[kind=input]":                     1,
				"leash_tokens_total.[tenant=acme].[model=gpt-*].[kind=output]":                    2,
				"leash_unpriced_exchanges_total.[model=gpt-*]":                                    1,
			},
		},
		"an error of the provider": {
			moduletest.Exchange{Request: chat("gpt-4o-mini"), Status: 503, Answer: `{"error":{"message":"overloaded"}}`, Properties: routed("openai")},
			map[string]int64{
				"leash_requests_total.[tenant=acme].[model=gpt-4o-mini].[provider=openai].[status=503]": 1,
				"leash_request_duration_milliseconds.[model=gpt-4o-mini].[provider=openai]":             100,
				"leash_errors_total.[provider=openai].[model=gpt-4o-mini].[class=unavailable]":          1,
			},
		},
		"an answer, where others route": {
			moduletest.Exchange{Request: chat("gpt-4o-mini"), Answer: answer(usage), Properties: map[string]string{"leash.caller": "acme\x00app\x00"}},
			map[string]int64{
				"leash_requests_total.[tenant=acme].[model=gpt-4o-mini].[provider=none].[status=200]": 1,
				"leash_request_duration_milliseconds.[model=gpt-4o-mini].[provider=none]":             100,
				"leash_output_tokens_per_second.[model=gpt-4o-mini].[provider=none]":                  150,
				"leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind=input]":                   93,
				"leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind=cached_input]":            10,
				"leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind=output]":                  15,
				"leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind=output_reasoning]":        4,
				"leash_cost_picodollars_total.[tenant=acme].[model=gpt-4o-mini]":                      22200000,
			},
		},
		"a name that a client made up, where others route": {
			moduletest.Exchange{Request: chat("gpt-made-up"), Answer: answer(`{"prompt_tokens":1,"completion_tokens":2}`)},
			map[string]int64{
				"leash_requests_total.[tenant=none].[model=unknown].[provider=none].[status=200]": 1,
				"leash_request_duration_milliseconds.[model=unknown].[provider=none]":             100,
				"leash_output_tokens_per_second.[model=unknown].[provider=none]":                  20,
				"leash_tokens_total.[tenant=none].[model=unknown].[kind=input]":                   1,
				"leash_tokens_total.[tenant=none].[model=unknown].[kind=output]":                  2,
				"leash_unpriced_exchanges_total.[model=unknown]":                                  1,
			},
		},
		"what no route serves": {
			moduletest.Exchange{Request: chat("gpt-4o-mini"), Status: 404, Answer: `{}`},
			map[string]int64{"leash_requests_total.[tenant=none].[model=unknown].[provider=none].[status=404]": 1},
		},
		"the list of models": {
			moduletest.Exchange{Method: "GET", Path: "/v1/models", Answer: `{}`},
			map[string]int64{"leash_requests_total.[tenant=none].[model=unknown].[provider=none].[status=200]": 1},
		},
		"a body that is no JSON": {
			moduletest.Exchange{Request: `{`, Status: 400, Answer: `{}`},
			map[string]int64{"leash_requests_total.[tenant=none].[model=unknown].[provider=none].[status=400]": 1},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, `{}`)
			got := h.Do(tc.exchange)
			if _, costs := got.Properties["leash.fact."+module.FactCost]; costs != (h.Metrics["leash_cost_picodollars_total.[tenant=acme].[model=gpt-4o-mini]"] > 0) {
				t.Errorf("the cost is noted: %t, and %v", costs, h.Metrics)
			}
			if !maps.Equal(h.Metrics, tc.want) {
				t.Errorf("got  %v\nwant %v", h.Metrics, tc.want)
			}
		})
	}
}

func TestTheSpeedOfAModelIsMeasured(t *testing.T) {
	const name = "leash_output_tokens_per_second.[model=gpt-4o-mini].[provider=openai]"
	answered := moduletest.Exchange{Request: chat("gpt-4o-mini"), Answer: answer(usage), Properties: routed("openai")}
	tests := map[string]struct {
		exchange moduletest.Exchange
		want     int64
	}{
		"of an answer, over the whole time":   {answered, 150},                                     // 15 in 100 ms
		"of a stream, from its first text on": {streamed("", first+piece+end+usageOnly+done), 233}, // 14 in 60 ms
		"not where the tokens are not told":   {streamed("", first+piece+end+done), 0},
		"not of what is cut before the usage": {streamed("", first+piece), 0},
		"not of an error":                     {moduletest.Exchange{Request: chat("gpt-4o-mini"), Status: 500, Answer: `{}`, Properties: routed("openai")}, 0},
	}
	for what, tc := range tests {
		t.Run(what, func(t *testing.T) {
			h := newHost(t, `{}`)
			h.Do(tc.exchange)
			if got := h.Metrics[name]; got != tc.want {
				t.Errorf("got %d, want %d: %v", got, tc.want, h.Metrics)
			}
		})
	}
}

func TestErrorsAreCountedByClass(t *testing.T) {
	refused := with(routed("openai"), "leash.refused", "contentfilter\x00content_blocked")
	cut := streamed("", first+piece)
	cut.Cut = true
	tests := map[string]struct {
		exchange moduletest.Exchange
		class    string
	}{
		"asked too often":     {moduletest.Exchange{Status: 429, Answer: `{}`}, "rate_limited"},
		"a bad key":           {moduletest.Exchange{Status: 401, Answer: `{}`}, "authentication"},
		"too late":            {moduletest.Exchange{Status: 504, Answer: `{}`}, "timeout"},
		"the client left":     {moduletest.Exchange{Leaves: moduletest.BeforeAnswer}, "no_answer"},
		"cut":                 {cut, "interrupted"},
		"an error in it":      {streamed("", first+piece, `data: {"error":{"message":"it broke off"}}`+"\n\n"), "stream_error"},
		"an error with 200":   {moduletest.Exchange{Answer: `{"error":{"message":"overloaded"}}`}, "error_in_answer"},
		"none":                {moduletest.Exchange{Answer: answer(usage)}, ""},
		"refused by a module": {moduletest.Exchange{Status: 400, Answer: `{}`, Properties: refused}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, e := newHost(t, `{}`), tc.exchange
			if e.Request == "" {
				e.Request = chat("gpt-4o-mini")
			}
			if e.Properties == nil {
				e.Properties = routed("openai")
			}
			h.Do(e)
			got := ""
			for series, n := range h.Metrics {
				if class, ok := strings.CutPrefix(series, "leash_errors_total.[provider=openai].[model=gpt-4o-mini].[class="); ok && n == 1 {
					got += strings.TrimSuffix(class, "]")
				}
			}
			if got != tc.class {
				t.Errorf("got %q, want %q: %v", got, tc.class, h.Metrics)
			}
		})
	}
}

func TestAnErrorCostsNothingWhateverItsStatus(t *testing.T) {
	for _, status := range []int{200, 500} {
		h := newHost(t, `{}`)
		h.Do(moduletest.Exchange{Request: chat("gpt-4o-mini"), Status: status, Answer: `{"error":{"message":"overloaded"}}`, Properties: routed("openai")})
		for series, n := range h.Metrics {
			if strings.HasPrefix(series, "leash_tokens_total") || strings.HasPrefix(series, "leash_cost") {
				t.Errorf("status %d: %s is %d", status, series, n)
			}
		}
	}
}

func with(m map[string]string, key, value string) map[string]string {
	m[key] = value
	return m
}

const (
	first     = `data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	piece     = `data: {"id":"c","choices":[{"index":0,"delta":{"content":"12345678"},"finish_reason":null}]}` + "\n\n"
	end       = `data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usageOnly = `data: {"id":"c","choices":[],"usage":` + usage + `}` + "\n\n"
	done      = "data: [DONE]\n\n"
)

func streamed(fields string, chunks ...string) moduletest.Exchange {
	return moduletest.Exchange{
		Request:      strings.Replace(chat("gpt-4o-mini"), "{", `{"stream":true,`+fields, 1),
		AnswerHeader: map[string]string{"content-type": "text/event-stream"}, AnswerChunks: chunks, Properties: routed("openai"),
	}
}

func TestAStreamIsAskedForItsUsageAndTheExtraEventHiddenFromWhoDidNotAsk(t *testing.T) {
	tests := map[string]struct {
		fields  string
		options string // what the provider reads
		hidden  bool
	}{
		"the client did not ask":            {``, `{"include_usage":true}`, true},
		"the client said no":                {`"stream_options":{"include_usage":false},`, `{"include_usage":true}`, true},
		"the client has other options":      {`"stream_options":{"include_obfuscation":false},`, `{"include_usage":true,"include_obfuscation":false}`, true},
		"the client asked":                  {`"stream_options":{"include_usage":true},`, `{"include_usage":true}`, false},
		"the client asked and wants others": {`"stream_options":{"x":1,"include_usage":true},`, `{"x":1,"include_usage":true}`, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, `{}`).Do(streamed(tc.fields, first, piece, end, usageOnly, done))
			if options := gjson.Get(got.SentBody, "stream_options").Raw; options != tc.options {
				t.Errorf("the provider reads %s, want %s", options, tc.options)
			}
			want := first + piece + end + usageOnly + done
			if tc.hidden {
				want = first + piece + end + done
			}
			if got.Body != want {
				t.Errorf("the client reads %s\nwant %s", got.Body, want)
			}
			if cost := got.Properties["leash.fact."+module.FactCost]; cost != "22200000" {
				t.Errorf("the cost is %q, want 22200000", cost)
			}
		})
	}
}

func TestAnAnswerThatIsNoStreamIsNotAskedForUsage(t *testing.T) {
	got := newHost(t, `{}`).Do(moduletest.Exchange{Request: chat("gpt-4o-mini"), Answer: answer(usage), Properties: routed("openai")})
	if got.SentBody != chat("gpt-4o-mini") || got.Body != answer(usage) {
		t.Errorf("sent %s, answered %s", got.SentBody, got.Body)
	}
}

func TestStreamsAreCountedHoweverTheyEnd(t *testing.T) {
	cut := streamed(``, first, piece, piece)
	cut.Cut = true
	tests := map[string]struct {
		exchange      moduletest.Exchange
		input, output int64
	}{
		"with usage":                              {streamed(``, first, piece, end, usageOnly, done), 93, 15},
		"usage with the last choice":              {streamed(``, first, piece, strings.Replace(end, `"choices"`, `"usage":{"prompt_tokens":5,"completion_tokens":6},"choices"`, 1), done), 5, 6},
		"usage that grows with each event":        {streamed(``, strings.Replace(piece, `"choices"`, `"usage":{"prompt_tokens":5,"completion_tokens":1},"choices"`, 1), usageOnly, done), 93, 15},
		"the provider does not tell: an estimate": {streamed(``, first, piece, end, done), 7, 2},
		"the client leaves: an estimate":          {cut, 7, 4},
		"the provider breaks off: an estimate":    {streamed(``, first, piece), 7, 2},
		"in one chunk":                            {streamed(``, first+piece+end+usageOnly+done), 93, 15},
		"one byte a chunk":                        {streamed(``, strings.Split(first+piece+end+usageOnly+done, "")...), 93, 15},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, `{}`)
			h.Do(tc.exchange)
			const tokens = "leash_tokens_total.[tenant=acme].[model=gpt-4o-mini].[kind="
			if in, out := h.Metrics[tokens+"input]"], h.Metrics[tokens+"output]"]; in != tc.input || out != tc.output {
				t.Errorf("counted %d and %d, want %d and %d", in, out, tc.input, tc.output)
			}
			if h.Metrics["leash_requests_total.[tenant=acme].[model=gpt-4o-mini].[provider=openai].[status=200]"] != 1 {
				t.Errorf("the exchange was not counted once: %v", h.Metrics)
			}
		})
	}
}

func TestTheTimeToTheFirstTokenIsToTheFirstText(t *testing.T) {
	h := newHost(t, `{}`)
	h.Do(streamed(``, first, piece, piece, end, done))
	for name, want := range map[string]int64{
		"leash_time_to_first_token_milliseconds": 120, // the first event has no text
		"leash_request_duration_milliseconds":    200,
	} {
		if got := h.Metrics[name+".[model=gpt-4o-mini].[provider=openai]"]; got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

func TestMistakesInTheConfigurationAreNamed(t *testing.T) {
	const bad = `parse price: want US dollars such as 2.5, with 6 decimals at most`
	one := func(fields string) string { return `{"prices":{"gpt-4.1":{` + fields + `}}}` }
	tests := map[string]struct{ config, want string }{
		"an unknown field":            {`{"price":{}}`, `price: unknown field; the known ones are prices`},
		"an unknown field of a price": {one(`"in":"1"`), `prices.gpt-4.1.in: unknown field; the known ones are input, cached_input, cache_write, cache_write_1h, input_audio, output, output_reasoning, output_audio, input_above_200k, cached_input_above_200k, output_above_200k`},
		"prices is no map":            {`{"prices":[]}`, `prices: [] is not a map`},
		"a price is no map":           {`{"prices":{"m":"1"}}`, `prices.m: "1" is not a map of fields`},
		"no input":                    {one(`"output":"1"`), `prices.gpt-4.1.input: ` + bad},
		"no output":                   {one(`"input":"1"`), `prices.gpt-4.1.output: ` + bad},
		"input as a float":            {one(`"input":1.5`), `prices.gpt-4.1.input: 1.5 is not a string`},
		"cached input as a float":     {one(`"cached_input":1`), `prices.gpt-4.1.cached_input: 1 is not a string`},
		"output as a float":           {one(`"output":1`), `prices.gpt-4.1.output: 1 is not a string`},
		"a sign":                      {one(`"input":"-1","output":"1"`), `prices.gpt-4.1.input: ` + bad},
		"a currency":                  {one(`"input":"$1","output":"1"`), `prices.gpt-4.1.input: ` + bad},
		"an exponent":                 {one(`"input":"1","cached_input":"1e-3","output":"1"`), `prices.gpt-4.1.cached_input: ` + bad},
		"too many decimals":           {one(`"input":"1","output":"0.0000001"`), `prices.gpt-4.1.output: ` + bad},
		"a model without a name":      {`{"prices":{"":{"input":"1","output":"1"}}}`, `prices.: models[0]: needs provider, model, input and output`},
	}
	definition, _ := module.Lookup("costtracker")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := definition.New([]byte(tc.config)); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}
