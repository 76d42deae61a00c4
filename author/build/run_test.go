package build_test

import (
	"fmt"
	"os/exec"
)

// run runs a program in a folder; what it wrote stands in the error.
func run(dir, name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return nil
}
