// Package costtracker is the module that counts requests, latency, tokens and cost by tenant and model, as metrics,
// and notes the cost of each exchange for the logger. Streams are asked for their usage; the extra event that this
// makes is hidden from a client that did not ask.
package costtracker

import (
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/printf"
)

func init() { module.Register("costtracker", module.Inspector, New) }

// The metrics. Cost is in picodollars, exact.
var (
	requests = module.Counter("leash_requests_total", "tenant", "model", "provider", "status")
	latency  = module.Histogram("leash_request_duration_milliseconds", "model", "provider")
	ttft     = module.Histogram("leash_time_to_first_token_milliseconds", "model", "provider")
	speed    = module.Histogram("leash_output_tokens_per_second", "model", "provider")
	failed   = module.Counter("leash_errors_total", "provider", "model", "class")
	tokens   = module.Counter("leash_tokens_total", "tenant", "model", "kind")
	cost     = module.Counter("leash_cost_picodollars_total", "tenant", "model")
	unpriced = module.Counter("leash_unpriced_exchanges_total", "model")
)

// Config may add prices to the built-in list, or replace some.
type Config struct {
	// Prices are by model name, in US dollars per million tokens, as exact decimal strings.
	Prices map[string]Price `json:"prices"`
}

// Price is what a model costs, in US dollars per million tokens. What is not given costs as in llm.Price.
type Price struct {
	Input           string `json:"input"`
	CachedInput     string `json:"cached_input"`
	CacheWrite      string `json:"cache_write"`
	CacheWrite1h    string `json:"cache_write_1h"`
	InputAudio      string `json:"input_audio"`
	Output          string `json:"output"`
	OutputReasoning string `json:"output_reasoning"`
	OutputAudio     string `json:"output_audio"`
	// Of an exchange with more than 200,000 tokens of input.
	InputAbove200k       string `json:"input_above_200k"`
	CachedInputAbove200k string `json:"cached_input_above_200k"`
	OutputAbove200k      string `json:"output_above_200k"`
}

// Tracker counts.
type Tracker struct {
	prices *llm.Prices
	own    map[string]llm.Price
	kept   map[labels]*kept
}

// Validate refuses what is no exact price, and a price without its two main parts.
func (p *Price) Validate() error {
	for _, part := range p.parts() {
		if part.decimal == "" && part.optional {
			continue
		}
		if _, err := llm.ParseUSDPerMillion(part.decimal); err != nil {
			return printf.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

type part struct {
	name, decimal string
	optional      bool
}

func (p *Price) parts() [11]part {
	return [...]part{
		{"input", p.Input, false},
		{"cached_input", p.CachedInput, true},
		{"cache_write", p.CacheWrite, true},
		{"cache_write_1h", p.CacheWrite1h, true},
		{"input_audio", p.InputAudio, true},
		{"output", p.Output, false},
		{"output_reasoning", p.OutputReasoning, true},
		{"output_audio", p.OutputAudio, true},
		{"input_above_200k", p.InputAbove200k, true},
		{"cached_input_above_200k", p.CachedInputAbove200k, true},
		{"output_above_200k", p.OutputAbove200k, true},
	}
}

// parse reads the price as one of the built-in list is read: there "0" is free of charge.
func (p *Price) parse(model string) (llm.Price, error) {
	json := append([]byte(`{"models":[{"provider":"own","model":`), llm.AppendString(nil, model)...)
	for _, part := range p.parts() {
		if part.decimal != "" {
			json = append(json, `,"`+part.name+`":`...)
			json = llm.AppendString(json, part.decimal)
		}
	}
	list, err := llm.ParsePrices(append(json, "}]}"...))
	if err != nil {
		return llm.Price{}, err
	}
	price, _ := list.Find("own", model)
	return price, nil
}

// New builds the module.
func New(c Config) (*Tracker, error) {
	t := &Tracker{prices: llm.DefaultPrices(), own: make(map[string]llm.Price, len(c.Prices)), kept: map[labels]*kept{}}
	for model, p := range c.Prices {
		price, err := p.parse(model)
		if err != nil {
			return nil, printf.Errorf("prices.%s: %w", model, err)
		}
		t.own[model] = price
	}
	return t, nil
}

// ReadsUsage asks for the usage of every exchange.
func (t *Tracker) ReadsUsage() bool { return true }

func (t *Tracker) price(provider, model string) (llm.Price, bool) {
	if p, ok := t.own[model]; ok {
		return p, true
	}
	return t.prices.Find(provider, model)
}

// FinishesLate says that nothing waits for Finish.
func (*Tracker) FinishesLate() {}

// Finish counts the exchange.
func (t *Tracker) Finish(x *module.Exchange) {
	tenant, provider, route := x.Caller().Tenant, x.Fact(module.FactProvider), x.Fact(module.FactRoute)
	model := ""
	if x.Request != nil {
		model = x.Request.Model
	}
	if upstream := x.Fact(module.FactUpstreamModel); upstream != "" {
		model = upstream
	}
	price, priced := t.price(provider, model)
	left := route != "" || x.Usage != (llm.Usage{}) // where others route, only what it has used tells
	label := labelOf(model, route, left, priced)
	k := t.of(x, labels{tenant, label, provider, x.Status})
	x.Add(k.requests, 1)
	if !left {
		return
	}
	now := x.Now()
	x.Add(k.latency, now.Sub(x.Started()).Milliseconds())
	if !x.FirstToken().IsZero() {
		x.Add(k.ttft, x.FirstToken().Sub(x.Started()).Milliseconds())
	}
	if class := errorClass(x); class != "" {
		x.Count(failed, 1, provider, label, class)
	}
	if x.Usage == (llm.Usage{}) {
		return
	}
	x.Add(k.input, x.Usage.Input)
	if n := tokensPerSecond(x, now); n > 0 {
		x.Add(k.speed, n)
	}
	x.Add(k.cachedInput, x.Usage.CachedInput)
	x.Add(k.cacheWrite, x.Usage.CacheWrite)
	x.Add(k.cacheWrite1h, x.Usage.CacheWrite1h)
	x.Add(k.inputAudio, x.Usage.InputAudio)
	x.Add(k.output, x.Usage.Output)
	x.Add(k.outputReasoning, x.Usage.OutputReasoning)
	x.Add(k.outputAudio, x.Usage.OutputAudio)
	if !priced {
		x.Add(k.unpriced, 1)
		return
	}
	amount := price.Cost(x.Usage)
	x.Add(k.cost, int64(amount))
	x.SetFact(module.FactCost, strconv.FormatInt(int64(amount), 10))
}

// errorClass is how an exchange that went to a provider failed; "" where it did not, or one of the modules has refused it, which is counted
// elsewhere.
func errorClass(x *module.Exchange) string {
	switch by, code := x.Refusal(); {
	case by == "border" && code == "unreadable_answer":
		return code
	case by != "":
		return ""
	case x.AnswerError != "":
		return x.AnswerError
	case x.Status != 0 && x.Status < 400 && !x.Completed:
		return "interrupted"
	default:
		return llm.ErrorClass(x.Status)
	}
}

// tokensPerSecond is how fast the model wrote: of a stream from its first text on, else over the whole time. 0 is what cannot be
// told: a single token, or no time that could be measured.
func tokensPerSecond(x *module.Exchange, now time.Time) int64 {
	since, written := x.Started(), x.Usage.Output
	if !x.FirstToken().IsZero() {
		since, written = x.FirstToken(), written-1
	}
	took := now.Sub(since).Milliseconds()
	if took <= 0 || written <= 0 || x.UsageEstimated {
		return 0
	}
	return written * 1000 / took
}

// labels are what exchanges are told apart by.
type labels struct {
	tenant, model, provider string
	status                  int
}

// kept are the series of exchanges with the same labels: looking each up by its labels would cost more than the rest.
type kept struct {
	requests, latency, ttft, speed, cost, unpriced           *module.Series
	input, cachedInput, cacheWrite, cacheWrite1h, inputAudio *module.Series
	output, outputReasoning, outputAudio                     *module.Series
}

// maxKept bounds how many labels are remembered. Series are bounded by package module.
const maxKept = 1000

func (t *Tracker) of(x *module.Exchange, l labels) *kept {
	if k := t.kept[l]; k != nil {
		return k
	}
	if len(t.kept) >= maxKept {
		clear(t.kept)
	}
	l.tenant, l.model = strings.Clone(l.tenant), strings.Clone(l.model) // parts of the exchange's memory
	of := func(kind string) *module.Series { return x.Series(tokens, l.tenant, l.model, kind) }
	k := &kept{
		requests: x.Series(requests, l.tenant, l.model, l.provider, strconv.Itoa(l.status)),
		latency:  x.Series(latency, l.model, l.provider), ttft: x.Series(ttft, l.model, l.provider),
		speed: x.Series(speed, l.model, l.provider),
		cost:  x.Series(cost, l.tenant, l.model), unpriced: x.Series(unpriced, l.model),
		input: of("input"), cachedInput: of("cached_input"), cacheWrite: of("cache_write"), cacheWrite1h: of("cache_write_1h"), inputAudio: of("input_audio"),
		output: of("output"), outputReasoning: of("output_reasoning"), outputAudio: of("output_audio"),
	}
	t.kept[l] = k
	return k
}

// labelOf keeps the label set bounded: a client may ask for any name that a route's pattern matches, but only names that
// have a price, or are a route's own, become a label.
func labelOf(model, route string, left, priced bool) string {
	switch {
	case left && priced:
		return model
	case route == "":
		return "unknown"
	default:
		return route
	}
}
