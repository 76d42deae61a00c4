package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/author/build"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
	"github.com/leash-gateway/leash/registry/signing"
)

func moduleBuildCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "build",
		Usage:     "build the .wasm of a module's project",
		ArgsUsage: "[FOLDER]",
		Description: "The same source and toolchain give the same bytes on every machine. module.yaml, what it was built from and an SBOM\n" +
			"are put into the .wasm, its memory is bounded as the manifest says, and a module that imports more than the manifest\n" +
			"names is refused. With --key the module is signed, and how it was built is attested (SLSA provenance), beside the file.\n" +
			"With --watch, a leash up that names the file takes the new one each time.",
		Flags: []cli.Flag{
			&cli.PathFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the module to `FILE`", DefaultText: "build/modules/NAME.wasm"},
			&cli.StringFlag{Name: "package", Usage: "the main `PACKAGE` in the project", Value: "."},
			&cli.StringFlag{Name: "tags", Usage: "Go's build `TAGS`, separated by commas"},
			&cli.StringFlag{Name: "key", Usage: "attest how it was built, and sign, with the private `KEY` (see leash module sign)"},
			&cli.BoolFlag{Name: "size", Usage: "tell what takes the space"},
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "build again whenever a source changes"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return badUsage("unexpected argument %q: one project at a time", c.Args().Get(1))
			}
			o := build.Options{Dir: c.Args().First(), Package: c.String("package"), Output: c.Path("output"), Tags: c.String("tags"), Tool: "leash " + c.App.Version}
			report := func(r *build.Result, err error) {
				if err != nil {
					_, _ = fmt.Fprintf(c.App.ErrWriter, "%v\n", err)
					return
				}
				reportBuild(c.App.ErrWriter, r, c.Bool("size"))
			}
			if c.Bool("watch") && c.String("key") != "" {
				return badUsage("--key is for what is published: leave --watch away")
			}
			if c.Bool("watch") {
				return build.Watch(c.Context, o, report)
			}
			var signer *signing.Signer
			if c.String("key") != "" {
				var err error
				if signer, err = signerOf(c); err != nil {
					return err
				}
			}
			r, err := build.Build(c.Context, o)
			if _, wrong := errors.AsType[manifest.Errors](err); wrong {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			report(r, nil)
			if signer == nil {
				return nil
			}
			return signBuilt(c, r.File, signer)
		},
	})
}

// signBuilt signs what has been built, and how.
func signBuilt(c *cli.Context, file string, signer *signing.Signer) error {
	wasm, err := os.ReadFile(file) //nolint:gosec // just built
	if err != nil {
		return err
	}
	return signFile(c, file, wasm, signer, signing.Options{}, true)
}

func reportBuild(w io.Writer, r *build.Result, size bool) {
	_, _ = fmt.Fprintf(w, "%s: %s %s, %s, %s, compiled in %s\n", r.File, r.Manifest.Name, r.Manifest.Version, bytesText(r.Bytes), r.Digest,
		r.Compiler.Round(10*time.Millisecond))
	if !size {
		return
	}
	printShares(w, "sections", r.Sections, r.Bytes)
	printShares(w, "code, by package", r.Packages, r.Bytes)
}

// mostShares is how many lines of a size report are written.
const mostShares = 15

func printShares(w io.Writer, title string, shares []wasmfile.Share, all int) {
	_, _ = fmt.Fprintf(w, "\n%s\n", title)
	rest := 0
	for i, s := range shares {
		if i >= mostShares {
			rest += s.Bytes
			continue
		}
		_, _ = fmt.Fprintf(w, "  %10s %5.1f %%  %s\n", bytesText(s.Bytes), 100*float64(s.Bytes)/float64(all), s.Name)
	}
	if rest > 0 {
		_, _ = fmt.Fprintf(w, "  %10s %5.1f %%  (%d more)\n", bytesText(rest), 100*float64(rest)/float64(all), len(shares)-mostShares)
	}
}

func bytesText(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}
