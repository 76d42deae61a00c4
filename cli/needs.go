package cli

import (
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/envoy"
	"github.com/leash-gateway/leash/host/extproc"
	"github.com/leash-gateway/leash/module"
)

// unneeded are the parts of an exchange at which no module of a filter looks as it is configured. A .wasm of Leash's own
// has callbacks for all of them; of the user's own nothing is known.
func unneeded(f config.Filter) (extproc.Parts, error) {
	if f.Own {
		return 0, nil
	}
	var settings struct {
		Modules []struct {
			Name    string
			Config  json.RawMessage
			Tenants map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal(f.Config, &settings); err != nil {
		return 0, fmt.Errorf("read the configuration of filter %s: %w", f.Name, err)
	}
	needed := extproc.RequestBody | extproc.RequestTrailers
	for _, m := range settings.Modules {
		definition, known := module.Lookup(m.Name)
		if !known {
			return 0, nil
		}
		configs := []json.RawMessage{m.Config}
		for _, own := range m.Tenants {
			configs = append(configs, own)
		}
		for _, c := range configs {
			built, err := definition.New(c)
			if err != nil {
				return 0, fmt.Errorf("read the configuration of module %s: %w", m.Name, err)
			}
			needed |= answerParts(built)
		}
	}
	return extproc.Everything &^ needed, nil
}

// answerParts are what a module looks at of answers.
func answerParts(m any) (parts extproc.Parts) {
	wants := func(module.Phase) bool { return true }
	if n, ok := m.(module.Narrower); ok {
		wants = func(p module.Phase) bool { return n.Needs()&p != 0 }
	}
	const whole = extproc.ResponseHeaders | extproc.ResponseBody | extproc.ResponseTrailers
	if _, ok := m.(module.ResponseHeaderHandler); ok && wants(module.PhaseResponseHeader) {
		parts |= extproc.ResponseHeaders
	}
	if _, ok := m.(module.ResponseHandler); ok && wants(module.PhaseResponse) {
		parts |= whole
	}
	if _, ok := m.(module.EventHandler); ok && wants(module.PhaseEvent) {
		parts |= whole
	}
	if _, ok := m.(module.Finisher); ok && wants(module.PhaseFinish) {
		parts |= whole // the final status, and when the answer ended
	}
	if u, ok := m.(module.UsageReader); ok && u.ReadsUsage() {
		parts |= whole
	}
	return parts
}

// extProc is how the Envoy that is rendered reaches a module host, and what it sends there.
func extProc(c *cli.Context, loaded *config.Config) (envoy.ExtProc, error) {
	e := envoy.ExtProc{
		Address: c.String("host"), CAFile: c.String("host-ca"), CertFile: c.String("host-cert"), KeyFile: c.String("host-key"),
		Pipeline: c.String("host-pipeline"), Metadata: c.StringSlice("host-metadata"),
	}
	switch {
	case (e.CertFile == "") != (e.KeyFile == ""):
		return e, badUsage("--host-cert and --host-key belong together")
	case e.CertFile != "" && e.CAFile == "":
		return e, badUsage("--host-cert needs --host-ca")
	}
	if err := e.Check(); err != nil {
		return e, usageError{err}
	}
	chosen, err := selection(c)
	if err != nil {
		return e, err
	}
	var needs extproc.Parts
	for _, f := range extproc.Select(loaded, chosen) {
		without, err := unneeded(f)
		if err != nil {
			return e, err
		}
		needs |= extproc.Everything &^ without
		e.Policy = e.Policy || f.Policy
	}
	e.RequestBody = needs&extproc.RequestBody != 0
	e.ResponseHeaders = needs&extproc.ResponseHeaders != 0
	e.ResponseBody = needs&extproc.ResponseBody != 0
	return e, nil
}
