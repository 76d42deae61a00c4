// Package route is the module at the end of every pipeline: it picks the route by the model that is asked for, renames
// the model where the route says so, and answers the list of models.
//
// Envoy's own routes match on the header x-leash-route, which this module sets and which no client's value survives.
package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
)

func init() { module.Register("route", module.Policy, New) }

// What Envoy, or whoever else carries the exchange, is told.
const (
	// Header says which route of Envoy's is to be taken: that of the provider, to which the request goes as it is, or
	// Through.
	Header = "x-leash-route"
	// Through is the value of Header for a request that goes by the module provider, which finds out from the following
	// headers what it is to do.
	Through = "~"
	// TargetHeader and the number of an attempt, from 1 on, is the header with the provider that the attempt goes to.
	TargetHeader = "x-leash-target-"
	// ModelHeader and the number of an attempt is the header with the model that the provider is asked for.
	ModelHeader = "x-leash-model-"
)

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

// Route sends a model, or a pattern of models, to a provider.
type Route struct {
	// Name is the value of the header for Envoy.
	Name string `json:"name"`
	// Model is what the client asks for: a name, or a pattern in which * stands for any characters.
	Model string `json:"model"`
	// Provider names the provider in logs, prices and metrics.
	Provider string `json:"provider"`
	// UpstreamModel, where it is set, is the name that the provider reads instead of the client's.
	UpstreamModel string `json:"upstream_model"`
}

// Validate refuses a route that could never be taken.
func (r *Route) Validate() error {
	switch {
	case r.Name == "":
		return errors.New("name: is empty")
	case r.Model == "":
		return errors.New("model: is empty")
	}
	return nil
}

// Router picks routes.
type Router struct {
	routes  []Route
	models  []string // those without a pattern, each once, to be listed
	formats map[string][]llm.Format
}

// New builds the module.
func New(c Config) (*Router, error) {
	r := &Router{routes: c.Routes, formats: map[string][]llm.Format{}}
	for i, p := range c.Providers {
		for j, name := range p.Formats {
			f := llm.FormatNamed(name)
			if f == llm.None {
				return nil, fmt.Errorf("providers[%d].formats[%d]: there is no format %q", i, j, name)
			}
			r.formats[p.Name] = append(r.formats[p.Name], f)
		}
	}
	for _, route := range c.Routes {
		if !strings.Contains(route.Model, "*") && !slices.Contains(r.models, route.Model) {
			r.models = append(r.models, route.Model)
		}
	}
	return r, nil
}

// RequestHeader forgets what the client says about routes.
func (r *Router) RequestHeader(x *module.Exchange) error {
	x.RemoveRequestHeader(Header)
	return nil
}

// Request picks the route of a request's model, and answers the list of models.
func (r *Router) Request(x *module.Exchange) error {
	if x.Format.ListsModels() {
		return &module.Answer{Status: 200, ContentType: "application/json", Body: llm.ModelList(x.Format, r.models, "leash")}
	}
	for i := range r.routes {
		route := &r.routes[i]
		if !matches(route.Model, x.Request.Model) {
			continue
		}
		x.SetFact(module.FactRoute, route.Model)
		x.SetFact(module.FactProvider, route.Provider)
		if route.UpstreamModel != "" {
			x.SetFact(module.FactUpstreamModel, route.UpstreamModel)
		}
		if !r.speaks(route.Provider, x.Format) {
			x.SetRequestHeader(Header, Through)
			x.SetRequestHeader(TargetHeader+"1", route.Provider)
			if route.UpstreamModel != "" {
				x.SetRequestHeader(ModelHeader+"1", route.UpstreamModel)
			}
			return nil
		}
		if route.UpstreamModel != "" {
			x.Request.SetModel(route.UpstreamModel)
		}
		x.SetRequestHeader(Header, route.Name)
		return nil
	}
	return module.Refuse(404, "model_not_found", "no route of this gateway serves the model that was asked for: GET /v1/models lists what it serves")
}

// speaks says that a provider takes a request as the client sends it.
func (r *Router) speaks(provider string, f llm.Format) bool {
	formats, known := r.formats[provider]
	return !known || slices.Contains(formats, f)
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
