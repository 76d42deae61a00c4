package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
	embedded "github.com/leash-gateway/leash/host/gateway"
)

// An engine carries the traffic of `leash up`.
type engine interface {
	// run runs the engine until ctx ends, and then lets the exchanges end that are under way.
	run(ctx context.Context) error
	// apply puts a configuration in force. Where it is refused the error has its place in leash.yaml, and the one before goes on.
	apply(ctx context.Context, c *config.Config, o options) error
	// renew replaces the keys of providers, of those that the configuration in force has.
	renew(ctx context.Context, secrets map[string]config.SecretValue) error
	// ready says why no requests are taken though there is a configuration; nil where they are.
	ready() error
	// close frees what is left after run.
	close()
	// String names the engine.
	String() string
}

// options are what an engine needs besides the configuration.
type options struct {
	modulesDir, caFile string
	mock               map[string]*url.URL           // by provider
	secrets            map[string]config.SecretValue // by provider
	aws                map[string]config.AWSKey      // by provider
	accounts           map[string]config.SecretValue // keys of service accounts, by provider; their tokens are secrets
}

// Values of --engine.
const (
	engineAuto     = "auto"
	engineEnvoy    = "envoy"
	engineEmbedded = "embedded"
)

func (g *gateway) newEngine(ctx context.Context, name string) (engine, error) {
	if name != engineAuto && name != engineEnvoy && name != engineEmbedded {
		return nil, badUsage("--engine is %s, %s or %s, not %q", engineAuto, engineEnvoy, engineEmbedded, name)
	}
	if name == engineEmbedded {
		return g.newEmbedded(ctx)
	}
	binary, err := envoy.Find(os.LookupEnv)
	if err != nil {
		return nil, fmt.Errorf("find envoy: %w", err)
	}
	if binary == "" && name == engineAuto {
		g.log.Info("found no Envoy here: the embedded gateway carries the traffic (--engine envoy downloads Envoy)")
		return g.newEmbedded(ctx)
	}
	if binary == "" {
		g.log.Info("found no Envoy here: func-e downloads it", "version", envoy.Version)
	}
	return g.newEnvoy(ctx, binary)
}

// envoyEngine is an Envoy of our own.
type envoyEngine struct {
	log    *slog.Logger
	server *envoy.Server
	runner *envoy.Runner
	died   chan struct{} // a VM has died

	mu      sync.Mutex
	config  *config.Config // what was applied last
	options envoy.Options  // its Generation counts how often filters of inspectors were loaded anew
}

func (g *gateway) newEnvoy(ctx context.Context, binary string) (engine, error) {
	server, err := envoy.Serve(ctx, g.log)
	if err != nil {
		return nil, err
	}
	e := &envoyEngine{log: g.log, server: server, died: make(chan struct{}, 1)}
	e.runner = &envoy.Runner{
		Path: binary, Config: g.config, Server: server, Log: g.log, Records: g.stdout, Spans: g.tracer, Restarted: g.metrics.EnvoyRestarted, Crashed: e.crashed, Grace: g.drain,
	}
	return e, nil
}

func (*envoyEngine) String() string { return engineEnvoy }

func (e *envoyEngine) run(ctx context.Context) error {
	watched, stop := context.WithCancel(ctx)
	var reviving sync.WaitGroup
	reviving.Go(func() { e.revive(watched) })
	defer reviving.Wait()
	defer stop() // also where Envoy could not be run at all
	return e.runner.Run(ctx)
}

func (e *envoyEngine) ready() error {
	if e.runner.Gone() {
		return errors.New("envoy has ended, and the one in its place takes no requests yet")
	}
	return nil
}

func (e *envoyEngine) close() { _ = e.server.Close() } // a temporary folder

func (e *envoyEngine) apply(ctx context.Context, c *config.Config, o options) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := envoy.Options{ModulesDir: o.modulesDir, CAFile: o.caFile, Generation: e.options.Generation, Mock: o.mock, Secrets: o.secrets, AWS: o.aws}
	var err error
	if next.Authorities, err = authorities(c, o.caFile); err != nil {
		return err
	}
	if err := e.give(ctx, c, next); err != nil {
		return err
	}
	e.config, e.options = c, next
	return nil
}

// authorities reads who vouches for providers: caFile, where they name no ca_file.
func authorities(c *config.Config, caFile string) (map[string][]byte, error) {
	all := map[string][]byte{}
	for name, p := range c.Providers {
		file := cmp.Or(p.CAFile, caFile)
		if all[file] != nil {
			continue
		}
		var err error
		if all[file], err = os.ReadFile(file); err != nil { //nolint:gosec // the operator names the file
			return nil, c.Errorf("providers."+name+".ca_file", "read certificates: %v", err)
		}
	}
	return all, nil
}

// renew gives Envoy the configuration in force again, of which only the secrets differ.
func (e *envoyEngine) renew(ctx context.Context, secrets map[string]config.SecretValue) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.config == nil {
		return nil
	}
	next := e.options
	next.Secrets = maps.Clone(next.Secrets)
	maps.Copy(next.Secrets, secrets)
	if err := e.give(ctx, e.config, next); err != nil {
		return err
	}
	e.options = next
	return nil
}

func (e *envoyEngine) give(ctx context.Context, c *config.Config, o envoy.Options) error {
	resources, err := envoy.Translate(c, o)
	if err != nil {
		return err
	}
	err = e.server.Apply(ctx, resources)
	if refused, ok := errors.AsType[*envoy.Refused](err); ok {
		other := ""
		if refused.Type == envoy.ListenerType {
			other = "listen"
		}
		return locate(c, refused.Detail, other, refused)
	}
	return err
}

// crashed notes that a VM has died.
func (e *envoyEngine) crashed() {
	select {
	case e.died <- struct{}{}:
	default: // one that has not been looked at yet stands for this one too
	}
}

// revivePause keeps an inspector that dies at every request from being compiled without a pause.
const revivePause = time.Second

// revive loads filters of inspectors anew when a VM has died: Envoy itself does so only where a policy is in it.
func (e *envoyEngine) revive(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.died:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(revivePause):
		}
		if err := e.anew(ctx); err != nil && ctx.Err() == nil {
			e.log.Error("load the inspectors anew", "error", err)
		}
	}
}

func (e *envoyEngine) anew(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.config == nil || !slices.ContainsFunc(e.config.Filters(), func(f config.Filter) bool { return !f.Policy }) {
		return nil
	}
	e.options.Generation++
	limited, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return e.give(limited, e.config, e.options)
}

// embeddedEngine is the gateway in this process.
type embeddedEngine struct {
	handler *embedded.Gateway
	server  *embedded.Server
	admin   string // address
	drain   time.Duration
}

func (g *gateway) newEmbedded(ctx context.Context) (engine, error) {
	tellOfCache(g.log, g.cache)
	handler, err := embedded.New(ctx, embedded.Settings{
		CacheDir: g.cache, Workers: g.config.Envoy.Concurrency, Log: g.log, Records: g.stdout, Spans: g.tracer,
	})
	if err != nil {
		return nil, err
	}
	return &embeddedEngine{handler: handler, server: &embedded.Server{Handler: handler, Log: g.log}, admin: g.config.Envoy.Admin, drain: g.drain}, nil
}

func (*embeddedEngine) String() string { return engineEmbedded }

// run serves the metrics where Envoy's would be; the gateway itself is served from the first apply on.
func (e *embeddedEngine) run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", e.admin)
	if err != nil {
		return fmt.Errorf("serve the gateway's metrics: %w", err)
	}
	err = serve(context.WithoutCancel(ctx), ctx.Done(), listener, e.handler.Admin())
	e.server.Close(e.drain)
	return err
}

func (e *embeddedEngine) apply(ctx context.Context, c *config.Config, o options) error {
	listener, err := e.server.Bind(ctx, c.Listen)
	if err != nil {
		return c.Errorf("listen", "%v", err)
	}
	err = e.handler.Apply(ctx, c, embedded.Options{ModulesDir: o.modulesDir, CAFile: o.caFile, Mock: o.mock, Secrets: o.secrets, AWS: o.aws})
	if err != nil {
		if listener != nil {
			_ = listener.Close() // nobody has connected
		}
		if refused, ok := errors.AsType[*embedded.Refused](err); ok {
			return locate(c, refused.Place(), "", refused)
		}
		return err
	}
	e.server.Serve(listener, c.Listen)
	return nil
}

func (e *embeddedEngine) renew(_ context.Context, secrets map[string]config.SecretValue) error {
	for provider, secret := range secrets {
		e.handler.Renew(provider, secret)
	}
	return nil
}

func (*embeddedEngine) ready() error { return nil } // it is there as long as this process is

func (e *embeddedEngine) close() {
	e.server.Close(0)
	_ = e.handler.Close(context.Background()) // frees memory; the process ends
}
