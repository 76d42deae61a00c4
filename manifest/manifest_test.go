package manifest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/manifest/wasmfile"
)

const small = `name: greeter
version: 1.2.3
kind: inspector
description: Greets.
license: Apache-2.0
phases: [request]
`

func parse(t *testing.T, text string) *manifest.Manifest {
	t.Helper()
	m, err := manifest.Parse("module.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMistakesAreToldWithTheirPlace(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"an empty file":             {"", "module.yaml:1:1: the file is empty"},
		"no YAML":                   {"name: [", "module.yaml:1:1: not well-formed YAML"},
		"a list":                    {"- name", "module.yaml:1:1: must be object, not array"},
		"two documents":             {small + "---\nname: x\n", "second document"},
		"a field that lacks":        {strings.Replace(small, "kind: inspector\n", "", 1), "lacks kind"},
		"an unknown field":          {small + "licence: MIT\n", "module.yaml:7:1: licence: unknown field: known are authors, capabilities"},
		"an unknown capability":     {small + "capabilities: {hostcalls: [metrics]}\n", "module.yaml:7:16: capabilities.hostcalls: unknown field: known are callouts, host_calls"},
		"a field twice":             {small + "name: other\n", "module.yaml:7:1: name: stands twice"},
		"a name with blanks":        {strings.Replace(small, "greeter", "my module", 1), `module.yaml:1:1: name: "my module" does not match`},
		"a version that is none":    {strings.Replace(small, "1.2.3", "v1.2", 1), `module.yaml:2:1: version: "v1.2" does not match`},
		"a version that is a float": {strings.Replace(small, "1.2.3", "1.2", 1), "module.yaml:2:1: version: must be string, not number"},
		"a kind that is none":       {strings.Replace(small, "inspector", "filter", 1), "module.yaml:3:1: kind: filter is not one of policy, inspector"},
		"a phase that is none":      {strings.Replace(small, "[request]", "[request, reply]", 1), "module.yaml:6:19: phases[1]: reply is not one of request_header"},
		"no phase":                  {strings.Replace(small, "[request]", "[]", 1), "module.yaml:6:1: phases: minItems"},
		"a license that is none":    {strings.Replace(small, "Apache-2.0", "see the file", 1), `license: "see the file" does not match`},
		"a host call that is none":  {small + "capabilities: {host_calls: [metrics, disk]}\n", `module.yaml:7:38: capabilities.host_calls[1]: there is no host call "disk": groups are foreign_functions`},
		"callouts without calls":    {small + "capabilities: {callouts: [a]}\n", "capabilities.callouts: needs http_calls or grpc_calls"},
		"calls to nobody":           {small + "capabilities: {host_calls: [http_calls]}\n", "name whom it calls in capabilities.callouts"},
		"properties without a call": {small + "capabilities: {properties: [source.address]}\n", "capabilities.properties: needs properties"},
		"a size without a unit":     {small + "resources: {memory: 64}\n", "resources.memory: must be string, not number"},
		"a size of megabytes":       {small + "resources: {memory: 64MB}\n", `resources.memory: "64MB" does not match`},
		"too much memory":           {small + "resources: {memory: 8GiB}\n", "resources.memory: a .wasm has 4GiB at the most"},
		"a schema that is none":     {small + "config: {type: lists}\n", "module.yaml:7:1: config: is not a JSON Schema"},
		"a schema from elsewhere":   {small + "config: {$ref: \"https://example.com/s.json\"}\n", "nothing is fetched"},
		"a merge key":               {small + "resources: {<<: {memory: 1MiB}}\n", "a key must be a plain word"},
		"aliases without an end":    {"a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d]\n", "the file is too large"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := manifest.Parse("module.yaml", []byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant %q", err, tc.want)
			}
		})
	}
}

func TestAllMistakesAreToldAtOnceInTheOrderOfTheFile(t *testing.T) {
	_, err := manifest.Parse("module.yaml", []byte(strings.NewReplacer("greeter", "My Module", "inspector", "filter").Replace(small)+"more: 1\n"))
	list, ok := errors.AsType[manifest.Errors](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var lines []int
	for _, one := range list {
		lines = append(lines, one.Line)
	}
	if !slices.Equal(lines, []int{1, 3, 7}) {
		t.Errorf("got mistakes in the lines %v: %v", lines, err)
	}
}

func TestConfigurationsAreHeldAgainstTheSchema(t *testing.T) {
	m := parse(t, small+`config:
  type: object
  additionalProperties: false
  required: [greeting]
  properties:
    greeting: {type: string, minLength: 1}
    times: {type: array, items: {type: integer, maximum: 3}}
`)
	for name, tc := range map[string]struct{ config, want string }{
		"as it should be":     {`{"greeting":"hi","times":[1]}`, "[]"},
		"nothing":             {"", "[lacks greeting]"},
		"an unknown field":    {`{"greeting":"hi","greet":1}`, "[greet: unknown field: known are greeting, times]"},
		"a number too large":  {`{"greeting":"hi","times":[1,9]}`, "[times[1]: maximum: got 9, want 3]"},
		"another type":        {`{"greeting":7}`, "[greeting: must be string, not number]"},
		"several at once":     {`{"greeting":"","times":1}`, "[greeting: minLength: got 0, want 1 times: must be array, not number]"},
		"what is no JSON":     {`{`, "[is not valid JSON: unexpected EOF]"},
		"what is no map":      {`[]`, "[must be object, not array]"},
		"more than one value": {`{"greeting":"hi"} {}`, "[is not valid JSON: invalid character after top-level value]"},
	} {
		t.Run(name, func(t *testing.T) {
			got := m.CheckConfig([]byte(tc.config))
			slices.SortFunc(got, func(a, b manifest.Problem) int { return strings.Compare(a.Path, b.Path) })
			if fmt.Sprint(got) != tc.want {
				t.Errorf("got %v, want %s", got, tc.want)
			}
		})
	}
}

func TestWithoutASchemaEveryConfigurationIsTaken(t *testing.T) {
	if got := parse(t, small).CheckConfig([]byte(`{"any":1}`)); got != nil {
		t.Errorf("got %v", got)
	}
}

// wasm is a module that imports these functions of env and no more.
func wasm(functions ...string) []byte {
	imports := []byte{byte(len(functions))}
	for _, f := range functions {
		imports = append(append(imports, 3, 'e', 'n', 'v', byte(len(f))), f...)
		imports = append(imports, 0, 0)
	}
	const abi = "proxy_abi_version_0_2_1"
	exports := append(append([]byte{1, byte(len(abi))}, abi...), 0, 0)
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range []struct {
		id   byte
		body []byte
	}{{2, imports}, {5, []byte{1, 1, 1, 4}}, {7, exports}} {
		out = append(append(out, s.id, byte(len(s.body))), s.body...)
	}
	return out
}

func TestAWasmThatTakesMoreThanItsManifestSaysIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		more string
		wasm []byte
		want string
	}{
		"nothing but what all may":    {"", wasm("proxy_log"), ""},
		"metrics that it may":         {"capabilities: {host_calls: [metrics]}\n", wasm("proxy_define_metric"), ""},
		"one function that it may":    {"capabilities: {host_calls: [proxy_get_property]}\n", wasm("proxy_get_property"), ""},
		"and its neighbour":           {"capabilities: {host_calls: [proxy_get_property]}\n", wasm("proxy_set_property"), "add properties to"},
		"calls":                       {"capabilities: {host_calls: [metrics]}\n", wasm("proxy_http_call"), "it imports proxy_http_call: add http_calls to capabilities.host_calls"},
		"several":                     {"", wasm("proxy_get_shared_data", "proxy_http_call"), "add http_calls to capabilities.host_calls, or do without; it imports proxy_get_shared_data"},
		"a function that is none":     {"", wasm("proxy_read_disk"), "it imports proxy_read_disk, which no proxy-wasm host has"},
		"memory within its bound":     {"resources: {memory: 256KiB}\n", wasm("proxy_log"), ""},
		"more memory":                 {"resources: {memory: 128KiB}\n", wasm("proxy_log"), "its memory is not bounded to resources.memory, 128KiB"},
		"a larger file":               {"resources: {size: 1KiB}\n", wasmfile.AppendCustom(wasm("proxy_log"), "x", make([]byte, 1024)), "but resources.size is 1KiB"},
		"what is no module":           {"", []byte("\x00asm\x01\x00\x00\x00"), "it is no proxy-wasm module"},
		"what is no wasm":             {"", []byte("x"), "not a WebAssembly module"},
		"a file that it has no right": {"", append(wasm("proxy_log")[:8], append([]byte{2, 36, 1, 22}, "wasi_snapshot_preview1\x09path_open\x00\x00"...)...), "it imports path_open, as net/http, os and packages that use them do: do without them"},
	} {
		t.Run(name, func(t *testing.T) {
			err := parse(t, small+tc.more).Check(tc.wasm)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestAManifestTravelsInItsWasm(t *testing.T) {
	if _, err := manifest.Of("greeter.wasm", wasm("proxy_log")); !errors.Is(err, manifest.ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
	with, err := manifest.Put(wasm("proxy_log"), []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	again, err := manifest.Put(with, []byte(strings.Replace(small, "1.2.3", "1.2.4", 1)))
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Of("greeter.wasm", again)
	if err != nil || m.Version != "1.2.4" {
		t.Errorf("got %+v, %v", m, err)
	}
	if len(again) != len(with) {
		t.Error("the manifest before is still there")
	}
}

func TestModulesOfLeashKeepToTheirManifests(t *testing.T) {
	files, err := filepath.Glob("../filters/*/" + manifest.FileName)
	if err != nil || len(files) < 6 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			m, err := manifest.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			wasm, err := os.ReadFile(filepath.Join("../build/modules", name+".wasm"))
			if err != nil {
				t.Fatalf("%v (make modules builds it)", err)
			}
			if err := m.Check(wasm); err != nil {
				t.Error(err)
			}
			if m.Name != name || len(m.Config) == 0 {
				t.Errorf("got name %q and schema %s", m.Name, m.Config)
			}
		})
	}
}

// TestEveryHostCallCanBeAllowed compares with the functions that the hosts have.
func TestEveryHostCallCanBeAllowed(t *testing.T) {
	everything := &manifest.Manifest{Phases: manifest.Phases, Capabilities: manifest.Capabilities{HostCalls: []string{
		"properties", "metrics", "shared_data", "shared_queues", "http_calls", "grpc_calls", "foreign_functions",
	}}}
	for _, f := range abi.HostFunctions() {
		if !strings.HasPrefix(f.Name, "proxy_") && f.Module == "env" {
			continue // Emscripten's, which no host restricts
		}
		if slices.Contains(everything.Allowed(), f.Name) {
			continue
		}
		alone := &manifest.Manifest{Capabilities: manifest.Capabilities{HostCalls: []string{f.Name}}}
		if err := alone.Check(wasm(f.Name)); err != nil {
			t.Errorf("%s cannot be allowed: %v", f.Name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small)
	f.Add(small + "config: {type: object}\ncapabilities: {host_calls: [metrics]}\n")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := manifest.Parse("module.yaml", []byte(text))
		if err == nil && (m.Name == "" || m.Version == "" || len(m.Phases) == 0) {
			t.Errorf("got %+v", m)
		}
	})
}

func ExampleManifest_Check() {
	m, _ := manifest.Parse("module.yaml", []byte(small))
	fmt.Println(m.Check(wasm("proxy_http_call")))
	// Output: module greeter does not keep to its manifest: it imports proxy_http_call: add http_calls to capabilities.host_calls, or do without
}
