package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/leash-gateway/leash/config"
)

func TestMistakesAreToldWithTheirPlaceAllAtOnce(t *testing.T) {
	for _, file := range inputs(t, "errors") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := config.Load(file, environment)
			if err == nil {
				t.Fatal("the file was taken")
			}
			if _, ok := errors.AsType[config.Errors](err); !ok {
				t.Fatalf("got a %T, want config.Errors", err)
			}
			text := strings.ReplaceAll(err.Error(), filepath.ToSlash(file), filepath.Base(file))
			if strings.Contains(text, planted) || strings.Contains(text, planted[3:12]) {
				t.Errorf("a secret is in the error:\n%s", text)
			}
			golden.Assert(t, text+"\n", beside(file, ".txt"))
		})
	}
}

func TestMistakesAreToldInTheSameOrderEveryTime(t *testing.T) {
	const file = "testdata/errors/values.yaml"
	_, first := config.Load(file, environment)
	for range 20 {
		if _, again := config.Load(file, environment); again.Error() != first.Error() {
			t.Fatalf("got:\n%v\nthen:\n%v", first, again)
		}
	}
}

func TestFiltersGetWholeConfigurations(t *testing.T) {
	for _, file := range inputs(t, "valid") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := config.Load(file, environment)
			if err != nil {
				t.Fatal(err)
			}
			type filter struct {
				Name, File  string
				Own, Policy bool
				Modules     []string
				Config      json.RawMessage
			}
			var filters []filter
			for _, f := range c.Filters() {
				filters = append(filters, filter{f.Name, filepath.ToSlash(f.File), f.Own, f.Policy, f.Modules, f.Config})
			}
			got, err := json.MarshalIndent(filters, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, string(got)+"\n", beside(file, ".filters.json"))
			again, err := config.Load(file, environment)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range again.Filters() {
				if !bytes.Equal(f.Config, filters[i].Config) {
					t.Errorf("the configuration of %s is not the same when made again", f.Name)
				}
			}
		})
	}
}

func TestValuesAreRead(t *testing.T) {
	c, err := config.Load("testdata/valid/quickstart.yaml", environment)
	if err != nil {
		t.Fatal(err)
	}
	openai, local := c.Providers["openai"], c.Providers["local"]
	dir := filepath.Join("testdata", "valid")
	for name, tc := range map[string]struct{ got, want any }{
		"an address":                          {c.Listen, "0.0.0.0:8080"},
		"a number from the environment":       {c.Envoy.Concurrency, 4},
		"a size with a unit":                  {c.Limits.RequestBytes, config.Size(1 << 20)},
		"a size in bytes":                     {c.Limits.ResponseBytes, config.Size(2 << 20)},
		"a URL loses the slash at its end":    {openai.BaseURL.String(), "https://api.openai.com/v1"},
		"a truth value":                       {openai.MockWithoutKey, true},
		"a duration":                          {time.Duration(openai.Timeouts.Total), 90 * time.Minute},
		"a default inside of a map":           {time.Duration(local.Timeouts.Idle), 5 * time.Minute},
		"a file is relative to leash.yaml":    {local.CAFile, filepath.Join(dir, "ca.pem")},
		"a secret's file too":                 {local.APIKey.File, filepath.Join(dir, "secrets", "key")},
		"the modules' folder too":             {c.Modules.Dir, filepath.Join(dir, "modules")},
		"the path of the file":                {c.Path(), "testdata/valid/quickstart.yaml"},
		"what the file says nothing of":       {c.Modules.Layout, config.Together},
		"a key's tenant has an optional user": {c.Tenants["demo"].Keys[0].User, "ann"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %v, want %v", name, tc.got, tc.want)
		}
	}
}

func TestFilesAreAllThatMayChangeMeanwhile(t *testing.T) {
	const text = `
providers:
  a: {kind: openai, api_key: {file: key}, ca_file: ca.pem}
  b: {kind: openai, api_key: {file: key}, ca_file: ca.pem}
routes: [{model: "*", provider: a}]
tracing: {endpoint: "https://collector.example.com", ca_file: collector.pem}
modules: {trust: trust.yaml}
pipeline: [{module: own, file: own.wasm}, {module: auth}]
`
	c, err := config.Parse("leash.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Files(), []string{"ca.pem", "collector.pem", "key", "own.wasm", "trust.yaml"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestVariablesArePutIn(t *testing.T) {
	tests := map[string]struct{ yaml, want string }{
		"a number without quotes is one":    {"a: ${N}", `{"a":5}`},
		"a number in quotes is a string":    {`a: "${N}"`, `{"a":"5"}`},
		"true without quotes":               {"a: ${YES}", `{"a":true}`},
		"several in one":                    {"a: ${N}-${N}", `{"a":"5-5"}`},
		"a default":                         {"a: ${NONE:-x y}", `{"a":"x y"}`},
		"an empty default":                  {`a: "${NONE:-}"`, `{"a":""}`},
		"the default of an empty variable":  {"a: ${EMPTY:-x}", `{"a":"x"}`},
		"an empty variable without default": {`a: "${EMPTY}"`, `{"a":""}`},
		"a dollar sign":                     {"a: $${N} $$5 $5 ^a$", `{"a":"${N} $5 $5 ^a$"}`},
		"YAML in a variable is text":        {"a: ${YAML}", `{"a":"{b: [1, 2]}\nc: 3"}`},
		"a variable in a variable is text":  {"a: ${NESTED}", `{"a":"${N}"}`},
		"keys have no variables":            {"${N}: 1", `{"${N}":1}`},
	}
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"N": "5", "YES": "true", "EMPTY": "", "YAML": "{b: [1, 2]}\nc: 3", "NESTED": "${N}"}[name]
		return value, ok
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := config.Parse("leash.yaml", []byte(minimal+"    config:\n      "+tc.yaml+"\n"), env)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(c.Pipeline[1].Config); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// minimal is a configuration to which the configuration of its last module can be added.
const minimal = `providers: {local: {base_url: "http://127.0.0.1:11434/v1"}}
routes: [{model: "*", provider: local}]
pipeline:
  - module: auth
  - module: ratelimit
`

func TestWindowsFilesAreRead(t *testing.T) {
	c, err := config.Parse("leash.yaml", []byte("\ufeff"+strings.ReplaceAll(minimal, "\n", "\r\n")), environment)
	if err != nil {
		t.Fatal(err)
	}
	if line, column := c.Position("pipeline[1]"); line != 5 || column != 5 {
		t.Errorf("got %d:%d, want 5:5", line, column)
	}
}

func TestPositionsOfLaterErrors(t *testing.T) {
	c, err := config.Load("testdata/valid/quickstart.yaml", environment)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		path         string
		line, column int
	}{
		"a value deep in a module's configuration": {"pipeline[3].config.limits[0].window", 38, 91},
		"what an alias stands for":                 {"pipeline[4].config.same", 45, 13},
		"a tenant's override":                      {"tenants.trial.modules.ratelimit.limits[0].requests", 25, 52},
		"what is not there: what encloses it":      {"pipeline[3].config.limits[0].nothing[3].here", 38, 11},
		"what stands nowhere":                      {"nowhere", 1, 1},
		"a default":                                {"providers.local.timeouts.idle", 13, 3},
		"the whole file":                           {"", 2, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if line, column := c.Position(tc.path); line != tc.line || column != tc.column {
				t.Errorf("got %d:%d, want %d:%d", line, column, tc.line, tc.column)
			}
		})
	}
}

func TestLaterErrorsQuoteTheirLine(t *testing.T) {
	c, err := config.Parse("leash.yaml", []byte(minimal), environment)
	if err != nil {
		t.Fatal(err)
	}
	want := "leash.yaml:5:13: pipeline[1].module: does not load\n      - module: ratelimit\n                ^"
	if got := c.Errorf("pipeline[1].module", "does not %s", "load").Error(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestLaterErrorsAboutDefaultsHaveNoPlace(t *testing.T) {
	c, err := config.Parse("leash.yaml", []byte(minimal+"envoy: {concurrency: 2}\n"), environment)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"listen":         "leash.yaml: listen: is in use",
		"control.listen": "leash.yaml: control.listen: is in use",
		"envoy.admin":    "leash.yaml:6:8: envoy.admin: is in use\n    envoy: {concurrency: 2}\n           ^",
	} {
		if got := c.Errorf(path, "is in use").Error(); got != want || c.Given(path) {
			t.Errorf("got %s, given: %t, want %s", got, c.Given(path), want)
		}
	}
	if !c.Given("envoy.concurrency") || !c.Given("pipeline[1]") {
		t.Error("what stands in the file is not given")
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, bytes.Repeat([]byte("# nothing\n"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"not there": "testdata/none.yaml", "a folder": "testdata", "too large": large, "a pipe that nobody writes into": pipe, "a device without an end": "/dev/zero",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := config.Load(path, environment); err == nil || !strings.HasPrefix(err.Error(), "read configuration: ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatAShellPutsInThePlaceOfAFileIsRead(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := in.WriteString("nothing: true\n"); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	if got, err := config.ReadFile(fmt.Sprintf("/dev/fd/%d", out.Fd()), 100); err != nil || string(got) != "nothing: true\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
