package fuzz

import (
	"reflect"

	"github.com/leash-gateway/leash/host/scenario"
)

// Targets are the modules of a scenario file as its scenarios configure them, each configuration once, with the exchanges of those
// scenarios to begin with.
func Targets(f *scenario.File, module string, find scenario.Finder) ([]Target, error) {
	exchanges, err := f.Exchanges(module, find)
	if err != nil {
		return nil, err
	}
	var targets []Target
	for _, x := range exchanges {
		t := targetOf(&targets, x)
		t.Steps = append(t.Steps, Step{x.Advance, x.Request})
	}
	return targets, nil
}

func targetOf(targets *[]Target, x scenario.Exchange) *Target {
	for i := range *targets {
		if reflect.DeepEqual((*targets)[i].Around, x.Around) {
			return &(*targets)[i]
		}
	}
	*targets = append(*targets, Target{Around: x.Around, Setup: x.Setup})
	return &(*targets)[len(*targets)-1]
}
