package onenvoy_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/harness/onenvoy"
	"github.com/leash-gateway/leash/host/scenario"
	"github.com/leash-gateway/leash/internal/nettest"
)

func TestModulesKeepInEnvoyWhatTheirScenariosPromise(t *testing.T) {
	target, err := onenvoy.New(onenvoy.Options{Envoy: nettest.Envoy(t), Dir: t.TempDir()})
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
