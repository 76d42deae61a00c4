package cli

import (
	"sync"
	"sync/atomic"

	"github.com/leash-gateway/leash/config"
)

// statNames are what providers are called, by their names in Envoy's statistics. Those that are gone are among them: Envoy counts what is under way.
type statNames struct {
	names sync.Map
	now   atomic.Pointer[config.Config]
}

func (s *statNames) learn(c *config.Config) {
	s.now.Store(c)
	for name := range c.Providers {
		s.names.Store(config.StatName(name), name)
	}
}

func (s *statNames) of(statName string) string {
	if name, known := s.names.Load(statName); known {
		return name.(string) //nolint:forcetypeassert // nothing else is stored
	}
	return statName
}

// isGone tells whether a provider has been taken out of leash.yaml.
func (s *statNames) isGone(provider string) bool {
	c := s.now.Load()
	return c != nil && c.Providers[provider] == nil
}
