package cli

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
)

// errScenarios says only that something failed: what it was has been told.
var errScenarios = errors.New("not all scenarios pass")

func moduleCommand() *cli.Command {
	return group(&cli.Command{
		Name:  "module",
		Usage: "make, build, test, run, measure, fuzz, publish, sign and promote modules",
		Subcommands: []*cli.Command{
			moduleNewCommand(), moduleBuildCommand(), moduleAnnotateCommand(), moduleOptimizeCommand(), moduleUpgradeKitCommand(), moduleInspectCommand(),
			modulePushCommand(), modulePullCommand(), moduleListCommand(), moduleTagCommand(), moduleCopyCommand(),
			moduleGenerateKeyCommand(), moduleSignCommand(), moduleVerifyCommand(), moduleLoginCommand(), moduleLogoutCommand(),
			modulePromoteCommand(), moduleRollbackCommand(), moduleDeprecateCommand(), moduleYankCommand(), moduleVersionsCommand(), moduleHistoryCommand(), moduleSearchCommand(),
			moduleTestCommand(), moduleRunCommand(), moduleBenchCommand(), moduleFuzzCommand(), moduleCompileCommand(),
		},
	})
}

// withArguments is command for those that take arguments.
func withArguments(c *cli.Command) *cli.Command {
	c.OnUsageError = onUsageError
	c.HideHelpCommand = true
	return c
}

// flagsFirst moves flags before the arguments of the command that they are for: the flag package ends at the first argument.
func flagsFirst(app *cli.App, args []string) []string {
	commands, at := app.Commands, 1
	var flags []cli.Flag
	for ; at < len(args); at++ {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[at]) })
		if i < 0 {
			break
		}
		flags, commands = commands[i].Flags, commands[i].Subcommands
	}
	sorted, arguments := slices.Clone(args[:min(at, len(args))]), []string{}
	for ; at < len(args); at++ {
		arg := args[at]
		if arg == "--" || !strings.HasPrefix(arg, "-") || arg == "-" {
			if arg == "--" {
				arguments = append(arguments, args[at:]...)
				break
			}
			arguments = append(arguments, arg)
			continue
		}
		sorted = append(sorted, arg)
		if takesValue(flags, strings.TrimLeft(arg, "-")) && at+1 < len(args) {
			at++
			sorted = append(sorted, args[at])
		}
	}
	return append(sorted, arguments...)
}

func takesValue(flags []cli.Flag, name string) bool {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			_, isBool := f.(*cli.BoolFlag)
			return !isBool
		}
	}
	return false
}

// newHarness keeps compiled code.
func newHarness(c *cli.Context) (*harness.Harness, error) {
	return harness.New(c.Context, harness.Options{CacheDir: c.Path("cache")})
}

// moduleFlag names modules' files.
func moduleFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "module", Usage: "the file of a module, as `NAME=FILE.wasm`; may be repeated"}
}

// finder finds modules: those that are named, and else in the folders where they are built.
func finder(c *cli.Context, folder string) (scenario.Finder, error) {
	named := map[string]string{}
	for _, one := range c.StringSlice("module") {
		name, file, found := strings.Cut(one, "=")
		if !found || name == "" || file == "" {
			return nil, badUsage("--module %s: write it as NAME=FILE.wasm", one)
		}
		named[name] = file
	}
	dirs := []string{os.Getenv("LEASH_MODULES_DIR"), filepath.Join("build", "modules"), filepath.Join(folder, "build", "modules")}
	if executable, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(filepath.Dir(executable)), "build", "modules"))
	}
	dirs = slices.Compact(slices.DeleteFunc(append(dirs, folder), func(dir string) bool { return dir == "" }))
	return scenario.In(named, dirs...), nil
}
