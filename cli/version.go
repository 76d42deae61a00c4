package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// versionOf falls back to what the Go toolchain knows where the linker set nothing.
func versionOf(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func versionCommand() *cli.Command {
	return command(&cli.Command{
		Name:   "version",
		Usage:  "print the version",
		Action: printVersion,
	})
}

func printVersion(c *cli.Context) error {
	_, err := fmt.Fprintln(c.App.Writer, c.App.Version)
	return err
}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:         "completion",
		Usage:        "print the completion script for a shell",
		ArgsUsage:    "bash|zsh",
		OnUsageError: onUsageError,
		Action: func(c *cli.Context) error {
			script, ok := completions[c.Args().First()]
			if !ok || c.NArg() != 1 {
				return badUsage("completion: name one shell, bash or zsh")
			}
			_, err := fmt.Fprint(c.App.Writer, script)
			return err
		},
	}
}

// completions ask the command itself, as urfave/cli documents it.
var completions = map[string]string{
	"bash": `_leash() {
  local words="${COMP_WORDS[*]:0:$COMP_CWORD}"
  COMPREPLY=($(compgen -W "$($words --generate-bash-completion)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o bashdefault -o default -F _leash leash
`,
	"zsh": `#compdef leash
_leash() {
  local -a commands
  commands=("${(@f)$(${words[@]:0:#words[@]-1} --generate-bash-completion)}")
  _describe 'leash' commands
}
compdef _leash leash
`,
}
