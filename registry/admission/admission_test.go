package admission_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leash-gateway/leash/config"
	"github.com/leash-gateway/leash/filters"
	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/admission"
	"github.com/leash-gateway/leash/registry/blobs"
)

const greeter = `name: greeter
version: 1.0.0
kind: inspector
description: Greets.
license: Apache-2.0
phases: [request]
capabilities: {host_calls: [metrics, properties]}
config:
  type: object
  additionalProperties: false
  properties:
    greeting: {type: string}
    to: {type: array, items: {type: string}}
`

// hello is the module of examples/hello, with a manifest in it ("" for none).
func hello(t *testing.T, text string) string {
	t.Helper()
	wasm, err := os.ReadFile("../../build/modules/hello.wasm")
	if err != nil {
		t.Fatalf("%v (make modules builds it)", err)
	}
	if text != "" {
		if wasm, err = manifest.Put(wasm, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "greeter.wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func parse(t *testing.T, pipeline string) *config.Config {
	t.Helper()
	c, err := config.Parse("leash.yaml", []byte(`
providers: {local: {base_url: "http://127.0.0.1:9/v1"}}
routes: [{model: "*", provider: local}]
allow_anonymous: true
tenants: {acme: {modules: {greeter: {greeting: hi}}}}
pipeline:
`+pipeline), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func admit(t *testing.T, c *config.Config) error {
	t.Helper()
	return admission.Admit(context.Background(), c, admission.Options{Builtin: filters.Manifest, Blobs: blobs.In(t.TempDir())})
}

func TestOnlyWhatKeepsToItsManifestIsLoaded(t *testing.T) {
	for name, tc := range map[string]struct{ manifest, entry, want string }{
		"as it should be":           {greeter, "{module: greeter, file: FILE, config: {greeting: hi}}", ""},
		"a kind said twice":         {greeter, "{module: greeter, file: FILE, kind: inspector}", ""},
		"another kind":              {greeter, "{module: greeter, file: FILE, kind: policy}", "pipeline[0].kind: the manifest of greeter says inspector"},
		"another name":              {strings.Replace(greeter, "name: greeter", "name: other", 1), "{module: greeter, file: FILE}", "pipeline[0].module: the .wasm holds the module other"},
		"no manifest but a kind":    {"", "{module: greeter, file: FILE, kind: policy}", ""},
		"no manifest and no kind":   {"", "{module: greeter, file: FILE}", "pipeline[0]: kind must be policy or inspector"},
		"no file":                   {"", "{module: greeter, file: FILE.not}", "no such file"},
		"calls that it may not":     {strings.Replace(greeter, "metrics, ", "", 1), "{module: greeter, file: FILE}", "add metrics to capabilities.host_calls"},
		"an unknown field":          {greeter, "{module: greeter, file: FILE, config: {greetings: hi}}", "pipeline[0].config.greetings: unknown field: known are greeting, to (says the schema of greeter 1.0.0)"},
		"a wrong type":              {greeter, "{module: greeter, file: FILE, config: {to: [a, 2]}}", "pipeline[0].config.to[1]: must be string, not number"},
		"a provider that is absent": {strings.Replace(greeter, "[metrics, properties]", "[metrics, properties, http_calls], callouts: [provider.moderation]", 1), "{module: greeter, file: FILE}", "there is no provider moderation"},
		"a provider that is there":  {strings.Replace(greeter, "[metrics, properties]", "[metrics, properties, http_calls], callouts: [provider.local]", 1), "{module: greeter, file: FILE}", ""},
		"a broken manifest":         {"name: x\n", "{module: greeter, file: FILE}", "greeter.wasm(module.yaml):1:1: lacks version"},
	} {
		t.Run(name, func(t *testing.T) {
			err := admit(t, parse(t, "  - "+strings.Replace(tc.entry, "FILE", hello(t, tc.manifest), 1)+"\n"))
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "\n", " "), tc.want)):
				t.Errorf("got %v\nwant %q", err, tc.want)
			}
		})
	}
}

func TestWhatIsNoWasmIsNamed(t *testing.T) {
	err := admit(t, parse(t, "  - {module: greeter, file: admission.go}\n"))
	const want = "pipeline[0]: admission.go: read .wasm: not a WebAssembly module: it does not begin as one: name the .wasm of a module, as leash module build makes it"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestATenantsConfigurationIsHeldAgainstTheSchemaToo(t *testing.T) {
	c := parse(t, "  - {module: greeter, file: "+hello(t, strings.Replace(greeter, "greeting: {type: string}", "greeting: {type: string, minLength: 3}", 1))+"}\n")
	if err := admit(t, c); err == nil || !strings.Contains(err.Error(), "tenants.acme.modules.greeter.greeting: minLength: got 2, want 3") {
		t.Errorf("got %v", err)
	}
}

func TestFiltersAreToldWhatTheirModulesMay(t *testing.T) {
	c := parse(t, "  - {module: greeter, file: "+hello(t, greeter)+"}\n  - {module: logger}\n  - {module: ratelimit, config: {limits: [{requests: 1}]}}\n")
	if err := admit(t, c); err != nil {
		t.Fatal(err)
	}
	all := c.Filters()
	if len(all) != 2 {
		t.Fatalf("got %d filters", len(all))
	}
	if all[0].Policy || slices.Contains(all[0].Allow, "proxy_set_shared_data") || !slices.Contains(all[0].Allow, "proxy_define_metric") {
		t.Errorf("got %+v for greeter, want an inspector without shared data", all[0])
	}
	if !all[1].Policy || !slices.Contains(all[1].Allow, "proxy_set_shared_data") || slices.Contains(all[1].Allow, "proxy_grpc_call") {
		t.Errorf("got %+v for Leash's own, want shared data and no gRPC", all[1].Allow)
	}
}

func TestAModuleThatDoesNotSayWhatItIsFailsClosed(t *testing.T) {
	c := parse(t, "  - {module: greeter, file: "+hello(t, "")+"}\n")
	_ = admit(t, c) // refused; and who loads it all the same
	if f := c.Filters()[0]; !f.Policy {
		t.Error("it is an inspector, whose failure lets pass")
	}
}

func TestFilesStayWhereTheyAreWhenTheyAreOnlyLookedAt(t *testing.T) {
	file := hello(t, greeter)
	for _, inPlace := range []bool{true, false} {
		c := parse(t, "  - {module: greeter, file: "+file+"}\n")
		o := admission.Options{Builtin: filters.Manifest, Blobs: blobs.In(t.TempDir()), InPlace: inPlace}
		if err := admission.Admit(context.Background(), c, o); err != nil {
			t.Fatal(err)
		}
		if got := c.Filters()[0].File; (got == file) != inPlace {
			t.Errorf("in place %v: got %s", inPlace, got)
		}
	}
}

// Envoy gives a VM that there is already to whoever names it: what its modules may use must not depend on which of them there are.
func TestLeashsVMMayUseTheSameWhateverThePipeline(t *testing.T) {
	var allow []string
	greets := "  - {module: greeter, file: " + hello(t, greeter) + "}\n"
	for _, pipeline := range []string{"  - module: route\n", "  - module: logger\n  - module: ratelimit\n    config: {limits: [{by: all, requests: 1}]}\n  - module: contentfilter\n"} {
		c := parse(t, greets+pipeline)
		if err := admit(t, c); err != nil {
			t.Fatal(err)
		}
		f := c.Filters()[1]
		if allow == nil {
			allow = f.Allow
		}
		if carrier := c.Carrier("local", "/v1", true); len(allow) == 0 || !slices.Equal(f.Allow, allow) || !slices.Equal(carrier.Allow, allow) {
			t.Errorf("got %q and %q, want %q as before", f.Allow, carrier.Allow, allow)
		}
	}
}
