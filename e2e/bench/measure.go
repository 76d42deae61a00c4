package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

const (
	demoKey    = "sk-leash-demo"
	demoSHA256 = "dab3d8f1dd8779081d1d3d277bce527d52ab534b88700d61f3d3ed54fb16e8b3"
)

// chat is a request of about 600 bytes, as small as real ones are: what a gateway adds shows most there.
var chat = `{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant that answers briefly."},` +
	`{"role":"user","content":"` + strings.Repeat("The quick brown fox jumps over the lazy dog. ", 9) + `"}],"temperature":0.2,"max_tokens":64}`

// A probe is a short stream that is asked for, and the line of it that is waited for.
type probe struct {
	path, body string
	first      func(line string) bool
}

var (
	// firstEvent is that of a chat's.
	firstEvent = probe{
		"/chat/completions", `{"stream":true,"model":"gpt-4o-mini","messages":[{"role":"user","content":"lorem: 8"}]}`,
		func(string) bool { return true },
	}
	// firstText is the first word of the same. A stream that is translated begins with it.
	firstText = probe{
		firstEvent.path, firstEvent.body,
		func(line string) bool {
			return strings.Contains(line, `"content":"`) && !strings.Contains(line, `"content":""`)
		},
	}
	// firstTextOfMessages is what that is translated from: other events come before it, at the provider's pace.
	firstTextOfMessages = probe{
		"/messages", `{"stream":true,"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"lorem: 8"}]}`,
		func(line string) bool { return strings.Contains(line, `"text_delta"`) },
	}
)

// The mock answers streams at a model's pace: without one the whole stream is there at once, and the first event waits for
// the last.
const (
	paceHeader = "X-Mock"
	pace       = "pace=2ms"
)

// A sample is what one turn shows.
type sample struct {
	throughput float64          // requests/s at 8 connections
	cpu        time.Duration    // of a request then; 0 for the direct way
	latency    [3]time.Duration // p50, p95, p99 at 1 connection
	firstToken time.Duration    // p50 at 1 connection, from the request to the first event of a stream, or to its first text where that is translated
	errors     int64
}

// A result is what was measured of a variant, and of plain Envoy in turn with it: what else the machine does at a time is the same for both.
type result struct {
	name       string
	own, plain []sample // as many of both
	memory     int64    // bytes, after the load; 0 for the direct way
}

// percentiles of the latencies.
const percentiles = "50,95,99"

// turns is how often a variant and plain Envoy are measured in turn. Each time the connections are others, which Envoy's workers share out otherwise.
const turns = 5

func measure(ctx context.Context, o options, v variant, provider string, plain *server) (result, error) {
	r := result{name: v.name}
	dir, err := os.MkdirTemp("", "leash-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	s := &server{url: provider, header: http.Header{}, counts: func(procfs.ProcStat) bool { return false }}
	if v.start != nil {
		if s, err = v.start(ctx, dir, provider); err != nil {
			return r, err
		}
		defer s.stop()
	}
	if err := warm(ctx, o, s); err != nil {
		return r, err
	}
	own, others := firstEvent, firstEvent
	if v.translated {
		own, others = firstText, firstTextOfMessages
	}
	for range turns {
		base, err := turn(ctx, o, plain, others)
		if err != nil {
			return r, fmt.Errorf("measure %s: %w", plainName, err)
		}
		if base.errors > 0 {
			return r, fmt.Errorf("measure %s: %d requests have failed", plainName, base.errors)
		}
		one, err := turn(ctx, o, s, own)
		if err != nil {
			return r, err
		}
		r.plain, r.own = append(r.plain, base), append(r.own, one)
	}
	if v.start != nil {
		if r.memory, _, err = s.used(); err != nil {
			return r, err
		}
	}
	return r, nil
}

func warm(ctx context.Context, o options, s *server) error {
	_, err := load(ctx, o, s, "-c", "8", "-t", "2s")
	return err
}

// turn measures once.
func turn(ctx context.Context, o options, s *server, asked probe) (sample, error) {
	length := (time.Duration(o.seconds) * time.Second / turns).String()
	_, before, err := s.used()
	if err != nil {
		return sample{}, err
	}
	many, err := load(ctx, o, s, "-c", "8", "-t", length)
	if err != nil {
		return sample{}, err
	}
	_, after, err := s.used()
	if err != nil {
		return sample{}, err
	}
	one, err := load(ctx, o, s, "-c", "1", "-t", length)
	if err != nil {
		return sample{}, err
	}
	first, err := firstTokens(ctx, s, 50*o.seconds/turns, asked)
	return sample{
		throughput: many.ActualQPS, cpu: (after - before) / time.Duration(max(many.DurationHistogram.Count, 1)),
		latency: one.latencies(), firstToken: first, errors: many.failed() + one.failed(),
	}, err
}

// median is that of something of each turn: of the variant's own, and of what plain Envoy showed ahead of it.
func median[T cmp.Ordered](r result, of func(own, plain sample) T) (middle T) {
	all := make([]T, 0, len(r.own))
	for i := range r.own {
		all = append(all, of(r.own[i], r.plain[i]))
	}
	if slices.Sort(all); len(all) > 0 {
		middle = all[len(all)/2]
	}
	return middle
}

func (r result) throughput() float64 {
	return median(r, func(own, _ sample) float64 { return own.throughput })
}

// ofPlain is the throughput as a part of plain Envoy's.
func (r result) ofPlain() float64 {
	return median(r, func(own, plain sample) float64 { return own.throughput / plain.throughput })
}

// cpu is the processor time of a request.
func (r result) cpu() time.Duration {
	return median(r, func(own, _ sample) time.Duration { return own.cpu })
}

// latency is a percentile: 0 for the first of them.
func (r result) latency(of int) time.Duration {
	return median(r, func(own, _ sample) time.Duration { return own.latency[of] })
}

// added is how much more it is than plain Envoy's.
func (r result) added(of int) time.Duration {
	return median(r, func(own, plain sample) time.Duration { return own.latency[of] - plain.latency[of] })
}

func (r result) firstToken() time.Duration {
	return median(r, func(own, _ sample) time.Duration { return own.firstToken })
}

// addedFirst is how much later than by plain Envoy the first token comes.
func (r result) addedFirst() time.Duration {
	return median(r, func(own, plain sample) time.Duration { return own.firstToken - plain.firstToken })
}

func (r result) errors() (n int64) {
	for _, s := range r.own {
		n += s.errors
	}
	return n
}

// loaded is what fortio reports, as far as it is read here.
type loaded struct {
	ActualQPS         float64
	RetCodes          map[string]int64
	DurationHistogram struct {
		Count       int64
		Percentiles []struct{ Percentile, Value float64 }
	}
}

func (l loaded) failed() (n int64) {
	for code, count := range l.RetCodes {
		if code != "200" {
			n += count
		}
	}
	return n
}

func (l loaded) latencies() (out [3]time.Duration) {
	for i, p := range l.DurationHistogram.Percentiles {
		if i < len(out) {
			out[i] = time.Duration(p.Value * float64(time.Second))
		}
	}
	return out
}

// load sends chats as fast as they are answered.
func load(ctx context.Context, o options, s *server, flags ...string) (loaded, error) {
	args := []string{"load", "-quiet", "-json", "-", "-qps", "0", "-p", percentiles, "-r", "0.00001",
		"-content-type", "application/json", "-H", "Authorization: Bearer " + demoKey, "-payload", chat}
	for name := range s.header {
		args = append(args, "-H", name+": "+s.header.Get(name))
	}
	args = append(append(args, flags...), s.url+"/chat/completions")
	var out, log bytes.Buffer
	command := exec.CommandContext(ctx, o.fortio, args...) //nolint:gosec // our own tool
	command.Stdout, command.Stderr = &out, &log
	var l loaded
	if err := command.Run(); err != nil {
		return l, fmt.Errorf("fortio: %w: %s", err, tail(log.String()))
	}
	if err := json.Unmarshal(out.Bytes(), &l); err != nil {
		return l, fmt.Errorf("read fortio's report: %w", err)
	}
	return l, nil
}

// firstTokens measures how long the first event of a stream takes that a probe waits for, and returns the median of n.
func firstTokens(ctx context.Context, s *server, n int, p probe) (time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	var times []time.Duration
	for range n {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+p.path, strings.NewReader(p.body))
		if err != nil {
			return 0, err
		}
		for name := range s.header {
			request.Header.Set(name, s.header.Get(name))
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+demoKey)
		request.Header.Set(paceHeader, pace)
		request.Header["X-Idempotency-Key"] = nil // not sent: the client may begin anew where the gateway has just closed the connection
		began := time.Now()
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		lines := bufio.NewReader(response.Body)
		for line := ""; !strings.HasPrefix(line, "data:") || !p.first(line); {
			if line, err = lines.ReadString('\n'); err != nil {
				return 0, fmt.Errorf("a stream ends with %q (status %d, %w)", line, response.StatusCode, err)
			}
		}
		times = append(times, time.Since(began))
		if _, err := io.Copy(io.Discard, lines); err != nil {
			return 0, err
		}
		_ = response.Body.Close()
	}
	if len(times) == 0 {
		return 0, errors.New("no stream was asked for")
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// soaked is what a long run shows.
type soaked struct {
	seconds        int
	requests       int64
	errors         int64
	early, late    int64 // resident bytes after a tenth and after all of the requests
	earlyN, totalN int
}

// soak runs the one file for 30 s and then over many requests, and looks at errors and memory.
func soak(ctx context.Context, o options, provider string) (soaked, error) {
	const seconds = 30
	r := soaked{seconds: seconds, earlyN: o.total / 10, totalN: o.total}
	dir, err := os.MkdirTemp("", "leash-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	s, err := leash(pipeline{modules: modules})(ctx, filepath.Clean(dir), provider)
	if err != nil {
		return r, err
	}
	defer s.stop()
	var all, last int64
	for _, step := range []struct {
		flags  []string
		memory *int64 // after it
	}{
		{[]string{"-n", strconv.Itoa(r.earlyN)}, &r.early},
		{[]string{"-n", strconv.Itoa(r.totalN - r.earlyN)}, &r.late},
		{[]string{"-t", strconv.Itoa(seconds) + "s"}, &last},
	} {
		fmt.Fprintf(os.Stderr, "bench: soak %v\n", step.flags)
		l, err := load(ctx, o, s, append([]string{"-c", "8"}, step.flags...)...)
		if err != nil {
			return r, err
		}
		all += l.DurationHistogram.Count
		r.errors += l.failed()
		if *step.memory, _, err = s.used(); err != nil {
			return r, err
		}
	}
	r.requests = all
	return r, nil
}
