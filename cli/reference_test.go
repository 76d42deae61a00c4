package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/urfave/cli/v2"
)

func TestReferenceIsCurrent(t *testing.T) {
	golden.Assert(t, reference(t), "../../docs/reference/commands.md")
}

func reference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# Commands

<!-- Generated from package cli: go test ./cli -update -->

Data goes to standard output; what is for people, errors among it, to standard error. Exit codes: 0 done, 1 failed, 2 bad usage or
configuration.
`)
	for _, name := range commandNames() {
		help, _, code := leash(t, append(strings.Fields(name), "--help")...)
		if code != exitDone {
			t.Fatalf("leash %s --help ends with %d", name, code)
		}
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n", strings.TrimSpace("leash "+name), strings.TrimSpace(help))
	}
	return b.String()
}

// commandNames are all commands, as they are typed behind leash; the first is leash itself.
func commandNames() []string {
	names := []string{""}
	var collect func(before string, commands []*cli.Command)
	collect = func(before string, commands []*cli.Command) {
		for _, c := range commands {
			if !c.Hidden {
				names = append(names, before+c.Name)
				collect(before+c.Name+" ", c.Subcommands)
			}
		}
	}
	collect("", newApp("", new(bytes.Buffer), new(bytes.Buffer)).Commands)
	return names
}
