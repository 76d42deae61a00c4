package scenario_test

import (
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/host/scenario"
)

func TestMistakesAreToldWithTheirPlaceAndASuggestion(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("find test data: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := scenario.Load(file)
			if err == nil {
				t.Fatal("it was taken")
			}
			golden.Assert(t, err.Error()+"\n", "errors/"+strings.TrimSuffix(filepath.Base(file), ".yaml")+".golden")
		})
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	for _, file := range scenarioFiles(f) {
		f.Add(read(f, file))
	}
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = scenario.Parse("fuzz.yaml", data) })
}
