package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/extproc"
)

// defaultHostAddress is where a module host and the Envoys of the same machine meet.
const defaultHostAddress = "unix:/tmp/leash-host.sock"

func hostCommand() *cli.Command {
	return &cli.Command{
		Name:            "host",
		Usage:           "the Module Host: the modules for Envoys that do not load Wasm",
		HideHelpCommand: true,
		OnUsageError:    onUsageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return badUsage("unknown command %q: leash host --help lists what there is", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
		Subcommands: []*cli.Command{hostServeCommand()},
	}
}

func hostServeCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "serve",
		Usage: "run the modules of a leash.yaml for Envoys, as their external processor (ext_proc)",
		Description: "leash render --target ext_proc prints what those Envoys need. One JSON line an exchange goes to standard output, the\n" +
			"host's own log to standard error. A changed leash.yaml is applied to new exchanges; one that is wrong is refused and the\n" +
			"old one goes on. SIGTERM lets exchanges under way end.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` to serve Envoys on: unix:/PATH or HOST:PORT", Value: defaultHostAddress, EnvVars: []string{"LEASH_HOST_LISTEN"}},
			&cli.StringFlag{Name: "http", Usage: "`ADDRESS` of /healthz, /readyz and /metrics; empty for none", Value: "127.0.0.1:8082"},
			modulesFlag(),
			&cli.PathFlag{Name: "tls-cert", Usage: "certificate `FILE` (PEM): serve with TLS"},
			&cli.PathFlag{Name: "tls-key", Usage: "private key `FILE` (PEM) of the certificate"},
			&cli.PathFlag{Name: "tls-client-ca", Usage: "accept only clients with a certificate that this `FILE` (PEM) vouches for"},
			cacheFlag(),
			&cli.IntFlag{Name: "workers", Usage: "how many exchanges are worked on at the same instant, each with VMs of its own (`N`); 0 is one for each core"},
			&cli.DurationFlag{Name: "drain", Usage: "`TIME` that exchanges under way have to end", Value: 30 * time.Second},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "log what is done"},
		},
		Action: func(c *cli.Context) error {
			level := slog.LevelInfo
			if c.Bool("verbose") {
				level = slog.LevelDebug
			}
			s := &moduleHost{log: logger(c, level), flags: c}
			return s.run(c.Context)
		},
	})
}

func modulesFlag() cli.Flag {
	return &cli.StringFlag{Name: "modules", Usage: "which modules of the pipeline run: all, or inspectors (`WHICH`)", Value: string(extproc.All)}
}

// selection is what --modules says.
func selection(c *cli.Context) (extproc.Selection, error) {
	switch s := extproc.Selection(c.String("modules")); s {
	case extproc.All, extproc.Inspectors:
		return s, nil
	default:
		return s, badUsage("modules: %q is neither all nor inspectors", s)
	}
}

// A moduleHost is a running `leash host serve`.
type moduleHost struct {
	log   *slog.Logger
	flags *cli.Context

	selection extproc.Selection
	host      *extproc.Host
}

func (m *moduleHost) run(ctx context.Context) error {
	var err error
	if m.selection, err = selection(m.flags); err != nil {
		return err
	}
	loaded, err := load(m.flags.String("config"))
	if err != nil {
		return err
	}
	security, err := m.tls()
	if err != nil {
		return err
	}
	if m.host, err = extproc.New(ctx, extproc.Options{
		Engine: abi.Options{CacheDir: m.flags.Path("cache")}, Workers: m.flags.Int("workers"),
		Records: &lines{w: m.flags.App.Writer}, Log: m.log,
	}); err != nil {
		return err
	}
	defer m.host.Close(context.WithoutCancel(ctx)) //nolint:errcheck // memory only
	changes := config.Watch(ctx, m.flags.String("config"))
	if err := m.apply(ctx, loaded); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	listener, err := listen(ctx, m.flags.String("listen"))
	if err != nil {
		return err
	}
	service := extproc.NewService(m.host, extproc.ServiceOptions{TLS: security, DrainTimeout: m.flags.Duration("drain")})
	group.Go(func() error { return service.Serve(ctx, listener) })
	if address := m.flags.String("http"); address != "" {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("serve /readyz and /metrics: %w", err)
		}
		group.Go(func() error {
			return serve(context.WithoutCancel(ctx), ctx.Done(), l, extproc.NewHandler(m.host, ctx.Done()))
		})
	}
	group.Go(func() error { m.follow(ctx, changes); return nil })
	m.log.Info("the module host is ready", "listen", m.flags.String("listen"))
	return group.Wait()
}

// apply makes a configuration the default pipeline.
func (m *moduleHost) apply(ctx context.Context, c *config.Config) error {
	dir, err := modulesDir(c)
	if err != nil {
		return err
	}
	spec, err := extproc.FromConfig(c, dir, m.selection)
	if err != nil {
		return err
	}
	for i, f := range extproc.Select(c, m.selection) {
		if spec.Filters[i].Unneeded, err = unneeded(f); err != nil {
			return err
		}
	}
	_, err = m.host.Load(ctx, spec)
	return err
}

// follow applies the file again whenever it changes.
func (m *moduleHost) follow(ctx context.Context, changes <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		}
		c, err := load(m.flags.String("config"))
		if err == nil {
			err = m.apply(ctx, c)
		}
		if err != nil {
			m.log.Error("the changed configuration is refused, the old one goes on", "error", err)
		}
	}
}

// tls is what the flags say of TLS; nil without a certificate.
func (m *moduleHost) tls() (*tls.Config, error) {
	cert, key, clients := m.flags.String("tls-cert"), m.flags.String("tls-key"), m.flags.String("tls-client-ca")
	if cert == "" && key == "" && clients == "" {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	if cert == "" || key == "" {
		return nil, badUsage("tls-cert and tls-key belong together")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, badUsage("tls-cert: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clients == "" {
		return c, nil
	}
	pem, err := os.ReadFile(clients) //nolint:gosec // the operator's own choice
	if err != nil {
		return nil, badUsage("tls-client-ca: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, badUsage("tls-client-ca: %s holds no certificate", clients)
	}
	return c, nil
}

// listen opens HOST:PORT or unix:/PATH. A socket that a host left behind when it was killed is taken over, one on which
// somebody answers is not.
func listen(ctx context.Context, address string) (net.Listener, error) {
	path, isSocket := strings.CutPrefix(address, "unix:")
	if !isSocket {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	}
	if !filepath.IsAbs(path) {
		return nil, badUsage("listen: %q is not absolute: unix:/PATH", path)
	}
	if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen on %s: another host serves there", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("listen on %s: %w", path, err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	// Whoever may connect may use the modules, which know the keys: the user and the group, nobody else.
	return l, os.Chmod(path, 0o660) //nolint:gosec // Envoy often runs as another user of the same group
}
