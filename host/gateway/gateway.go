// Package gateway is Leash without Envoy: net/http in front and behind, and between them the same modules from the same
// .wasm files, run on package abi. It does for a leash.yaml what package envoy has Envoy do for it, with the same
// answers; docs/guides/embedded.md lists where the two differ.
//
//	client ─ server ─▶ [ chain of modules ] ─▶ route ─▶ provider
//
// The parts: a Gateway is an http.Handler; Apply gives it a configuration, which becomes a generation with workers, VMs
// and providers of its own. New exchanges go to the newest generation; an old one ends with its last exchange.
package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/abi"
)

// Settings are what stays the same while a Gateway runs. The zero value works.
type Settings struct {
	// CacheDir keeps compiled modules on disk: compiling takes seconds. "" keeps them in memory only.
	CacheDir string
	// Workers is how many exchanges run inside modules at once; by default one for each core.
	Workers int
	// Log takes the modules' log; Records the lines of the module logger, each a JSON object, and Spans those that are to become spans.
	// Default: nowhere.
	Log     *slog.Logger
	Records io.Writer
	Spans   io.Writer

	requestTimeout time.Duration // how long a client may take to send a request; by default as Envoy
	leastIdle      time.Duration // the shortest that an exchange may be silent where no provider is being waited for; likewise
}

// Options are what a configuration needs besides itself, as in package envoy.
type Options struct {
	// ModulesDir holds the .wasm files of Leash's own modules.
	ModulesDir string
	// CAFile are the certificates that vouch for providers without a ca_file of their own.
	CAFile string
	// Mock, by the name of a provider, is the base URL of the mock that answers in its place.
	Mock map[string]*url.URL
	// Secrets are the providers' keys, and tokens of service accounts, by the provider's name.
	Secrets map[string]config.SecretValue
	// AWS are likewise access keys of Amazon's.
	AWS map[string]config.AWSKey
}

// A Refused error says that a configuration cannot run, and which part of it: nothing has changed then.
type Refused struct {
	// Filter is the name of the filter whose module does not load, or Provider that of a provider.
	Filter, Provider string
	Err              error
}

// Error says why.
func (e *Refused) Error() string {
	if e.Provider != "" {
		return fmt.Sprintf("provider %s: %v", e.Provider, e.Err)
	}
	return fmt.Sprintf("module %s does not load: %v", e.Filter, e.Err)
}

// Place names the part of the configuration: the filter, or provider.NAME.
func (e *Refused) Place() string {
	if e.Provider != "" {
		return clusterName(e.Provider)
	}
	return e.Filter
}

// Unwrap is why.
func (e *Refused) Unwrap() error { return e.Err }

// A Gateway answers requests by the configuration that was applied last. It is safe for concurrent use.
type Gateway struct {
	settings Settings
	engine   *abi.Engine
	shared   *abi.Shared // outlives configurations, as it does in Envoy
	metrics  *metrics

	applying sync.Mutex // one configuration after the other; held before mu
	programs map[[sha256.Size]byte]*abi.Program

	mu      sync.RWMutex
	current *generation // nil before the first Apply and after Close
	retired sync.WaitGroup
}

// New is a Gateway that answers 503 until Apply. Close it when no request runs any more.
func New(ctx context.Context, s Settings) (*Gateway, error) {
	if s.Workers <= 0 {
		s.Workers = runtime.GOMAXPROCS(0)
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Records == nil {
		s.Records = io.Discard
	}
	if s.Spans == nil {
		s.Spans = io.Discard
	}
	if s.requestTimeout <= 0 {
		s.requestTimeout = requestTimeout
	}
	if s.leastIdle <= 0 {
		s.leastIdle = leastIdle
	}
	engine, err := abi.New(ctx, abi.Options{CacheDir: s.CacheDir})
	if err != nil {
		return nil, fmt.Errorf("start the embedded gateway: %w", err)
	}
	return &Gateway{
		settings: s, engine: engine, shared: abi.NewShared(), metrics: newMetrics(s.Log), programs: map[[sha256.Size]byte]*abi.Program{},
	}, nil
}

// Apply puts a configuration in force: requests that come after it has returned meet it, those that run end under the
// old one. Its error is a *Refused where a module or provider cannot work; the old configuration then goes on.
func (g *Gateway) Apply(ctx context.Context, c *config.Config, o Options) error {
	g.applying.Lock()
	defer g.applying.Unlock()
	next, err := g.newGeneration(ctx, c, o)
	if err == nil {
		g.replace(next)
	}
	g.forgetPrograms(ctx)
	return err
}

// Renew replaces the key of a provider for requests that come from now on. One that there is no such provider for is forgotten.
func (g *Gateway) Renew(provider string, secret config.SecretValue) {
	g.applying.Lock()
	defer g.applying.Unlock()
	if g.current == nil { // only Apply and Close change it
		return
	}
	if p := g.current.providers[provider]; p != nil && p.proof != nil {
		p.proof.renew(secret)
	}
}

// replace makes another generation the current one and ends the old one when its exchanges have ended.
func (g *Gateway) replace(next *generation) {
	g.mu.Lock()
	old := g.current
	g.current = next
	g.mu.Unlock()
	if old != nil {
		old.checks.stop()
		g.retired.Go(old.retire)
	}
	if next != nil {
		next.startChecks(old)
	}
}

// enter is the current generation for an exchange, which must leave it; nil if there is none.
func (g *Gateway) enter() *generation {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.current != nil {
		g.current.exchanges.Add(1)
	}
	return g.current
}

// Close frees everything. It waits for the exchanges that still run.
func (g *Gateway) Close(ctx context.Context) error {
	g.applying.Lock()
	defer g.applying.Unlock()
	g.replace(nil)
	g.retired.Wait()
	return g.engine.Close(ctx)
}

// ServeHTTP takes one exchange through the modules to its provider and back.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	generation := g.enter()
	if generation == nil {
		unavailable.write(w, r)
		return
	}
	defer generation.exchanges.Done()
	serve(generation, w, r)
}

// program is a module's code, compiled once however often it is loaded.
func (g *Gateway) program(ctx context.Context, f config.Filter, dir string) (*abi.Program, error) {
	file := f.File
	if !f.Own {
		file = filepath.Join(dir, f.File)
	}
	code, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, &Refused{Filter: f.Name, Err: err}
	}
	sum := sha256.Sum256(code)
	if p := g.programs[sum]; p != nil {
		return p, nil
	}
	p, err := g.engine.Compile(ctx, code)
	if err != nil {
		return nil, &Refused{Filter: f.Name, Err: err}
	}
	g.programs[sum] = p
	return p, nil
}

// forgetPrograms frees the code that the current generation does not run. VMs of older ones that still run it go on.
func (g *Gateway) forgetPrograms(ctx context.Context) {
	used := map[*abi.Program]bool{}
	if g.current != nil { // only Apply and Close change it, one after the other
		for _, m := range g.current.machines {
			used[m.program] = true
		}
	}
	for sum, p := range g.programs {
		if !used[p] {
			delete(g.programs, sum)
			_ = p.Close(ctx) // frees memory; nothing to be done where it cannot
		}
	}
}
