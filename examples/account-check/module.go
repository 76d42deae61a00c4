// Command account-check is a module of Leash: it asks an HTTP service whether a tenant may go on, and remembers the answer
// for a while. It was made from the template callout.
package main

import (
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/leash-gateway/leash/module"
	_ "github.com/leash-gateway/leash/module/proxywasm"
)

// Config is the module's configuration in leash.yaml.
type Config struct {
	// Upstream is whom to ask: provider.NAME is a provider of leash.yaml. The manifest lists it too.
	Upstream string `json:"upstream"`
	// Path is what to ask for; the tenant is appended.
	Path string `json:"path"`
	// Timeout is how long to wait for the answer, Remember how long a good one is good for; workers share it.
	Timeout  time.Duration `json:"timeout"`
	Remember time.Duration `json:"remember"`
}

// SetDefaults is called before the configuration is read.
func (c *Config) SetDefaults() {
	c.Upstream, c.Path, c.Timeout, c.Remember = "provider.accounts", "/v1/tenants/", 500*time.Millisecond, time.Minute
}

// Validate is called after it was read.
func (c *Config) Validate() error {
	if c.Timeout < time.Millisecond {
		return errors.New("timeout: must be at least 1ms")
	}
	return nil
}

type asker struct{ Config }

// RequestHeader is called before the body has arrived. The request waits until the answer is there.
func (a asker) RequestHeader(x *module.Exchange) error {
	key := "account-check:" + x.Caller().Tenant
	value, version := x.Shared().Get(key)
	if until, err := strconv.ParseInt(string(value), 10, 64); err == nil && x.Now().Unix() < until {
		return nil
	}
	call := module.Call{
		Upstream: a.Upstream, Method: "GET", Path: a.Path + url.PathEscape(x.Caller().Tenant), Authority: "accounts", Timeout: a.Timeout,
	}
	return x.Call(call, func(answer module.CallResult) error {
		switch answer.Status {
		case 200:
			until := strconv.FormatInt(x.Now().Add(a.Remember).Unix(), 10)
			x.Shared().Set(key, []byte(until), version) // another worker may have been faster: its answer is as good
			return nil
		case 403, 404:
			return module.Refuse(403, "tenant_closed", "this account is closed")
		default: // no answer in time, or one that makes no sense: a policy refuses what it cannot decide
			return module.Refuse(503, "accounts_unavailable", "the account could not be checked, try again")
		}
	})
}

func init() {
	module.Register("account-check", module.Policy, func(c Config) (asker, error) { return asker{c}, nil })
}

func main() {}
