package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/leash-gateway/leash/host/tryout"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/server"
	"github.com/leash-gateway/leash/registry/setup"
)

func registryCommand() *cli.Command {
	return group(&cli.Command{
		Name:        "registry",
		Usage:       "the registry: modules, their versions and channels, and who may do what",
		Subcommands: []*cli.Command{registryServeCommand(), registryStatusCommand(), registryTokenCommand(), registryTryCommand()},
	})
}

func registryServeCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "serve",
		Usage: "serve modules to OCI's clients, and their catalogue",
		Description: "Without a configuration it is for everybody on this machine, and takes modules that nobody has signed. docs/guides/registry.md\n" +
			"has registry.yaml: who may do what, whose signatures are wanted, TLS, another registry as its store. SIGTERM lets requests\n" +
			"under way end; SIGHUP reads again who may do what and the trust policy, as a change of their files does.",
		Flags: []cli.Flag{
			&cli.PathFlag{Name: "config", Aliases: []string{"c"}, Usage: "the `FILE` registry.yaml", EnvVars: []string{"LEASH_REGISTRY_CONFIG"}},
			&cli.PathFlag{Name: "data", Usage: "the `FOLDER` where everything is kept", Value: "leash-registry", EnvVars: []string{"LEASH_REGISTRY_DATA"}},
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` to serve on, in place of registry.yaml's", DefaultText: setup.DefaultListen, EnvVars: []string{"LEASH_REGISTRY_LISTEN"}},
			&cli.StringFlag{Name: "envoys", Usage: "`ADDRESS` to serve Envoys on that have slots for modules, in place of registry.yaml's", DefaultText: setup.DefaultEnvoys + " if it listens on its own default", EnvVars: []string{"LEASH_REGISTRY_ENVOYS"}},
			&cli.IntFlag{Name: "workers", Usage: "how many modules may be tried at the same time (`N`), each in a process of its own", Value: 1},
			&cli.DurationFlag{Name: "try-timeout", Usage: "`TIME` that trying a module may take", Value: time.Minute},
			&cli.BoolFlag{Name: "no-scenarios", Usage: "do not run the scenarios that modules bring with them"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "log every request"},
		},
		Action: func(c *cli.Context) error {
			level := slog.LevelInfo
			if c.Bool("verbose") {
				level = slog.LevelDebug
			}
			outliveReaders()
			return serveRegistry(c, logger(c, level))
		},
	})
}

// serveRegistry serves until the command is told to end.
func serveRegistry(c *cli.Context, log *slog.Logger) error {
	configuration := &setup.Config{}
	if file := c.Path("config"); file != "" {
		var err error
		if configuration, err = setup.Load(file); err != nil {
			return usageError{err}
		}
	}
	if listen := c.String("listen"); listen != "" {
		configuration.Listen = listen
	}
	if listen := c.String("envoys"); listen != "" {
		configuration.Envoys.Listen = listen
	}
	if err := configuration.CheckAddress(); err != nil {
		return usageError{err}
	}
	secured, err := configuration.ServerTLS(log)
	if err != nil {
		return usageError{err}
	}
	if err := os.MkdirAll(c.Path("data"), 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	// Who else wants the address is told before anything is opened.
	l, err := (&net.ListenConfig{}).Listen(c.Context, "tcp", configuration.Address())
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer l.Close() //nolint:errcheck // closed already, if it was served
	envoys, err := listenForEnvoys(c.Context, configuration)
	if err != nil {
		return err
	}
	if envoys != nil {
		defer envoys.Close() //nolint:errcheck // as above
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	o := setup.Options{Data: c.Path("data"), Env: os.LookupEnv, Log: log, Version: c.App.Version, Again: hangups}
	if !c.Bool("no-scenarios") {
		pool, err := newTryouts(c)
		if err != nil {
			return err
		}
		defer pool.Close()
		o.Sandbox = tryouts{pool}
	}
	s, err := configuration.Open(c.Context, o)
	if err != nil {
		return err
	}
	if configuration.Trust == "" {
		log.Warn("modules are taken that nobody has signed, as no trust policy is named (trust in registry.yaml)")
	}
	if configuration.Access == nil {
		log.Warn("everybody on this machine may push and promote, as nobody is named (access in registry.yaml)")
	}
	err = serveAll(c.Context, configuration, s, o, l, envoys, secured)
	if closed := s.Close(); err == nil {
		err = closed
	}
	return err
}

// listenForEnvoys opens their address, nil for none.
func listenForEnvoys(ctx context.Context, configuration *setup.Config) (net.Listener, error) {
	address := configuration.EnvoyAddress()
	if address == "" {
		return nil, nil //nolint:nilnil // they are not served
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for envoys: %w", err)
	}
	return l, nil
}

// serveAll serves clients and Envoys until ctx ends, or one of both cannot be served any more.
func serveAll(ctx context.Context, configuration *setup.Config, s *server.Server, o setup.Options, clients, envoys net.Listener, secured *tls.Config) error {
	all, ctx := errgroup.WithContext(ctx)
	ready := []any{"listen", clients.Addr().String(), "data", o.Data}
	if envoys != nil {
		forEnvoys, err := configuration.EnvoyTLS(o.Log)
		if err != nil {
			return usageError{err}
		}
		d := configuration.Distribution(s, o.Log)
		s.ServeEnvoys(d)
		all.Go(func() error { return d.ServeOn(ctx, envoys, forEnvoys) })
		ready = append(ready, "envoys", envoys.Addr().String())
	}
	all.Go(func() error { return s.Serve(ctx, clients, secured) })
	all.Go(func() error { return configuration.Follow(ctx, s, o) })
	o.Log.Info("the registry is ready", ready...)
	return all.Wait()
}

// newTryouts are processes of this program that try modules.
func newTryouts(c *cli.Context) (*tryout.Pool, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program that tries modules: %w", err)
	}
	scratch := filepath.Join(c.Path("data"), "tryouts")
	if err := os.RemoveAll(scratch); err != nil { // of processes that were killed
		return nil, fmt.Errorf("empty data folder: %w", err)
	}
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	return tryout.NewPool(tryout.PoolOptions{
		Command: []string{program, "registry", "try"}, Workers: c.Int("workers"), Timeout: c.Duration("try-timeout"), Dir: scratch,
	}), nil
}

// tryouts are a pool as the registry wants it.
type tryouts struct{ *tryout.Pool }

var _ server.Sandbox = tryouts{}

// Try implements server.Sandbox.
func (t tryouts) Try(ctx context.Context, file string, measure bool) (server.Tried, error) {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return server.Tried{}, err
	}
	r, err := t.Pool.Try(ctx, tryout.Job{File: absolute, Measure: measure})
	return server.Tried{Scenarios: r.Scenarios, Failures: r.Failures, P95: r.P95}, err
}

func registryTryCommand() *cli.Command {
	return command(&cli.Command{
		Name: "try", Usage: "try modules for a registry", Hidden: true,
		Action: func(c *cli.Context) error { return tryout.Work(c.Context, c.App.Reader, c.App.Writer) },
	})
}

func registryTokenCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "token",
		Usage:     "make a token, with which somebody logs in",
		ArgsUsage: "NAME",
		Description: "It is printed once; the file of tokens gets its hash, in the place of one of the same name, which is no longer good.\n" +
			"registry.yaml says what token:NAME may do. It is the password for leash module login, docker login and the others; the\n" +
			"user name does not matter. A running registry takes it at once.",
		Flags: []cli.Flag{
			&cli.PathFlag{Name: "file", Aliases: []string{"f"}, Usage: "the `FILE` of tokens that registry.yaml names", Value: "tokens.yaml"},
			&cli.DurationFlag{Name: "expires", Usage: "it is good for this `DURATION`, such as 2160h", DefaultText: "for ever"},
		},
		Action: func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			var expires time.Time
			if d := c.Duration("expires"); d > 0 {
				expires = time.Now().Add(d).UTC().Truncate(time.Second)
			}
			secret, kept, err := access.NewToken(c.Args().First(), expires)
			if err != nil {
				return usageError{err}
			}
			if err := access.Add(c.Path("file"), kept); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.App.Writer, secret)
			return err
		},
	})
}
