package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

func TestNoProcessIsLeftBehind(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			provider, url := startProvider(t, mock.Options{Key: upstreamKey})
			provider.SetFaults(mock.Behavior{HangAfter: 3})
			g := start(t, policies, ports{Provider: url})
			response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("lorem: 9", true)))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // it hangs, and is cut
			if len(children(g.command.Process.Pid)) != 1 {
				t.Fatal("leash has no Envoy")
			}
			if len(g.temporaryFolders()) == 0 {
				t.Error("it has no folder for Envoy's socket: what is looked for?")
			}
			g.end(signal)
			for _, path := range []string{g.URL, g.Control, g.Admin} {
				if response, err := http.Get(path); err == nil {
					_ = response.Body.Close()
					t.Errorf("%s is still answered", path)
				}
			}
			if after := g.temporaryFolders(); signal != syscall.SIGKILL && len(after) > 0 {
				t.Errorf("its folder is left: %v", after)
			}
		})
	}
}

func TestEnvoyThatCannotBeBroughtIsToldAtOnce(t *testing.T) {
	t.Parallel()
	g := prepare(t, policies, ports{Provider: "http://127.0.0.1:1/v1"})
	// A copy elsewhere, which finds no Envoy, and no network to download one from.
	home := t.TempDir()
	binary, err := os.ReadFile(leash(t))
	if err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(home, "leash")
	if err := os.WriteFile(alone, binary, 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), alone, "up", "--engine", "envoy", "-c", g.Config) //nolint:gosec // our own command
	command.Dir = home
	command.Env = []string{
		"HOME=" + home, "PATH=" + home, "HTTPS_PROXY=http://127.0.0.1:1", "LEASH_TEST_KEY=" + upstreamKey,
		"LEASH_MODULES_DIR=" + filepath.Join(root(t), "build", "modules"),
	}
	out, err := command.CombinedOutput()
	if command.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "leash: download envoy") || !strings.Contains(string(out), "--engine embedded") {
		t.Errorf("got %v and %s, want that it says what to do", err, out)
	}
}

// temporaryFolders are those that it has made and not removed.
func (g *gateway) temporaryFolders() []string {
	g.t.Helper()
	found, err := filepath.Glob(filepath.Join(g.temporary, "leash-*", "xds.sock"))
	if err != nil {
		g.t.Fatal(err)
	}
	return found
}

// childOf finds the Envoy that a process has started.
func childOf(t testing.TB, parent int) int {
	t.Helper()
	if found := children(parent); len(found) > 0 {
		return found[0]
	}
	t.Fatalf("process %d has no child", parent)
	return 0
}

// children are the processes that a process has started, as far as they are Envoys.
func children(parent int) (found []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path) //nolint:gosec // from the glob
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat))
		if len(fields) > 3 && fields[1] == "(envoy)" && fields[2] != "Z" && fields[3] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(fields[0])
			found = append(found, pid)
		}
	}
	return found
}

// alive says whether a process is there and has not ended.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat))
	return len(fields) > 2 && fields[2] != "Z"
}

// TestASecondCtrlCEndsAtOnce: whoever presses it again has decided that nothing is worth waiting for.
func TestASecondCtrlCEndsAtOnce(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		provider, url := startProvider(t, mock.Options{Key: upstreamKey})
		provider.SetFaults(mock.Behavior{HangAfter: 3})
		g := prepare(t, policies, p.of(url))
		g.run(exec.Command(leash(t), "up", "--drain", "1h", "--engine", p.engine(), "-c", g.Config)) //nolint:gosec // our own command
		g.waitReady()
		response, err := http.DefaultTransport.RoundTrip(g.request(chatBody("lorem: 9", true)))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // it hangs, and is cut
		started := children(g.command.Process.Pid)
		if err := g.command.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		nettest.Eventually(t, "the first to have been noticed", func() bool {
			response, err := http.Get(g.Control + "/healthz")
			if err == nil {
				_ = response.Body.Close()
			}
			return err != nil
		})
		if err := g.command.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		<-g.ended
		if err := g.command.Wait(); err == nil {
			t.Error("it ended as if nothing had been cut")
		}
		for _, pid := range started {
			nettest.Eventually(t, "its Envoy to end", func() bool { return !alive(pid) })
		}
	})
}

func TestAStreamHasTheTimeToEndThatDrainGives(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, p ports) {
		provider, url := startProvider(t, mock.Options{Control: true, Key: upstreamKey})
		provider.SetFaults(mock.Behavior{Pace: time.Second})
		g := prepare(t, policies, p.of(url))
		g.run(exec.Command(leash(t), "up", "--drain", "1m", "--engine", p.engine(), "-c", g.Config)) //nolint:gosec // our own command
		g.waitReady()
		read := make(chan string, 1)
		go func() {
			defer close(read)
			read <- g.stream("say: " + strings.Repeat("word ", 7)).Body // longer than without the flag
		}()
		nettest.Eventually(t, "the request to reach the provider", func() bool { return strings.Contains(received(t, url), "word") })
		g.end(syscall.SIGTERM)
		if body := <-read; !strings.HasSuffix(strings.TrimSpace(body), "data: [DONE]") {
			t.Errorf("the stream was cut: %s", body)
		}
	})
}

func TestRequestsDoNotWaitForWhoReadsTheirLines(t *testing.T) {
	t.Parallel()
	for name, reader := range map[string]struct {
		is   func(t *testing.T, r, w *os.File)
		code int // with which leash ends
	}{
		"has ended": {func(_ *testing.T, r, _ *os.File) { _ = r.Close() }, 1}, // what it prints was not written
		"stands still": {func(t *testing.T, _, w *os.File) {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil { // as much as a pipe takes
				t.Fatal(err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			onEngines(t, func(t *testing.T, p ports) {
				_, url := startProvider(t, mock.Options{Key: upstreamKey})
				g := prepare(t, policies, p.of(url))
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = r.Close() })
				reader.is(t, r, w)
				// The pipe that tells that it has ended stays open as another file.
				command := exec.Command("sh", "-c", `exec "$0" "$@" 4>&1 >&3 3>&-`, leash(t), "up", "--engine", p.engine(), "-c", g.Config) //nolint:gosec // our own command
				command.ExtraFiles = []*os.File{w}
				g.run(command)
				_ = w.Close()
				g.waitReady()
				for range 3 {
					if a := g.chat("say: hi"); a.Status != 200 {
						t.Errorf("got %d %s", a.Status, a.Body)
					}
					g.waitReady()
				}
				_ = command.Process.Signal(syscall.SIGTERM)
				<-g.ended
				_ = command.Wait() // whose result is looked at
				if code := command.ProcessState.ExitCode(); code != reader.code {
					t.Errorf("leash ended with %d, want %d:\n%s", code, reader.code, g.stderr())
				}
			})
		})
	}
}
