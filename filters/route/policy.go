// Package route is the module at the end of every pipeline: it decides which providers a request goes to, and in which order, and
// answers the list of models.
//
// Envoy's own routes match on the header x-leash-route, which this module sets and which no client's value survives.
package route

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
	"github.com/leash-gateway/leash/module/budget"
	"github.com/leash-gateway/leash/module/printf"
)

func init() { module.Register("route", module.Policy, New) }

// What Envoy, or whoever else carries the exchange, is told.
const (
	// Header says which route of Envoy's is to be taken: one that leads to the only provider, for a request that goes there as
	// it is, or one by the module provider, which finds out from the following headers what it is to do.
	Header = "x-leash-route"
	// TargetHeader and the number of an attempt, from 1 on, is the header with the provider that the attempt goes to.
	TargetHeader = "x-leash-target-"
	// ModelHeader and the number of an attempt is the header with the model that the provider is asked for.
	ModelHeader = "x-leash-model-"
	// LabelHeader is what the model is counted as in attempts that are asked for the client's.
	LabelHeader = "x-leash-label"
	// PatienceHeader is how many milliseconds an attempt may take until its answer begins, where that is bounded.
	PatienceHeader = "x-leash-patience"
	// BudgetHeader is what attempts after the first are counted as (package budget), where they are bounded.
	BudgetHeader = "x-leash-budget"
	// MidStreamHeader is there where a stream that breaks off is to go on at the next target.
	MidStreamHeader = "x-leash-mid-stream"
	// HedgeHeader says that several attempts may be under way, so that none is the last one to answer.
	HedgeHeader = "x-leash-hedge"
	// AnsweredHeader is in an answer to such a request: the number of the attempt that it is of.
	AnsweredHeader = "x-leash-answered"
	// RetriesHeader tells Envoy how many attempts may follow the first.
	RetriesHeader = "x-envoy-max-retries"
)

// failovers counts exchanges that were answered by another provider than the first that was asked.
var failovers = module.Counter("leash_failovers_total", "provider", "model")

// withheld counts exchanges that had one target only, because a budget was used up.
var withheld = module.Counter("leash_failovers_withheld_total", "model")

// maxTargets is how many attempts there are headers for.
const maxTargets = 8

// Config lists the routes; the first that matches is taken.
type Config struct {
	Routes []Route `json:"routes"`
	// Providers says what each is sent as clients send it. One that is not listed is sent everything so.
	Providers []Provider `json:"providers"`
}

// Provider is what is known of one.
type Provider struct {
	Name string `json:"name"`
	// Formats are those that need no translation.
	Formats []string `json:"formats"`
}

// Route sends a model, or a pattern of models, to providers.
type Route struct {
	// Name is the value of the header for Envoy where the only target is sent the request as it is; "" where that is not to be.
	Name string `json:"name"`
	// Through is the value for all else.
	Through string `json:"through"`
	// Model is what the client asks for: a name, or a pattern in which * stands for any characters.
	Model string `json:"model"`
	// Provider and UpstreamModel are the only target, in place of Targets.
	Provider      string `json:"provider"`
	UpstreamModel string `json:"upstream_model"`
	// Targets are tried one after the other.
	Targets []Target `json:"targets"`
	// Tenants are those for whom the route is; none: for all.
	Tenants []string `json:"tenants"`
	// Headers are values, or patterns of them, that the request must have.
	Headers map[string]string `json:"headers"`
	// Attempts is how many targets are tried at the most; 0: all.
	Attempts int `json:"attempts"`
	// Hedged says that the next target is asked too where one takes long, as Envoy finds out.
	Hedged bool `json:"hedged"`
	// Budget bounds the attempts after the first.
	Budget Budget `json:"budget"`
	// MidStream lets a stream that breaks off go on at the next target.
	MidStream bool `json:"mid_stream"`
	// FirstByte is how long an attempt may take until its answer begins, as Envoy bounds it; 0: unbounded.
	FirstByte time.Duration `json:"first_byte"`
	// Fastest puts the target first that has begun its answers the soonest of late.
	Fastest bool `json:"fastest"`
	// Affinity is the name of a header by whose value the same of several weighted targets is chosen each time.
	Affinity string `json:"affinity"`
}

// Budget bounds attempts after the first ones by the requests of the last seconds. Beyond it a request has one target only.
type Budget struct {
	// Percent is how many there may be to a hundred requests; 0: any number.
	Percent int `json:"percent"`
	// Least is how many there may be in any case.
	Least int `json:"least"`
}

// Target is a provider, and the model there.
type Target struct {
	// Provider names the provider in logs, prices and metrics.
	Provider string `json:"provider"`
	// Model, where it is set, is the name that the provider reads instead of the client's.
	Model string `json:"model"`
	// Weight shares requests out among neighbours that have one.
	Weight int `json:"weight"`
	// Without is what the model cannot do: tools, media.
	Without []string `json:"without"`
	// Context is how many tokens it takes; 0: any number.
	Context int `json:"context"`
	// Group tells neighbours with weights apart that are not to be mixed.
	Group int `json:"group"`
}

// SetDefaults names Envoy's route for requests that are to be translated.
func (r *Route) SetDefaults() { r.Through = "~" }

// Validate refuses a route that could never be taken.
func (r *Route) Validate() error {
	switch {
	case r.Model == "":
		return errors.New("model: is empty")
	case len(r.Targets) == 0 && r.Name == "":
		return errors.New("name: is empty")
	case len(r.Targets) > maxTargets:
		return printf.Errorf("targets: are more than %d", maxTargets)
	case r.Attempts < 0:
		return errors.New("attempts: is negative")
	case r.Budget.Percent < 0 || r.Budget.Least < 0:
		return errors.New("budget: holds a negative number")
	}
	return nil
}

// Validate refuses what no model is without.
func (t *Target) Validate() error {
	for _, what := range t.Without {
		if what != "tools" && what != "media" {
			return printf.Errorf("without: %q is not tools or media", what)
		}
	}
	if t.Weight < 0 || t.Context < 0 {
		return errors.New("weight: or context is negative")
	}
	return nil
}

// Router picks routes.
type Router struct {
	routes  []Route
	formats map[string][]llm.Format
	several bool                      // some route has several targets
	random  func(below uint64) uint64 // a number from 0 on
}

// HoldsHeaders says that Envoy's route table reads what the module sets (module.HeaderHolder).
func (*Router) HoldsHeaders() {}

// New builds the module.
func New(c Config) (*Router, error) {
	r := &Router{routes: c.Routes, formats: map[string][]llm.Format{}, random: rand.Uint64N}
	for i, p := range c.Providers {
		r.formats[p.Name] = nil // known, also where it has none
		for j, name := range p.Formats {
			f := llm.FormatNamed(name)
			if f == llm.None {
				return nil, printf.Errorf("providers[%d].formats[%d]: there is no format %q", i, j, name)
			}
			r.formats[p.Name] = append(r.formats[p.Name], f)
		}
	}
	for i := range r.routes {
		if route := &r.routes[i]; len(route.Targets) == 0 {
			route.Targets = []Target{{Provider: route.Provider, Model: route.UpstreamModel}}
		}
		r.several = r.several || len(r.routes[i].Targets) > 1
	}
	return r, nil
}

// Needs leaves answers out where they tell nothing: which of several providers has given them.
func (r *Router) Needs() module.Phase {
	needs := module.PhaseRequestHeader | module.PhaseRequest
	if r.several {
		needs |= module.PhaseResponseHeader
	}
	return needs
}

// RequestHeader forgets what the client says about routes, also where the Envoy around it lets such headers in.
func (r *Router) RequestHeader(x *module.Exchange) error {
	for _, header := range x.RequestHeaders() {
		if strings.HasPrefix(header[0], "x-leash-") {
			x.RemoveRequestHeader(header[0])
		}
	}
	return nil
}

// Request picks the route of a request's model, and answers the list of models.
func (r *Router) Request(x *module.Exchange) error {
	if x.Format.ListsModels() {
		return r.list(x)
	}
	for i := range r.routes {
		route := &r.routes[i]
		if !matches(route.Model, x.Request.Model) || !route.isFor(x) {
			continue
		}
		targets := able(route.Targets, x.Request)
		if len(targets) == 0 {
			return module.Refuse(400, "unsupported_request", "no provider of this model can do what the request asks for: it has tools, images or files that they do not take, or is too long for them")
		}
		x.SetFact(module.FactRoute, route.Model)
		r.send(x, route, targets)
		return nil
	}
	return errNotFound()
}

func errNotFound() error {
	return module.Refuse(404, "model_not_found", "no route of this gateway serves the model that was asked for: GET /v1/models lists what it serves")
}

// list answers with the models that the caller may use, or with the one that was asked for.
func (r *Router) list(x *module.Exchange) error {
	model := llm.ModelAt(x.Path)
	if model == "" {
		return &module.Answer{Body: llm.ModelList(x.Format, r.models(x), "leash")}
	}
	for i := range r.routes {
		if route := &r.routes[i]; matches(route.Model, model) && route.isFor(x) {
			return &module.Answer{Body: llm.ModelEntry(x.Format, model, "leash")}
		}
	}
	return errNotFound()
}

// isFor says that the route is for the exchange's caller, and for such requests.
func (r *Route) isFor(x *module.Exchange) bool {
	if len(r.Tenants) > 0 && !slices.Contains(r.Tenants, x.Caller().Tenant) {
		return false
	}
	for name, value := range r.Headers {
		if got := x.RequestHeader(name); got == "" || !matches(value, got) {
			return false
		}
	}
	return true
}

// models lists what the caller may use, each name once, without patterns.
func (r *Router) models(x *module.Exchange) []string {
	var models []string
	for i := range r.routes {
		route := &r.routes[i]
		if !strings.Contains(route.Model, "*") && !slices.Contains(models, route.Model) && route.isFor(x) {
			models = append(models, route.Model)
		}
	}
	return models
}

// able are the targets that can do what a request asks for: all of them in the very slice, as most routes have it.
func able(targets []Target, request *llm.Request) []Target {
	unable := func(t Target) bool {
		for _, what := range t.Without {
			if what == "tools" && request.Tools > 0 || what == "media" && request.Media > 0 {
				return true
			}
		}
		return t.Context > 0 && request.EstimateTokens()+request.MaxTokens > int64(t.Context)
	}
	if !slices.ContainsFunc(targets, unable) {
		return targets
	}
	return slices.DeleteFunc(slices.Clone(targets), unable)
}

// send tells Envoy where the request goes.
func (r *Router) send(x *module.Exchange, route *Route, targets []Target) {
	first := targets[0]
	if len(route.Targets) == 1 && route.Name != "" && r.speaks(first.Provider, x.Format) {
		if setFacts(x, first); first.Model != "" {
			x.Request.SetModel(first.Model)
		}
		x.SetRequestHeader(Header, route.Name)
		return
	}
	if len(targets) > 1 {
		further := r.further(x, route)
		targets = r.order(x, route, targets, further)
		if !further {
			targets = targets[:1]
		}
		if route.Attempts > 0 {
			targets = targets[:min(route.Attempts, len(targets))]
		}
		*module.Local[attempts](x) = targets
	}
	setFacts(x, targets[0])
	x.SetFact(module.FactCarried, "1")
	x.SetRequestHeader(Header, route.Through)
	x.SetRequestHeader(RetriesHeader, strconv.Itoa(len(targets)-1))
	for i, t := range targets {
		x.SetRequestHeader(TargetHeader+strconv.Itoa(i+1), t.Provider)
		if t.Model != "" {
			x.SetRequestHeader(ModelHeader+strconv.Itoa(i+1), t.Model)
		} else {
			x.SetRequestHeader(LabelHeader, route.Model)
		}
	}
	if route.Hedged && len(targets) > 1 {
		x.SetRequestHeader(HedgeHeader, "1")
	}
	if route.Budget.Percent > 0 && len(targets) > 1 {
		x.SetRequestHeader(BudgetHeader, route.Model)
	}
	if route.MidStream && len(targets) > 1 {
		x.SetRequestHeader(MidStreamHeader, "1")
	}
	if route.FirstByte > 0 {
		x.SetRequestHeader(PatienceHeader, strconv.FormatInt(route.FirstByte.Milliseconds(), 10))
	}
}

// further tells whether there may be attempts after the first.
func (r *Router) further(x *module.Exchange, route *Route) bool {
	if route.Budget.Percent == 0 || budget.Request(x.Shared(), route.Model, budget.Settings(route.Budget), x.Now()) {
		return true
	}
	x.Count(withheld, 1, route.Model)
	return false
}

// attempts are the targets that an exchange is sent to, one after the other.
type attempts []Target

func setFacts(x *module.Exchange, t Target) {
	name, _, _ := strings.Cut(t.Provider, "#") // behind which the number of one of its keys stands
	x.SetFact(module.FactProvider, name)
	if t.Model != "" || x.Fact(module.FactUpstreamModel) != "" {
		x.SetFact(module.FactUpstreamModel, t.Model)
	}
}

// speaks says that a provider takes a request as the client sends it.
func (r *Router) speaks(provider string, f llm.Format) bool {
	formats, known := r.formats[provider]
	return !known || slices.Contains(formats, f)
}

// ResponseHeader finds out who has answered.
func (r *Router) ResponseHeader(x *module.Exchange) error {
	targets, n := *module.Local[attempts](x), answered(x)
	if n < 2 || n > uint64(len(targets)) {
		return nil
	}
	first := x.Fact(module.FactProvider)
	setFacts(x, targets[n-1])
	if by := x.Fact(module.FactProvider); by != first && isAnswer(x.Status) {
		x.Count(failovers, 1, by, targets[n-1].Model)
	}
	return nil
}

// isAnswer tells an answer, if only that the request is wrong, from what another provider might have served.
func isAnswer(status int) bool {
	class := llm.ErrorClass(status)
	return class == "" || class == "invalid_request"
}

// answered is the number of the attempt that an answer is of: the last one, unless several were under way. 0 where nobody knows.
func answered(x *module.Exchange) uint64 {
	if number := x.ResponseHeader(AnsweredHeader); number != "" {
		x.RemoveResponseHeader(AnsweredHeader)
		n, _ := strconv.ParseUint(number, 10, 8) // Envoy's
		return n
	}
	count, ok := x.Property("upstream", "request_attempt_count")
	if !ok || len(count) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(count)
}

// matches compares a name with a pattern in which * stands for any characters. Each piece between two stars is taken
// where it first occurs, which is always right and needs no going back.
func matches(pattern, name string) bool {
	pieces := strings.Split(pattern, "*")
	if len(pieces) == 1 {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, pieces[0])
	if !ok {
		return false
	}
	last := len(pieces) - 1
	for _, piece := range pieces[1:last] {
		_, rest, found := strings.Cut(name, piece)
		if !found {
			return false
		}
		name = rest
	}
	return strings.HasSuffix(name, pieces[last])
}
