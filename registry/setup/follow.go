package setup

import (
	"context"
	"path/filepath"
	"reflect"
	"sync"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/mirror"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/trust"
)

// Follow keeps a registry as its files and the registries that it mirrors are, until ctx ends: what has changed in who may do what, or in the
// trust policy, holds at once, unless it is wrong. What else has changed in registry.yaml is told: it takes a restart.
func (c *Config) Follow(ctx context.Context, s *server.Server, o Options) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	own, trusted := make(chan struct{}, 1), make(chan struct{}, 1)
	follow := func(file string, told chan struct{}) {
		if file == "" {
			return
		}
		changes := config.Watch(ctx, c.beside(file))
		wait.Go(func() {
			for range changes {
				tell(told)
			}
		})
	}
	follow(c.Trust, trusted)
	if c.file != "" {
		follow(filepath.Base(c.file), own)
	}
	if c.Access != nil {
		follow(c.Access.Tokens, own)
	}
	if len(c.Mirror) > 0 {
		m, err := c.mirrorOf(s, o)
		if err != nil {
			return err
		}
		wait.Go(func() { m.Run(ctx) })
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.Again:
			tell(own)
			tell(trusted)
		case <-own:
			c.accessAgain(s, o)
		case <-trusted:
			if c.Trust != "" {
				c.trustAgain(ctx, s, o)
			}
		}
	}
}

func tell(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is told already
	}
}

// accessAgain reads registry.yaml and the file of tokens again.
func (c *Config) accessAgain(s *server.Server, o Options) {
	next := c
	if c.file != "" {
		var err error
		if next, err = Load(c.file); err != nil {
			o.Log.Error("registry.yaml was changed and cannot be used: what it said before holds", "error", err.Error())
			return
		}
		if fields := c.read.differing(next); len(fields) > 0 {
			o.Log.Warn("registry.yaml was changed, and some of it holds only when the registry is started again", "fields", fields)
		}
	}
	if s.Access() == nil || next.Access == nil {
		return // told above
	}
	if err := s.Access().Replace(next.accessOptions()); err != nil {
		o.Log.Error("who may do what was changed and cannot be used: what was said before holds", "error", next.placeAccess(err).Error())
		return
	}
	o.Log.Info("who may do what was read again and holds", "file", c.file)
	next.tellMissing(s.Access(), o)
}

// tellMissing tells of grants to tokens that nobody can have: it may be a name that is misspelled, or a token that is still to be made.
func (c *Config) tellMissing(control *access.Control, o Options) {
	if control == nil {
		return
	}
	if missing := control.Missing(); len(missing) > 0 {
		o.Log.Warn("grants are to tokens that are not in the file of tokens, or have expired: nobody can use them", "tokens", missing, "file", c.Access.Tokens)
	}
}

// differing are the fields in which another configuration differs, but for those that hold without a restart.
func (c Config) differing(other *Config) (fields []string) {
	if (c.Access == nil) != (other.Access == nil) {
		fields = append(fields, "access")
	}
	was, is := reflect.ValueOf(c), reflect.ValueOf(*other)
	for i := range was.NumField() {
		field := was.Type().Field(i)
		if field.IsExported() && field.Name != "Access" && !reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			fields = append(fields, field.Tag.Get("yaml"))
		}
	}
	return fields
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
