package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/leash-gateway/leash/author/kit"
	"github.com/leash-gateway/leash/author/project"
	"github.com/leash-gateway/leash/config"
)

func moduleNewCommand() *cli.Command {
	var templates strings.Builder
	for _, t := range project.Templates {
		fmt.Fprintf(&templates, "\n  %-18s %s", t.Name, t.About)
	}
	return withArguments(&cli.Command{
		Name:      "new",
		Usage:     "make a module's project from a template",
		ArgsUsage: "NAME",
		Description: "The project builds and passes its tests at once; what it is written against (Leash's kit) is written beside it.\n" +
			"On a terminal it asks for what is not said. Templates:" + templates.String(),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "template", Aliases: []string{"t"}, Usage: "begin with the template `NAME` (minimal)"},
			&cli.PathFlag{Name: "dir", Usage: "the project's `FOLDER`, which must be empty or not there", DefaultText: "NAME"},
			&cli.StringFlag{Name: "go-module", Usage: "the `PATH` in go.mod, such as github.com/me/NAME", DefaultText: "NAME"},
			&cli.StringFlag{Name: "license", Usage: "the license, as an SPDX `EXPRESSION`", Value: "Apache-2.0"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return badUsage("unexpected argument %q: a module has one name", c.Args().Get(1))
			}
			o := project.Options{
				Name: c.Args().First(), Template: c.String("template"), Dir: c.Path("dir"), GoModule: c.String("go-module"), License: c.String("license"),
			}
			if err := ask(c, &o); err != nil {
				return err
			}
			if config.IsOurs(o.Name) {
				return badUsage("%q is the name of one of Leash's own modules: name yours otherwise", o.Name)
			}
			dir, err := project.New(o)
			if errors.Is(err, project.ErrUsage) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.ErrWriter, "%s is made. Next:\n  cd %s\n  go test ./...\n  leash module build\n  leash module test\n", o.Name, dir)
			return err
		},
	})
}

// ask asks for the name and the template where they are not said, on a terminal only.
func ask(c *cli.Context, o *project.Options) error {
	in, isFile := c.App.Reader.(*os.File)
	if o.Name != "" || !isFile || !term.IsTerminal(int(in.Fd())) { //nolint:gosec // a file descriptor
		if o.Name == "" {
			return badUsage("make what? leash module new NAME")
		}
		return nil
	}
	lines := bufio.NewScanner(in)
	for _, question := range []struct {
		text     string
		answer   *string
		fallback string
	}{{"Name of the module", &o.Name, ""}, {"Template (leash module new --help lists them)", &o.Template, project.Templates[0].Name}} {
		if *question.answer != "" {
			continue
		}
		suggested := ""
		if question.fallback != "" {
			suggested = " [" + question.fallback + "]"
		}
		_, _ = fmt.Fprintf(c.App.ErrWriter, "%s%s: ", question.text, suggested)
		if !lines.Scan() {
			return badUsage("no answer: leash module new NAME --template TEMPLATE asks nothing")
		}
		*question.answer = strings.TrimSpace(lines.Text())
		if *question.answer == "" {
			*question.answer = question.fallback
		}
	}
	return nil
}

func moduleUpgradeKitCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:        "upgrade-kit",
		Usage:       "put this program's kit in the place of a project's",
		ArgsUsage:   "[FOLDER]",
		Description: "The kit is in the project's folder kit. One whose files have been changed is left as it is.",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "force", Usage: "overwrite changes too"}},
		Action: func(c *cli.Context) error {
			dir := c.Args().First()
			if dir == "" {
				dir = "."
			}
			u, err := kit.UpgradeProject(dir, c.Bool("force"))
			if errors.Is(err, kit.ErrChanged) {
				return usageError{fmt.Errorf("%w: keep the changes elsewhere, then --force overwrites them", err)}
			}
			if err != nil {
				return err
			}
			if u.From == u.To {
				_, err = fmt.Fprintf(c.App.ErrWriter, "the kit is %s already\n", u.To)
				return err
			}
			_, err = fmt.Fprintf(c.App.ErrWriter, "the kit was %s and is %s\n", u.From, u.To)
			return err
		},
	})
}
