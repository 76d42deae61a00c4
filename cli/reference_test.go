package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

const referenceFile = "../docs/reference/commands.md"

func TestReferenceIsCurrent(t *testing.T) {
	want := reference(t)
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the commands say: run go test ./cli -update", referenceFile)
	}
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
