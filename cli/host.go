package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/extproc"
)

// defaultHostAddress is where a module host and the Envoys of the same machine meet: not in a folder where anybody could
// have put a socket before.
const defaultHostAddress = "unix:/run/leash/host.sock"

func hostCommand() *cli.Command {
	return group(&cli.Command{
		Name:        "host",
		Usage:       "the Module Host: the modules for Envoys that do not load Wasm",
		Subcommands: []*cli.Command{hostServeCommand()},
	})
}

func hostServeCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "serve",
		Usage: "run the modules of a leash.yaml for Envoys, as their external processor (ext_proc)",
		Description: "leash render --target ext_proc prints what those Envoys need. One JSON line an exchange goes to standard output, the\n" +
			"host's own log to standard error. A changed leash.yaml, or a module of one's own that is built anew, is applied to new\n" +
			"exchanges, as at SIGHUP; what is wrong is refused and the old one goes on. SIGTERM lets exchanges under way end.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` to serve Envoys on: unix:/PATH or HOST:PORT", Value: defaultHostAddress, EnvVars: []string{"LEASH_HOST_LISTEN"}},
			&cli.StringFlag{Name: "http", Usage: "`ADDRESS` of /healthz, /readyz and /metrics; empty for none", Value: "127.0.0.1:8082"},
			modulesFlag(),
			&cli.StringFlag{Name: "admin", Usage: "`ADDRESS` to serve the management of pipelines on (docs/reference/api.md), to this user alone on unix:/PATH; on HOST:PORT it needs --admin-client-ca; empty for none"},
			&cli.PathFlag{Name: "admin-client-ca", Usage: "let only clients manage pipelines that have a certificate that this `FILE` (PEM) vouches for"},
			&cli.PathFlag{Name: "tls-cert", Usage: "certificate `FILE` (PEM): serve with TLS"},
			&cli.PathFlag{Name: "tls-key", Usage: "private key `FILE` (PEM) of the certificate"},
			&cli.PathFlag{Name: "tls-client-ca", Usage: "accept only clients with a certificate that this `FILE` (PEM) vouches for"},
			cacheFlag(),
			&cli.IntFlag{Name: "workers", Usage: "how many exchanges are worked on at the same instant, each with VMs of its own (`N`); 0 is one for each core"},
			&cli.IntFlag{Name: "max-exchanges", Usage: "how many exchanges may be under way (`N`); more are refused", Value: 10_000},
			&cli.DurationFlag{Name: "drain-delay", Usage: "`TIME` after SIGTERM in which exchanges are still taken, while health checks are told already that the host goes"},
			&cli.DurationFlag{Name: "drain", Usage: "`TIME` that exchanges under way have to end", Value: 30 * time.Second},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "log what is done"},
		},
		Action: func(c *cli.Context) error {
			level := slog.LevelInfo
			if c.Bool("verbose") {
				level = slog.LevelDebug
			}
			outliveReaders()
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
		return s, badUsage("--modules: %q is neither all nor inspectors", s)
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
	// Before the file is read: follow takes what has changed since.
	changes, files := config.Watch(ctx, m.flags.String("config")), newNamedFiles(ctx)
	loaded, err := load(ctx, m.flags.String("config"), m.log, files.watch)
	if err != nil {
		return err
	}
	exchanges, management, err := m.services()
	if err != nil {
		return err
	}
	tellOfCache(m.log, m.flags.Path("cache"))
	records := &lines{w: m.flags.App.Writer, log: m.log}
	defer closeWithin(ctx, records.flush)
	if m.host, err = extproc.New(ctx, extproc.Options{
		Engine: abi.Options{CacheDir: m.flags.Path("cache")}, Workers: m.flags.Int("workers"), MaxExchanges: m.flags.Int("max-exchanges"),
		Records: records, Log: m.log,
	}); err != nil {
		return err
	}
	defer m.host.Close(context.WithoutCancel(ctx)) //nolint:errcheck // memory only
	if err := m.apply(ctx, loaded); err != nil {
		return err
	}
	return m.serve(ctx, changes, files, exchanges, management)
}

// serve serves until ctx ends and what is under way has ended.
func (m *moduleHost) serve(ctx context.Context, changes <-chan struct{}, files *namedFiles, exchanges, management extproc.ServiceOptions) error {
	listeners, err := m.listen(ctx)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	// The pages are there until all else has ended: /readyz tells of the draining.
	pages, closePages := context.WithCancel(context.WithoutCancel(ctx))
	defer closePages()
	if listeners.pages != nil {
		handler := extproc.NewHandler(m.host, ctx.Done())
		all.Go(func() error { return serve(context.WithoutCancel(ctx), pages.Done(), listeners.pages, handler) })
	}
	all.Go(func() error {
		defer closePages()
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return extproc.NewService(m.host, exchanges).Serve(ctx, listeners.exchanges) })
		if listeners.management != nil {
			group.Go(func() error {
				return extproc.NewAdmin(m.host, management, extproc.DefaultPipeline).Serve(ctx, listeners.management)
			})
		}
		group.Go(func() error { m.follow(ctx, changes, files); return nil })
		return group.Wait()
	})
	m.log.Info("the module host is ready", "listen", m.flags.String("listen"))
	return all.Wait()
}

// hostListeners are where a module host is served; nil: nowhere.
type hostListeners struct{ exchanges, management, pages net.Listener }

// listen opens all addresses or none.
func (m *moduleHost) listen(ctx context.Context) (l hostListeners, err error) {
	for _, one := range []struct {
		flag string
		mode fs.FileMode
		to   *net.Listener
	}{{"listen", sharedSocket, &l.exchanges}, {"admin", ownSocket, &l.management}, {"http", ownSocket, &l.pages}} {
		address := m.flags.String(one.flag)
		if address == "" {
			continue
		}
		if *one.to, err = listen(ctx, address, one.mode); err != nil {
			for _, opened := range []net.Listener{l.exchanges, l.management} {
				if opened != nil {
					_ = opened.Close() // nobody has connected
				}
			}
			return hostListeners{}, fmt.Errorf("%s: %w", one.flag, err)
		}
	}
	return l, nil
}

// apply makes a configuration the default pipeline.
func (m *moduleHost) apply(ctx context.Context, c *config.Config) error {
	withoutTracing(c)
	if m.selection == extproc.All { // else somebody else routes
		if err := envoy.CheckExtProc(c); err != nil {
			return usageError{err}
		}
	}
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

// follow applies the file again whenever it or one that it names changes, or SIGHUP comes.
func (m *moduleHost) follow(ctx context.Context, changes <-chan struct{}, files *namedFiles) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-files.changed:
		case <-hangups:
		}
		c, err := load(ctx, m.flags.String("config"), m.log, files.watch)
		if err == nil {
			err = m.apply(ctx, c)
		}
		if ctx.Err() != nil {
			return // with which changes is closed
		}
		if err != nil {
			m.log.Error("the changed configuration is refused, the old one goes on", "error", err)
		}
	}
}

// services are what the flags say of the two services.
func (m *moduleHost) services() (exchanges, management extproc.ServiceOptions, err error) {
	cert, key, clients := m.flags.String("tls-cert"), m.flags.String("tls-key"), m.flags.String("tls-client-ca")
	admin, managers := m.flags.String("admin"), m.flags.String("admin-client-ca")
	address := m.flags.String("listen")
	if address == "" {
		return exchanges, management, badUsage("--listen: there is no address")
	}
	for _, flag := range []string{"listen", "admin", "http"} {
		if err := checkAddress(m.flags.String(flag)); err != nil {
			return exchanges, management, badUsage("--%s: %w", flag, err)
		}
	}
	switch {
	case (cert == "") != (key == ""):
		return exchanges, management, badUsage("--tls-cert and --tls-key belong together")
	case cert == "" && clients != "":
		return exchanges, management, badUsage("--tls-client-ca needs --tls-cert and --tls-key")
	case cert == "" && managers != "":
		return exchanges, management, badUsage("--admin-client-ca needs --tls-cert and --tls-key")
	case admin != "" && !strings.HasPrefix(admin, "unix:") && managers == "":
		return exchanges, management, badUsage("--admin: %s can be reached by others; name in --admin-client-ca who vouches for those who may, or use unix:/PATH", admin)
	}
	if clients == "" && !strings.HasPrefix(address, "unix:") {
		m.log.Warn("whoever reaches this address can run the modules, as no certificate is asked for (--tls-client-ca)", "listen", address)
	}
	exchanges.DrainDelay, exchanges.DrainTimeout = m.flags.Duration("drain-delay"), m.flags.Duration("drain")
	exchanges.TLS, err = tlsOf(extproc.TLSFiles{Cert: cert, Key: key, ClientCA: clients, Log: m.log})
	if err != nil {
		return exchanges, management, err
	}
	if managers != "" { // it is told of the same certificate above
		management.TLS, err = tlsOf(extproc.TLSFiles{Cert: cert, Key: key, ClientCA: managers})
	}
	return exchanges, management, err
}

// checkAddress says what is wrong with an address to listen on; one that is empty is none.
func checkAddress(address string) error {
	path, isSocket := strings.CutPrefix(address, "unix:")
	if isSocket && !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not absolute: unix:/PATH", path)
	}
	if most := len(syscall.RawSockaddrUnix{}.Path) - 1; isSocket && len(path) > most {
		return fmt.Errorf("a socket's path may have %d bytes, this has %d: name one in a folder such as /run/leash", most, len(path))
	}
	if address == "" || isSocket {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%w: write it as 127.0.0.1:8083 or unix:/PATH", err)
	}
	return nil
}

// tlsOf is the configuration of files; nil without a certificate.
func tlsOf(files extproc.TLSFiles) (*tls.Config, error) {
	if files.Cert == "" {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	c, err := files.Config()
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// Who may connect to a socket: those of the group too, because Envoy often runs as another user of it (whoever may connect
// may use the modules, which know the keys); or this user alone.
const (
	sharedSocket fs.FileMode = 0o660
	ownSocket    fs.FileMode = 0o600
)

// listen opens HOST:PORT or unix:/PATH. A socket that a host left behind when it was killed is taken over, one on which
// somebody answers is not.
func listen(ctx context.Context, address string, mode fs.FileMode) (net.Listener, error) {
	path, isSocket := strings.CutPrefix(address, "unix:")
	if !isSocket {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	}
	// The default's folder is nobody else's, so it may have to be made.
	if err := os.Mkdir(filepath.Dir(path), 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("another host serves on %s", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return listenUnix(ctx, path, mode)
}

// listenUnix opens a socket that nobody but those of mode can connect to, not even for an instant. The mask is that of the
// whole process, which writes no files at this time.
func listenUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	old := syscall.Umask(int(0o777 &^ mode))
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	syscall.Umask(old)
	return l, err
}
