// Command office-hours is a module of Leash: it lets expensive models be used in certain hours only. It was made from the
// template policy.
package main

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/leash-gateway/leash/module"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

// Config is the module's configuration in leash.yaml.
type Config struct {
	// Models are those that the hours are for.
	Models []string `json:"models"`
	// From and To are the hours of the day, UTC, between which they may be used.
	From int `json:"from"`
	To   int `json:"to"`
}

// SetDefaults is called before the configuration is read.
func (c *Config) SetDefaults() { c.From, c.To = 8, 18 }

// Validate is called after it was read.
func (c *Config) Validate() error {
	if c.From < 0 || c.To > 24 || c.From >= c.To {
		return errors.New("from: must be an hour before to, both 0 to 24")
	}
	return nil
}

type policy struct{ Config }

// Request is called with the parsed request.
func (p policy) Request(x *module.Exchange) error {
	if x.Request == nil {
		return nil // the client lists the models
	}
	if !slices.Contains(p.Models, x.Request.Model) {
		return nil
	}
	now := x.Now().UTC()
	if hour := now.Hour(); hour >= p.From && hour < p.To {
		return nil
	}
	opens := time.Date(now.Year(), now.Month(), now.Day(), p.From, 0, 0, 0, time.UTC)
	if !now.Before(opens) {
		opens = opens.Add(24 * time.Hour)
	}
	r := module.Refuse(403, "outside_office_hours", "the model %s may be used from %s:00 to %s:00 UTC", x.Request.Model, strconv.Itoa(p.From), strconv.Itoa(p.To))
	r.RetryAfter = opens.Sub(now)
	return r
}

func init() {
	module.Register("office-hours", module.Policy, func(c Config) (policy, error) { return policy{c}, nil })
}

func main() {}
