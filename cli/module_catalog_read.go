package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"
	"github.com/urfave/cli/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	registryv1 "github.com/leash-gateway/leash/api/leash/registry/v1"
	"github.com/leash-gateway/leash/api/leash/registry/v1/registryv1connect"
	"github.com/leash-gateway/leash/registry/remote"
)

// versionRow is a version as it is shown.
type versionRow struct {
	Version   string   `json:"version"`
	State     string   `json:"state"`
	Reason    string   `json:"reason,omitempty"`
	Digest    string   `json:"digest"`
	Wasm      string   `json:"wasm"`
	Bytes     int64    `json:"bytes"`
	Pushed    string   `json:"pushed"`
	By        string   `json:"by"`
	Downloads uint64   `json:"downloads"`
	Channels  []string `json:"channels,omitempty"`
}

func versionRowOf(v *registryv1.Version) versionRow {
	return versionRow{
		Version: v.GetVersion(), State: strings.ToLower(strings.TrimPrefix(v.GetState().String(), "STATE_")), Reason: v.GetReason(), Digest: v.GetDigest(), Wasm: v.GetWasmDigest(),
		Bytes: v.GetWasmBytes(), Pushed: timeText(v.GetPushTime()), By: v.GetPushedBy(), Downloads: v.GetDownloads(),
	}
}

func timeText(t *timestamppb.Timestamp) string { return t.AsTime().Format(time.RFC3339) }

func moduleVersionsCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name: "versions", Usage: "list a module's versions and channels in a registry", ArgsUsage: "[REGISTRY/]NAME", Flags: catalogFlags(outputFlag()),
		Action: func(c *cli.Context) error {
			return withCatalog(c, 1, 1, func(ctx context.Context, client registryv1connect.CatalogServiceClient, module string) error {
				answer, err := client.GetModule(ctx, connect.NewRequest(&registryv1.GetModuleRequest{Module: module}))
				if err != nil {
					return err
				}
				at := map[string][]string{}
				for _, channel := range answer.Msg.GetChannels() {
					at[channel.GetVersion()] = append(at[channel.GetVersion()], channel.GetName())
					if canary := channel.GetCanary(); canary != nil {
						at[canary.GetVersion()] = append(at[canary.GetVersion()], channel.GetName()+" (canary)")
					}
				}
				rows := []versionRow{}
				for _, v := range answer.Msg.GetVersions() {
					row := versionRowOf(v)
					row.Channels = at[row.Version]
					rows = append(rows, row)
				}
				return output(c, rows, func(w io.Writer) {
					table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					_, _ = fmt.Fprintln(table, "VERSION\tSTATE\tCHANNELS\tPUSHED\tBY\tDOWNLOADS\tDIGEST")
					for _, row := range rows {
						_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", row.Version, row.State, strings.Join(row.Channels, ", "), row.Pushed, row.By, row.Downloads, row.Digest)
					}
					_ = table.Flush()
				})
			})
		},
	})
}

func moduleHistoryCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name: "history", Usage: "tell who did what to a module in a registry", ArgsUsage: "[REGISTRY/]NAME",
		Flags: catalogFlags(outputFlag(), &cli.UintFlag{Name: "limit", Usage: "at most so many (`N`) events, the latest first", Value: 100}),
		Action: func(c *cli.Context) error {
			return withCatalog(c, 1, 1, func(ctx context.Context, client registryv1connect.CatalogServiceClient, module string) error {
				rows, err := history(ctx, client, module, int(c.Uint("limit"))) //nolint:gosec // a small number
				if err != nil {
					return err
				}
				return output(c, rows, func(w io.Writer) {
					table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					_, _ = fmt.Fprintln(table, "SEQ\tTIME\tWHO\tWHAT\tVERSION\tCHANNEL\tREASON")
					for _, row := range rows {
						_, _ = fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Seq, row.Time, row.Actor, row.Kind, row.Version, row.Channel, row.Reason)
					}
					_ = table.Flush()
				})
			})
		},
	})
}

// eventRow is an event as it is shown.
type eventRow struct {
	Seq      uint64            `json:"seq"`
	Time     string            `json:"time"`
	Actor    string            `json:"actor"`
	Via      string            `json:"via,omitempty"`
	Kind     string            `json:"kind"`
	Version  string            `json:"version,omitempty"`
	Channel  string            `json:"channel,omitempty"`
	Tag      string            `json:"tag,omitempty"`
	Digest   string            `json:"digest,omitempty"`
	Previous string            `json:"previous,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Details  map[string]string `json:"details,omitempty"`
	Chain    string            `json:"chain"`
}

// history reads page after page.
func history(ctx context.Context, client registryv1connect.CatalogServiceClient, module string, limit int) ([]eventRow, error) {
	rows, before := []eventRow{}, uint64(0)
	for len(rows) < limit {
		const page = 500
		answer, err := client.ListEvents(ctx, connect.NewRequest(&registryv1.ListEventsRequest{
			Module: module, Before: before, PageSize: uint32(min(page, limit-len(rows))), //nolint:gosec // at most a page
		}))
		if err != nil {
			return nil, err
		}
		if len(answer.Msg.GetEvents()) == 0 {
			break
		}
		for _, e := range answer.Msg.GetEvents() {
			before = e.GetSeq()
			rows = append(rows, eventRow{
				Seq: e.GetSeq(), Time: timeText(e.GetTime()), Actor: e.GetActor(), Via: e.GetVia(), Kind: e.GetKind(), Version: e.GetVersion(), Channel: e.GetChannel(),
				Tag: e.GetTag(), Digest: e.GetDigest(), Previous: e.GetPreviousDigest(), Reason: e.GetReason(), Details: e.GetDetails(), Chain: e.GetChain(),
			})
		}
		if before <= 1 {
			break
		}
	}
	return rows, nil
}

func moduleSearchCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name: "search", Usage: "find modules in a registry", ArgsUsage: "[WORD]...", Description: "Without words it lists all of them.",
		Flags: catalogFlags(outputFlag()),
		Action: func(c *cli.Context) error {
			return withRegistries(c, 0, -1, func(ctx context.Context, client *remote.Client) error {
				registry := c.String("registry")
				web, url, err := client.Service(ctx, registry)
				if err != nil {
					return err
				}
				rows, err := search(ctx, registryv1connect.NewCatalogServiceClient(web, url), strings.Join(c.Args().Slice(), " "))
				if err != nil {
					return explainCatalog(registry, err)
				}
				return output(c, rows, func(w io.Writer) {
					table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					_, _ = fmt.Fprintln(table, "MODULE\tLATEST\tKIND\tCHANNELS\tDESCRIPTION")
					for _, row := range rows {
						var channels []string
						for _, channel := range row.Channels {
							channels = append(channels, channel.Channel+"="+channel.Version)
						}
						_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", row.Module, row.Latest, row.Kind, strings.Join(channels, ", "), row.Description)
					}
					_ = table.Flush()
				})
			})
		},
	})
}

// moduleRow is a module as it is shown.
type moduleRow struct {
	Module      string       `json:"module"`
	Latest      string       `json:"latest"`
	Kind        string       `json:"kind"`
	Description string       `json:"description"`
	Channels    []channelRow `json:"channels,omitempty"`
}

// search reads page after page.
func search(ctx context.Context, client registryv1connect.CatalogServiceClient, query string) ([]moduleRow, error) {
	rows, token := []moduleRow{}, ""
	for {
		answer, err := client.SearchModules(ctx, connect.NewRequest(&registryv1.SearchModulesRequest{Query: query, PageToken: token}))
		if err != nil {
			return nil, err
		}
		for _, m := range answer.Msg.GetModules() {
			row := moduleRow{Module: m.GetName(), Latest: m.GetLatestVersion(), Kind: m.GetKind(), Description: m.GetDescription()}
			for _, channel := range m.GetChannels() {
				row.Channels = append(row.Channels, channelRowOf(channel))
			}
			rows = append(rows, row)
		}
		if token = answer.Msg.GetNextPageToken(); token == "" {
			return rows, nil
		}
	}
}
