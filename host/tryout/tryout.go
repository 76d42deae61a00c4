// Package tryout runs modules that nobody has looked at yet: the scenarios that they bring with them, and a measurement of
// what they cost.
//
// [Run] does it in this process, within bounds that a module cannot leave but by a fault of the host's. So a registry does
// it in others: a [Pool] keeps processes that do nothing else, gives them nothing to steal, and ends one that takes too
// much.
package tryout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
	"github.com/leash-gateway/leash/manifest"
)

// Bounds of a module that is tried.
const (
	callbackTime = 2 * time.Second
	vmMemory     = 256 << 20
	measureTime  = 500 * time.Millisecond
	// measurements is how often it is measured: what counts is the best, as other work on the machine only adds.
	measurements = 3
	maxFailures  = 20
	maxFailure   = 2000 // bytes of a failure's text
)

// A Job is a module to be tried.
type Job struct {
	// File is the .wasm. It carries its manifest.
	File string `json:"file"`
	// Measure has an exchange's time measured too.
	Measure bool `json:"measure"`
}

// A Result is what was found out.
type Result struct {
	// Scenarios is how many were run, Skipped how many need more than the module.
	Scenarios int `json:"scenarios"`
	Skipped   int `json:"skipped"`
	// Failures are what went wrong, each with its place.
	Failures []string `json:"failures,omitempty"`
	// P95 is the 95th percentile of an exchange's time, the best of some measurements; 0: not measured.
	P95 time.Duration `json:"p95_ns,omitempty"`
	// Fault says that it could not be tried, for a reason that is not the module's.
	Fault string `json:"fault,omitempty"`
}

func (r *Result) fail(format string, args ...any) {
	if len(r.Failures) < maxFailures {
		text := fmt.Sprintf(format, args...)
		r.Failures = append(r.Failures, text[:min(len(text), maxFailure)])
	}
}

// Run tries a module in this process.
func Run(ctx context.Context, j Job) Result {
	var r Result
	if err := r.run(ctx, j); err != nil {
		r.Fault = err.Error()
	}
	return r
}

// run fills in the result. The error is not the module's.
func (r *Result) run(ctx context.Context, j Job) error {
	wasm, err := os.ReadFile(j.File)
	if err != nil {
		return fmt.Errorf("read module: %w", err)
	}
	m, err := manifest.Of("the module", wasm)
	if err != nil {
		r.fail("%v", err)
		return nil
	}
	files, err := manifest.Project(wasm)
	if err != nil {
		r.fail("%v", err)
		return nil
	}
	folder, err := os.MkdirTemp("", "tryout-")
	if err != nil {
		return fmt.Errorf("try module: %w", err)
	}
	defer os.RemoveAll(folder) //nolint:errcheck // temporary
	names, err := unpack(folder, files)
	if err != nil {
		return fmt.Errorf("try module: %w", err)
	}
	h, err := harness.New(ctx, harness.Options{Deadline: callbackTime, MaxMemory: vmMemory})
	if err != nil {
		return fmt.Errorf("try module: %w", err)
	}
	defer h.Close(context.WithoutCancel(ctx)) //nolint:errcheck // memory only
	t := &trial{Result: r, harness: h, folder: folder, module: m, file: j.File}
	if t.starts(ctx) {
		t.scenarios(ctx, names)
	}
	if j.Measure && len(r.Failures) == 0 {
		t.measure(ctx, names)
	}
	return ctx.Err()
}

// unpack writes a module's files, and returns the scenario files in their order.
func unpack(folder string, files map[string][]byte) (names []string, err error) {
	for name, content := range files {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return nil, err
		}
		if filepath.Dir(name) == "scenarios" && filepath.Ext(name) == ".yaml" {
			names = append(names, file)
		}
	}
	slices.Sort(names)
	return names, nil
}

// trial is one module in the harness.
type trial struct {
	*Result
	harness *harness.Harness
	folder  string
	module  *manifest.Manifest
	file    string
}

// starts says whether the module can be started at all. One that refuses an empty configuration can.
func (t *trial) starts(ctx context.Context) bool {
	p, err := t.harness.Start(ctx, t.setup())
	switch {
	case err == nil:
		p.Close(ctx)
	case !errors.Is(err, abi.ErrRefused):
		t.fail("it cannot be started: %v", t.local(err.Error()))
		return false
	}
	return true
}

func (t *trial) setup() harness.Setup {
	return harness.Setup{Modules: []harness.Module{{Name: t.module.Name, File: t.file, Allow: t.module.Allowed(), Inspector: t.module.Kind == manifest.Inspector}}}
}

// local leaves the names of folders of this machine out of a text.
func (t *trial) local(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, t.folder+string(filepath.Separator), ""), t.file, t.module.Name+".wasm")
}

// find is the module itself; there is no other here.
func (t *trial) find(name string) (string, error) {
	if name != t.module.Name {
		return "", fmt.Errorf("there is no module %s here", name)
	}
	return t.file, nil
}

// scenarios runs what the module brings with it.
func (t *trial) scenarios(ctx context.Context, names []string) {
	for _, name := range names {
		f, err := scenario.Load(name)
		if err != nil {
			t.fail("%s", t.local(err.Error()))
			continue
		}
		r := &scenario.Runner{Target: restricted{scenario.Host{Harness: t.harness}, t.module.Allowed()}, Find: t.find, Module: t.module.Name, Alone: true}
		err = r.Run(ctx, f, func(report scenario.Report) {
			if report.Skipped != "" {
				t.Skipped++
				return
			}
			t.Scenarios++
			for _, failure := range report.Failures {
				t.fail("%s:%d: %s: %s", t.local(report.File), report.Line, report.Name, t.local(failure.String()))
			}
		})
		if err != nil && ctx.Err() == nil {
			t.fail("%s", t.local(err.Error()))
		}
	}
}

// restricted lets modules do what the manifest names and nothing else, as Envoy will.
type restricted struct {
	scenario.Host
	allow []string
}

// Start makes a pipeline of it.
func (r restricted) Start(ctx context.Context, s harness.Setup) (scenario.Session, error) {
	return r.Host.Start(ctx, restrict(s, r.allow))
}

func restrict(s harness.Setup, allow []string) harness.Setup {
	s.Modules = slices.Clone(s.Modules)
	for i := range s.Modules {
		if s.Modules[i].Allow == nil {
			s.Modules[i].Allow = allow
		}
	}
	return s
}

// measure measures the first exchange of the module's scenarios that is answered, else a chat of 600 bytes.
func (t *trial) measure(ctx context.Context, names []string) {
	setup, request := t.setup(), harness.Request{Body: harness.SampleChat, Answer: harness.Answer{Body: harness.SampleAnswer}}
search:
	for _, name := range names {
		f, err := scenario.Load(name)
		if err != nil {
			continue
		}
		exchanges, err := f.Exchanges(t.module.Name, t.find)
		if err != nil {
			continue // it needs other modules
		}
		for _, x := range exchanges {
			if len(x.Setup.Modules) == 1 && x.Setup.Modules[0].File == t.file {
				setup, request = x.Setup, x.Request
				break search
			}
		}
	}
	p, err := t.harness.Start(ctx, restrict(setup, t.module.Allowed()))
	if err != nil {
		t.fail("it cannot be measured without a scenario: %v", t.local(err.Error()))
		return
	}
	defer p.Close(ctx)
	for range measurements {
		m, err := p.Bench(ctx, request, measureTime)
		if err != nil {
			t.fail("it cannot be measured: %v", t.local(err.Error()))
			return
		}
		if t.P95 == 0 || m.P95 < t.P95 {
			t.P95 = m.P95
		}
	}
}
