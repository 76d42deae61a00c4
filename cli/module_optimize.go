package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/author/build"
	"github.com/leash-gateway/leash/author/jumps"
)

func moduleOptimizeCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "optimize",
		Usage:     "make a .wasm faster that go build has made",
		ArgsUsage: "FILE.wasm",
		Description: "Go's compiler makes every jump go through a table, which engines do not see through. Where a jump only leads further on it goes there\n" +
			"directly now; what the module does is the same. leash module build does so by itself: this is for those who call go build, and for modules\n" +
			"of other SDKs for Go. What other compilers have made stays as it is.",
		Flags: []cli.Flag{rewrittenFlag()},
		Action: func(c *cli.Context) error {
			file, out, wasm, err := toRewrite(c)
			if err != nil {
				return err
			}
			short, err := jumps.Shorten(wasm)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			return build.ReplaceFile(out, short)
		},
	})
}
