package scenario_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/harness"
	"github.com/leash-gateway/leash/host/scenario"
)

// modules are what `make modules` builds. A missing build fails a test, it never skips it.
var modules = scenario.In(nil, "../../build/modules")

// shared is one harness for all tests: each module is compiled, or read from the cache, once.
var shared *harness.Harness

func TestMain(m *testing.M) {
	var err error
	if shared, err = harness.New(context.Background(), harness.Options{CacheDir: abi.DefaultCacheDir()}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = shared.Close(context.Background())
	os.Exit(code)
}

func runner(file string) *scenario.Runner {
	return &scenario.Runner{Target: scenario.Host{Harness: shared}, Find: modules, Module: filepath.Base(filepath.Dir(filepath.Dir(file)))}
}

func run(t *testing.T, r *scenario.Runner, file string) []scenario.Report {
	t.Helper()
	f, err := scenario.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var reports []scenario.Report
	if err := r.Run(context.Background(), f, func(report scenario.Report) { reports = append(reports, report) }); err != nil {
		t.Fatal(err)
	}
	return reports
}

func TestModulesKeepWhatTheirScenariosPromise(t *testing.T) {
	for _, file := range scenarioFiles(t) {
		t.Run(strings.TrimPrefix(filepath.ToSlash(file), "../../"), func(t *testing.T) {
			t.Parallel()
			for _, report := range run(t, runner(file), file) {
				if report.Skipped != "" {
					t.Errorf("%s was skipped: %s", report.Name, report.Skipped)
				}
				for _, failure := range report.Failures {
					t.Errorf("%s: %v", report.Name, failure)
				}
			}
		})
	}
}

func TestFailuresShowPlaceAndDifference(t *testing.T) {
	const file = "testdata/failing/failing.yaml"
	var got bytes.Buffer
	for _, report := range run(t, runner(file), file) {
		report.Took = time.Millisecond
		if len(report.Failures) == 0 {
			t.Errorf("%s does not fail", report.Name)
		}
		scenario.Print(&got, report, false)
	}
	golden.Assert(t, got.String(), "failing/failing.golden")
}

func TestReportsAreWrittenForMachines(t *testing.T) {
	reports := []scenario.Report{
		{File: "a.yaml", Name: "passes", Line: 3, Took: 12 * time.Millisecond},
		{File: "a.yaml", Name: "fails <&>", Line: 9, Took: time.Second, Failures: []scenario.Failure{{Where: "a.yaml:12:7", What: "step 1: status", Text: "want 200, got 401"}}},
		{File: "b.yaml", Name: "is skipped", Line: 1, Skipped: "only: envoy"},
	}
	var got bytes.Buffer
	if err := scenario.WriteJUnit(&got, reports); err != nil {
		t.Fatal(err)
	}
	if err := scenario.WriteJSON(&got, reports); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&got, scenario.Summary(reports))
	golden.Assert(t, got.String(), "reports.golden")
}

func TestOnlyScenariosThatMatchAreRun(t *testing.T) {
	const file = "testdata/failing/failing.yaml"
	r := runner(file)
	r.Match = regexp.MustCompile(`failing.yaml/head`)
	if reports := run(t, r, file); len(reports) != 1 || reports[0].Name != "headers" {
		t.Errorf("got %+v, want the scenario headers alone", reports)
	}
}

func TestBodiesInFilesAreWrittenAndCompared(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "scenarios.yaml")
	const text = "module: route\nconfig: {routes: [{name: a, model: %s}]}\nscenarios: [{name: list, steps: [{request: {path: /v1/models}, expect: {body_file: golden/models.json}}]}]\n"
	write := func(model string) {
		if err := os.WriteFile(file, fmt.Appendf(nil, text, model), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := runner(file)
	for _, step := range []struct {
		model        string
		update, fail bool
	}{{"m", false, true}, {"m", true, false}, {"m", false, false}, {"other", false, true}} {
		write(step.model)
		r.Update = step.update
		if got := scenario.Failed(run(t, r, file)); got != step.fail {
			t.Errorf("%+v: failed is %v", step, got)
		}
	}
}

func TestAWholeLeashYAMLMayStandInTheFileAndItsMistakesHaveTheirPlace(t *testing.T) {
	f, err := scenario.Parse("here.yaml", []byte(`leash:
  providers: {p: {base_url: "http://127.0.0.1:1/v1"}}
  routes: [{model: m, providr: p}]
  allow_anonymous: true
scenarios: [{name: a, steps: [{request: {}}]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	err = runner("testdata/failing/failing.yaml").Run(context.Background(), f, func(scenario.Report) {})
	if err == nil || !strings.Contains(err.Error(), "here.yaml:3:23: routes[0].providr: unknown field") {
		t.Errorf("got %v", err)
	}
}

// BenchmarkScenarios is what a scenario takes once its module is compiled: everything from the start of its VM to the end.
func BenchmarkScenarios(b *testing.B) {
	var files []*scenario.File
	var runners []*scenario.Runner
	for _, file := range scenarioFiles(b) {
		f, err := scenario.Load(file)
		if err != nil {
			b.Fatal(err)
		}
		r := runner(file)
		if err := r.Run(context.Background(), f, func(scenario.Report) {}); err != nil { // compiles
			b.Fatal(err)
		}
		files, runners = append(files, f), append(runners, r)
	}
	n := 0
	for b.Loop() {
		for i, f := range files {
			if err := runners[i].Run(context.Background(), f, func(scenario.Report) { n++ }); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(n), "ms/scenario")
}
