package cli

import (
	"context"
	"fmt"
	"net"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/leash-gateway/leash/mock"
)

func mockCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "mock",
		Usage: "run a provider that needs no key, in the APIs of OpenAI, Anthropic, Google, Azure and Bedrock, with faults on demand",
		Description: "A user message can say what it wants to hear (say: TEXT, lorem: 200, call: TOOL {}), and a request how it is to be\n" +
			"answered: in the header X-Mock or behind the model, as in gpt-4o-mini?status=503. docs/reference/mock.md lists it all.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "listen", Usage: "`ADDRESS` to listen on; several are several providers, each with faults and requests of its own", Value: cli.NewStringSlice("127.0.0.1:8090")},
			&cli.StringFlag{Name: "behavior", Usage: "how every request is answered, as `SETTINGS` such as pace=20ms&chunk=5"},
			&cli.DurationFlag{Name: "pace", Usage: "`TIME` between two events of a stream"},
			&cli.StringFlag{Name: "key", Usage: "the only API `KEY` that is accepted; any by default", EnvVars: []string{"LEASH_MOCK_KEY"}},
			&cli.BoolFlag{Name: "lax", Usage: "take requests also where they do not fit the provider's published schema"},
			&cli.BoolFlag{Name: "control", Usage: "serve /mock/faults and /mock/requests, which show what was received, keys included"},
		},
		Action: func(c *cli.Context) error {
			behavior, err := mock.ParseBehavior(c.String("behavior"))
			if err != nil {
				return badUsage("%w", err)
			}
			if pace := c.Duration("pace"); pace < 0 {
				return badUsage("--pace: must not be negative")
			} else if pace > 0 {
				behavior.Pace = pace
			}
			for _, address := range c.StringSlice("listen") {
				if _, _, err := net.SplitHostPort(address); err != nil {
					return badUsage("--listen: %w: write it as 127.0.0.1:8090", err)
				}
			}
			options := mock.Options{Behavior: behavior, Key: c.String("key"), Lax: c.Bool("lax"), Control: c.Bool("control")}
			return serveMocks(c, options)
		},
	})
}

// serveMocks runs a provider at each address until all are told to end, or one fails.
func serveMocks(c *cli.Context, options mock.Options) error {
	var providers []*mock.Provider
	var listeners []net.Listener
	for _, address := range c.StringSlice("listen") {
		provider := mock.New(options)
		listener, err := provider.Listen(c.Context, address)
		if err != nil {
			return fmt.Errorf("start mock: %w", err)
		}
		defer listener.Close() //nolint:errcheck // its server has closed it, unless a later address was not to be had
		providers, listeners = append(providers, provider), append(listeners, listener)
	}
	group, ctx := errgroup.WithContext(c.Context)
	for i, listener := range listeners {
		_, _ = fmt.Fprintf(c.App.ErrWriter, "mock provider at http://%s/v1\n", listener.Addr())
		group.Go(func() error { return serve(context.WithoutCancel(ctx), ctx.Done(), listener, providers[i]) })
	}
	return group.Wait()
}
