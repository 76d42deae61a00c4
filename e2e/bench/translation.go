package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	_ "embed" // wasi.mjs
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// Translation is measured by the benchmarks of llm/translate, compiled to Wasm as modules are: in V8, which is Envoy's engine (here that of Node.js, with
// optimised code from the start), and in wazero, which is that of the embedded gateway and the module host. What counts is the best of some
// runs, since the machine does other things too.

// goals of the translation, in V8.
const (
	goalRequest = 30 * time.Microsecond // for a request of 1 kB
	goalEvent   = 20 * time.Microsecond
	// goalLinear is how much more a byte of 8 MB may cost than one of 1 kB: what a large body needs is allocated, where a memory is kept
	// for small ones. Quadratic would be thousands.
	goalLinear = 3
)

// translationName is what -only names it by.
const translationName = "translation in Wasm"

//go:embed wasi.mjs
var wasiScript []byte

// A translated is what a benchmark took in both engines; zero where it did not run.
type translated struct {
	name       string // as go test has it, without "Benchmark"
	v8, wazero time.Duration
}

type translations struct {
	list    []translated
	missing string // why there is no V8
}

// measureTranslation compiles the benchmarks and runs them.
func measureTranslation(ctx context.Context) (t translations, err error) {
	dir, err := os.MkdirTemp("", "leash-bench-")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	file := filepath.Join(dir, "translate.wasm")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", file, "./llm/translate") //nolint:gosec // our own code
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		return t, fmt.Errorf("compile llm/translate: %w: %s", err, tail(string(out)))
	}
	if out, err := exec.CommandContext(ctx, "bin/leash", "module", "optimize", file).CombinedOutput(); err != nil { //nolint:gosec // our own command
		return t, fmt.Errorf("optimize llm/translate: %w: %s", err, tail(string(out)))
	}
	script := filepath.Join(dir, "wasi.mjs")
	if err := os.WriteFile(script, wasiScript, 0o600); err != nil {
		return t, err
	}
	for _, run := range []struct{ benchmarks, times string }{
		{"^Benchmark(Request|PassThrough|Event)", "3000x"}, {"^BenchmarkLargeRequest/^(1|64)kB", "300x"}, {"^BenchmarkLargeRequest/MB$", "3x"},
	} {
		flags := []string{"translate.wasm", "-test.run=^$", "-test.bench=" + run.benchmarks, "-test.benchtime=" + run.times, "-test.count=5"}
		if err := t.read(func(out io.Writer) error { return onWazero(ctx, file, flags, out) }, func(m *translated) *time.Duration { return &m.wazero }); err != nil {
			return t, fmt.Errorf("wazero: %w", err)
		}
		var err error
		for range nodeAttempts {
			if err = t.read(func(out io.Writer) error { return onNode(ctx, script, file, flags, out) }, func(m *translated) *time.Duration { return &m.v8 }); err == nil {
				break
			}
		}
		if err != nil {
			t.missing = run.benchmarks + ": " + err.Error()
		}
	}
	return t, nil
}

// read runs benchmarks and keeps the best of each.
func (t *translations) read(run func(out io.Writer) error, engine func(*translated) *time.Duration) error {
	var out bytes.Buffer
	if err := run(&out); err != nil && !strings.Contains(out.String(), "\nPASS\n") { // a crash after that is one of Node's as it ends
		return fmt.Errorf("%w: %s", err, tail(out.String()))
	}
	found := false
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != "ns/op" {
			continue
		}
		ns, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return err
		}
		found = true
		at := engine(t.named(strings.TrimPrefix(fields[0], "Benchmark")))
		if took := time.Duration(ns); *at == 0 || took < *at {
			*at = took
		}
	}
	if !found {
		return errors.New("no benchmark has run")
	}
	return nil
}

func (t *translations) named(name string) *translated {
	for i := range t.list {
		if t.list[i].name == name {
			return &t.list[i]
		}
	}
	t.list = append(t.list, translated{name: name})
	return &t.list[len(t.list)-1]
}

func onWazero(ctx context.Context, file string, args []string, out io.Writer) error {
	code, err := os.ReadFile(file) //nolint:gosec // which was made here
	if err != nil {
		return err
	}
	runtime := wazero.NewRuntime(ctx)
	defer runtime.Close(ctx) //nolint:errcheck // it ends with the program
	wasi_snapshot_preview1.MustInstantiate(ctx, runtime)
	_, err = runtime.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithStdout(out).WithStderr(out).WithArgs(args...).
		WithSysNanotime().WithSysWalltime().WithSysNanosleep().WithRandSource(rand.Reader))
	return err
}

// nodeAttempts is how often a run is tried: Node 20's collector crashes now and then beside a Wasm memory that grows to hundreds of megabytes.
const nodeAttempts = 4

func onNode(ctx context.Context, script, file string, args []string, out io.Writer) error {
	node, err := exec.LookPath("node")
	if err != nil {
		return errors.New("Node.js is not installed here") //nolint:revive,staticcheck // a name
	}
	// With one thread of its collector it crashes less often.
	flags := []string{"--no-warnings", "--no-liftoff", "--single-threaded-gc", script, file}
	command := exec.CommandContext(ctx, node, append(flags, args...)...) //nolint:gosec // our own script
	command.Stdout, command.Stderr = out, out
	return command.Run()
}

// markdown are the tables.
func (t *translations) markdown(b *strings.Builder) {
	if len(t.list) == 0 {
		return
	}
	b.WriteString(`
## Translation

What it takes to translate between the providers' APIs in Wasm: the benchmarks of ` + "`llm/translate`" + `, in V8 (Node.js's, with optimised code) and in wazero, best of
five. Passed through is what a client's own API takes instead: the request is read and its model replaced.

| | V8 | wazero |
|---|---|---|
`)
	for i := range t.list {
		m := &t.list[i]
		kind, rest, _ := strings.Cut(m.name, "/")
		rest = strings.ReplaceAll(rest, "_", " ")
		from, to, _ := strings.Cut(rest, "/")
		switch kind {
		case "Request":
			rest = "request of 1 kB: " + from + " → " + to
		case "PassThrough":
			rest = "request of 1 kB, passed through: " + from
		case "Event":
			rest = "event of a stream: " + from + " → " + to
		case "LargeRequest":
			rest = "chat of " + from + " → Anthropic messages"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", rest, micros(m.v8), micros(m.wazero))
	}
	if t.missing != "" {
		fmt.Fprintf(b, "\nNot measured in V8: %s\n", t.missing)
	}
}

func micros(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
}

// goals tells whether the translation meets its goals.
func (t *translations) goals(row func(goal, asked, measured string, met bool)) {
	if len(t.list) == 0 {
		return
	}
	// V8, or wazero where that is all there is.
	in := func(m ...*translated) (string, func(*translated) time.Duration) {
		if slices.ContainsFunc(m, func(m *translated) bool { return m.v8 == 0 }) {
			return "wazero", func(m *translated) time.Duration { return m.wazero }
		}
		return "V8", func(m *translated) time.Duration { return m.v8 }
	}
	slowest := func(what, kind string, asked time.Duration) {
		var of []*translated
		for i := range t.list {
			if strings.HasPrefix(t.list[i].name, kind+"/") {
				of = append(of, &t.list[i])
			}
		}
		engine, took := in(of...)
		var d time.Duration
		for _, m := range of {
			d = max(d, took(m))
		}
		row("translation of "+what+" in "+engine+", the slowest pair", "≤ "+micros(asked), micros(d), d <= asked)
	}
	slowest("a request of 1 kB", "Request", goalRequest)
	slowest("an event", "Event", goalEvent)
	small, large := t.named("LargeRequest/1kB"), t.named("LargeRequest/8MB")
	engine, took := in(small, large)
	ratio := float64(took(large)) / float64(max(took(small), 1)) / (8 << 10)
	row("a byte of a request of 8 MB, to one of 1 kB, in "+engine, fmt.Sprintf("≤ %.1f", float64(goalLinear)), fmt.Sprintf("%.2f", ratio), ratio <= goalLinear)
}
