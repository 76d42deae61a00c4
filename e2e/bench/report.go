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
one machine of %d cores (%s), so only the ratios mean something. Each measurement took %d s; requests are chats of %d bytes,
answered at once. Latencies are at 1 connection, throughput at 8. "Added" is against plain Envoy. The first token is a stream's first event, at a pace of 2 ms;
where chats are translated, its first text, and what is added is against plain Envoy with a client of the provider's own API.

Measured %s with %s.

| | throughput, requests/s | of plain Envoy | p50 | p95 | p99 | added p50 | added p95 | first token p50 | added | memory | errors |
|---|---|---|---|---|---|---|---|---|---|---|---|
`, runtime.NumCPU(), processor(), r.seconds, len(chat), r.began.UTC().Format("2006-01-02"), runtime.Version())
	plain := r.find(plainName)
	for _, one := range r.results {
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %s | %s | %s | %s | %s | %s | %s | %s | %d |\n",
			one.name, one.throughput, one.throughput/plain.throughput, ms(one.latency[0]), ms(one.latency[1]), ms(one.latency[2]),
			added(one.latency[0]-plain.latency[0]), added(one.latency[1]-plain.latency[1]),
			ms(one.firstToken), added(one.addedFirst(plain)), megabytes(one.rss), one.errors)
	}
	for _, missing := range r.missing {
		fmt.Fprintf(&b, "\nNot measured: %s\n", strings.ReplaceAll(missing, "\n", " "))
	}
	r.translation.markdown(&b)
	if r.soak.requests > 0 {
		r.goals(&b, plain)
	} else if len(r.failover) > 0 {
		failoverGoals(r.failover, rows(&b))
	}
	return b.String()
}

func (r report) goals(b *strings.Builder, plain result) {
	one, separate := r.find(oneFileName), r.find("Envoy, six modules, a file each")
	s := r.soak
	drift := float64(s.late-s.early) / float64(max(s.early, 1)) * 100
	row := rows(b)
	ratio := func(x result) float64 { return x.throughput / plain.throughput }
	row("throughput, one file", fmt.Sprintf("≥ %.2f of plain Envoy", goalOneFile), fmt.Sprintf("%.2f", ratio(one)), ratio(one) >= goalOneFile)
	row("throughput, a file each", fmt.Sprintf("≥ %.2f of plain Envoy", goalSeparate), fmt.Sprintf("%.2f", ratio(separate)), ratio(separate) >= goalSeparate)
	row("added at p50, one file", "≤ "+ms(goalP50), ms(one.latency[0]-plain.latency[0]), one.latency[0]-plain.latency[0] <= goalP50)
	row("added at p95, one file", "≤ "+ms(goalP95), ms(one.latency[1]-plain.latency[1]), one.latency[1]-plain.latency[1] <= goalP95)
	row("added to the first token at p50", "≤ "+ms(goalFirst), ms(one.firstToken-plain.firstToken), one.firstToken-plain.firstToken <= goalFirst)
	translated := r.find(oneFileName + translatedName)
	row("added to the first token at p50, translated", "≤ "+ms(goalTranslatedFirst), ms(translated.addedFirst(plain)), translated.addedFirst(plain) <= goalTranslatedFirst)
	r.embeddedGoals(row)
	r.translation.goals(row)
	host, empty := r.find(moduleHostName), r.find(emptyHostName)
	row("added at p50, module host", "≤ "+ms(goalHostP50), ms(host.latency[0]-plain.latency[0]), host.latency[0]-plain.latency[0] <= goalHostP50)
	fmt.Fprintf(b, "| of it, what ext_proc costs where the server does nothing | | %s | |\n", ms(empty.latency[0]-plain.latency[0]))
	row("added at p95, module host", "≤ "+ms(goalHostP95), ms(host.latency[1]-plain.latency[1]), host.latency[1]-plain.latency[1] <= goalHostP95)
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

// addedFirst is how much later than by plain Envoy the first token comes.
func (r result) addedFirst(plain result) time.Duration {
	if strings.HasSuffix(r.name, translatedName) {
		return r.firstToken - plain.ofMessages
	}
	return r.firstToken - plain.firstToken
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
