package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// A variant is one way from the client to the provider.
type variant struct {
	name string
	// start runs what is measured; nil is the direct way.
	start func(ctx context.Context, dir, provider string) (*server, error)
	// translated says that the provider has another API than the client.
	translated bool
	// optional is what the report may lack: it says why.
	optional bool
}

const (
	// plainName is what the others are compared with.
	plainName   = "plain Envoy"
	oneFileName = "Envoy, six modules, one file"
	filtersName = "Envoy, six modules, a filter each"
	filesName   = "Envoy, six modules, a file each"
	// translatedName is added to the names of those whose provider has another API than the client.
	translatedName = ", chats translated to messages"
)

// A pipeline is what is measured of Leash.
type pipeline struct {
	modules    []string // none: the module route alone, without keys
	layout     string   // of the modules; together by default
	translated bool     // the provider is spoken to as Anthropic's
}

func variants(onlyLeash bool) []variant {
	list := []variant{
		{name: "direct connection"},
		{name: plainName, start: plainEnvoy},
		{name: "Envoy, one module (route)", start: leash(pipeline{})},
		{name: filesName, start: leash(pipeline{modules: modules, layout: "files"})},
		{name: filtersName, start: leash(pipeline{modules: modules, layout: "filters"})},
		{name: oneFileName, start: leash(pipeline{modules: modules})},
		{name: oneFileName + translatedName, start: leash(pipeline{modules: modules, translated: true}), translated: true},
		{name: reverseProxyName, start: startReverseProxy},
		{name: embeddedName, start: embedded(pipeline{modules: modules})},
		{name: embeddedName + translatedName, start: embedded(pipeline{modules: modules, translated: true}), translated: true},
		{name: emptyHostName, start: emptyHost},
		{name: moduleHostName, start: moduleHost},
	}
	if !onlyLeash {
		list = append(list,
			variant{name: "LiteLLM proxy, two workers, no policies", start: liteLLM, optional: true},
			variant{name: "Portkey gateway, no policies", start: portkey, optional: true})
	}
	return list
}

// modules are the quickstart's, with a limit that is never reached.
var modules = []string{
	"module: costtracker", "module: logger", "module: auth",
	"module: ratelimit\n    config: {limits: [{requests: 100000000, tokens: 1000000000, window: 1m}]}",
	"module: contentfilter\n    config: {rules: [{name: words, keywords: [bluebird, nightingale, osprey], action: block}, " +
		"{name: card, builtins: [card], action: redact}, {name: email, builtins: [email], action: flag}]}",
}

// A server is a started program.
type server struct {
	url     string // with /v1
	header  http.Header
	command *exec.Cmd
	log     bytes.Buffer
	ended   chan struct{}
	counts  func(procfs.ProcStat) bool // says whose memory and processor time are its own
}

// launch starts a program and waits until ready answers 200.
func launch(ctx context.Context, ready string, command *exec.Cmd) (*server, error) {
	s := &server{command: command, ended: make(chan struct{}), header: http.Header{}}
	command.Stderr = &s.log
	if command.Stdout == nil {
		command.Stdout = io.Discard
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := command.Start(); err != nil {
		return nil, err
	}
	s.counts = process(command.Process.Pid)
	go func() { _ = command.Wait(); close(s.ended) }()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		if response, err := http.Get(ready); err == nil { //nolint:gosec,noctx // our own address
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		select {
		case <-s.ended:
			return nil, fmt.Errorf("%s ended: %s", filepath.Base(command.Path), tail(s.log.String()))
		case <-ctx.Done():
			s.stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.stop()
			return nil, fmt.Errorf("%s is not ready after 2 minutes: %s", filepath.Base(command.Path), tail(s.log.String()))
		}
	}
}

func tail(s string) string {
	const most = 600
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

func (s *server) stop() {
	_ = syscall.Kill(-s.command.Process.Pid, syscall.SIGINT)
	select {
	case <-s.ended:
	case <-time.After(15 * time.Second):
		_ = syscall.Kill(-s.command.Process.Pid, syscall.SIGKILL)
		<-s.ended
	}
}

// used is what the programs take whose use counts: memory now, and processor time since they began.
func (s *server) used() (memory int64, cpu time.Duration, err error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return 0, 0, fmt.Errorf("list processes: %w", err)
	}
	for _, one := range all {
		if stat, err := one.Stat(); err == nil && s.counts(stat) { // else it has ended meanwhile
			memory += int64(stat.ResidentMemory())
			cpu += time.Duration(stat.CPUTime() * float64(time.Second))
		}
	}
	return memory, cpu, nil
}

// process counts one program.
func process(pid int) func(procfs.ProcStat) bool {
	return func(p procfs.ProcStat) bool { return p.PID == pid }
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()                          //nolint:errcheck // nothing was sent
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert,errorlint // a TCP listener has it
}

func startMock(ctx context.Context) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/v1", port)
	s, err := launch(ctx, url+"/models", exec.CommandContext(ctx, "bin/leash", "mock", "--listen", fmt.Sprintf("127.0.0.1:%d", port)))
	if err != nil {
		return nil, fmt.Errorf("start leash mock: %w", err)
	}
	s.url = url
	return s, nil
}

// leash starts the product with Envoy.
func leash(p pipeline) func(ctx context.Context, dir, provider string) (*server, error) {
	return func(ctx context.Context, dir, provider string) (*server, error) {
		s, err := up(ctx, dir, "envoy", p.config(provider))
		if err != nil {
			return nil, err
		}
		parent := s.command.Process.Pid
		s.counts = func(p procfs.ProcStat) bool { return p.PPID == parent && p.Comm == "envoy" }
		return s, nil
	}
}

// up runs `leash up` with an engine. config is the leash.yaml, but for where it listens.
func up(ctx context.Context, dir, engine, config string) (*server, error) {
	file, port, err := writeConfig(dir, config)
	if err != nil {
		return nil, err
	}
	s, err := launch(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", port[1]), exec.CommandContext(ctx, "bin/leash", "up", "--engine", engine, "-c", file)) //nolint:gosec // our own command
	if err != nil {
		return nil, err
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d/v1", port[0])
	return s, nil
}

// writeConfig writes a leash.yaml that listens at these free ports: the gateway's, the control service's and Envoy's admin's.
func writeConfig(dir, config string) (file string, port [3]int, err error) {
	for i := range port {
		if port[i], err = freePort(); err != nil {
			return "", port, err
		}
	}
	file = filepath.Join(dir, "leash.yaml")
	listen := fmt.Sprintf("listen: 127.0.0.1:%d\ncontrol: {listen: 127.0.0.1:%d}\nenvoy: {admin: 127.0.0.1:%d, concurrency: 2}\n", port[0], port[1], port[2])
	return file, port, os.WriteFile(file, []byte(listen+config), 0o600)
}

// config is the leash.yaml of a pipeline before a provider.
func (p pipeline) config(provider string) string {
	kind, model := "openai", ""
	if p.translated {
		kind, model, provider = "anthropic", ", upstream_model: claude-sonnet-4-5", strings.TrimSuffix(provider, "/v1")
	}
	config := fmt.Sprintf(`modules: {layout: %s}
providers: {mock: {kind: %s, base_url: %q}}
routes: [{model: "gpt-*", provider: mock%s}]
`, cmp.Or(p.layout, "together"), kind, provider, model)
	if p.modules == nil {
		return config + "allow_anonymous: true\npipeline: [{module: route}]\n"
	}
	// the SHA-256 of sk-leash-demo
	return config + "tenants: {demo: {keys: [{name: bench, sha256: " + demoSHA256 + "}]}}\npipeline:\n  - " + strings.Join(p.modules, "\n  - ") + "\n"
}

// plainEnvoy is Envoy with nothing in it but its router.
func plainEnvoy(ctx context.Context, dir, provider string) (*server, error) {
	return envoyWith(ctx, dir, provider, "", "")
}

// envoyWith is Envoy with a filter before its router, and a cluster for it.
func envoyWith(ctx context.Context, dir, provider, filter, cluster string) (*server, error) {
	listen, err := freePort()
	if err != nil {
		return nil, err
	}
	admin, err := freePort()
	if err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(provider, "http://"), "/v1"), ":")
	s, err := runEnvoy(ctx, dir, fmt.Appendf(nil, plainBootstrap, admin, listen, filter, cluster, port), admin)
	if err != nil {
		return nil, err
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d/v1", listen)
	return s, nil
}

// runEnvoy runs Envoy with a bootstrap, which has its admin at a port.
func runEnvoy(ctx context.Context, dir string, bootstrap []byte, admin int) (*server, error) {
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		return nil, err
	}
	envoy, err := findEnvoy()
	if err != nil {
		return nil, err
	}
	return launch(ctx, fmt.Sprintf("http://127.0.0.1:%d/ready", admin),
		exec.CommandContext(ctx, envoy, "-c", file, "--concurrency", "2", "-l", "warning", "--use-dynamic-base-id")) //nolint:gosec // Envoy
}

const plainBootstrap = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: plain
                route_config:
                  virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: provider, timeout: 60s}}]}]
                http_filters:%s
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:%s
    - name: provider
      type: STATIC
      load_assignment:
        cluster_name: provider
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]
`

// findEnvoy finds the Envoy that leash finds.
func findEnvoy() (string, error) {
	if path := os.Getenv("ENVOY_PATH"); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return path, nil
	}
	found, err := filepath.Glob(".envoy/lib/python*/site-packages/envoy/_bin/envoy")
	if err != nil || len(found) == 0 {
		return "", errors.New("found no Envoy: run make envoy")
	}
	return found[0], nil
}
