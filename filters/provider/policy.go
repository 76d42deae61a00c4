// Package provider is the module that takes a request to one provider and brings its answer back: it stands behind all others, once
// for each attempt. Where the client does not speak the provider's API it translates both.
//
// Which model is asked for is told by the module route, in the header x-leash-model-N for the N-th attempt. Keys are none of
// its business: the host puts them in behind it.
package provider

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/llm/translate"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/breaker"
	"github.com/leash-gateway/leash/module/budget"
)

func init() { module.Register("provider", module.Policy, New) }

// Headers between the modules route and provider, and Envoy.
const (
	// ModelHeader and the number of an attempt, from 1 on, is the header with the name that the provider knows the model by.
	ModelHeader = "x-leash-model-"
	// AttemptHeader is where Envoy counts attempts.
	AttemptHeader = "x-envoy-attempt-count"
	// TargetHeader and a number is there for every attempt that there may be.
	TargetHeader = "x-leash-target-"
	// PatienceHeader is how many milliseconds Envoy waits for an answer to begin, where that is bounded.
	PatienceHeader = "x-leash-patience"
	// LabelHeader is what the model is counted as where it is the client's: the pattern of the route, of which there are few.
	LabelHeader = "x-leash-label"
	// BudgetHeader is what attempts after the first are counted as (package budget), where they are bounded.
	BudgetHeader = "x-leash-budget"
	// MidStreamHeader is there where a stream that breaks off is to go on at the next target.
	MidStreamHeader = "x-leash-mid-stream"
	// RestHeader is in a request for the rest of an answer that another provider has begun.
	RestHeader = "x-leash-rest"
	// CarrierUpstream and the name of a target is what the host knows as the way to it that attempts take.
	CarrierUpstream = "carry."
	// HedgeHeader says that several attempts may be under way, so that none is the last one to answer.
	HedgeHeader = "x-leash-hedge"
	// NextHeader is in an answer that another provider may do better on, though its status does not say so.
	NextHeader = "x-leash-next"
)

// Config describes the provider.
type Config struct {
	// Name is the provider's.
	Name string `json:"name"`
	// API is the one that it is spoken to in by those whose own it does not have: chat, responses, messages, gemini or converse.
	API string `json:"api"`
	// Formats are what it can be sent as clients send it.
	Formats []string `json:"formats"`
	// BasePath is the path of its base URL.
	BasePath string `json:"base_path"`
	// Paths are those of formats that are not at their usual place, relative to the base URL; {model} in one stands for the model. A
	// provider that has any has nothing else.
	Paths map[string]string `json:"paths"`
	// Streams are likewise those of formats that are elsewhere when they are streamed.
	Streams map[string]string `json:"streams"`
	// Quirks are what it reads otherwise than its API's maker: old_limit, without_stream_options, vertex.
	Quirks []string `json:"quirks"`
	// MaxTokens bounds answers where the API demands a bound and the client gives none.
	MaxTokens int64 `json:"max_tokens"`
	// Breaker says when the provider is not worth an attempt.
	Breaker Breaker `json:"breaker"`
	// Trace tells of the attempts of exchanges that are traced.
	Trace bool `json:"trace"`
}

// Breaker opens after failures.
type Breaker struct {
	// Consecutive failures open it; 0: never.
	Consecutive int `json:"consecutive"`
	// Percent of at least Volume attempts within Window that failed open it; 0: never.
	Percent int           `json:"percent"`
	Volume  int           `json:"volume"`
	Window  time.Duration `json:"window"`
	// Open is how long it is open, each time twice as long, up to MaxOpen.
	Open    time.Duration `json:"open"`
	MaxOpen time.Duration `json:"max_open"`
}

// SetDefaults opens after a few failures, for a short time.
func (b *Breaker) SetDefaults() {
	*b = Breaker{Consecutive: 5, Percent: 50, Volume: 20, Window: 10 * time.Second, Open: time.Second, MaxOpen: time.Minute}
}

// SetDefaults speaks to a provider as most are spoken to.
func (c *Config) SetDefaults() { c.API, c.MaxTokens = "chat", 4096 }

// Provider takes exchanges to one.
type Provider struct {
	name    string
	api     translate.API
	options translate.Options
	base    string
	native  []llm.Format
	paths   map[llm.Format]string
	streams map[llm.Format]string
	breaker breaker.Settings
	trace   bool
}

var _ module.Carrier = (*Provider)(nil)

// New builds the module.
func New(c Config) (*Provider, error) {
	p := &Provider{
		name: c.Name, base: strings.TrimSuffix(c.BasePath, "/"), options: translate.Options{MaxTokens: c.MaxTokens}, breaker: breaker.Settings(c.Breaker),
		trace: c.Trace,
	}
	switch c.API {
	case "chat":
		p.api = translate.Chat
	case "responses":
		p.api = translate.Responses
	case "messages":
		p.api = translate.Messages
	case "gemini":
		p.api = translate.Gemini
	case "converse":
		p.api = translate.Converse
	default:
		return nil, errors.New("api: " + strconv.Quote(c.API) + " is not chat, responses, messages, gemini or converse")
	}
	for i, name := range c.Formats {
		f := llm.FormatNamed(name)
		if f == llm.None {
			return nil, errors.New("formats[" + strconv.Itoa(i) + "]: there is no format " + strconv.Quote(name))
		}
		p.native = append(p.native, f)
	}
	for i, quirk := range c.Quirks {
		switch quirk {
		case "old_limit":
			p.options.OldLimit = true
		case "without_stream_options":
			p.options.WithoutStreamOptions = true
		case "vertex":
			p.options.Vertex = true
		default:
			return nil, errors.New("quirks[" + strconv.Itoa(i) + "]: " + strconv.Quote(quirk) + " is not old_limit, without_stream_options or vertex")
		}
	}
	var err error
	if p.paths, err = byFormat("paths", c.Paths); err != nil {
		return nil, err
	}
	p.streams, err = byFormat("streams", c.Streams)
	return p, err
}

func byFormat(field string, named map[string]string) (map[llm.Format]string, error) {
	paths := map[llm.Format]string{}
	for name, path := range named {
		f := llm.FormatNamed(name)
		if f == llm.None {
			return nil, errors.New(field + ": there is no format " + strconv.Quote(name))
		}
		paths[f] = path
	}
	return paths, nil
}

// attempt is what is known of an exchange between its request and its answer.
type attempt struct {
	translation *translate.Exchange // nil where the provider speaks what the client does
	framing     llm.Framing         // of the client's streams
	last        bool                // no other provider is asked after it, or with it
	patience    time.Duration       // how long the host waits for an answer to begin; 0: no matter
	model       string              // that the provider is asked for, where the client names another
	label       string              // that the model is counted as
	sent        bool
	settled     bool // what the breaker is to know has been told
	traced      traced
	answer      answer
	rest        *rest // nil where a stream that breaks off does not go on elsewhere
}

// CarryRequest makes the request that the provider reads.
func (p *Provider) CarryRequest(x *module.Exchange, body []byte) ([]byte, error) {
	a := module.Local[attempt](x)
	number := x.RequestHeader(AttemptHeader)
	n, err := strconv.Atoi(number)
	a.last = err != nil || x.RequestHeader(TargetHeader+strconv.Itoa(n+1)) == "" && x.RequestHeader(HedgeHeader) == ""
	if ms, err := strconv.ParseInt(x.RequestHeader(PatienceHeader), 10, 32); err == nil {
		a.patience = time.Duration(ms) * time.Millisecond
	}
	a.model = x.RequestHeader(ModelHeader + number)
	if a.label = a.model; a.label == "" {
		a.label = x.RequestHeader(LabelHeader)
	}
	if n > 1 {
		x.Count(retries, 1, p.name, a.label)
		if name := x.RequestHeader(BudgetHeader); name != "" {
			budget.Further(x.Shared(), name, x.Now())
		}
	}
	if p.trace {
		a.traced.begin(x, n, a.model, body)
		a.traced.alone = x.RequestHeader(RestHeader) != ""
	}
	if !a.last && x.RequestHeader(MidStreamHeader) != "" {
		a.rest = wantsRest(x, body, n)
	}
	out, err := p.request(x, a.model, body)
	a.sent = err == nil
	return out, err
}

func (p *Provider) request(x *module.Exchange, model string, body []byte) ([]byte, error) {
	if slices.Contains(p.native, x.Format) {
		return p.pass(x, model, body)
	}
	return p.translate(x, model, body)
}

// pass sends a request as it is, but for the model's name, what the provider reads otherwise, and thoughts that came from another.
func (p *Provider) pass(x *module.Exchange, model string, body []byte) ([]byte, error) {
	path, streamed := x.RequestHeader(":path"), false
	if x.Format.Family() == llm.Anthropic {
		body = llm.WithoutUnsignedThoughts(body)
	}
	if o := p.options; model != "" || len(p.paths) > 0 || o.OldLimit || o.WithoutStreamOptions || o.Vertex {
		r, err := llm.ParseRequestAt(x.Format, path, body)
		if err != nil {
			return nil, unreadable(err)
		}
		if model != "" {
			r.SetModel(model)
		}
		if o.OldLimit {
			r.OldLimit()
		}
		if o.WithoutStreamOptions {
			r.WithoutStreamOptions()
		}
		if o.Vertex {
			r.ForVertex()
		}
		body, path, model, streamed = r.Bytes(), r.Path(), r.Model, r.Stream
	}
	return body, p.to(x, x.Format, path, model, streamed)
}

func (p *Provider) translate(x *module.Exchange, model string, body []byte) ([]byte, error) {
	o := p.options
	o.Model, o.ID, o.Now = model, x.ID, x.Now()
	t, err := translate.New(x.Format, p.api, o)
	if err != nil {
		return nil, untranslatable(err)
	}
	to, err := t.Request(clientModel(x, body), body)
	if err != nil {
		return nil, untranslatable(err)
	}
	x.RemoveRequestHeaders(ofPrograms...)
	for of, prefixes := range ofClients {
		if to.Format == llm.None || llm.Family(of) != to.Format.Family() {
			x.RemoveRequestHeaders(prefixes...)
		}
	}
	a := module.Local[attempt](x)
	a.translation = t
	if x.Format == llm.GoogleStream && !strings.Contains(x.RequestHeader(":path"), asEvents) {
		a.framing = llm.JSONArray
		x.Frames(llm.JSONArray)
	}
	if model == "" {
		model = clientModel(x, body)
	}
	return to.Body, p.to(x, to.Format, to.Path, model, t.Streams())
}

// ofClients are what the headers begin with that clients of an API send besides what is common, and ofPrograms those of coding agents. They mean nothing to
// who is spoken to in another API, and what agents say there of the machine that they run on is not for it.
var (
	ofClients  = [...][]string{llm.OpenAI: {"openai-", "x-stainless-"}, llm.Anthropic: {"anthropic-"}, llm.Google: {"x-goog-"}}
	ofPrograms = []string{"x-codex-", "x-claude-code-"}
)

// clientModel is the model as the client names it.
func clientModel(x *module.Exchange, body []byte) string {
	if x.Format.Family() != llm.Google {
		return modelOf(body)
	}
	path, _, _ := strings.Cut(x.Path, ":")
	if _, model, named := strings.Cut(path, "/models/"); named {
		return model
	}
	return strings.TrimPrefix(path, "/v1beta/")
}

// asEvents is how a client of Google's asks for a stream of events instead of one JSON array.
const asEvents = "alt=sse"

// to sends a request where its format has it, behind the path of the base URL, which has the version of OpenAI's API in it as clients of
// that have it.
func (p *Provider) to(x *module.Exchange, f llm.Format, path, model string, streamed bool) error {
	own, ok := p.paths[f]
	switch {
	case ok:
		if at, elsewhere := p.streams[f]; elsewhere && streamed {
			own = at
		}
		own = strings.ReplaceAll(own, "{model}", escaped(model))
		if f == llm.GoogleStream && strings.Contains(path, asEvents) {
			own += "?" + asEvents
		}
		path = own
	case len(p.paths) > 0:
		return next(module.Refuse(400, "not_translatable", "the provider of this model does not serve %s", f.String()))
	case f.Family() == llm.OpenAI && f != llm.None:
		path = strings.TrimPrefix(path, "/v1")
	}
	x.SetRequestHeader(":path", p.base+path)
	return nil
}

// escaped is a model's name as it can stand in a path.
func escaped(model string) string {
	const hex = "0123456789ABCDEF"
	path := make([]byte, 0, len(model))
	for i := range len(model) {
		switch c := model[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~', c == '@':
			path = append(path, c)
		default:
			path = append(path, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(path)
}

func unreadable(err error) error {
	return module.Refuse(400, "invalid_request", "the request cannot be read: %s", err.Error())
}

// untranslatable says what of a request this provider's API has no place for. Another one may have.
func untranslatable(err error) error {
	e, ok := errors.AsType[*translate.Error](err)
	if !ok {
		return unreadable(err)
	}
	code := "not_translatable"
	if e.Field == "thread" { // upon which Anthropic's clients send the whole conversation
		code = llm.ThreadUnsupported
	}
	return next(module.Refuse(400, code, "the provider of this model has another API, in which this request cannot be said: %s", err.Error()))
}
