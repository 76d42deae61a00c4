package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

func moduleRunCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "run",
		Usage:     "take one request through a module, and show what became of it",
		ArgsUsage: "FILE.wasm...",
		Description: "Any proxy-wasm module will do; one that carries a manifest may call what the manifest names.\n" +
			"Several files are a pipeline, from first to last, all with the same configuration.\n" +
			"A value that begins with @ is read from the file of that name, @- from standard input.",
		Flags: append(exchangeFlags(), cacheFlag(),
			&cli.BoolFlag{Name: "trace", Usage: "write every host call with its arguments and result to standard error"},
		),
		Action: func(c *cli.Context) error {
			setup, err := setupOf(c)
			if err != nil {
				return err
			}
			request, err := requestOf(c)
			if err != nil {
				return err
			}
			if c.Bool("trace") {
				setup.Tracer = harness.NewTrace(c.App.ErrWriter)
			}
			h, err := newHarness(c)
			if err != nil {
				return err
			}
			defer h.Close(c.Context) //nolint:errcheck // the end of the program
			p, err := h.Start(c.Context, setup)
			if err != nil {
				return err
			}
			defer p.Close(c.Context)
			got, err := p.Exchange(c.Context, request)
			if err != nil {
				return err
			}
			showExchange(c.App.Writer, got)
			if len(got.Crashes) > 0 {
				return fmt.Errorf("the module failed: %w", got.Crashes[0])
			}
			return nil
		},
	})
}

// exchangeFlags describe a pipeline and an exchange.
func exchangeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "the module's configuration, as `TEXT` or @FILE"},
		&cli.StringFlag{Name: "root-id", Usage: "which plugin of the .wasm, by its `ID`"},
		&cli.StringFlag{Name: "request", Aliases: []string{"X"}, Usage: "the request's `METHOD`: GET, or POST with a body"},
		&cli.StringFlag{Name: "path", Usage: "the request's `PATH`: /, or /v1/chat/completions with a body"},
		&cli.StringSliceFlag{Name: "header", Aliases: []string{"H"}, Usage: "a `HEADER` of the request, as 'Name: value'; may be repeated"},
		&cli.StringFlag{Name: "data", Aliases: []string{"d"}, Usage: "the request's body, as `TEXT` or @FILE"},
		&cli.IntFlag{Name: "status", Usage: "the `STATUS` that the provider answers", Value: 200},
		&cli.StringFlag{Name: "answer", Usage: "the body that the provider answers, as `TEXT` or @FILE"},
		&cli.StringSliceFlag{Name: "answer-header", Usage: "a `HEADER` of the answer, as 'Name: value'; may be repeated"},
		&cli.IntFlag{Name: "chunk-size", Usage: "cut the bodies into pieces of so many `BYTES`"},
	}
}

func setupOf(c *cli.Context) (harness.Setup, error) {
	var s harness.Setup
	config, err := valueOf(c, "config")
	if err != nil {
		return s, err
	}
	for _, file := range c.Args().Slice() {
		if _, err := os.Stat(file); err != nil {
			return s, usageError{err}
		}
		s.Modules = append(s.Modules, harness.Module{
			Name: strings.TrimSuffix(filepath.Base(file), ".wasm"), File: file, Config: config, RootID: c.String("root-id"),
		})
	}
	if len(s.Modules) == 0 {
		return s, badUsage("name the .wasm of a module: %s --help shows what it takes", c.Command.HelpName)
	}
	return restriction{}.of(s)
}

func requestOf(c *cli.Context) (r harness.Request, err error) {
	r = harness.Request{
		Method: c.String("request"), Path: c.String("path"), ChunkSize: c.Int("chunk-size"),
		Answer: harness.Answer{Status: c.Int("status"), ChunkSize: c.Int("chunk-size")},
	}
	if r.Body, err = valueOf(c, "data"); err != nil {
		return r, err
	}
	if r.Answer.Body, err = valueOf(c, "answer"); err != nil {
		return r, err
	}
	if r.Headers, err = headersOf(c, "header"); err != nil {
		return r, err
	}
	r.Answer.Headers, err = headersOf(c, "answer-header")
	return r, err
}

// valueOf is a flag's text, or that of the file that it names.
func valueOf(c *cli.Context, flag string) (string, error) {
	text := c.String(flag)
	file, named := strings.CutPrefix(text, "@")
	if !named {
		return text, nil
	}
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(c.App.Reader)
	} else {
		data, err = config.ReadFile(file, wasmfile.MaxSize) // much more than any limit on bodies
	}
	if err != nil {
		return "", badUsage("--%s: %w", flag, err)
	}
	return string(data), nil
}

func headersOf(c *cli.Context, flag string) (harness.Headers, error) {
	var h harness.Headers
	for _, one := range c.StringSlice(flag) {
		name, value, found := strings.Cut(one, ":")
		if !found || name == "" {
			return nil, badUsage("--%s %s: write it as 'Name: value'", flag, one)
		}
		h = append(h, [2]string{name, strings.TrimSpace(value)})
	}
	return h, nil
}

// showExchange writes what the provider received, callouts, the answer and the log.
func showExchange(w io.Writer, got *harness.Result) {
	show := func(title string, m *harness.Message) {
		_, _ = fmt.Fprintf(w, "%s\n", title)
		for _, header := range m.Headers {
			_, _ = fmt.Fprintf(w, "  %s: %s\n", header[0], header[1])
		}
		if m.Body != "" {
			_, _ = fmt.Fprintf(w, "\n%s\n", m.Body)
		}
		for _, trailer := range m.Trailers {
			_, _ = fmt.Fprintf(w, "  %s: %s\n", trailer[0], trailer[1])
		}
		_, _ = fmt.Fprintln(w)
	}
	for _, callout := range got.Callouts {
		show("CALLOUT to "+callout.Upstream, &callout.Message)
	}
	if got.Provider != nil {
		show("REQUEST at the provider", got.Provider)
	} else {
		_, _ = fmt.Fprint(w, "REQUEST did not reach the provider\n\n")
	}
	if got.Status != 0 {
		show("RESPONSE at the client", &got.Message)
	}
	if got.Outcome != harness.Answered {
		_, _ = fmt.Fprintf(w, "OUTCOME %s\n\n", got.Outcome)
	}
	if len(got.Logs) > 0 {
		_, _ = fmt.Fprintln(w, "LOG")
	}
	for _, line := range got.Logs {
		_, _ = fmt.Fprintf(w, "  %s: %s\n", line.Level, line.Message)
	}
}
