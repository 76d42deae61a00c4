// Package costtracker is the module that counts requests, latency, tokens and cost by tenant and model, as metrics,
// and notes the cost of each exchange for the logger. Streams are asked for their usage; the extra event that this
// makes is hidden from a client that did not ask.
package costtracker

import (
	"fmt"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
)

func init() { module.Register("costtracker", module.Inspector, New) }

// The metrics. Cost is in picodollars, exact.
var (
	requests = module.Counter("leash_requests_total", "tenant", "model", "provider", "status")
	latency  = module.Histogram("leash_request_duration_milliseconds", "model", "provider")
	ttft     = module.Histogram("leash_time_to_first_token_milliseconds", "model", "provider")
	tokens   = module.Counter("leash_tokens_total", "tenant", "model", "kind")
	cost     = module.Counter("leash_cost_picodollars_total", "tenant", "model")
	unpriced = module.Counter("leash_unpriced_exchanges_total", "model")
)

// Config may add prices to the built-in list, or replace some.
type Config struct {
	// Prices are by model name, in US dollars per million tokens, as exact decimal strings.
	Prices map[string]Price `json:"prices"`
}

// Price is what a model costs, in US dollars per million tokens.
type Price struct {
	Input string `json:"input"`
	// CachedInput is for input read from the provider's cache: as much as Input where it is not given.
	CachedInput string `json:"cached_input"`
	Output      string `json:"output"`
}

// Tracker counts.
type Tracker struct {
	prices *llm.Prices
	own    map[string]llm.Price
}

// Validate refuses what is no exact price, and a price without its two main parts.
func (p *Price) Validate() error {
	for _, part := range p.parts() {
		if part.decimal == "" && part.optional {
			continue
		}
		if _, err := llm.ParseUSDPerMillion(part.decimal); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

type part struct {
	name, decimal string
	optional      bool
}

func (p *Price) parts() [3]part {
	return [3]part{{"input", p.Input, false}, {"cached_input", p.CachedInput, true}, {"output", p.Output, false}}
}

// parse reads the price as one of the built-in list is read: there "0" is free of charge, and what is not given costs
// as much as input.
func (p *Price) parse(model string) (llm.Price, error) {
	json := append([]byte(`{"models":[{"provider":"own","model":`), gjson.AppendJSONString(nil, model)...)
	for _, part := range p.parts() {
		if part.decimal != "" {
			json = append(json, `,"`+part.name+`":`...)
			json = gjson.AppendJSONString(json, part.decimal)
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
	t := &Tracker{prices: llm.DefaultPrices(), own: make(map[string]llm.Price, len(c.Prices))}
	for model, p := range c.Prices {
		price, err := p.parse(model)
		if err != nil {
			return nil, fmt.Errorf("prices.%s: %w", model, err)
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
	label := labelOf(model, route, priced)

	x.Count(requests, 1, tenant, label, provider, strconv.Itoa(x.Status))
	if route == "" {
		return // it never left
	}
	x.Observe(latency, x.Now().Sub(x.Started).Milliseconds(), label, provider)
	if !x.FirstToken.IsZero() {
		x.Observe(ttft, x.FirstToken.Sub(x.Started).Milliseconds(), label, provider)
	}
	if x.Usage == (llm.Usage{}) {
		return
	}
	x.Count(tokens, x.Usage.Input, tenant, label, "input")
	x.Count(tokens, x.Usage.CachedInput, tenant, label, "cached_input")
	x.Count(tokens, x.Usage.Output, tenant, label, "output")
	x.Count(tokens, x.Usage.OutputReasoning, tenant, label, "output_reasoning")
	if !priced {
		x.Count(unpriced, 1, label)
		return
	}
	amount := price.Cost(x.Usage)
	x.Count(cost, int64(amount), tenant, label)
	x.SetFact(module.FactCost, strconv.FormatInt(int64(amount), 10))
}

// labelOf keeps the label set bounded: a client may ask for any name that a route's pattern matches, but only names that
// have a price, or are a route's own, become a label.
func labelOf(model, route string, priced bool) string {
	switch {
	case route == "":
		return "unknown"
	case priced:
		return model
	default:
		return route
	}
}
