package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/host/harness"
)

// Encode is the file as YAML, which Parse reads as what it was.
func (f *File) Encode() ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(f); err != nil {
		return nil, fmt.Errorf("write scenarios: %w", err)
	}
	return out.Bytes(), nil
}

// StepOf is a step that takes an exchange as the harness does. Headers stay in their order, trailers do not.
func StepOf(r harness.Request, e Expect) Step {
	return Step{
		Request: &Request{
			Method: r.Method, Path: r.Path, Authority: r.Authority, Leaves: string(r.Leaves), Properties: valuesOf(r.Properties),
			Content: contentOf(r.Headers, r.Body, r.Chunks, r.ChunkSize, r.Trailers),
		},
		Answer: Answer{
			Status: r.Answer.Status, Delay: config.Duration(r.Answer.Delay), Pace: config.Duration(r.Answer.Pace), Failure: string(r.Answer.Failure),
			Content: contentOf(r.Answer.Headers, r.Answer.Body, r.Answer.Chunks, r.Answer.ChunkSize, r.Answer.Trailers),
		},
		Expect: e,
	}
}

func contentOf(headers harness.Headers, body string, chunks []string, size int, trailers harness.Headers) Content {
	c := Content{Body: body, Chunks: chunks, ChunkSize: size}
	if chunks != nil {
		c.Body, c.ChunkSize = "", 0
	}
	for _, entry := range headers {
		c.HeaderList = append(c.HeaderList, []string{entry[0], entry[1]})
	}
	for _, entry := range trailers {
		if c.Trailers == nil {
			c.Trailers = map[string]string{}
		}
		c.Trailers[entry[0]] = entry[1]
	}
	return c
}

func valuesOf(properties map[string]any) map[string]Value {
	var out map[string]Value
	for path, value := range properties {
		if out == nil {
			out = map[string]Value{}
		}
		switch v := value.(type) {
		case int:
			out[path] = ValueOf(json.Number(strconv.Itoa(v)))
		case []byte:
			out[path] = ValueOf(string(v))
		default:
			out[path] = ValueOf(v)
		}
	}
	return out
}

// An Exchange is a request of a scenario, with what surrounds it there.
type Exchange struct {
	// Around is what the file and the scenario say together; paths in it are relative to the file.
	Around Surroundings
	// Setup is what the harness makes of it.
	Setup harness.Setup
	// Advance is how far the clock moves before the request.
	Advance time.Duration
	Request harness.Request
}

// Exchanges are the exchanges of a file, with those of one scenario one after the other. Scenarios whose modules refuse their
// configuration have none.
func (f *File) Exchanges(module string, find Finder) ([]Exchange, error) {
	var all []Exchange
	for i := range f.Scenarios {
		s := &f.Scenarios[i]
		if s.Refused != "" {
			continue
		}
		setup, err := f.setup(s, module, find)
		if err != nil {
			return nil, f.errorf("scenarios["+strconv.Itoa(i)+"]", err)
		}
		around := f.with(s.Surroundings)
		around.Only = ""
		if around.Module == "" && around.Modules == nil && around.Leash.IsZero() && around.LeashFile == "" {
			around.Module = module
		}
		for k := range s.Steps {
			if step := &s.Steps[k]; step.Request != nil {
				all = append(all, Exchange{around, setup, time.Duration(step.Advance), step.request()})
			}
		}
	}
	return all, nil
}
