package llm

import (
	_ "embed" // prices.json
	"strings"
	"sync"
)

// Prices is a list of prices. It does not change, and may be used by several goroutines.
type Prices struct {
	list   []Price
	byName map[priceName]int // index into list; under the provider "" the first of any provider
}

type priceName struct{ provider, model string }

// prices.json holds the providers' public list prices; its field _about says of when and from where they are.
//
//go:embed prices.json
var builtIn []byte

// defaultPrices is filled by DefaultPrices, so that modules that ask for no price do not hold what reads them.
var defaultPrices struct {
	parsed sync.Once
	list   *Prices
}

// DefaultPrices returns the prices that are built in: the public list prices of prices.json. They are parsed once.
func DefaultPrices() *Prices {
	defaultPrices.parsed.Do(func() {
		var err error
		if defaultPrices.list, err = ParsePrices(builtIn); err != nil {
			panic("llm: prices.json: " + err.Error()) // a test reads it
		}
	})
	return defaultPrices.list
}

// Find returns the price of a provider's model. Where the list has none of the provider's, as with servers that offer
// other makers' models, the model's price at any provider is taken. A name that ends with a date and is not in
// the list has the price of the name without: gpt-4o-2029-01-31 that of gpt-4o. A name as clouds write them has that of
// the maker's: us.anthropic.claude-sonnet-4-5-20250929-v1:0 (Amazon's) and claude-sonnet-4-5@20250929 (Google's) that of
// claude-sonnet-4-5, and openai/gpt-4o that of gpt-4o, as gateways to many makers write it.
func (p *Prices) Find(provider, model string) (Price, bool) {
	makers := ofMaker(model)
	for _, at := range [...]string{provider, ""} {
		for _, name := range [...]string{model, undated(model), makers, undated(makers)} {
			if i, ok := p.byName[priceName{at, name}]; ok {
				return p.list[i], true
			}
		}
	}
	return Price{}, false
}

// ofMaker is a model's name without what clouds put before and behind it: https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html,
// https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude, https://openrouter.ai/models (which writes claude-haiku-4.5).
func ofMaker(model string) string {
	for _, maker := range [...]string{"openai/", "google/", "anthropic/"} {
		if name, ok := strings.CutPrefix(model, maker); ok && maker == "anthropic/" {
			return strings.ReplaceAll(name, ".", "-")
		} else if ok {
			return name
		}
	}
	if at := strings.LastIndexByte(model, '/'); strings.HasPrefix(model, "arn:aws") && at >= 0 {
		model = model[at+1:] // the id of a model or of an inference profile
	}
	for _, maker := range [...]string{"anthropic.", "amazon.", "meta.", "mistral.", "openai.", "deepseek.", "cohere."} {
		if at := strings.Index(model, maker); at == 0 || at > 0 && model[at-1] == '.' {
			model = model[at+len(maker):]
			version := strings.LastIndex(model, "-v")
			if version > 0 && strings.Trim(model[version+2:], "0123456789:") == "" {
				model = model[:version]
			}
			break
		}
	}
	return strings.Replace(model, "@", "-", 1)
}

// undated cuts -2024-08-06 or -20240806 off.
func undated(model string) string {
	for _, form := range [...]string{"-0000-00-00", "-00000000"} {
		at := len(model) - len(form)
		if at <= 0 {
			continue
		}
		match := true
		for i := range len(form) {
			c := model[at+i]
			match = match && (c == form[i] || form[i] == '0' && isDigit(c))
		}
		if match {
			return model[:at]
		}
	}
	return model
}

// ParsePrices reads a list of prices in the form of prices.json: {"models": [{"provider", "model", "mode", ...}]},
// with prices in US dollars per million tokens as strings (ParseUSDPerMillion). Fields that it does not know are an
// error, unless their name begins with an underscore, since a price that is passed over is a wrong cost. Where a model
// is listed twice for a provider, its dearer price counts: a budget must not be overspent for a stale line.
//
// The error is a *SyntaxError or a *FieldError.
func ParsePrices(json []byte) (*Prices, error) {
	r := priceReader{
		reader: reader{list: "models"},
		to:     &Prices{byName: map[priceName]int{}},
	}
	r.start(json)
	r.read()
	if err := r.outcome(); err != nil {
		return nil, err
	}
	return r.to, nil
}

// A priceReader fills in Prices.
type priceReader struct {
	reader
	to            *Prices
	models        bool // there is a list
	input, output bool // the price that was read last has these
}

func (r *priceReader) read() {
	if r.peek() != '{' {
		r.value()
		r.refuse("", "must be an object")
		return
	}
	o, ok := r.object(exact)
	for ok && r.member(&o) {
		name := string(r.last())
		switch {
		case name == "models" && r.peek() == '[':
			r.models = true
			r.readModels()
		case name == "models":
			r.refuse(name, "must be an array")
			r.value()
		default:
			r.unknown(name, name)
		}
	}
	if !r.models {
		r.refuse("models", "is missing")
	}
}

func (r *priceReader) readModels() {
	var a array
	ok := r.enter()
	for ok && r.element(&a) {
		r.message = a.n - 1
		if r.peek() != '{' {
			r.refuse(r.in(""), "must be an object")
			r.value()
			continue
		}
		p := r.readPrice()
		if p.Provider == "" || p.Model == "" || !r.input || !r.output {
			r.refuse(r.in(""), "needs provider, model, input and output")
		}
		r.to.add(p)
	}
}

func (r *priceReader) unknown(path, name string) {
	if name == "" || name[0] != '_' {
		r.refuse(path, "is not known")
	}
	r.value()
}

func (r *priceReader) readPrice() (p Price) {
	r.input, r.output = false, false
	o, ok := r.object(exact)
	for ok && r.member(&o) {
		switch name := string(r.last()); name {
		case "provider":
			p.Provider = r.readName(name)
		case "model":
			p.Model = r.readName(name)
		case "mode":
			p.Mode = r.readName(name)
		case "context":
			p.Context = r.readTokens(name)
		case "max_output":
			p.MaxOutput = r.readTokens(name)
		default:
			price, rate := p.rate(name)
			if price == nil {
				r.unknown(r.in("."+name), name)
				continue
			}
			var err error
			if *price, err = ParseUSDPerMillion(r.readName(name)); err != nil {
				r.refuse(r.in("."+name), err.Error())
			}
			r.input, r.output = r.input || name == "input", r.output || name == "output"
			if *price == 0 {
				p.free |= rate
			}
		}
	}
	return p
}

// rate is the price of a name in prices.json, and which of the optional ones it is.
func (p *Price) rate(name string) (*Picodollars, rates) {
	switch name {
	case "input":
		return &p.Input, 0
	case "cached_input":
		return &p.CachedInput, cachedInput
	case "cache_write":
		return &p.CacheWrite, cacheWrite
	case "cache_write_1h":
		return &p.CacheWrite1h, cacheWrite1h
	case "input_audio":
		return &p.InputAudio, inputAudio
	case "output":
		return &p.Output, 0
	case "output_reasoning":
		return &p.OutputReasoning, outputReasoning
	case "output_audio":
		return &p.OutputAudio, outputAudio
	case "input_above_200k":
		return &p.InputAbove200k, inputLong
	case "cached_input_above_200k":
		return &p.CachedInputAbove200k, cachedInputLong
	case "output_above_200k":
		return &p.OutputAbove200k, outputLong
	default:
		return nil, 0
	}
}

func (r *priceReader) readName(field string) string {
	q, found := r.readString()
	if found != right {
		r.refuse(r.in("."+field), "must be a string")
		return ""
	}
	return r.text(q)
}

func (r *priceReader) readTokens(field string) int64 {
	n, found := r.readCount()
	if found != right || n < 0 {
		r.refuse(r.in("."+field), "must be a whole number")
	}
	return max(0, n)
}

// add puts a price into the list, under its provider and under none.
func (p *Prices) add(price Price) {
	name := priceName{price.Provider, price.Model}
	if i, ok := p.byName[name]; ok {
		if old := p.list[i]; price.Input > old.Input || price.Input == old.Input && price.Output > old.Output {
			p.list[i] = price
		}
		return
	}
	p.list = append(p.list, price)
	p.byName[name] = len(p.list) - 1
	name.provider = ""
	if _, ok := p.byName[name]; !ok {
		p.byName[name] = len(p.list) - 1
	}
}
