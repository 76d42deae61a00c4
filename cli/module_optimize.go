package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/author/build"
	"github.com/leash-gateway/leash/author/optimize"
)

func moduleOptimizeCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "optimize",
		Usage:     "make a .wasm faster that go build has made",
		ArgsUsage: "FILE.wasm",
		Description: "Go's compiler makes every jump go through a table and reckons each argument's place anew, which engines do not see through; and it does not tell\n" +
			"them which conditions hardly ever hold. Here that is set right in the finished file; what the module does is the same. leash module build does so\n" +
			"by itself: this is for those who call go build, and for modules of other SDKs for Go. What other compilers have made stays as it is, and so does\n" +
			"what is optimized already.",
		Flags: []cli.Flag{rewrittenFlag()},
		Action: func(c *cli.Context) error {
			file, out, wasm, err := toRewrite(c)
			if err != nil {
				return err
			}
			fast, err := optimize.Module(wasm)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			return build.ReplaceFile(out, fast)
		},
	})
}
