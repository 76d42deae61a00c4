package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/control"
	"github.com/leash-gateway/leash/control/credential"
	"github.com/leash-gateway/leash/control/tracing"
	"github.com/leash-gateway/leash/mock"
)

func upCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "up",
		Usage: "run the gateway: Envoy, or the embedded one, with the modules of a leash.yaml",
		Description: "Prints one JSON line an exchange to standard output, its own log to standard error.\n" +
			"A changed leash.yaml (or SIGHUP) is applied while it runs; one that is wrong is refused and the old one goes on.\n" +
			"The engine that carries the traffic is envoy, embedded (in this process, without Envoy), or auto: Envoy if one is\n" +
			"found, else embedded.\n" +
			"Modules of one's own, in files or registries, are held against their manifests and against modules.trust; what was\n" +
			"looked at is kept in LEASH_BLOBS (leash/blobs in the user's folder for caches) and loaded from there. A file that is\n" +
			"built anew is loaded anew; secrets, certificates (ca_file) and the trust policy are read again when their files change.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringFlag{
				Name: "engine", Value: engineAuto, EnvVars: []string{"LEASH_ENGINE"},
				Usage: "carry the traffic with `NAME`: envoy, embedded, auto",
			},
			cacheFlag(),
			&cli.DurationFlag{
				Name: "drain", Value: 5 * time.Second, EnvVars: []string{"LEASH_DRAIN"},
				Usage: "`TIME` that exchanges under way have to end after SIGTERM or Ctrl-C; then they are cut, at a second one at once",
			},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "log what is done"},
		},
		Action: func(c *cli.Context) error {
			if c.Duration("drain") < 0 {
				return badUsage("--drain %s: is negative", c.Duration("drain"))
			}
			level := slog.LevelInfo
			if c.Bool("verbose") {
				level = slog.LevelDebug
			}
			outliveReaders()
			log := logger(c, level)
			g := &gateway{
				log: log, stdout: &lines{w: c.App.Writer, log: log}, stderr: c.App.ErrWriter,
				path: c.String("config"), cache: c.Path("cache"), drain: c.Duration("drain"), metrics: control.NewRegistry(c.App.Version), version: c.App.Version,
			}
			g.tracer = &tracing.Tracer{Log: g.log, Count: g.metrics.Spans}
			return g.run(c.Context, c.String("engine"))
		},
	})
}

// A gateway is a running `leash up`.
type gateway struct {
	log    *slog.Logger
	stdout *lines
	stderr io.Writer
	path   string
	cache  string // of compiled modules
	drain  time.Duration

	config  *config.Config
	mock    *url.URL // set once the mock has been started
	engine  engine
	tokens  *tokens
	started atomic.Bool // the first configuration is in force
	metrics *control.Registry
	names   statNames
	tracer  *tracing.Tracer
	version string
	group   *errgroup.Group
	// done is closed when the gateway ends; what the group runs ends with it.
	done <-chan struct{}

	applying sync.Mutex // what the engine is given, one after the other
}

// startTimeout is how long an engine may take to be ready, compiling the modules included.
const startTimeout = 3 * time.Minute

func (g *gateway) run(ctx context.Context, engineName string) error {
	// Everything that is started ends with this context, and is waited for.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g.group, ctx = errgroup.WithContext(ctx)
	g.done = ctx.Done()
	// Before the file is read: follow takes what has changed since.
	changes, files := config.Watch(ctx, g.path), newNamedFiles(ctx)
	loaded, err := load(ctx, g.path, g.log, files.watch)
	if err != nil {
		return err
	}
	g.config = loaded
	if err := portsAreFree(loaded); err != nil {
		return err
	}
	if g.engine, err = g.newEngine(ctx, engineName); err != nil {
		return err
	}
	defer closeWithin(ctx, g.stdout.flush) // behind the engine, which tells of exchanges until its end, as
	defer closeWithin(ctx, g.tracer.Close)
	defer g.engine.close()
	g.tokens = &tokens{
		log: g.log, renewed: func() { g.renew(ctx) },
		start: func(k *credential.Keeper) func() {
			running, stop := context.WithCancel(ctx)
			g.group.Go(func() error {
				_ = k.Run(running) // which ends with its context only
				return nil
			})
			return stop
		},
	}
	g.group.Go(func() error { return g.serveControl(ctx, loaded) })
	g.group.Go(func() error { return g.engine.run(ctx) })
	g.group.Go(func() error {
		if err := g.start(ctx); err != nil {
			return err
		}
		return g.follow(ctx, changes, files)
	})
	err = g.group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// start gives the engine its first configuration.
func (g *gateway) start(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := g.apply(limited, g.config); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		if _, placed := errors.AsType[*config.Error](err); placed {
			return err // it begins with file and line
		}
		return fmt.Errorf("start %s: %w", g.engine, err)
	}
	g.started.Store(true)
	g.metrics.ConfigLoaded(nil)
	_, _ = fmt.Fprint(g.stderr, welcome(g.config, g.engine, g.mock))
	return nil
}

// apply puts a configuration in force.
func (g *gateway) apply(ctx context.Context, c *config.Config) error {
	g.applying.Lock()
	defer g.applying.Unlock()
	o, err := g.options(ctx, c)
	if err != nil {
		return err
	}
	accounts, err := g.accounts(c, o)
	if err != nil {
		return err
	}
	spans, err := g.spans(ctx, c, o)
	if err != nil {
		g.tokens.abandon(accounts)
		return err
	}
	tokens := g.tokens.inForce().secrets() // until the first of a new service account has come
	maps.DeleteFunc(tokens, func(provider string, _ config.SecretValue) bool { _, has := o.accounts[provider]; return !has })
	maps.Copy(tokens, accounts.secrets())
	maps.Copy(o.secrets, tokens)
	if err := g.engine.apply(ctx, c, o); err != nil {
		g.tokens.abandon(accounts)
		closeWithin(ctx, spans.Close)
		return err
	}
	before := g.tracer.Use(spans)
	g.group.Go(func() error { // which a collector that does not answer lets take its time
		closeWithin(ctx, before.Close)
		return nil
	})
	g.config = c
	g.names.learn(c)
	g.tokens.commit(accounts)
	g.tokens.gave(tokens)
	return nil
}

// accounts begins to get tokens for the providers that have service accounts.
func (g *gateway) accounts(c *config.Config, o options) (accounts, error) {
	opened, err := g.tokens.open(o.accounts)
	if refused, ok := errors.AsType[*accountError](err); ok {
		return nil, c.Errorf("providers."+refused.provider+".service_account", "%v", refused.err)
	}
	return opened, err
}

// spans prepares what sends spans under a configuration.
func (g *gateway) spans(ctx context.Context, c *config.Config, o options) (*tracing.Sender, error) {
	headers, err := tracing.Resolve(c, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	s, err := g.tracer.Prepare(context.WithoutCancel(ctx), c, tracing.Options{Headers: headers, CAFile: o.caFile, Mock: o.mock, Version: g.version})
	if err != nil {
		return nil, c.Errorf("tracing", "%v", err)
	}
	return s, nil
}

// closeWithin gives what closes a few seconds to send what waits.
func closeWithin(ctx context.Context, closes func(context.Context)) {
	const patience = 3 * time.Second
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	closes(limited)
}

// options reads what providers' requests are proved with, and starts the mock for those that have nothing and want it.
func (g *gateway) options(ctx context.Context, c *config.Config) (options, error) {
	dir, err := modulesDir(c)
	if err != nil {
		return options{}, err
	}
	ca, err := systemCertificates()
	if err != nil {
		return options{}, err
	}
	found, err := c.Credentials(os.LookupEnv)
	if err := config.Join(c.CheckCertificates(), err); err != nil {
		return options{}, err
	}
	c.TellExpiredCertificates(g.log, time.Now())
	o := options{modulesDir: dir, caFile: ca, mock: map[string]*url.URL{}, secrets: found.Keys, aws: found.AWS, accounts: found.Accounts}
	for _, name := range slices.Sorted(maps.Keys(found.Missing)) {
		g.log.Info("the provider has no key: the built-in mock answers in its place", "provider", name, "missing", found.Missing[name])
		mock, err := g.startMock(ctx)
		if err != nil {
			return o, err
		}
		o.mock[name] = c.Providers[name].Description().At(mock)
	}
	return o, nil
}

// startMock starts the built-in provider once.
func (g *gateway) startMock(ctx context.Context) (*url.URL, error) {
	if g.mock != nil {
		return g.mock, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start mock: %w", err)
	}
	g.mock = &url.URL{Scheme: "http", Host: listener.Addr().String()}
	g.group.Go(func() error {
		return serve(context.WithoutCancel(ctx), g.done, listener, mock.New(mock.Options{Open: true}))
	})
	return g.mock, nil
}

// follow applies the file again whenever it or one that it names changes, or SIGHUP comes.
func (g *gateway) follow(ctx context.Context, changes <-chan struct{}, files *namedFiles) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
		case <-files.changed:
		case <-hangups:
		}
		if ctx.Err() != nil {
			return nil // with which changes is closed
		}
		err := g.reload(ctx, files)
		if ctx.Err() != nil {
			return nil
		}
		if g.metrics.ConfigLoaded(err); err != nil {
			g.log.Error("the changed configuration is refused, the old one goes on")
			_, _ = fmt.Fprintln(g.stderr, err)
		}
	}
}

func (g *gateway) reload(ctx context.Context, files *namedFiles) error {
	began := time.Now()
	changed, err := load(ctx, g.path, g.log, files.watch)
	if err != nil {
		return err
	}
	if err := onlyReloadable(g.config, changed); err != nil {
		return err
	}
	before := g.config.Listen
	limited, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := g.apply(limited, changed); err != nil {
		return err
	}
	g.log.Info("the changed configuration is in force", "file", g.path, "after", time.Since(began).Round(time.Millisecond))
	if changed.Listen != before {
		g.log.Info("the gateway has another address", "listen", changed.Listen, "before", before)
	}
	return nil
}

// onlyReloadable refuses changes of what is fixed while the engine runs.
func onlyReloadable(old, changed *config.Config) error {
	for _, fixed := range []struct{ path, old, changed string }{
		{"control.listen", old.Control.Listen, changed.Control.Listen},
		{"envoy.admin", old.Envoy.Admin, changed.Envoy.Admin},
		{"envoy.concurrency", fmt.Sprint(old.Envoy.Concurrency), fmt.Sprint(changed.Envoy.Concurrency)},
	} {
		if fixed.old != fixed.changed {
			return changed.Errorf(fixed.path, "cannot change while leash runs (it is %s): start it again", fixed.old)
		}
	}
	return nil
}

// serveControl serves readiness and metrics at the address that leash has started with.
func (g *gateway) serveControl(ctx context.Context, c *config.Config) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Control.Listen)
	if err != nil {
		return fmt.Errorf("start the control service: %w", err)
	}
	handler := control.NewHandler(control.Options{Ready: g.isReady, EnvoyAdmin: c.Envoy.Admin, Provider: g.names.of, IsGone: g.names.isGone, Metrics: g.metrics, Log: g.log})
	return serve(context.WithoutCancel(ctx), ctx.Done(), listener, handler)
}

// isReady says why no requests are taken; nil where they are.
func (g *gateway) isReady() error {
	if !g.started.Load() {
		return errors.New("the first configuration has not been taken yet")
	}
	return errors.Join(g.engine.ready(), g.tokens.ready())
}

// serve serves until done is closed.
func serve(ctx context.Context, done <-chan struct{}, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-done:
	}
	limited, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if server.Shutdown(limited) != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
