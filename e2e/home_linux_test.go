package e2e

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// As a service's user has none, or a container's with a number of its own whose files may only be read.
func TestEnvoyIsRunForAUserWithoutAHome(t *testing.T) {
	t.Parallel()
	// This user under a number that the machine knows no home of.
	const unknown = 4242
	stranger := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: unknown, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: unknown, HostID: os.Getgid(), Size: 1}},
	}
	probe := exec.CommandContext(t.Context(), "true")
	if probe.SysProcAttr = stranger; probe.Run() != nil {
		stranger = nil // a container that may not do that: such a user it has itself, often
	}
	g := prepare(t, policies, ports{Provider: "http://127.0.0.1:1/v1"})
	command := exec.Command("env", "HOME=/dev/null", "USER=stranger", built(t), "up", "--engine", "envoy", "-c", g.Config) //nolint:gosec // our own command
	command.SysProcAttr = stranger
	g.run(command)
	g.waitReady()
}
