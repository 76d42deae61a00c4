package fuzz

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/internal/asm"
	"github.com/leash-gateway/leash/host/scenario"
)

// when does something if a parameter of the callback is larger than a number, which must be below 64.
func when(param, above byte, do ...byte) asm.Step {
	return asm.Raw(append(append([]byte{0x20, param, 0x41, above, 0x4a, 0x04, 0x40}, do...), 0x0b)...)
}

var (
	unreachable = []byte{0x00}
	endless     = []byte{0x03, 0x40, 0x0c, 0x00, 0x0b}
)

// modules are the modules of the tests: each fails for some exchanges only.
var modules = map[string]asm.Module{
	// more headers than a client of the samples sends
	"crashes": {"proxy_on_request_headers": {Do: []asm.Step{when(1, 20, unreachable...)}}},
	"spins":   {"proxy_on_response_headers": {Do: []asm.Step{when(1, 12, endless...)}}},
	// trailers are held and never let go
	"holds": {"proxy_on_request_trailers": {Return: 1}},
	// only after a tick, which comes after an hour
	"ages": {"proxy_on_request_headers": {Do: []asm.Step{asm.Drop("proxy_set_tick_period_milliseconds", asm.Word(3600_000))}}, "proxy_on_tick": {Do: []asm.Step{asm.Raw(unreachable...)}}},
	// what the kit makes of a panic
	"panics": {"proxy_on_request_headers": {Do: []asm.Step{asm.Log("module m failed in the request phase: panic in main.f:3: no")}}},
	"sound":  {"proxy_on_request_headers": {Do: []asm.Step{asm.Log("hello")}}},
}

func newHarness(t *testing.T, deadline time.Duration) *harness.Harness {
	t.Helper()
	h, err := harness.New(context.Background(), harness.Options{Deadline: deadline})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return h
}

func TestWhatAModuleDoesNotSurviveIsWrittenAsAScenarioThatFails(t *testing.T) {
	tests := map[string]struct {
		kind   Kind
		reason string
		most   int // bytes of the file
	}{
		"crashes": {Crash, "proxy_on_request_headers", 2000},
		"spins":   {Hang, "longer than its deadline", 2000},
		"holds":   {Hang, "never let go", 500},
		"panics":  {Crash, "panic in main.f:3: no", 500},
		"ages":    {Crash, "proxy_on_tick", 500},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name+".wasm")
			if err := os.WriteFile(file, modules[name].Build(), 0o600); err != nil {
				t.Fatal(err)
			}
			target := Target{
				Around: scenario.Surroundings{Modules: []scenario.Module{{Name: name, File: name + ".wasm"}}},
				Setup:  harness.Setup{Modules: []harness.Module{{Name: name, File: file}}},
			}
			var found []Finding
			deadline := time.Duration(0) // its own, so that nothing but a loop takes longer
			if name == "spins" {
				deadline = 100 * time.Millisecond
			}
			stats, err := Run(context.Background(), newHarness(t, deadline), []Target{target},
				Options{Seed: 1, Findings: 1, Duration: time.Minute}, func(f Finding) { found = append(found, f) })
			if err != nil || len(found) != 1 {
				t.Fatalf("found %d in %d exchanges, %v", len(found), stats.Exchanges, err)
			}
			if f := found[0]; f.Kind != tc.kind || !strings.Contains(f.Reason, tc.reason) {
				t.Errorf("got a %s: %s", f.Kind, f.Reason)
			}
			text := fails(t, filepath.Dir(file), found[0])
			if len(text) > tc.most {
				t.Errorf("it was not made small:\n%s", text)
			}
		})
	}
}

// fails writes a finding beside the module and runs it as `leash module test` does.
func fails(t *testing.T, dir string, f Finding) string {
	t.Helper()
	name, text, err := f.Scenario()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := scenario.Parse(filepath.Join(dir, name), text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	r := &scenario.Runner{Target: scenario.Host{Harness: newHarness(t, 200*time.Millisecond)}}
	var reports []scenario.Report
	if err := r.Run(context.Background(), parsed, func(report scenario.Report) { reports = append(reports, report) }); err != nil {
		t.Fatal(err)
	}
	if !scenario.Failed(reports) {
		t.Errorf("the scenario passes:\n%s", text)
	}
	return string(text)
}

func TestASoundModuleIsFoundToBeSound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sound.wasm")
	if err := os.WriteFile(file, modules["sound"].Build(), 0o600); err != nil {
		t.Fatal(err)
	}
	stats, err := Run(context.Background(), newHarness(t, 0), []Target{{Setup: harness.Setup{Modules: []harness.Module{{File: file}}}}},
		Options{Exchanges: 500}, func(f Finding) { t.Errorf("a %s: %s, by %+v", f.Kind, f.Reason, f.Steps) })
	if err != nil || stats.Exchanges != 500 || stats.Kept == 0 {
		t.Errorf("got %+v, %v", stats, err)
	}
}

func TestOurModulesSurvive(t *testing.T) {
	h, err := harness.New(context.Background(), harness.Options{CacheDir: abi.DefaultCacheDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	targets := fromFile(t, "../../examples/quickstart/scenarios/quickstart.yaml")
	stats, err := Run(context.Background(), h, targets, Options{Seed: 3, Exchanges: 400}, func(f Finding) {
		_, text, _ := f.Scenario()
		t.Errorf("a %s: %s\n%s", f.Kind, f.Reason, text)
	})
	if err != nil || stats.Exchanges < 400 {
		t.Errorf("got %+v, %v", stats, err)
	}
}

func fromFile(t *testing.T, file string) []Target {
	t.Helper()
	f, err := scenario.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	targets, err := Targets(f, "", scenario.In(nil, "../../build/modules"))
	if err != nil {
		t.Fatal(err)
	}
	return targets
}

func TestFindingsKeepTheSurroundingsOfTheirFile(t *testing.T) {
	h, err := harness.New(context.Background(), harness.Options{CacheDir: abi.DefaultCacheDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	find := scenario.In(nil, "../../build/modules")
	for _, file := range []string{"../../examples/hello/scenarios/greeting.yaml", "../../examples/quickstart/scenarios/quickstart.yaml", "../../filters/auth/scenarios/keys.yaml"} {
		f, err := scenario.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		targets, err := Targets(f, "auth", find)
		if err != nil || len(targets) == 0 {
			t.Fatalf("%s: %d targets, %v", file, len(targets), err)
		}
		_, text, err := (Finding{Target: &targets[0], Kind: Crash, Steps: targets[0].Steps}).Scenario()
		if err != nil {
			t.Fatal(err)
		}
		written, err := scenario.Parse(filepath.Join(filepath.Dir(file), "fuzz-crash.yaml"), text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		r := &scenario.Runner{Target: scenario.Host{Harness: h}, Find: find}
		if err := r.Run(context.Background(), written, func(report scenario.Report) {
			for _, failure := range report.Failures {
				t.Errorf("%v in\n%s", failure, text)
			}
		}); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}

func TestExchangesAreReadAsTheyWereWritten(t *testing.T) {
	m := mutator{rand.New(rand.NewPCG(1, 2)), samples()}
	for range 2000 {
		step := m.change(pick(m, m.steps))
		_, text, err := (Finding{Target: &Target{}, Steps: []Step{step}}).Scenario()
		if err != nil {
			t.Fatal(err)
		}
		f, err := scenario.Parse("f.yaml", text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		read, err := f.Exchanges("m", func(string) (string, error) { return "", nil })
		if err != nil {
			t.Fatal(err)
		}
		got, want := read[0].Request, step.Request
		for _, r := range []*harness.Request{&got, &want} { // none and an empty list are the same
			r.Headers, r.Answer.Headers = append(harness.Headers{}, r.Headers...), append(harness.Headers{}, r.Answer.Headers...)
			r.Chunks, r.Answer.Chunks = append([]string{}, r.Chunks...), append([]string{}, r.Answer.Chunks...)
			r.Properties = nil
		}
		if !reflect.DeepEqual(got, want) || read[0].Advance != step.Advance {
			t.Fatalf("got  %#v\nwant %#v\nfrom\n%s", got, want, text)
		}
	}
}

func TestModulesInTestdataAreCurrent(t *testing.T) {
	// leash module fuzz is tested with it.
	golden.AssertBytes(t, modules["crashes"].Build(), "crashes.wasm")
}
