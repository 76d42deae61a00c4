package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/host/harness"
)

func moduleBenchCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "bench",
		Usage:     "measure what a module costs: time of an exchange, throughput of a core, memory",
		ArgsUsage: "FILE.wasm...",
		Description: "The same exchange is done again and again on one core, after a warm-up. Without --data and --answer it is a chat of 600 bytes.\n" +
			"What an Envoy adds is not in it; docs/benchmarks.md has that.",
		Flags: append(exchangeFlags(), cacheFlag(),
			&cli.DurationFlag{Name: "duration", Usage: "for how long, as `TIME`", Value: 3 * time.Second},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT`: text or json", Value: "text"},
		),
		Action: func(c *cli.Context) error {
			if format := c.String("output"); format != "text" && format != "json" {
				return badUsage("--output %s: it is text or json", format)
			}
			setup, err := setupOf(c)
			if err != nil {
				return err
			}
			request, err := requestOf(c)
			if err != nil {
				return err
			}
			if !c.IsSet("data") && !c.IsSet("path") && !c.IsSet("request") {
				request.Body = harness.SampleChat
				if !c.IsSet("answer") {
					request.Answer.Body = harness.SampleAnswer
				}
			}
			h, err := newHarness(c)
			if err != nil {
				return err
			}
			defer h.Close(c.Context) //nolint:errcheck // the end of the program
			p, err := h.Start(c.Context, setup)
			if err != nil {
				return err
			}
			defer p.Close(c.Context)
			first, err := p.Exchange(c.Context, request)
			if err != nil {
				return err
			}
			m, err := p.Bench(c.Context, request, c.Duration("duration"))
			if err != nil {
				return err
			}
			return showMeasured(c, first, m)
		},
	})
}

func showMeasured(c *cli.Context, first *harness.Result, m harness.Measured) error {
	var err error
	if c.String("output") == "json" {
		encoder := json.NewEncoder(c.App.Writer)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(m)
	} else {
		round := func(d time.Duration) time.Duration { return d.Round(100 * time.Nanosecond) }
		_, err = fmt.Fprintf(c.App.Writer, "exchange     %s %d, %d bytes\ntime         p50 %v   p95 %v   p99 %v   max %v\nthroughput   %.0f exchanges/s on a core (%d in %v)\n"+
			"memory       %.1f MiB in the VMs, grown by %.1f MiB since the warm-up\nhost         %.0f allocations, %.0f bytes an exchange\n",
			first.Outcome, first.Status, len(first.Body), round(m.P50), round(m.P95), round(m.P99), round(m.Max), m.PerSecond, m.Exchanges,
			m.Elapsed.Round(time.Millisecond), float64(m.Memory)/(1<<20), float64(m.Growth)/(1<<20), m.HostAllocations, m.HostBytes)
	}
	if m.Failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d exchanges were not answered", m.Failed))
	}
	return err
}
