// Command bench measures what Leash costs: against a direct connection, plain Envoy, and other gateways without policies
// where they are installed, all in one run on one machine. Only the ratios are worth quoting; `make bench` writes them into
// docs/benchmarks.md.
//
// The load is fortio's (https://fortio.org), the provider is `leash mock`, and both share the machine with what is
// measured, so the ratios are lower bounds of what a gateway on cores of its own would show.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// options are what the command line sets.
type options struct {
	out       string
	onlyLeash bool
	seconds   int
	fortio    string
	total     int
	only      string
}

func main() {
	if of := os.Getenv(reverseProxyEnv); of != "" {
		fmt.Fprintln(os.Stderr, "bench:", reverseProxy(os.Args[1], of))
		os.Exit(1)
	}
	if socket := os.Getenv(emptyHostEnv); socket != "" {
		fmt.Fprintln(os.Stderr, "bench:", serveEmptyHost(socket))
		os.Exit(1)
	}
	var o options
	flag.StringVar(&o.out, "o", "", "write the report to this file instead of standard output")
	flag.BoolVar(&o.onlyLeash, "only-leash", false, "leave out LiteLLM proxy and Portkey gateway")
	flag.IntVar(&o.seconds, "seconds", 10, "how long each measurement takes, in all of its turns")
	flag.IntVar(&o.total, "total", 200_000, "how many requests the memory test sends")
	flag.StringVar(&o.fortio, "fortio", "build/tools/fortio", "the load generator")
	flag.StringVar(&o.only, "only", "", "measure only variants whose names contain this, and plain Envoy, and write no goals")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, o options) error {
	began := time.Now()
	provider, err := startMock(ctx)
	if err != nil {
		return err
	}
	defer provider.stop()

	dir, err := os.MkdirTemp("", "leash-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	plain, err := plainEnvoy(ctx, dir, provider.url)
	if err != nil {
		return fmt.Errorf("start %s: %w", plainName, err)
	}
	defer plain.stop()
	if err := warm(ctx, o, plain); err != nil {
		return fmt.Errorf("measure %s: %w", plainName, err)
	}

	report := report{began: began, seconds: o.seconds}
	for _, variant := range variants(o.onlyLeash) {
		if !strings.Contains(variant.name, o.only) && variant.name != plainName {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", variant.name)
		result, err := measure(ctx, o, variant, provider.url, plain)
		if err != nil {
			if variant.optional {
				report.missing = append(report.missing, fmt.Sprintf("%s: %v", variant.name, err))
				continue
			}
			return fmt.Errorf("measure %s: %w", variant.name, err)
		}
		report.results = append(report.results, result)
	}
	if o.only == "" || strings.Contains(translationName, o.only) {
		fmt.Fprintf(os.Stderr, "bench: %s\n", translationName)
		if report.translation, err = measureTranslation(ctx); err != nil {
			return fmt.Errorf("measure %s: %w", translationName, err)
		}
	}
	if o.only == "" || strings.Contains(failoverName, o.only) {
		fmt.Fprintf(os.Stderr, "bench: %s\n", failoverName)
		if report.failover, err = measureFailover(ctx); err != nil {
			return fmt.Errorf("measure %s: %w", failoverName, err)
		}
	}
	if o.only == "" {
		if report.soak, err = soak(ctx, o, provider.url); err != nil {
			return fmt.Errorf("soak: %w", err)
		}
	}
	text := report.markdown()
	if o.out == "" {
		_, err = fmt.Print(text)
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: report in %s\n", o.out)
	return os.WriteFile(o.out, []byte(text), 0o644) //nolint:gosec // a document for everybody
}
