// Package contentfilter is the module that blocks, redacts or flags keywords and patterns in what the user and the
// model wrote (not in the JSON around it), in requests, answers and streams. In a stream no piece of a match leaves
// before it is certain that it is none.
package contentfilter

import (
	"errors"

	"github.com/leash-gateway/leash/module"
)

func init() { module.Register("contentfilter", module.Policy, New) }

var matches = module.Counter("leash_content_matches_total", "rule", "action", "tenant")

// Config lists the rules. Where several that block or redact find something at the same place, the match that begins
// first decides, of these the longest, and of equal ones the rule that stands first. Rules that flag see everything: what
// they find hides nothing from the others.
type Config struct {
	Rules []Rule `json:"rules"`
	// MaxHoldBytes bounds how much text of a stream is held back while it may still become a match. Text that could
	// be a match and is longer is treated as one.
	MaxHoldBytes int `json:"max_hold_bytes"`
}

// SetDefaults sets the bound of held text.
func (c *Config) SetDefaults() { c.MaxHoldBytes = 1024 }

// Filter applies the rules.
type Filter struct {
	request, response direction
	maxHold           int
}

// New builds the module.
func New(c Config) (*Filter, error) {
	f := &Filter{maxHold: c.MaxHoldBytes}
	if c.MaxHoldBytes < 1 {
		return nil, errors.New("max_hold_bytes: must be positive")
	}
	for i := range c.Rules {
		if r := &c.Rules[i]; r.Replacement == "" {
			r.Replacement = "[" + r.Name + "]"
		}
	}
	var err error
	if f.request, err = compile(c.Rules, "response"); err != nil {
		return nil, err
	}
	f.response, err = compile(c.Rules, "request")
	return f, err
}

// Needs leaves out the direction that no rule looks at.
func (f *Filter) Needs() (needs module.Phase) {
	if !f.request.empty() {
		needs |= module.PhaseRequest
	}
	if !f.response.empty() {
		needs |= module.PhaseResponse | module.PhaseEvent
	}
	return needs
}

// Request looks through the texts of a request.
func (f *Filter) Request(x *module.Exchange) error {
	if x.Request == nil {
		return nil
	}
	if err := f.request.look(x, x.Request.Texts, x.Request.SetText); err != nil {
		return err
	}
	others, err := x.Request.Others()
	if err != nil {
		return module.Refuse(400, "invalid_request", "the request cannot be read: %s", err.Error())
	}
	return f.request.look(x, others, x.Request.SetOther)
}

// Response looks through the texts of an answer.
func (f *Filter) Response(x *module.Exchange) error {
	return f.response.look(x, x.Response.Texts, x.Response.SetText)
}
