// Package cli is the command leash: it wires the other packages together and holds no logic of its own.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
)

// Exit codes of the command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is bad usage or, where it is no *config.Error, a bad configuration: what is wrong is for the user to mend.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func badUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Run runs the command and returns its exit code. SIGINT and SIGTERM end it in order, the second one at once; data goes to stdout, all that is
// for people to stderr.
func Run(version string, args []string, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer onSignals(cancel)()
	data := &dataWriter{Writer: stdout}
	app := newApp(version, data, stderr)
	err := app.RunContext(ctx, flagsFirst(app, args))
	if err == nil {
		err = data.failed()
	}
	if err == nil {
		return exitDone
	}
	if errors.Is(err, abi.ErrCache) {
		err = usageError{fmt.Errorf("%w: --cache or LEASH_CACHE names another folder", err)}
	}
	_, _ = fmt.Fprintf(stderr, "leash: %v\n", err)
	_, usage := errors.AsType[usageError](err)
	if _, configured := errors.AsType[*config.Error](err); usage || configured {
		return exitUsage
	}
	return exitFailed
}

// onSignals calls first at the first signal that asks for an end, and ends the process at the second one; its Envoy ends with it. That is not left to
// what signals do by themselves: in a job in the background they may do nothing.
func onSignals(first func()) (stop func()) {
	signals, stopped := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			first()
		case <-stopped:
			return
		}
		select {
		case s := <-signals:
			const bySignal = 128 // as shells say it
			number, _ := s.(syscall.Signal)
			os.Exit(bySignal + int(number))
		case <-stopped:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(stopped)
	}
}

// A dataWriter remembers that something could not be written, as on a disk that is full: what prints need not look.
type dataWriter struct {
	io.Writer

	mu  sync.Mutex
	err error // the first
}

// Write implements io.Writer.
func (w *dataWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = cmp.Or(w.err, err)
	}
	return n, err
}

func (w *dataWriter) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return fmt.Errorf("write the output: %w", w.err)
	}
	return nil
}

func newApp(version string, stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:                   "leash",
		Usage:                  "policy for LLM traffic, as WebAssembly modules in Envoy",
		Version:                versionOf(version),
		HideVersion:            true, // the library's own stands in each help
		HideHelpCommand:        true,
		UseShortOptionHandling: true,
		EnableBashCompletion:   true,
		Writer:                 stdout,
		ErrWriter:              stderr,
		ExitErrHandler:         func(*cli.Context, error) {}, // Run decides
		OnUsageError:           onUsageError,
		Flags:                  []cli.Flag{&cli.BoolFlag{Name: "version", Usage: "print the version", DisableDefaultText: true}},
		Action: func(c *cli.Context) error {
			switch {
			case c.Bool("version"):
				return printVersion(c)
			case c.Args().First() == "help":
				return helpOf(c, c.App.Name)
			}
			if c.Args().Present() {
				return badUsage("unknown command %q: leash --help lists what there is", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{
			upCommand(), validateCommand(), renderCommand(), schemaCommand(), moduleCommand(), mockCommand(), hostCommand(), registryCommand(), versionCommand(), completionCommand(),
		},
	}
}

// helpOf takes "leash help COMMAND" for "leash COMMAND --help".
func helpOf(c *cli.Context, command ...string) error {
	return newApp(c.App.Version, c.App.Writer, c.App.ErrWriter).RunContext(c.Context, append(append(command, c.Args().Tail()...), "--help"))
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	name := c.App.Name
	if c.Command != nil && c.Command.Name != "" {
		name = c.Command.HelpName
	}
	text := flagOf.ReplaceAllString(err.Error(), "$1--$2") // the library writes one dash before whole words too
	if found := unreadValue.FindStringSubmatch(text); found != nil && c.Command != nil {
		if kind := kindOf(c.Command.Flags, found[2]); kind != "" {
			return badUsage("%s %s: it is %s", found[2], found[1], kind)
		}
	}
	return badUsage("%s: %s --help shows what it takes", text, name)
}

var (
	flagOf      = regexp.MustCompile(`((?: for flag|not defined:|an argument:) )-(\S\S)`)
	unreadValue = regexp.MustCompile(`^invalid value (".*") for flag (--[^:]+):`)
)

// kindOf says what the values of a flag are, where not every text is one.
func kindOf(flags []cli.Flag, name string) string {
	for _, f := range flags {
		if !slices.Contains(f.Names(), strings.TrimLeft(name, "-")) {
			continue
		}
		switch f.(type) {
		case *cli.DurationFlag:
			return "a time such as 500ms, 90s or 1h30m"
		case *cli.IntFlag, *cli.UintFlag, *cli.Uint64Flag:
			return "a whole number"
		case *cli.Float64Flag:
			return "a number"
		}
	}
	return ""
}

// command completes what all commands have in common.
func command(c *cli.Command) *cli.Command {
	c.OnUsageError = onUsageError
	c.HideHelpCommand = true
	run := c.Action
	c.Action = func(ctx *cli.Context) error {
		if ctx.Args().Present() {
			return badUsage("unexpected argument %q: %s --help shows what it takes", ctx.Args().First(), ctx.Command.HelpName)
		}
		return run(ctx)
	}
	return c
}

// group completes a command that is only there for those below it.
func group(c *cli.Command) *cli.Command {
	c.OnUsageError = onUsageError
	c.HideHelpCommand = true
	c.Action = func(ctx *cli.Context) error {
		if ctx.Args().First() == "help" {
			return helpOf(ctx, ctx.App.Name, c.Name)
		}
		if ctx.Args().Present() {
			return badUsage("unknown command %q: leash %s --help lists what there is", ctx.Args().First(), c.Name)
		}
		return cli.ShowSubcommandHelp(ctx)
	}
	return c
}

// logger writes one line an event to stderr. What the standard library logs by itself, such as connections that break, goes the same way.
func logger(c *cli.Context, level slog.Level) *slog.Logger {
	log := slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(slog.New(ofLibraries{log.Handler()}))
	return log
}

// ofLibraries handles what libraries log. Of the line that net/http writes when a provider says something on an idle connection, it leaves out what
// the provider has said, which may be somebody's answer.
type ofLibraries struct{ slog.Handler }

// Handle implements slog.Handler.
func (h ofLibraries) Handle(ctx context.Context, r slog.Record) error {
	r.Message, _, _ = strings.Cut(r.Message, " starting with ")
	return h.Handler.Handle(ctx, r)
}
