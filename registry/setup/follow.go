package setup

import (
	"context"
	"sync"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/registry/mirror"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/trust"
)

// Follow keeps a registry as its files and the registries that it mirrors are, until ctx ends: a trust policy that has
// changed holds at once, unless it is wrong.
func (c *Config) Follow(ctx context.Context, s *server.Server, o Options) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	if c.Trust != "" {
		changes := config.Watch(ctx, c.beside(c.Trust))
		wait.Go(func() {
			for range changes {
				c.trustAgain(ctx, s, o)
			}
		})
	}
	if len(c.Mirror) > 0 {
		m, err := c.mirrorOf(s, o)
		if err != nil {
			return err
		}
		wait.Go(func() { m.Run(ctx) })
	}
	return nil
}

func (c *Config) trustAgain(ctx context.Context, s *server.Server, o Options) {
	p, err := trust.Load(ctx, c.beside(c.Trust), o.Env)
	if err == nil {
		err = s.SetTrust(ctx, p)
	}
	if err != nil {
		o.Log.Error("the trust policy was changed and cannot be used: the old one holds", "error", err.Error())
		return
	}
	o.Log.Info("the trust policy was changed and holds", "file", c.beside(c.Trust))
}

func (c *Config) mirrorOf(s *server.Server, o Options) (*mirror.Mirror, error) {
	known, err := remote.Docker(false)
	if err != nil {
		return nil, err
	}
	client, err := remote.New(remote.Options{Credentials: known, Local: s.Local("mirror"), UserAgent: "leash/" + o.Version})
	if err != nil {
		return nil, err
	}
	return &mirror.Mirror{Sources: c.Mirror, Client: client, Name: s.Name(), Catalog: s.Catalog(), Log: o.Log}, nil
}
