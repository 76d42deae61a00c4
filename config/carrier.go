package config

import "encoding/json"

// carrierModule is the module that takes exchanges to a provider.
const carrierModule = "provider"

// Carrier is the filter that takes exchanges to a provider, once for each attempt, and translates where the client has
// another API. In one file with the other modules it shares their VM, and always what workers share: what it finds out about the provider the
// module route wants to know. base is the path of the base URL; wire says that it is to send requests as bytes.
func (c *Config) Carrier(provider, base string, wire bool) Filter {
	kind := c.Providers[provider].Description()
	f := Filter{
		Name: "leash." + carrierModule + "." + provider, VM: "leash.route", File: carrierModule + ".wasm", Policy: true, Kit: true,
		Allow: c.admitted[carrierModule].Allow, Modules: []string{"providers." + provider},
	}
	if c.Modules.Layout != Files {
		c.share(&f)
	}
	p := c.Providers[provider]
	own, _ := json.Marshal(struct {
		Name     string            `json:"name"`
		API      string            `json:"api"`
		Formats  []string          `json:"formats"`
		BasePath string            `json:"base_path,omitempty"`
		Paths    map[string]string `json:"paths,omitempty"`
		Streams  map[string]string `json:"streams,omitempty"`
		Quirks   []string          `json:"quirks,omitempty"`
		Breaker  breaker           `json:"breaker"`
		Trace    bool              `json:"trace,omitempty"`
	}{provider, kind.API, kind.Formats, base, p.expandedAll(kind.Paths), p.expandedAll(kind.Streams), kind.Quirks, breakerOf(p), c.Tracing.On()}) // strings and numbers only
	f.Config, _ = json.Marshal(plugin{
		Modules:         []step{{Name: carrierModule, Config: own}},
		MaxRequestBytes: int64(c.Limits.RequestBytes) + carrierSlack, MaxResponseBytes: int64(c.Limits.ResponseBytes), Wire: wire,
	})
	return f
}

// breaker is a provider's, as the module takes it.
type breaker struct {
	Consecutive int      `json:"consecutive"`
	Percent     int      `json:"percent"`
	Volume      int      `json:"volume"`
	Window      Duration `json:"window"`
	Open        Duration `json:"open"`
	MaxOpen     Duration `json:"max_open"`
}

func breakerOf(p *Provider) breaker { return breaker(p.Breaker) }

// carrierSlack is what a request may have grown by in the modules, in bytes.
const carrierSlack = 1 << 20
