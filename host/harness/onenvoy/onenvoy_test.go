package onenvoy_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/harness/onenvoy"
	"github.com/leash-gateway/leash/host/scenario"
)

// findEnvoy is ENVOY_PATH, the envoy that `make envoy` has brought, or envoy on PATH. None fails a test, it never skips it.
func findEnvoy(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("ENVOY_PATH"); path != "" {
		return path
	}
	if found, _ := filepath.Glob("../../../.envoy/lib/python*/site-packages/envoy/_bin/envoy"); len(found) > 0 {
		return found[0]
	}
	path, err := exec.LookPath("envoy")
	if err != nil {
		t.Fatal("no Envoy here: make envoy brings it")
	}
	return path
}

func TestModulesKeepInEnvoyWhatTheirScenariosPromise(t *testing.T) {
	target, err := onenvoy.New(onenvoy.Options{Envoy: findEnvoy(t), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	filters, _ := filepath.Glob("../../../filters/*/scenarios/*.yaml")
	examples, _ := filepath.Glob("../../../examples/*/scenarios/*.yaml")
	if len(filters) < 6 || len(examples) == 0 {
		t.Fatalf("found %d and %d scenario files", len(filters), len(examples))
	}
	var runners []*scenario.Runner
	var loaded []*scenario.File
	var all []harness.Setup
	for _, file := range append(append(filters, examples...), "testdata/surroundings.yaml") {
		f, err := scenario.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		r := &scenario.Runner{
			Target: target, Find: scenario.In(nil, "../../../build/modules"), Module: filepath.Base(filepath.Dir(filepath.Dir(file))), Prepared: true,
		}
		setups, err := r.Setups(f)
		if err != nil {
			t.Fatal(err)
		}
		runners, loaded, all = append(runners, r), append(loaded, f), append(all, setups...)
	}
	if err := target.Prepare(context.Background(), all); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for i, f := range loaded {
		t.Run(strings.TrimPrefix(filepath.ToSlash(f.Path()), "../../../"), func(t *testing.T) {
			if err := runners[i].Run(context.Background(), f, func(report scenario.Report) {
				for _, failure := range report.Failures {
					t.Errorf("%s: %v", report.Name, failure)
				}
				if report.Skipped == "" {
					passed++
				}
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
	if passed < 40 {
		t.Errorf("only %d scenarios were run, the others skipped", passed)
	}
}
