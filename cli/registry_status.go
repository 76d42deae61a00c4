package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"connectrpc.com/connect"
	"github.com/urfave/cli/v2"

	registryv1 "github.com/leash-gateway/leash/api/leash/registry/v1"
	"github.com/leash-gateway/leash/api/leash/registry/v1/registryv1connect"
	"github.com/leash-gateway/leash/registry/remote"
)

// envoyStatus is what leash registry status tells.
type envoyStatus struct {
	Envoys   []envoySlot   `json:"envoys"`
	Canaries []canaryState `json:"canaries"`
}

type envoySlot struct {
	Node    string    `json:"node"`
	Cluster string    `json:"cluster,omitempty"`
	Address string    `json:"address"`
	Envoy   string    `json:"envoy,omitempty"`
	Slot    string    `json:"slot"`
	Version string    `json:"version,omitempty"`
	Digest  string    `json:"digest,omitempty"`
	Since   time.Time `json:"since"`
	Wanted  string    `json:"wanted,omitempty"`
	Canary  bool      `json:"canary,omitempty"`
	State   string    `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	Seen    time.Time `json:"seen"`
}

type canaryState struct {
	Module  string `json:"module"`
	Channel string `json:"channel"`
	Version string `json:"version"`
	Against string `json:"against,omitempty"`
	Envoys  uint32 `json:"envoys"`
	Canary  served `json:"canary"`
	Others  served `json:"others"`
	Waiting string `json:"waiting,omitempty"`
}

type served struct {
	Requests    uint64  `json:"requests"`
	ErrorRate   float64 `json:"error_rate"`
	RefusalRate float64 `json:"refusal_rate"`
	LatencyP95  string  `json:"latency_p95"`
}

func registryStatusCommand() *cli.Command {
	return withArguments(&cli.Command{
		Name:      "status",
		Usage:     "which Envoy runs which version, and how canaries stand",
		ArgsUsage: "[[REGISTRY/]MODULE]",
		Description: "Of Envoys that have a slot for the module, or for any: those that are connected to the registry, and those that were in the last\n" +
			"ten minutes. It tells of modules that you may promote.",
		Flags: catalogFlags(outputFlag()),
		Action: func(c *cli.Context) error {
			return withRegistries(c, 0, 1, func(ctx context.Context, client *remote.Client) error {
				registry, module := catalogName(c, c.Args().First())
				web, url, err := client.Service(ctx, registry)
				if err != nil {
					return err
				}
				status, err := statusOf(ctx, registryv1connect.NewEnvoyServiceClient(web, url), module)
				if err != nil {
					return explainCatalog(registry, err)
				}
				return output(c, status, status.table)
			})
		},
	})
}

func statusOf(ctx context.Context, client registryv1connect.EnvoyServiceClient, module string) (*envoyStatus, error) {
	s := &envoyStatus{Envoys: []envoySlot{}, Canaries: []canaryState{}}
	envoys, err := client.ListEnvoys(ctx, connect.NewRequest(&registryv1.ListEnvoysRequest{Module: module}))
	if err != nil {
		return nil, err
	}
	for _, e := range envoys.Msg.GetSlots() {
		s.Envoys = append(s.Envoys, envoySlot{
			Node: e.GetNode(), Cluster: e.GetCluster(), Address: e.GetAddress(), Envoy: e.GetEnvoy(), Slot: e.GetSlot(), Version: e.GetVersion(),
			Digest: e.GetDigest(), Since: e.GetSince().AsTime(), Wanted: e.GetWanted(), Canary: e.GetCanary(),
			State: strings.ToLower(strings.TrimPrefix(e.GetState().String(), "SLOT_STATE_")), Reason: e.GetReason(), Seen: e.GetSeen().AsTime(),
		})
	}
	canaries, err := client.ListCanaries(ctx, connect.NewRequest(&registryv1.ListCanariesRequest{}))
	if err != nil {
		return nil, err
	}
	for _, p := range canaries.Msg.GetCanaries() {
		if module == "" || p.GetModule() == module {
			s.Canaries = append(s.Canaries, canaryState{
				p.GetModule(), p.GetChannel(), p.GetVersion(), p.GetAgainst(), p.GetEnvoys(), servedOf(p.GetCanary()), servedOf(p.GetOthers()), p.GetWaiting(),
			})
		}
	}
	return s, nil
}

func servedOf(s *registryv1.Served) served {
	return served{s.GetRequests(), s.GetErrorRate(), s.GetRefusalRate(), s.GetLatencyP95().AsDuration().String()}
}

// printable is what an Envoy says of itself, for a terminal and in one cell of a table.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

func (s *envoyStatus) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	const shortDigest = 19 // sha256: and twelve digits
	_, _ = fmt.Fprintln(t, "NODE\tSLOT\tVERSION\tDIGEST\tSTATE\tWANTED\tREASON")
	for _, e := range s.Envoys {
		wanted := e.Wanted
		if e.Canary {
			wanted += " (canary)"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", printable(e.Node), e.Slot, e.Version, e.Digest[:min(len(e.Digest), shortDigest)], e.State, wanted, printable(e.Reason))
	}
	_ = t.Flush()
	if len(s.Canaries) == 0 {
		return
	}
	const hundred = 100
	_, _ = fmt.Fprintln(t, "\nCANARY\tCHANNEL\tENVOYS\tREQUESTS\tERRORS\tREFUSED\tP95\tOTHERS: REQUESTS\tERRORS\tREFUSED\tP95\tWAITS FOR")
	for _, p := range s.Canaries {
		_, _ = fmt.Fprintf(t, "%s %s\t%s\t%d\t%d\t%.2f%%\t%.2f%%\t%s\t%d\t%.2f%%\t%.2f%%\t%s\t%s\n", p.Module, p.Version, p.Channel, p.Envoys,
			p.Canary.Requests, hundred*p.Canary.ErrorRate, hundred*p.Canary.RefusalRate, p.Canary.LatencyP95,
			p.Others.Requests, hundred*p.Others.ErrorRate, hundred*p.Others.RefusalRate, p.Others.LatencyP95, p.Waiting)
	}
	_ = t.Flush()
}
