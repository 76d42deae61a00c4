package config

import (
	"maps"
	"slices"
)

// ConnectBounds are the times within which routes connect to a provider, but for the provider's own; sorted.
func (c *Config) ConnectBounds(provider string) []Duration {
	bounds := map[Duration]bool{}
	for i := range c.Routes {
		r := &c.Routes[i]
		for _, t := range r.AllTargets() {
			if bound := c.ConnectBound(t.Provider, r.Timeouts); t.Provider == provider && bound > 0 {
				bounds[bound] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(bounds))
}

// ConnectBound is the time within which a route connects to a provider; 0 where that is the provider's own.
func (c *Config) ConnectBound(provider string, r RouteTimeouts) Duration {
	if r.Connect == c.Providers[provider].Timeouts.Connect {
		return 0
	}
	return r.Connect
}
