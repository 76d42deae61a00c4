package cli

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leash-gateway/leash/mock"
)

func mockCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "mock",
		Usage: "run a provider that needs no key, in the APIs of OpenAI, Anthropic and Google, with faults on demand",
		Description: "A user message can say what it wants to hear (say: TEXT, lorem: 200, call: TOOL {}), and a request how it is to be\n" +
			"answered: in the header X-Mock or behind the model, as in gpt-4o-mini?status=503. docs/reference/mock.md lists it all.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` to listen on", Value: "127.0.0.1:8090"},
			&cli.StringFlag{Name: "behavior", Usage: "how every request is answered, as `SETTINGS` such as pace=20ms&chunk=5"},
			&cli.DurationFlag{Name: "pace", Usage: "`TIME` between two events of a stream"},
			&cli.StringFlag{Name: "key", Usage: "the only API `KEY` that is accepted; any by default", EnvVars: []string{"LEASH_MOCK_KEY"}},
			&cli.BoolFlag{Name: "control", Usage: "serve /mock/faults and /mock/requests, which show what was received, keys included"},
		},
		Action: func(c *cli.Context) error {
			behavior, err := mock.ParseBehavior(c.String("behavior"))
			if err != nil {
				return badUsage("%w", err)
			}
			if pace := c.Duration("pace"); pace < 0 {
				return badUsage("pace: must not be negative")
			} else if pace > 0 {
				behavior.Pace = pace
			}
			if _, _, err := net.SplitHostPort(c.String("listen")); err != nil {
				return badUsage("listen: %w: write it as 127.0.0.1:8090", err)
			}
			listener, err := (&net.ListenConfig{KeepAlive: time.Minute}).Listen(c.Context, "tcp", c.String("listen"))
			if err != nil {
				return fmt.Errorf("start mock: %w", err)
			}
			_, _ = fmt.Fprintf(c.App.ErrWriter, "mock provider at http://%s/v1\n", listener.Addr())
			return serve(context.WithoutCancel(c.Context), c.Done(), listener,
				mock.New(mock.Options{Behavior: behavior, Key: c.String("key"), Control: c.Bool("control")}))
		},
	})
}
