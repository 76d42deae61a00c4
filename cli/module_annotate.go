package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/author/build"
	"github.com/leash-gateway/leash/manifest"
)

func moduleAnnotateCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "annotate",
		Usage:     "put a manifest into a .wasm that other tools have built",
		ArgsUsage: "FILE.wasm",
		Description: "For modules in Rust, C++ or AssemblyScript: with a manifest in it a .wasm is restricted, pushed and signed as one of leash\n" +
			"module build is. Its memory is bounded as the manifest says, and one that imports more than the manifest names is refused.",
		Flags: []cli.Flag{
			&cli.PathFlag{Name: "manifest", Usage: "the manifest's `FILE`", Value: manifest.FileName},
			rewrittenFlag(),
		},
		Action: func(c *cli.Context) error {
			file, out, wasm, err := toRewrite(c)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(c.Path("manifest"))
			if err != nil {
				return usageError{err}
			}
			m, annotated, err := build.Annotate(wasm, c.Path("manifest"), text)
			if _, wrong := errors.AsType[manifest.Errors](err); wrong {
				return usageError{err}
			}
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if err := build.ReplaceFile(out, annotated); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.ErrWriter, "%s: %s %s, %s\n", out, m.Name, m.Version, bytesText(len(annotated)))
			return err
		},
	})
}

// rewrittenFlag is for commands that change a .wasm.
func rewrittenFlag() cli.Flag {
	return &cli.PathFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the module to `FILE`", DefaultText: "the file itself"}
}

// toRewrite reads the .wasm that such a command is given, and says where it belongs then.
func toRewrite(c *cli.Context) (file, out string, wasm []byte, err error) {
	if err := arguments(c, 1, 1); err != nil {
		return "", "", nil, err
	}
	file, out = c.Args().First(), c.Path("output")
	if out == "" {
		out = file
	}
	if wasm, err = readModule(file); err != nil {
		return "", "", nil, usageError{err}
	}
	return file, out, wasm, nil
}
