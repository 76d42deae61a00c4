package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
	"golang.org/x/term"

	"github.com/leash-gateway/leash/registry/blobs"
	"github.com/leash-gateway/leash/registry/remote"
)

// registryFlags are those of all commands that speak to registries.
func registryFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.PathFlag{Name: "ca-file", Usage: "certificates `FILE` (PEM) that vouch for the registry, besides the system's", EnvVars: []string{"LEASH_REGISTRY_CA"}},
		&cli.BoolFlag{Name: "plain-http", Usage: "speak to the registry without TLS (on the loopback that is found out)"},
		blobsFlag(),
	)
}

// blobsFlag is where modules from registries are kept.
func blobsFlag() cli.Flag {
	return &cli.PathFlag{
		Name: "blobs", Usage: "`FOLDER` where modules are kept under the name of their digest", EnvVars: []string{"LEASH_BLOBS"},
		Value: blobs.DefaultDir(), DefaultText: "leash/blobs in the user's folder for caches",
	}
}

// newRegistries is a client with docker's credentials. Its progress is shown on a terminal; finish ends that.
func newRegistries(c *cli.Context) (client *remote.Client, finish func(), err error) {
	store, err := remote.Docker(c.Bool("plaintext"))
	if err != nil {
		return nil, nil, err
	}
	folder := blobs.In(c.Path("blobs"))
	bars := &bars{out: c.App.ErrWriter}
	client, err = remote.New(remote.Options{
		Credentials: store, CAFile: c.Path("ca-file"), PlainHTTP: c.Bool("plain-http"), UserAgent: "leash/" + c.App.Version, Blobs: &folder,
		Progress: bars.tell,
		Warn: func(text string) {
			if c.String("key") == "" { // else it is signed in a moment
				_, _ = fmt.Fprintln(c.App.ErrWriter, text)
			}
		},
	})
	return client, bars.finish, err
}

// bars show the progress of transfers, on a terminal only.
type bars struct {
	out io.Writer

	mu      sync.Mutex
	name    string
	current *progressbar.ProgressBar
}

// worthABar is how many bytes take long enough to be watched.
const worthABar = 256 << 10

func (b *bars) tell(p remote.Progress) {
	file, isFile := b.out.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) || p.Total < worthABar { //nolint:gosec // a file descriptor
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Known {
		_, _ = fmt.Fprintf(b.out, "%s is there already\n", p.Name)
		return
	}
	if b.current == nil || b.name != p.Name {
		b.name = p.Name
		b.current = progressbar.NewOptions64(p.Total, progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription(p.Name),
			progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionEnableColorCodes(os.Getenv("NO_COLOR") == ""))
	}
	_ = b.current.Set64(p.Done) // for people to look at
}

func (b *bars) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current != nil {
		_ = b.current.Finish()
	}
}

// referenceOf is the argument at a place as a reference.
func referenceOf(c *cli.Context, at int) (remote.Reference, error) {
	r, err := remote.Parse(c.Args().Get(at))
	if err != nil {
		return r, usageError{err}
	}
	return r, nil
}

// arguments says what is wrong with the number of a command's arguments.
func arguments(c *cli.Context, least, most int) error {
	switch {
	case c.NArg() < least:
		return badUsage("%s takes %s: --help shows how", c.Command.HelpName, c.Command.ArgsUsage)
	case most >= 0 && c.NArg() > most:
		return badUsage("unexpected argument %q: %s takes %s", c.Args().Get(most), c.Command.HelpName, c.Command.ArgsUsage)
	}
	return nil
}

func outputFlag() cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT`: table, json or yaml", Value: "table"}
}

// output writes a value as the flag says; table writes the table.
func output(c *cli.Context, value any, table func(w io.Writer)) error {
	switch format := c.String("output"); format {
	case "table":
		table(c.App.Writer)
		return nil
	case "json":
		encoder := json.NewEncoder(c.App.Writer)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	case "yaml":
		text, err := json.Marshal(value) // so that names are the same as in JSON
		if err != nil {
			return err
		}
		var plain any
		if err := yaml.Unmarshal(text, &plain); err != nil {
			return err
		}
		return yaml.NewEncoder(c.App.Writer).Encode(plain)
	default:
		return badUsage("--output %s: it is table, json or yaml", format)
	}
}

func trustFlag() cli.Flag {
	return &cli.PathFlag{Name: "trust", Usage: "the trust policy `FILE`, which says who must have signed", EnvVars: []string{"LEASH_TRUST"}}
}

func moduleLoginCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:        "login",
		Usage:       "give a registry credentials",
		ArgsUsage:   "REGISTRY",
		Description: "They are kept where docker keeps them, in a credential helper if there is one, and docker's logins work here too.",
		Flags: registryFlags(
			&cli.StringFlag{Name: "username", Aliases: []string{"u"}, Usage: "the `USER`"},
			&cli.BoolFlag{Name: "password-stdin", Usage: "read the password, or a token, from standard input"},
			&cli.BoolFlag{Name: "plaintext", Usage: "allow a readable password in docker's config.json where there is no credential helper"},
		),
		Action: func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			if c.String("username") == "" {
				return badUsage("name the user: --username USER")
			}
			password, err := passwordOf(c, "Password: ")
			if err != nil {
				return err
			}
			client, _, err := newRegistries(c)
			if err != nil {
				return err
			}
			if err := client.Login(c.Context, c.Args().First(), c.String("username"), password); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.ErrWriter, "logged in to %s\n", c.Args().First())
			return err
		},
	})
}

// passwordOf reads a password: from standard input, or unseen from a terminal.
func passwordOf(c *cli.Context, prompt string) (string, error) {
	in, isFile := c.App.Reader.(*os.File)
	if !c.Bool("password-stdin") {
		if !isFile || !term.IsTerminal(int(in.Fd())) { //nolint:gosec // a file descriptor
			return "", badUsage("there is no terminal to ask on: --password-stdin reads the password")
		}
		_, _ = fmt.Fprint(c.App.ErrWriter, prompt)
		secret, err := term.ReadPassword(int(in.Fd())) //nolint:gosec // as above
		_, _ = fmt.Fprintln(c.App.ErrWriter)
		return string(secret), err
	}
	line, err := bufio.NewReader(c.App.Reader).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func moduleLogoutCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name: "logout", Usage: "forget a registry's credentials", ArgsUsage: "REGISTRY", Flags: registryFlags(),
		Action: func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			client, _, err := newRegistries(c)
			if err != nil {
				return err
			}
			return client.Logout(c.Context, c.Args().First())
		},
	})
}

// withRegistries runs an action with a client.
func withRegistries(c *cli.Context, least, most int, act func(ctx context.Context, client *remote.Client) error) error {
	if err := arguments(c, least, most); err != nil {
		return err
	}
	client, finish, err := newRegistries(c)
	if err != nil {
		return err
	}
	defer finish()
	return act(c.Context, client)
}
