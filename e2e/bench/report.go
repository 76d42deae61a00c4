package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// report is what is written down of a run.
type report struct {
	began   time.Time
	seconds int
	results []result
	missing []string
	soak    soaked

	translation translations
	failover    []failedOver
}

// goals of the first slice, against plain Envoy.
const (
	goalOneFile  = 0.60
	goalSeparate = 0.45
	goalP50      = 250 * time.Microsecond
	goalP95      = 2 * time.Millisecond
	goalFirst    = 200 * time.Microsecond
	// of a stream that is translated
	goalTranslatedFirst = 300 * time.Microsecond
)

func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

What Leash costs, measured by `+"`make bench`"+` in one run: client (fortio), gateway and provider (`+"`leash mock`"+`) share
one machine of %d cores (%s), so only the ratios mean something. Each is measured %d times, %d s in all, in turn with plain Envoy, and what stands here is the median: of the
ratios and of what is added, which are each to plain Envoy's figure right before (the row of plain Envoy is a second one: it shows the noise). Requests are chats of %d bytes, answered at once. Latencies are at 1 connection, throughput and the gateway's CPU time for a request at 8. The first token is a
stream's first event, at a pace of 2 ms; where chats are translated, its first text, and what is added is against plain Envoy with a client of the provider's own API.

Measured %s with %s.

| | throughput, requests/s | of plain Envoy | p50 | p95 | p99 | added p50 | added p95 | first token p50 | added | CPU of a request | memory | errors |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
`, runtime.NumCPU(), processor(), turns, r.seconds, len(chat), r.began.UTC().Format("2006-01-02"), runtime.Version())
	for _, one := range r.results {
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %s | %s | %s | %s | %s | %s | %s | %s | %s | %d |\n",
			one.name, one.throughput(), one.ofPlain(), ms(one.latency(0)), ms(one.latency(1)), ms(one.latency(2)),
			added(one.added(0)), added(one.added(1)), ms(one.firstToken()), added(one.addedFirst()), processorTime(one.cpu()), megabytes(one.memory), one.errors())
	}
	for _, missing := range r.missing {
		fmt.Fprintf(&b, "\nNot measured: %s\n", strings.ReplaceAll(missing, "\n", " "))
	}
	r.translation.markdown(&b)
	if r.soak.requests > 0 {
		r.goals(&b)
	} else if len(r.failover) > 0 {
		failoverGoals(r.failover, rows(&b))
	}
	return b.String()
}

func (r report) goals(b *strings.Builder) {
	one, separate, files := r.find(oneFileName), r.find(filtersName), r.find(filesName)
	s := r.soak
	drift := float64(s.late-s.early) / float64(max(s.early, 1)) * 100
	row := rows(b)
	row("throughput, one file", fmt.Sprintf("≥ %.2f of plain Envoy", goalOneFile), fmt.Sprintf("%.2f", one.ofPlain()), one.ofPlain() >= goalOneFile)
	row("throughput, a filter each", fmt.Sprintf("≥ %.2f of plain Envoy", goalSeparate), fmt.Sprintf("%.2f", separate.ofPlain()), separate.ofPlain() >= goalSeparate)
	row("throughput, a file each", fmt.Sprintf("≥ %.2f of plain Envoy", goalSeparate), fmt.Sprintf("%.2f", files.ofPlain()), files.ofPlain() >= goalSeparate)
	row("added at p50, one file", "≤ "+ms(goalP50), ms(one.added(0)), one.added(0) <= goalP50)
	row("added at p95, one file", "≤ "+ms(goalP95), ms(one.added(1)), one.added(1) <= goalP95)
	row("added to the first token at p50", "≤ "+ms(goalFirst), ms(one.addedFirst()), one.addedFirst() <= goalFirst)
	translated := r.find(oneFileName + translatedName)
	row("added to the first token at p50, translated", "≤ "+ms(goalTranslatedFirst), ms(translated.addedFirst()), translated.addedFirst() <= goalTranslatedFirst)
	r.embeddedGoals(row)
	r.translation.goals(row)
	host, empty := r.find(moduleHostName), r.find(emptyHostName)
	row("added at p50, module host", "≤ "+ms(goalHostP50), ms(host.added(0)), host.added(0) <= goalHostP50)
	fmt.Fprintf(b, "| of it, what ext_proc costs where the server does nothing | | %s | |\n", ms(empty.added(0)))
	row("added at p95, module host", "≤ "+ms(goalHostP95), ms(host.added(1)), host.added(1) <= goalHostP95)
	failoverGoals(r.failover, row)
	row(fmt.Sprintf("errors in a %d s run", s.seconds), "0", fmt.Sprintf("%d of %d requests in all", s.errors, s.requests), s.errors == 0)
	row(fmt.Sprintf("memory after %d requests against after %d", s.totalN, s.earlyN), "within 10 %",
		fmt.Sprintf("%s against %s (%+.1f %%)", megabytes(s.late), megabytes(s.early), drift), drift <= 10)
}

// rows begins the table of goals, and writes one of its rows at each call.
func rows(b *strings.Builder) (row func(goal, asked, measured string, met bool)) {
	fmt.Fprintf(b, "\n## Goals\n\n| goal | asked for | measured | |\n|---|---|---|---|\n")
	return func(goal, asked, measured string, met bool) {
		verdict := "missed"
		if met {
			verdict = "met"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", goal, asked, measured, verdict)
	}
}

func (r report) find(name string) result {
	for _, one := range r.results {
		if one.name == name {
			return one
		}
	}
	return result{}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d)/float64(time.Millisecond)) }

func added(d time.Duration) string {
	return fmt.Sprintf("%+.3f ms", float64(d)/float64(time.Millisecond))
}

func processorTime(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
}

func megabytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d MB", n>>20)
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	_, rest, found := strings.Cut(string(info), "model name")
	if !found {
		return runtime.GOARCH
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(strings.TrimLeft(line, "\t :"))
}
