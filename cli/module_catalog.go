package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/urfave/cli/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	registryv1 "github.com/leash-gateway/leash/api/leash/registry/v1"
	"github.com/leash-gateway/leash/api/leash/registry/v1/registryv1connect"
	"github.com/leash-gateway/leash/registry/remote"
	"github.com/leash-gateway/leash/registry/setup"
)

// catalogFlags are those of all commands that speak to a registry's catalogue.
func catalogFlags(more ...cli.Flag) []cli.Flag {
	return registryFlags(append(more,
		&cli.StringFlag{Name: "registry", Usage: "the registry's `ADDRESS`, where the module's name does not say it", Value: setup.DefaultListen, EnvVars: []string{"LEASH_REGISTRY"}},
	)...)
}

func reasonFlag() cli.Flag {
	return &cli.StringFlag{Name: "reason", Aliases: []string{"m"}, Usage: "`WHY`, for those who read the history"}
}

func channelFlag() cli.Flag {
	return &cli.StringFlag{Name: "channel", Usage: "the `CHANNEL`, such as stable"}
}

// catalogName splits a module's name: REGISTRY/REPOSITORY, or REPOSITORY of the registry that the flag names.
func catalogName(c *cli.Context, name string) (registry, module string) {
	if host, rest, found := strings.Cut(name, "/"); found && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return host, rest
	}
	return c.String("registry"), name
}

// withCatalog runs an action with a client of the registry that the first argument names, and the module's name there.
func withCatalog(c *cli.Context, least, most int, act func(ctx context.Context, client registryv1connect.CatalogServiceClient, module string) error) error {
	return withRegistries(c, least, most, func(ctx context.Context, client *remote.Client) error {
		registry, module := catalogName(c, c.Args().First())
		web, url, err := client.Service(ctx, registry)
		if err != nil {
			return err
		}
		return explainCatalog(registry, act(ctx, registryv1connect.NewCatalogServiceClient(web, url), module))
	})
}

// explainCatalog adds what to do to errors that a person can do something about.
func explainCatalog(registry string, err error) error {
	answer, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return err
	}
	text := answer.Message()
	switch answer.Code() {
	case connect.CodeUnauthenticated:
		text += " (leash module login " + registry + ")"
	case connect.CodeUnimplemented:
		text = "it is no registry of Leash's, so it has no channels (--registry names one)"
	case connect.CodeUnavailable:
		if explained := remote.Explain(err); explained != err { //nolint:errorlint // whether something was added
			return fmt.Errorf("%s: %w", registry, explained)
		}
		text += " (is the registry running? leash registry serve)"
	case connect.CodeCanceled:
		text = "interrupted: leash module history tells whether it was done"
	case connect.CodeInvalidArgument:
		return usageError{fmt.Errorf("%s: %s", registry, text)}
	}
	return fmt.Errorf("%s: %s", registry, text)
}

func modulePromoteCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "promote",
		Usage:     "make a channel of a registry point at a version",
		ArgsUsage: "[REGISTRY/]NAME VERSION",
		Description: "The registry verifies the version before: signatures, content, manifest. Envoys with a slot on standby load it first, which may\n" +
			"take seconds; then the channel is moved, and they run it at once. If one cannot load it, nothing is moved. With --canary or --node some of the Envoys that\n" +
			"follow the channel get it first: a share of them, or those whose node id matches. It is then promoted by itself after --for, or\n" +
			"ended by itself when it breaks --max-error-rate or --max-latency; promoting it again without them does it at once.",
		Flags: catalogFlags(channelFlag(), reasonFlag(), outputFlag(),
			&cli.StringFlag{Name: "expect", Usage: "refuse it if the channel does not point at this `DIGEST` until now"},
			&cli.BoolFlag{Name: "immediately", Usage: "do not wait until Envoys have loaded it"},
			&cli.IntFlag{Name: "canary", Usage: "first only for a share of the Envoys, in `PERCENT`"},
			&cli.StringSliceFlag{Name: "node", Usage: "first only for Envoys whose node id matches the `PATTERN` (* is anything); may be repeated"},
			&cli.DurationFlag{Name: "for", Usage: "promote a canary when it has gone well for this `TIME`", DefaultText: "by hand"},
			&cli.Float64Flag{Name: "max-error-rate", Usage: "end a canary when more than this `SHARE` of requests (0 to 1) fails"},
			&cli.DurationFlag{Name: "max-latency", Usage: "end a canary when the p95 of requests is above this `TIME`"},
		),
		Action: func(c *cli.Context) error {
			if c.String("channel") == "" {
				return badUsage("name the channel: --channel stable")
			}
			tried := c.IsSet("canary") || c.IsSet("node")
			if !tried && (c.IsSet("for") || c.IsSet("max-error-rate") || c.IsSet("max-latency")) {
				return badUsage("--for, --max-error-rate and --max-latency are of a canary: --canary PERCENT or --node PATTERN")
			}
			return withCatalog(c, 2, 2, func(ctx context.Context, client registryv1connect.CatalogServiceClient, module string) error {
				if tried {
					return startCanary(ctx, c, client, module)
				}
				answer, err := client.PromoteVersion(ctx, connect.NewRequest(&registryv1.PromoteVersionRequest{
					Module: module, Version: c.Args().Get(1), Channel: c.String("channel"), Reason: c.String("reason"), ExpectedDigest: c.String("expect"),
					Immediately: c.Bool("immediately"),
				}))
				if err != nil {
					return err
				}
				return showPromotion(c, answer.Msg)
			})
		},
	})
}

func startCanary(ctx context.Context, c *cli.Context, client registryv1connect.CatalogServiceClient, module string) error {
	percent := c.Int("canary")
	if percent < 0 || percent > 100 {
		return badUsage("--canary %d: it is a share in percent, 0 to 100", percent)
	}
	answer, err := client.StartCanary(ctx, connect.NewRequest(&registryv1.StartCanaryRequest{
		Module: module, Channel: c.String("channel"), Reason: c.String("reason"),
		Canary: &registryv1.Canary{
			Version: c.Args().Get(1), Percent: uint32(percent), Nodes: c.StringSlice("node"), PromoteAfter: durationpb.New(c.Duration("for")), //nolint:gosec // 0 to 100
			MaxErrorRate: c.Float64("max-error-rate"), MaxLatency: durationpb.New(c.Duration("max-latency")),
		},
	}))
	if err != nil {
		return err
	}
	return showChannel(c, answer.Msg.GetChannel())
}

// channelRow is a channel as it is shown.
type channelRow struct {
	Channel  string `json:"channel"`
	Version  string `json:"version"`
	Digest   string `json:"digest"`
	Revision uint64 `json:"revision"`
	Canary   string `json:"canary,omitempty"`
}

func channelRowOf(channel *registryv1.Channel) channelRow {
	return channelRow{channel.GetName(), channel.GetVersion(), channel.GetDigest(), channel.GetRevision(), channel.GetCanary().GetVersion()}
}

func showChannel(c *cli.Context, channel *registryv1.Channel) error {
	row := channelRowOf(channel)
	return output(c, row, row.table)
}

func (row channelRow) table(w io.Writer) {
	version := row.Version
	if version == "" {
		version = "nothing"
	}
	_, _ = fmt.Fprintf(w, "%s -> %s %s\n", row.Channel, version, row.Digest)
	if row.Canary != "" {
		_, _ = fmt.Fprintf(w, "canary: %s\n", row.Canary)
	}
}

// promotion is what has become of a promotion, as it is shown.
type promotion struct {
	channelRow
	// Prepared is how many Envoys had loaded the version on standby, after PrepareSeconds; Running of so many Slots run it, after SwitchSeconds
	// from the moment at which the channel was moved.
	Prepared       uint32  `json:"prepared"`
	PrepareSeconds float64 `json:"prepare_seconds"`
	Slots          uint32  `json:"slots"`
	Running        uint32  `json:"running"`
	SwitchSeconds  float64 `json:"switch_seconds"`
}

func showPromotion(c *cli.Context, answer *registryv1.PromoteVersionResponse) error {
	r := answer.GetRollout()
	shown := promotion{
		channelRowOf(answer.GetChannel()), r.GetPrepared(), r.GetPrepareTime().AsDuration().Seconds(), r.GetSlots(), r.GetRunning(), r.GetSwitchTime().AsDuration().Seconds(),
	}
	return output(c, shown, func(w io.Writer) {
		shown.table(w)
		switch {
		case r == nil: // it serves no Envoys
			return
		case shown.Slots == 0:
			_, _ = fmt.Fprintln(w, "no Envoy with a slot for it is connected: leash registry status tells when one is")
			return
		}
		if shown.Prepared > 0 {
			_, _ = fmt.Fprintf(w, "prepared: %d slots on standby had loaded it, after %.2f s\n", shown.Prepared, shown.PrepareSeconds)
		}
		_, _ = fmt.Fprintf(w, "running: in %d of %d slots, %.2f s after the channel was moved\n", shown.Running, shown.Slots, shown.SwitchSeconds)
		if shown.Running < shown.Slots {
			_, _ = fmt.Fprintln(w, "the others are loading it: leash registry status tells how they stand")
		}
	})
}

func moduleRollbackCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:        "rollback",
		Usage:       "make a channel of a registry point at what it pointed at before",
		ArgsUsage:   "[REGISTRY/]NAME [VERSION]",
		Description: "A canary of the channel is ended instead, if there is one and no version is named.",
		Flags: catalogFlags(channelFlag(), reasonFlag(), outputFlag(),
			&cli.StringFlag{Name: "expect", Usage: "refuse it if the channel does not point at this `DIGEST` until now"},
		),
		Action: func(c *cli.Context) error {
			if c.String("channel") == "" {
				return badUsage("name the channel: --channel stable")
			}
			if c.String("reason") == "" {
				return badUsage("say why, for the history: --reason WHY")
			}
			return withCatalog(c, 1, 2, func(ctx context.Context, client registryv1connect.CatalogServiceClient, module string) error {
				known, err := client.GetModule(ctx, connect.NewRequest(&registryv1.GetModuleRequest{Module: module}))
				if err != nil {
					return err
				}
				for _, channel := range known.Msg.GetChannels() {
					if channel.GetName() != c.String("channel") || channel.GetCanary() == nil || c.NArg() > 1 {
						continue
					}
					ended, err := client.AbortCanary(ctx, connect.NewRequest(&registryv1.AbortCanaryRequest{Module: module, Channel: channel.GetName(), Reason: c.String("reason")}))
					if err != nil {
						return err
					}
					return showReturn(c, ended.Msg.GetChannel())
				}
				answer, err := client.RollBackChannel(ctx, connect.NewRequest(&registryv1.RollBackChannelRequest{
					Module: module, Channel: c.String("channel"), Version: c.Args().Get(1), Reason: c.String("reason"), ExpectedDigest: c.String("expect"),
				}))
				if err != nil {
					return err
				}
				return showReturn(c, answer.Msg.GetChannel())
			})
		},
	})
}

// showReturn shows a channel that points at something else now. Unlike a promotion, a return does not wait for Envoys.
func showReturn(c *cli.Context, channel *registryv1.Channel) error {
	row := channelRowOf(channel)
	return output(c, row, func(w io.Writer) {
		row.table(w)
		_, _ = fmt.Fprintln(w, "Envoys with a slot for it are given it now: leash registry status tells how they stand")
	})
}

func moduleDeprecateCommand() *cli.Command {
	return judgeCommand("deprecate", "say that a version in a registry should not be used any more", "Who uses it goes on; it cannot be promoted.",
		func(ctx context.Context, c *cli.Context, client registryv1connect.CatalogServiceClient, module, version string) (*registryv1.Version, error) {
			if c.Bool("undo") {
				answer, err := client.UndeprecateVersion(ctx, connect.NewRequest(&registryv1.UndeprecateVersionRequest{Module: module, Version: version, Reason: c.String("reason")}))
				if err != nil {
					return nil, err
				}
				return answer.Msg.GetVersion(), nil
			}
			answer, err := client.DeprecateVersion(ctx, connect.NewRequest(&registryv1.DeprecateVersionRequest{Module: module, Version: version, Reason: c.String("reason")}))
			if err != nil {
				return nil, err
			}
			return answer.Msg.GetVersion(), nil
		}, &cli.BoolFlag{Name: "undo", Usage: "take it back"})
}

func moduleYankCommand() *cli.Command {
	return judgeCommand("yank", "take a version in a registry back, for good", "Nobody gets it any more. Channels that point at it go back to what they pointed at before.",
		func(ctx context.Context, c *cli.Context, client registryv1connect.CatalogServiceClient, module, version string) (*registryv1.Version, error) {
			answer, err := client.YankVersion(ctx, connect.NewRequest(&registryv1.YankVersionRequest{Module: module, Version: version, Reason: c.String("reason")}))
			if err != nil {
				return nil, err
			}
			return answer.Msg.GetVersion(), nil
		})
}

// judgeCommand is a command about one version, for a reason that must be said.
func judgeCommand(
	name, usage, description string,
	do func(ctx context.Context, c *cli.Context, client registryv1connect.CatalogServiceClient, module, version string) (*registryv1.Version, error), more ...cli.Flag,
) *cli.Command {
	return withArguments(&cli.Command{
		Name: name, Usage: usage, ArgsUsage: "[REGISTRY/]NAME VERSION", Description: description,
		Flags: catalogFlags(append(more, reasonFlag(), outputFlag())...),
		Action: func(c *cli.Context) error {
			if c.String("reason") == "" {
				return badUsage("say why, for those who will ask: --reason WHY")
			}
			return withCatalog(c, 2, 2, func(ctx context.Context, client registryv1connect.CatalogServiceClient, module string) error {
				version, err := do(ctx, c, client, module, c.Args().Get(1))
				if err != nil {
					return err
				}
				row := versionRowOf(version)
				return output(c, row, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s %s is %s\n", module, row.Version, row.State) })
			})
		},
	})
}
