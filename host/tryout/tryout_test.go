package tryout_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leash-gateway/leash/host/tryout"
	"github.com/leash-gateway/leash/manifest"
)

// logger is a module of Leash's with its manifest and these scenarios.
func logger(t *testing.T, scenarios string) string {
	t.Helper()
	wasm, err := os.ReadFile("../../build/modules/logger.wasm")
	if err != nil {
		t.Fatalf("%v (make modules builds it)", err)
	}
	text, err := os.ReadFile("../../filters/logger/module.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if scenarios != "" {
		if wasm, err = manifest.PutProject(wasm, map[string][]byte{"scenarios/a.yaml": []byte(scenarios)}); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, wasm, string(text))
}

func write(t *testing.T, wasm []byte, text string) string {
	t.Helper()
	wasm, err := manifest.Put(wasm, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "module.wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// pool is processes of the built command: under the race detector, compiling modules takes ten times as long.
func pool(t *testing.T, o tryout.PoolOptions) *tryout.Pool {
	t.Helper()
	program, err := filepath.Abs("../../bin/leash")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v (make leash builds it)", err)
	}
	if o.Command == nil {
		o.Command = []string{program, "registry", "try"}
	}
	o.Dir = t.TempDir()
	p := tryout.NewPool(o)
	t.Cleanup(func() {
		p.Close()
		if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
			t.Errorf("it has left %v, %v", left, err)
		}
	})
	return p
}

const passes = `scenarios:
  - name: a chat goes by
    steps:
      - request: {body: '{"model":"m","messages":[]}'}
        answer: {body: '{}'}
        expect: {status: 200}
`

func TestAModulesScenariosDecide(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		scenarios string
		want      tryout.Result
		failure   string
	}{
		"they pass":     {passes, tryout.Result{Scenarios: 1}, ""},
		"there is none": {"", tryout.Result{}, ""},
		"one fails":     {strings.Replace(passes, "status: 200", "status: 418", 1), tryout.Result{Scenarios: 1}, "scenarios/a.yaml:2: a chat goes by"},
		"one is wrong":  {"scenaros: []\n", tryout.Result{}, "scenaros"},
		"another module is needed": {"scenarios:\n  - name: with others\n    modules: [{name: auth}, {name: logger}]\n    steps: [{request: {}}]\n" +
			"  - name: another\n    module: auth\n    steps: [{request: {}}]\n  - name: a configuration\n    leash_file: /etc/passwd\n    steps: [{request: {}}]\n", tryout.Result{Skipped: 3}, ""},
		"a file of the machine is compared with": {strings.Replace(passes, "status: 200", "body_file: ../../../../../../etc/passwd", 1), tryout.Result{Skipped: 1}, ""},
	}
	p := pool(t, tryout.PoolOptions{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := p.Try(t.Context(), tryout.Job{File: logger(t, tc.scenarios)})
			if err != nil || got.Scenarios != tc.want.Scenarios || got.Skipped != tc.want.Skipped || got.Fault != "" {
				t.Errorf("got %+v, %v", got, err)
			}
			if failed := strings.Join(got.Failures, "\n"); !strings.Contains(failed, tc.failure) || (failed == "") != (tc.failure == "") || strings.Contains(failed, "root:") {
				t.Errorf("got %q, want %q in it", failed, tc.failure)
			}
		})
	}
}

func TestAModulesTimeIsMeasured(t *testing.T) {
	t.Parallel()
	got, err := pool(t, tryout.PoolOptions{}).Try(t.Context(), tryout.Job{File: logger(t, passes), Measure: true})
	if err != nil || got.P95 <= 0 || len(got.Failures) > 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

const hostile = "name: hostile\nversion: 1.0.0\nkind: inspector\ndescription: A module of a test.\nlicense: Apache-2.0\nphases: [request]\n"

// loops is a .wasm whose start function never ends.
var loops = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x04\x01\x60\x00\x00" + // a type: no parameters, no results
	"\x03\x03\x02\x00\x00" + // two functions of it
	"\x05\x03\x01\x00\x01" + // a page of memory
	"\x07\x32\x03\x17proxy_abi_version_0_2_1\x00\x01\x0b_initialize\x00\x00\x06memory\x02\x00" +
	"\x0a\x0c\x02\x07\x00\x03\x40\x0c\x00\x0b\x0b\x02\x00\x0b")

func TestHostileModulesHarmNobody(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		wasm []byte
		want string
	}{
		"it never ends to start": {loops, "it cannot be started"},
		"it is no module at all": {[]byte("\x00asm\x01\x00\x00\x00"), "it cannot be started"},
	}
	p := pool(t, tryout.PoolOptions{})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := p.Try(t.Context(), tryout.Job{File: write(t, tc.wasm, hostile)})
			if err != nil || !strings.Contains(strings.Join(got.Failures, " "), tc.want) {
				t.Errorf("got %+v, %v, want %q", got, err, tc.want)
			}
		})
	}
	if got, err := p.Try(t.Context(), tryout.Job{File: logger(t, passes)}); err != nil || got.Scenarios != 1 || len(got.Failures) > 0 {
		t.Errorf("the next module: %+v, %v", got, err)
	}
}

func TestAProcessThatFailsIsReplaced(t *testing.T) {
	t.Parallel()
	t.Run("it takes too long", func(t *testing.T) {
		t.Parallel()
		p := pool(t, tryout.PoolOptions{Command: []string{"/bin/sh", "-c", "read job; exec sleep 60"}, Timeout: 50 * time.Millisecond})
		got, err := p.Try(t.Context(), tryout.Job{})
		if err != nil || len(got.Failures) != 1 || !strings.Contains(got.Failures[0], "took longer than 50ms") {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("it crashes", func(t *testing.T) {
		t.Parallel()
		p := pool(t, tryout.PoolOptions{Command: []string{"/bin/sh", "-c", "read job; echo fatal error: out of memory >&2; exit 2"}})
		for range 2 {
			got, err := p.Try(t.Context(), tryout.Job{})
			if err != nil || len(got.Failures) != 1 || !strings.Contains(got.Failures[0], "out of memory") {
				t.Errorf("got %+v, %v", got, err)
			}
		}
	})
	t.Run("nobody waits any more", func(t *testing.T) {
		t.Parallel()
		p := pool(t, tryout.PoolOptions{Command: []string{"/bin/sh", "-c", "read job; exec sleep 60"}})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if got, err := p.Try(ctx, tryout.Job{}); err == nil && len(got.Failures) == 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("it gets nothing of the environment", func(t *testing.T) {
		t.Parallel()
		if err := os.Setenv("LEASH_PLANTED_SECRET", "planted"); err != nil { //nolint:usetesting // tests run in parallel here, and it does not matter to others
			t.Fatal(err)
		}
		p := pool(t, tryout.PoolOptions{Command: []string{"/bin/sh", "-c", `read job; echo '{"failures":["'$LEASH_PLANTED_SECRET'."]}'`}})
		if got, err := p.Try(t.Context(), tryout.Job{}); err != nil || got.Failures[0] != "." {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
