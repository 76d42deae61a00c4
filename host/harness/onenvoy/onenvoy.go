// Package onenvoy runs the harness's pipelines on a real Envoy: one process with a listener for each, a scripted
// provider behind it and scripted servers for callouts, all on the loopback.
//
// Time is real there, shared data cannot be looked at and attributes cannot be given; pieces of a body may be joined on their way.
package onenvoy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
)

// Options are how Envoy is run.
type Options struct {
	// Envoy is the binary.
	Envoy string
	// Dir is a folder for its files. Default: a temporary one.
	Dir string
	// Log gets what Envoy writes. Default: nowhere.
	Log io.Writer
}

// A Target runs pipelines on Envoy. Close it when done.
type Target struct {
	o        Options
	mine     bool // Dir is to be removed
	prepared []harness.Setup
	envoy    *process
}

// together is how many pipelines one Envoy has: it compiles a module once for all of them, but each has VMs, of some 30 MB, three to a module.
const together = 32

var _ scenario.Target = (*Target)(nil)

// New is a Target; Envoy starts with the first Start.
func New(o Options) (*Target, error) {
	t := &Target{o: o}
	if o.Envoy == "" {
		return nil, errors.New("found no Envoy: run make envoy, or set ENVOY_PATH")
	}
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "leash-envoy-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for envoy: %w", err)
		}
		t.o.Dir, t.mine = dir, true
	}
	return t, nil
}

// Close ends Envoy.
func (t *Target) Close() {
	if t.envoy != nil {
		t.envoy.stop()
		t.envoy = nil
	}
	if t.mine {
		_ = os.RemoveAll(t.o.Dir)
	}
}

// Name is envoy.
func (*Target) Name() string { return "envoy" }

// Lacks are the clock, attributes and a look at shared data.
func (*Target) Lacks() scenario.Lacks {
	return scenario.Lacks{Clock: true, Shared: true, Properties: true}
}

// Prepare remembers what will come: pipelines that stand beside each other share an Envoy.
func (t *Target) Prepare(_ context.Context, all []harness.Setup) error {
	if t.envoy != nil {
		t.envoy.stop()
		t.envoy = nil
	}
	t.prepared = all
	return nil
}

// Start begins a session on the pipeline of a setup. One that was not among those prepared, because its modules are to refuse it, is tried on
// the Envoy that runs.
func (t *Target) Start(ctx context.Context, s harness.Setup) (scenario.Session, error) {
	at := slices.IndexFunc(t.prepared, func(one harness.Setup) bool { return one.Name == s.Name })
	if at < 0 && t.envoy != nil && len(s.Callouts) == 0 {
		port, err := t.envoy.add(ctx, s)
		if err != nil {
			return nil, err
		}
		return newSession(ctx, t.envoy, s, port, false)
	}
	if at < 0 {
		own, err := start(ctx, t.o, []harness.Setup{s})
		if err != nil {
			return nil, err
		}
		return newSession(ctx, own, s, own.ports[s.Name], true)
	}
	if from := at - at%together; t.envoy == nil || t.envoy.setups[0].Name != t.prepared[from].Name {
		if t.envoy != nil {
			t.envoy.stop()
			t.envoy = nil
		}
		var err error
		t.envoy, err = start(ctx, t.o, t.prepared[from:min(from+together, len(t.prepared))])
		if err != nil {
			return nil, err
		}
	}
	return newSession(ctx, t.envoy, s, t.envoy.ports[s.Name], false)
}

// process is a running Envoy with the servers around it.
type process struct {
	command *exec.Cmd
	cancel  context.CancelFunc
	read    chan struct{} // closed when its log has ended
	ended   chan struct{}
	admin   string
	setups  []harness.Setup
	ports   map[string]string // by the name of a setup
	// listeners is the file from which Envoy reads them.
	listeners string

	provider *server
	upstream map[string]*server
	client   *http.Client

	mu      sync.Mutex
	logs    []harness.Log
	crashes []error
	all     []string // what it wrote
}

// readyWithin is how long Envoy may take to compile all modules.
const readyWithin = 2 * time.Minute

func start(ctx context.Context, o Options, all []harness.Setup) (p *process, err error) {
	p = &process{
		setups: all, read: make(chan struct{}), ended: make(chan struct{}), ports: map[string]string{}, upstream: map[string]*server{},
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}},
	}
	dir, err := os.MkdirTemp(o.Dir, "run-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for envoy: %w", err)
	}
	if err := p.serve(all); err != nil {
		p.closeServers()
		return nil, err
	}
	adminFile, file := filepath.Join(dir, "admin"), filepath.Join(dir, "envoy.json")
	p.listeners = filepath.Join(dir, "listeners.json")
	text, err := p.bootstrap()
	if err == nil {
		err = p.writeListeners(all)
	}
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		p.closeServers()
		return nil, fmt.Errorf("write envoy's bootstrap: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.command = exec.CommandContext(running, o.Envoy, "-c", file, "--concurrency", "1", "--disable-hot-restart", //nolint:gosec // the user's Envoy
		"--admin-address-path", adminFile, "-l", "warning", "--component-log-level", "wasm:info")
	p.command.Cancel = func() error { return p.command.Process.Signal(os.Interrupt) }
	p.command.WaitDelay = 5 * time.Second
	out, err := p.command.StderrPipe()
	if err == nil {
		err = p.command.Start()
	}
	if err != nil {
		cancel()
		p.closeServers()
		return nil, fmt.Errorf("start envoy: %w", err)
	}
	go p.readLog(out, o.Log)
	go func() {
		<-p.read
		_ = p.command.Wait() // how it ended stands in its log
		close(p.ended)
	}()
	if err := p.waitReady(ctx, adminFile); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) stop() {
	p.cancel()
	<-p.ended
	p.closeServers()
}

func (p *process) waitReady(ctx context.Context, adminFile string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		if admin, err := os.ReadFile(adminFile); err == nil { //nolint:gosec // in our own folder
			p.admin = strings.TrimSpace(string(admin))
			if _, err := p.get(ctx, "/ready"); err == nil {
				return p.findPorts(ctx)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start envoy: it was not ready in time: %w%s", ctx.Err(), p.lastWords())
		case <-p.ended:
			return errors.New("start envoy: it ended" + p.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// add brings one more pipeline to an Envoy that runs. The error holds what it wrote if it refuses it.
func (p *process) add(ctx context.Context, s harness.Setup) (port string, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	const rejected = "Error adding/updating listener"
	before := p.wrote(rejected)
	if err := p.writeListeners(append(slices.Clone(p.setups), s)); err != nil {
		return "", fmt.Errorf("write envoy's listeners: %w", err)
	}
	for {
		if err := p.findPorts(ctx); err != nil {
			return "", err
		}
		switch {
		case p.ports[s.Name] != "":
			return p.ports[s.Name], nil
		case p.wrote(rejected) > before:
			return "", errors.New("start envoy: it refused the modules" + p.lastWords())
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("add a listener to envoy: %w%s", ctx.Err(), p.lastWords())
		case <-p.ended:
			return "", errors.New("add a listener to envoy: it ended" + p.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// wrote is how many lines with a text Envoy has written.
func (p *process) wrote(text string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (p *process) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New("envoy's admin: " + response.Status)
	}
	return text, err
}

var (
	// prefixed is "[date][thread][level][component] [source] message".
	prefixed = regexp.MustCompile(`^\[[^]]*\]\[[^]]*\]\[([^]]*)\]\[([^]]*)\] (?:\[[^]]*\] )?(.*)$`)
	// written is "wasm log NAME ROOT VM: message", of which any may be missing.
	written = regexp.MustCompile(`^wasm log ?([^ :]*)[^:]*: (.*)$`)
	// trapped is how Envoy tells that a VM has failed.
	trapped = regexp.MustCompile(`Function: (proxy_\S+) failed: (.*)`)
)

// readLog takes modules' lines out of what Envoy writes.
func (p *process) readLog(out io.Reader, to io.Writer) {
	defer close(p.read)
	level, module, ours := "", "", false
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if to != nil {
			_, _ = io.WriteString(to, line)
		}
		line = strings.TrimSuffix(line, "\n")
		if line != "" {
			p.mu.Lock()
			message := line
			if found := prefixed.FindStringSubmatch(line); found != nil {
				level, message, ours = found[1], found[3], false
				if line := written.FindStringSubmatch(message); line != nil {
					module, message, ours = line[1], line[2], true
				}
			}
			if ours {
				p.logs = append(p.logs, harness.Log{Level: levels[level], Module: module, Message: message})
			}
			if found := trapped.FindStringSubmatch(line); found != nil {
				p.crashes = append(p.crashes, fmt.Errorf("%s: %s", found[1], found[2]))
			}
			p.all = append(p.all, line)
			p.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// levels are Envoy's, in proxy-wasm's words.
var levels = map[string]string{"trace": "trace", "debug": "debug", "info": "info", "warning": "warn", "error": "error", "critical": "critical"}

func (p *process) lastWords() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	const last = 12
	return "\n    " + strings.Join(p.all[max(len(p.all)-last, 0):], "\n    ")
}
