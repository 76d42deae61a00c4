//go:build linux

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/registry/registrytest"
)

// A terminal is a person in front of the built command.
type terminal struct {
	t       *testing.T
	screen  *os.File
	command *exec.Cmd

	mu   sync.Mutex
	seen bytes.Buffer
	read chan struct{} // closed when all has been read
}

// onTerminal starts the command on a terminal.
func onTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(stop)
	x := &terminal{t: t, command: exec.CommandContext(ctx, built, args...), read: make(chan struct{})}
	var err error
	if x.screen, err = pty.Start(x.command); err != nil {
		t.Fatalf("%v (make leash builds it)", err)
	}
	t.Cleanup(func() { _ = x.screen.Close() })
	go func() {
		defer close(x.read)
		buffer := make([]byte, 4096)
		for {
			n, err := x.screen.Read(buffer)
			x.mu.Lock()
			x.seen.Write(buffer[:n])
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return x
}

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.seen.String()
}

// echoes says whether the terminal shows what is typed.
func (x *terminal) echoes() bool {
	state, err := unix.IoctlGetTermios(int(x.screen.Fd()), unix.TCGETS)
	return err != nil || state.Lflag&unix.ECHO != 0
}

// answers waits for a question, and types.
func (x *terminal) answers(question, answer string) {
	x.t.Helper()
	secret := strings.HasPrefix(question, "Password")
	nettest.Succeeds(x.t, fmt.Sprintf("the question %q", question), func() error {
		if text := x.text(); !strings.Contains(text, question) || secret && x.echoes() {
			return errors.New(text)
		}
		return nil
	})
	if _, err := io.WriteString(x.screen, answer+"\n"); err != nil {
		x.t.Fatal(err)
	}
}

// ends waits for the end, and returns what was on the screen.
func (x *terminal) ends(code int) string {
	x.t.Helper()
	<-x.read // at the end of the process Linux says EIO
	if err := x.command.Wait(); err != nil && !errors.Is(err, syscall.EIO) && x.command.ProcessState.ExitCode() != code {
		x.t.Errorf("got %v, want exit code %d:\n%s", err, code, x.text())
	}
	return x.text()
}

func TestNewAsksOnATerminal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mine")
	x := onTerminal(t, "module", "new", "--dir", dir)
	x.answers("Name of the module: ", "mine")
	x.answers("Template (leash module new --help lists them) [minimal]: ", "policy")
	if got := x.ends(exitDone); !strings.Contains(got, "mine is made") {
		t.Errorf("got %s", got)
	}
	if code, err := os.ReadFile(filepath.Join(dir, "module.go")); err != nil || !strings.Contains(string(code), "module.Policy") {
		t.Errorf("another template than the answer's: %v", err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if got := onTerminal(t, "module", "new", "other", "--template", "minimal", "--dir", other).ends(exitDone); strings.Contains(got, "[minimal]") {
		t.Errorf("it asks for what a flag says: %s", got)
	}
}

func TestPasswordsAreAskedForOnATerminalAndNotShown(t *testing.T) {
	const secret = "planted-on-the-screen"
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	for _, name := range []string{"LEASH_KEY_PASSWORD", "COSIGN_PASSWORD"} {
		t.Setenv(name, "") // restored afterwards
		_ = os.Unsetenv(name)
	}
	t.Run("of a new key", func(t *testing.T) {
		x := onTerminal(t, "module", "generate-key", filepath.Join(dir, "release"))
		x.answers("Password for the new key: ", secret)
		if got := x.ends(exitDone); strings.Contains(got, secret) || !strings.Contains(got, "keep the first one secret") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("of a key that signs", func(t *testing.T) {
		file := filepath.Join(dir, "greeter.wasm")
		write(t, file, string(registrytest.Module(t, "greeter", "1.0.0", "content")))
		x := onTerminal(t, "module", "sign", file, "--key", filepath.Join(dir, "release.key"))
		x.answers("Password of the key: ", secret)
		if got := x.ends(exitDone); strings.Contains(got, secret) || !strings.Contains(got, "is written") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("of a registry", func(t *testing.T) {
		registry := registrytest.Serve(t, registrytest.Olareg(t))
		x := onTerminal(t, "module", "login", registry, "-u", "ada", "--plaintext")
		x.answers("Password: ", secret)
		if got := x.ends(exitDone); strings.Contains(got, secret) || !strings.Contains(got, "logged in") {
			t.Errorf("got %s", got)
		}
	})
}

func TestProgressIsShownOnATerminalOnly(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "greeter.wasm")
	write(t, file, string(registrytest.Module(t, "greeter", "1.0.0", strings.Repeat("no two lines alike ", 100_000))))
	ref := registrytest.Serve(t, registrytest.Olareg(t)) + "/team/greeter"
	bar := func(text string) bool { return strings.Contains(text, "%") || strings.Contains(text, "\x1b[") }
	if got := onTerminal(t, "module", "push", ref+":1.0.0", "-f", file).ends(exitDone); !bar(got) {
		t.Errorf("a terminal shows %q", got)
	}
	stdout, stderr, code := program(t, "module", "push", ref+":v1.0.0", "-f", file)
	if code != exitDone || stderr != "" || !strings.HasPrefix(stdout, ref) || strings.Count(stdout, "\n") != 1 {
		t.Errorf("a pipe gets %d %q %q", code, stdout, stderr)
	}
	folder := t.TempDir()
	pull := []string{"module", "pull", ref + ":1.0.0", "-o", filepath.Join(folder, "pulled.wasm"), "--blobs"}
	if got := onTerminal(t, append(pull, filepath.Join(folder, "a"))...).ends(exitDone); !bar(got) {
		t.Errorf("a terminal shows %q", got)
	}
	if _, stderr, code := program(t, append(pull, filepath.Join(folder, "b"))...); code != exitDone || bar(stderr) {
		t.Errorf("a pipe gets %d %q", code, stderr)
	}
}
