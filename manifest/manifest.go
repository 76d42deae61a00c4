// Package manifest is module.yaml: what a module is, which phases it takes part in, and what it may ask of its host.
//
// [Parse] reads it strictly: every mistake of a file is told at once, each with its line. [Manifest.Check] holds a .wasm
// against it, [Manifest.Allowed] is what Envoy and the other hosts let the module call, and [Manifest.CheckConfig] holds
// a configuration against its JSON Schema. A manifest travels inside its .wasm (see [Of] and [Put]), so a file that is
// copied about still says what it is.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// FileName is the manifest's name in the folder of a module.
const FileName = "module.yaml"

// A Manifest is a whole module.yaml.
type Manifest struct {
	// Name is what the module registers as, and the name of its .wasm.
	Name string `json:"name" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]*[a-z0-9])?$,maxLength=63"`
	// Version is the module's version after https://semver.org, such as 1.4.0 or 2.0.0-rc.1.
	Version string `json:"version"`
	// Kind says what a failure of the module means: of a policy, that the request is refused; of an inspector, nothing for the request.
	Kind Kind `json:"kind" jsonschema:"enum=policy,enum=inspector"`
	// Description says in a sentence what the module does.
	Description string `json:"description" jsonschema:"minLength=1,maxLength=500"`
	// License is an SPDX expression, such as Apache-2.0 or "MIT OR Apache-2.0": https://spdx.org/licenses
	License string `json:"license"`
	// Source is where the code is: the address of a repository.
	Source string `json:"source,omitempty" jsonschema:"pattern=^https?://"`
	// Authors are people or organisations.
	Authors []string `json:"authors,omitempty" jsonschema:"minLength=1"`
	// Phases are the parts of an exchange that the module takes part in, no less and no more than its code: leash module build compares. What they do not need, no host calls.
	Phases []Phase `json:"phases" jsonschema:"minItems=1,uniqueItems=true"`
	// Capabilities are what the module may ask of its host besides what every module may: its clock, its log, and the exchange itself.
	Capabilities Capabilities `json:"capabilities,omitzero"`
	// Resources bound what the module takes.
	Resources Resources `json:"resources,omitzero"`
	// Config is the JSON Schema (2020-12) of the module's configuration. Without it every configuration is taken to the module, which may still refuse it.
	Config Schema `json:"config,omitempty"`
}

// Kind is what a failure of a module means.
type Kind string

// The kinds.
const (
	Policy    Kind = "policy"
	Inspector Kind = "inspector"
)

// Phase is a part of an exchange.
type Phase string

// The phases, in the order in which an exchange passes them. Carry takes it to a provider; Connection is TCP traffic, which the kit has no type for.
const (
	RequestHeader  Phase = "request_header"
	Request        Phase = "request"
	Body           Phase = "body"
	ResponseHeader Phase = "response_header"
	Response       Phase = "response"
	Event          Phase = "event"
	Usage          Phase = "usage"
	Finish         Phase = "finish"
	Carry          Phase = "carry"
	Connection     Phase = "connection"
)

// Phases are all of them.
var Phases = []Phase{RequestHeader, Request, Body, ResponseHeader, Response, Event, Usage, Finish, Carry, Connection}

// Capabilities are what a module may ask of its host.
type Capabilities struct {
	// HostCalls are groups of host calls: properties, metrics, shared_data, shared_queues, http_calls, grpc_calls, foreign_functions; or the name of a single function, such as proxy_get_property or path_open. Every module that is made with the kit needs properties and metrics.
	HostCalls []string `json:"host_calls,omitempty" jsonschema:"uniqueItems=true"`
	// Callouts are the upstreams that the module calls, as it names them: provider.NAME is a provider of leash.yaml, and * stands for any characters. Needs http_calls or grpc_calls.
	Callouts []string `json:"callouts,omitempty" jsonschema:"uniqueItems=true,minLength=1"`
	// Properties are the attributes that the module reads, such as source.address. Needs properties.
	Properties []string `json:"properties,omitempty" jsonschema:"uniqueItems=true,minLength=1"`
	// SharedData are the beginnings of the keys that the module uses. Needs shared_data.
	SharedData []string `json:"shared_data,omitempty" jsonschema:"uniqueItems=true,minLength=1"`
}

// Resources bound what a module takes.
type Resources struct {
	// Memory is how much memory one VM may have, such as 64MiB. leash module build writes it into the .wasm, so that every host keeps to it.
	Memory Size `json:"memory,omitempty"`
	// Size is how large the .wasm may be.
	Size Size `json:"size,omitempty"`
}

// Size is a number of bytes, written as 512KiB, 64MiB or 1GiB.
type Size int64

// UnmarshalText reads what is written.
func (s *Size) UnmarshalText(text []byte) error {
	m := sizes.FindStringSubmatch(string(text))
	if m == nil {
		return fmt.Errorf("%q is not a size, such as 64MiB", text)
	}
	n, err := strconv.ParseInt(m[1], 10, 32)
	if err != nil {
		return fmt.Errorf("%q is too large", text)
	}
	*s = Size(n << map[string]int{"KiB": 10, "MiB": 20, "GiB": 30}[m[2]])
	return nil
}

// MarshalText writes the largest unit that fits.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the size as it is written.
func (s Size) String() string {
	for _, unit := range []struct {
		name  string
		bytes Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		if s >= unit.bytes && s%unit.bytes == 0 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s>>10), 10) + "KiB"
}

var sizes = regexp.MustCompile(sizePattern)

const (
	sizePattern    = `^([1-9][0-9]{0,8})(KiB|MiB|GiB)$`
	versionPattern = `^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`
	licensePattern = `^\(?[A-Za-z0-9.+-]+\)?( (AND|OR|WITH) \(?[A-Za-z0-9.+-]+\)?)*$`
)

// Schema is a JSON Schema, as JSON.
type Schema = json.RawMessage

// maxFile bounds a module.yaml, in bytes.
const maxFile = 1 << 20

// Load reads a module.yaml.
func Load(path string) (*Manifest, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the author names the file
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a module.yaml; name stands for it in errors. What is wrong comes as [Errors], all of it at once.
func Parse(name string, data []byte) (*Manifest, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("read manifest: %s is larger than %d bytes", name, maxFile)
	}
	d := &document{file: name, places: map[string]place{}}
	value := d.parse(data)
	if len(d.errors) == 0 {
		for _, p := range problems(manifestSchema(), value) {
			d.fail(p.Path, "%s", p.Reason)
		}
	}
	m := &Manifest{}
	if len(d.errors) == 0 {
		encoded, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("read manifest %s: %w", name, err)
		}
		if err := json.Unmarshal(encoded, m); err != nil {
			return nil, fmt.Errorf("read manifest %s: %w", name, err)
		}
		m.check(d)
	}
	if len(d.errors) > 0 {
		return nil, d.sorted()
	}
	return m, nil
}

// check looks at what the schema cannot say.
func (m *Manifest) check(d *document) {
	calls := func(group string) bool { return m.mayCall(groups[group][0]) }
	c := m.Capabilities
	for i, call := range c.HostCalls {
		if _, isGroup := groups[call]; !isGroup && !known(call) {
			d.fail(fmt.Sprintf("capabilities.host_calls[%d]", i), "there is no host call %q: groups are %s", call, strings.Join(groupNames(), ", "))
		}
	}
	for _, needs := range []struct {
		path    string
		present bool
		given   bool
		what    string
	}{
		{"capabilities.callouts", len(c.Callouts) > 0, calls("http_calls") || calls("grpc_calls"), "http_calls or grpc_calls"},
		{"capabilities.properties", len(c.Properties) > 0, calls("properties"), "properties"},
		{"capabilities.shared_data", len(c.SharedData) > 0, calls("shared_data"), "shared_data"},
	} {
		if needs.present && !needs.given {
			d.fail(needs.path, "needs %s in capabilities.host_calls", needs.what)
		}
	}
	if len(c.Callouts) == 0 && (calls("http_calls") || calls("grpc_calls")) {
		d.fail("capabilities", "the module may make calls, so name whom it calls in capabilities.callouts (\"*\" for anybody)")
	}
	if m.Resources.Memory > maxMemory {
		d.fail("resources.memory", "a .wasm has 4GiB at the most")
	}
	if len(m.Config) > 0 {
		if _, err := compile(m.Config); err != nil {
			d.fail("config", "%v", err)
		}
	}
}

const maxMemory = 4 << 30

// CheckConfig holds a module's configuration, JSON, against the schema. A manifest without one takes everything.
func (m *Manifest) CheckConfig(config []byte) []Problem {
	if len(m.Config) == 0 {
		return nil
	}
	schema, err := compile(m.Config)
	if err != nil {
		return []Problem{{Reason: err.Error()}}
	}
	if len(config) == 0 {
		config = []byte("{}")
	}
	value, err := decodeJSON(config)
	if err != nil {
		return []Problem{{Reason: "is not valid JSON: " + err.Error()}}
	}
	return problems(schema, value)
}

// ErrNone says that a .wasm holds no manifest.
var ErrNone = errors.New("the .wasm holds no manifest: leash module build puts module.yaml into it")
