// Command registry measures the registry: how many modules of 1 MB are pulled and pushed in a second, and what memory that
// takes. `make bench` writes its report into docs/registry-benchmarks.md.
//
// Registry and clients share the machine, so what is measured is less than what a registry with cores of its own does.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/leash-gateway/leash/manifest"
	"github.com/leash-gateway/leash/registry/artifact"
)

// moduleBytes is how large a module is, clients how many pull or push at the same time.
const (
	moduleBytes = 1 << 20
	clients     = 8
)

func main() {
	out := flag.String("o", "", "write the report to this file instead of standard output")
	seconds := flag.Int("seconds", 10, "how long each measurement takes")
	leash := flag.String("leash", "bin/leash", "the command")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	text, err := report(ctx, *leash, time.Duration(*seconds)*time.Second)
	stop()
	switch {
	case err != nil:
	case *out == "":
		_, err = fmt.Print(text)
	default:
		err = os.WriteFile(*out, []byte(text), 0o644) //nolint:gosec // a document for everybody
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measured is what came of one kind of load.
type measured struct {
	what             string
	perSecond        float64
	p50, p95, p99    time.Duration
	before, most     int64 // resident memory, in MB
	failed, goal     int
	done             int
	processorSeconds float64 // of the registry, per operation in milliseconds
}

func report(ctx context.Context, leash string, each time.Duration) (string, error) {
	var rows []measured
	for _, sandboxed := range []bool{false, true} {
		r, err := start(ctx, leash, sandboxed)
		if err != nil {
			return "", err
		}
		some, err := r.measure(ctx, each, sandboxed)
		if err = errors.Join(err, r.stop()); err != nil {
			return "", err
		}
		rows = append(rows, some...)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks of the registry

Measured by `+"`make bench`"+` on %s with %s: `+"`leash registry serve`"+` with its store on the disk, every push flushed to it, and %d clients on the same
%d cores. A pull is the manifest by its tag and the module of 1 MB; a push is a new version of 1 MB, its configuration, its layers and its
manifest. "Memory" is the most that the registry's process had resident, and what it had before.

| | operations/s | goal | p50 | p95 | p99 | processor | memory | before | errors |
|---|---|---|---|---|---|---|---|---|---|
`, time.Now().Format(time.DateOnly), runtime.Version(), clients, runtime.NumCPU())
	for _, m := range rows {
		goal := "missed"
		if m.perSecond >= float64(m.goal) {
			goal = "met"
		}
		fmt.Fprintf(&b, "| %s | %.0f | %d: %s | %.1f ms | %.1f ms | %.1f ms | %.2f ms | %d MB | %d MB | %d of %d |\n", m.what, m.perSecond, m.goal, goal,
			milliseconds(m.p50), milliseconds(m.p95), milliseconds(m.p99), m.processorSeconds, m.most, m.before, m.failed, m.done)
	}
	return b.String(), nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// running is a registry.
type running struct {
	command *exec.Cmd
	dir     string
	url     string
}

func start(ctx context.Context, leash string, sandboxed bool) (*running, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "leash-registry-bench-")
	if err != nil {
		return nil, err
	}
	r := &running{dir: dir, url: "http://" + address}
	config := filepath.Join(dir, "registry.yaml")
	if err := os.WriteFile(config, []byte("limits: {requests_per_second: 100000}\n"), 0o600); err != nil {
		return nil, err
	}
	args := []string{"registry", "serve", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", address}
	if !sandboxed {
		args = append(args, "--no-scenarios")
	}
	r.command = exec.CommandContext(ctx, leash, args...)
	if err := r.command.Start(); err != nil {
		return nil, err
	}
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		if answer, err := http.Get(r.url + "/readyz"); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return r, nil
			}
		}
	}
	return nil, errors.Join(errors.New("the registry does not start"), r.stop())
}

func (r *running) stop() error {
	_ = r.command.Process.Signal(os.Interrupt)
	err := r.command.Wait()
	return errors.Join(err, os.RemoveAll(r.dir))
}

// module is a module of 1 MB that does nothing; content tells modules apart.
func module(version string) ([]byte, *manifest.Manifest, error) {
	wasm := []byte("\x00asm\x01\x00\x00\x00" +
		"\x01\x09\x02\x60\x00\x00\x60\x01\x7f\x01\x7f" + // types: () and (i32) -> i32
		"\x03\x03\x02\x00\x01" + // a function of each
		"\x05\x03\x01\x00\x01" + // a page of memory
		"\x07\x2d\x03\x17proxy_abi_version_0_2_1\x00\x00\x06malloc\x00\x01\x06memory\x02\x00" +
		"\x0a\x09\x02\x02\x00\x0b\x04\x00\x41\x00\x0b")
	custom := append([]byte{4, 'f', 'i', 'l', 'l'}, bytes.Repeat([]byte(version+" "), moduleBytes/(len(version)+1))...)
	wasm = append(wasm, 0)
	wasm = binary.AppendUvarint(wasm, uint64(len(custom)))
	wasm = append(wasm, custom...)
	wasm, err := manifest.Put(wasm, []byte("name: module\nversion: "+version+"\nkind: inspector\ndescription: A module of the benchmark.\nlicense: Apache-2.0\nphases: [request]\n"))
	if err != nil {
		return nil, nil, err
	}
	m, err := manifest.Of("module", wasm)
	return wasm, m, err
}

func (r *running) measure(ctx context.Context, each time.Duration, sandboxed bool) ([]measured, error) {
	const pulls, pushes = 500, 50
	if sandboxed {
		m, err := r.load(ctx, each, "push, tried in the sandbox", pushes, func(ctx context.Context, n int) error { return r.push(ctx, fmt.Sprintf("3.0.%d", n)) })
		return []measured{m}, err
	}
	if err := r.push(ctx, "1.0.0"); err != nil {
		return nil, err
	}
	pull, err := r.load(ctx, each, "pull", pulls, func(ctx context.Context, _ int) error { return r.pull(ctx, "1.0.0") })
	if err != nil {
		return nil, err
	}
	push, err := r.load(ctx, each, "push", pushes, func(ctx context.Context, n int) error { return r.push(ctx, fmt.Sprintf("2.0.%d", n)) })
	return []measured{pull, push}, err
}

// load does something again and again, by several clients, for a while.
func (r *running) load(ctx context.Context, each time.Duration, what string, goal int, do func(ctx context.Context, n int) error) (measured, error) {
	fmt.Fprintf(os.Stderr, "bench: %s\n", what)
	m := measured{what: what, goal: goal}
	m.before, _ = r.memory()
	processor := r.processor()
	var next atomic.Int64
	var mu sync.Mutex
	var times []time.Duration
	var wait sync.WaitGroup
	var fault error
	began := time.Now()
	for range clients {
		wait.Go(func() {
			for time.Since(began) < each && ctx.Err() == nil {
				n := int(next.Add(1))
				at := time.Now()
				err := do(ctx, n)
				took := time.Since(at)
				mu.Lock()
				times = append(times, took)
				if err != nil {
					m.failed++
					fault = err
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	elapsed := time.Since(began)
	slices.Sort(times)
	if len(times) == 0 {
		return m, ctx.Err()
	}
	m.done = len(times)
	m.perSecond = float64(len(times)-m.failed) / elapsed.Seconds()
	m.p50, m.p95, m.p99 = times[len(times)/2], times[len(times)*95/100], times[len(times)*99/100]
	m.processorSeconds = (r.processor() - processor) * 1000 / float64(len(times))
	_, m.most = r.memory()
	if m.failed > 0 {
		fmt.Fprintf(os.Stderr, "bench: %d of %d failed: %v\n", m.failed, m.done, fault)
	}
	return m, nil
}

// memory is what the registry has resident, and the most that it ever had, in MB.
func (r *running) memory() (now, most int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.command.Process.Pid))
	if err != nil {
		return 0, 0 // not on this system
	}
	for _, line := range strings.Split(string(text), "\n") {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &now)
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &most)
	}
	return now >> 10, most >> 10
}

// processor is how long the registry has computed, in seconds.
func (r *running) processor() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.command.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	const userTime, systemTime, ticks = 11, 12, 100
	if len(fields) <= systemTime {
		return 0
	}
	var user, system float64
	_, _ = fmt.Sscan(fields[userTime], &user)
	_, _ = fmt.Sscan(fields[systemTime], &system)
	return (user + system) / ticks
}

var web = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}}

func (r *running) pull(ctx context.Context, version string) error {
	text, err := do(ctx, http.MethodGet, r.url+"/v2/team/module/manifests/"+version, "", nil, http.StatusOK)
	if err != nil {
		return err
	}
	layer, _, err := artifact.Layer(text)
	if err != nil {
		return err
	}
	content, err := do(ctx, http.MethodGet, r.url+"/v2/team/module/blobs/"+layer.Digest.String(), "", nil, http.StatusOK)
	if err == nil && int64(len(content)) != layer.Size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (r *running) push(ctx context.Context, version string) error {
	wasm, m, err := module(version)
	if err != nil {
		return err
	}
	a, err := artifact.Pack(wasm, m, artifact.Source{ABI: "0.2.1"}, artifact.Image)
	if err != nil {
		return err
	}
	for _, blob := range a.Blobs {
		if err := r.pushBlob(ctx, blob.Descriptor.Digest, blob.Content); err != nil {
			return err
		}
	}
	_, err = do(ctx, http.MethodPut, r.url+"/v2/team/module/manifests/"+version, a.Descriptor.MediaType, a.Manifest, http.StatusCreated)
	return err
}

// pushBlob pushes a blob as oras does: with a POST and a PUT.
func (r *running) pushBlob(ctx context.Context, d digest.Digest, content []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/v2/team/module/blobs/uploads/", http.NoBody)
	if err != nil {
		return err
	}
	answer, err := web.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	at, err := answer.Location()
	if err != nil {
		return fmt.Errorf("begin an upload: %s: %w", answer.Status, err)
	}
	query := at.Query()
	query.Set("digest", d.String())
	at.RawQuery = query.Encode()
	_, err = do(ctx, http.MethodPut, at.String(), "application/octet-stream", content, http.StatusCreated)
	return err
}

func do(ctx context.Context, method, url, contentType string, body []byte, want int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	answer, err := web.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %.300s", method, url, answer.Status, content)
	}
	return content, err
}
