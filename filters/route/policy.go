// Package route is the module at the end of every pipeline: it picks the route by the model that is asked for, renames
// the model where the route says so, and answers the list of models.
//
// Envoy's own routes match on the header x-leash-route, which this module sets and which no client's value survives.
package route

import (
	"errors"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/llm"
	"github.com/leash-gateway/leash/module"
)

func init() { module.Register("route", module.Policy, New) }

// Header tells Envoy's route table which route was picked.
const Header = "x-leash-route"

// Config lists the routes; the first that matches is taken.
type Config struct {
	Routes []Route `json:"routes"`
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
	routes []Route
	models []string // those without a pattern, each once, to be listed
}

// New builds the module.
func New(c Config) (*Router, error) {
	r := &Router{routes: c.Routes}
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
			x.Request.SetModel(route.UpstreamModel)
		}
		x.SetRequestHeader(Header, route.Name)
		return nil
	}
	return module.Refuse(404, "model_not_found", "no route of this gateway serves the model that was asked for: GET /v1/models lists what it serves")
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
