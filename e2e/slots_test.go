package e2e

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/leash-gateway/leash/internal/nettest"
	"github.com/leash-gateway/leash/mock"
)

// A mesh is the example mesh-slot on other ports: a registry, and an Envoy that somebody else has started.
type mesh struct {
	t                 *testing.T
	dir               string
	ports             *strings.Replacer
	registry, gateway string
	serving           *exec.Cmd
	env               []string
}

func startMesh(t *testing.T) *mesh {
	t.Helper()
	_, provider := startProvider(t, mock.Options{})
	registry, envoys, gateway, admin := nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t)
	_, application, _ := strings.Cut(strings.TrimSuffix(provider, "/v1"), "http://")
	port := func(address string) string { return "port_value: " + address[strings.LastIndex(address, ":")+1:] }
	m := &mesh{t: t, dir: t.TempDir(), registry: registry, gateway: "http://" + gateway, ports: strings.NewReplacer(
		"127.0.0.1:5050", registry, "127.0.0.1:5051", envoys, "127.0.0.1:10000", gateway,
		"port_value: 5051", port(envoys), "port_value: 10000", port(gateway), "port_value: 9902", port(admin), "port_value: 8090", port(application),
	)}
	bin := t.TempDir()
	if err := os.Symlink(leash(t), filepath.Join(bin, "leash")); err != nil {
		t.Fatal(err)
	}
	m.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "LEASH_BLOBS="+t.TempDir(), "DOCKER_CONFIG="+t.TempDir(), "GOPROXY=off", "GOWORK=off")
	for _, name := range []string{"registry.yaml", "slots.yaml", "envoy.yaml"} {
		text, err := os.ReadFile(filepath.Join(root(t), "examples", "mesh-slot", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(m.ports.Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.serve()
	m.background(exec.Command(nettest.Envoy(t), "-c", filepath.Join(m.dir, "envoy.yaml"), "--disable-hot-restart", "--concurrency", "2", "-l", "warning"))
	return m
}

// serve starts the registry.
func (m *mesh) serve() {
	m.t.Helper()
	// With the race detector, and other tests beside it, trying a module takes long.
	m.serving = m.background(exec.Command(leash(m.t), "registry", "serve", "-c", filepath.Join(m.dir, "registry.yaml"), "--data", filepath.Join(m.dir, "data"), "--try-timeout", "1h"))
	nettest.Eventually(m.t, "the registry to be ready", func() bool {
		r, err := http.Get("http://" + m.registry + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// background starts a process. The end of the test ends it.
func (m *mesh) background(command *exec.Cmd) *exec.Cmd {
	m.t.Helper()
	var log bytes.Buffer
	command.Stdout, command.Stderr, command.Env, command.Dir = &log, &log, m.env, m.dir
	if err := command.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if m.t.Failed() {
			m.t.Logf("%v:\n%s", command.Args, log.String())
		}
	})
	return command
}

// types runs what somebody would paste, and returns what it prints.
func (m *mesh) types(script string) string {
	m.t.Helper()
	command := exec.Command("bash", "-euo", "pipefail", "-c", m.ports.Replace(script))
	command.Dir, command.Env = m.dir, m.env
	out, err := command.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%v\n%s\nafter\n%s", err, out, script)
	}
	return string(out)
}

func TestMeshOfTheExampleTakesAModuleAndTheNextOne(t *testing.T) {
	t.Parallel()
	const readme = "examples/mesh-slot/README.md"
	m := startMesh(t)
	nettest.Eventually(t, "envoy to refuse", func() bool {
		out, err := exec.Command("bash", "-c", m.ports.Replace(shell(t, readme, "## No module yet"))).Output()
		return err == nil && strings.Contains(string(out), "policy_not_loaded")
	})
	promoted := func(out string) {
		t.Helper()
		if !strings.Contains(out, "prepared: 1 slots on standby had loaded it") || !strings.Contains(out, "running: in 1 of 1 slots") {
			t.Errorf("promoted with %s", out)
		}
	}
	promoted(m.types(shell(t, readme, "## A module\n")))
	status := shell(t, readme, "Which Envoy runs what:")
	runs := func(version string) func() bool {
		return func() bool {
			out := m.types(status)
			return regexp.MustCompile(`edge-1 +leash/demo/modelguard@stable +` + regexp.QuoteMeta(version) + ` +\S+ +current`).MatchString(out)
		}
	}
	nettest.Eventually(t, "the module", runs("0.1.0"))
	if out := m.types(shell(t, readme, "The first of these is answered")); !strings.Contains(out, "Say hello") || strings.Count(out, `"error"`) != 1 {
		t.Errorf("one model is allowed, and the other is not: %s", out)
	}
	promoted(m.types(shell(t, readme, "## The next version")))
	nettest.Eventually(t, "the next version", runs("0.2.0"))
	for format, want := range map[string]string{"json": `"version": "0.2.0"`, "yaml": "version: 0.2.0"} {
		if out := m.types(strings.TrimSpace(status) + " -o " + format); !strings.Contains(out, want) {
			t.Errorf("as %s: %s", format, out)
		}
	}
	// Killed, the registry changes nothing in the Envoy; started again, it knows what the Envoy runs.
	_ = m.serving.Process.Kill()
	_ = m.serving.Wait()
	if out := m.types(shell(t, readme, "The first of these is answered")); strings.Count(out, `"error"`) != 1 {
		t.Errorf("without a registry: %s", out)
	}
	m.serve()
	nettest.Eventually(t, "the Envoy to be known again", runs("0.2.0"))
}

func TestSlotOfTheExampleIsWhatIsRendered(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(leash(t), "render", "--target", "slot", "--slot", "leash/demo/modelguard@stable").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root(t), "examples", "mesh-slot", "envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		have[strings.TrimSpace(line)] = true
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") && !strings.Contains(line, ": # of") && !have[line] {
			t.Errorf("envoy.yaml has no line %q", line)
		}
	}
}
