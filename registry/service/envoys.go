package service

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	registryv1 "github.com/leash-gateway/leash/api/leash/registry/v1"
	"github.com/leash-gateway/leash/api/leash/registry/v1/registryv1connect"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/distribution"
)

// Envoys knows what Envoys run.
type Envoys interface {
	Envoys() []distribution.Status
	Canaries() []distribution.Progress
}

var _ Envoys = (*distribution.Server)(nil)

// NewEnvoys is the handler of what Envoys run, and the path below which it is served.
func NewEnvoys(e Envoys, control *access.Control) (path string, h http.Handler) {
	path, h = registryv1connect.NewEnvoyServiceHandler(&envoys{e}, connect.WithReadMaxBytes(maxRequest))
	return path, authenticated(control, h)
}

type envoys struct{ known Envoys }

var _ registryv1connect.EnvoyServiceHandler = (*envoys)(nil)

var slotStates = map[distribution.State]registryv1.SlotState{
	distribution.Current: registryv1.SlotState_SLOT_STATE_CURRENT,
	distribution.Loading: registryv1.SlotState_SLOT_STATE_LOADING,
	distribution.Refused: registryv1.SlotState_SLOT_STATE_REFUSED,
	distribution.Empty:   registryv1.SlotState_SLOT_STATE_EMPTY,
	distribution.Gone:    registryv1.SlotState_SLOT_STATE_GONE,
}

// ListEnvoys tells what Envoys run, in the slots of modules that the caller may promote.
func (e *envoys) ListEnvoys(ctx context.Context, r *connect.Request[registryv1.ListEnvoysRequest]) (*connect.Response[registryv1.ListEnvoysResponse], error) {
	answer := &registryv1.ListEnvoysResponse{}
	wanted := r.Msg.GetModule()
	if wanted != "" {
		if err := may(ctx, access.Promote, wanted); err != nil {
			return nil, err
		}
	}
	for _, s := range e.known.Envoys() {
		slot, err := distribution.ParseSlot(s.Slot)
		if err != nil || wanted != "" && slot.Module != wanted || !who(ctx).May(access.Promote, slot.Module) {
			continue
		}
		answer.Slots = append(answer.Slots, &registryv1.EnvoySlot{
			Node: s.Node, Cluster: s.Cluster, Address: s.Address, Envoy: s.Envoy, Slot: s.Slot, Version: s.Version, Digest: s.Digest.String(),
			Since: timestamppb.New(s.Since), Wanted: s.Wanted, Canary: s.Canary, State: slotStates[s.State], Reason: s.Reason, Seen: timestamppb.New(s.Seen),
		})
	}
	return connect.NewResponse(answer), nil
}

// ListCanaries tells how canaries stand, of modules that the caller may promote.
func (e *envoys) ListCanaries(ctx context.Context, _ *connect.Request[registryv1.ListCanariesRequest]) (*connect.Response[registryv1.ListCanariesResponse], error) {
	answer := &registryv1.ListCanariesResponse{}
	for _, p := range e.known.Canaries() {
		if !who(ctx).May(access.Promote, p.Module) {
			continue
		}
		answer.Canaries = append(answer.Canaries, &registryv1.CanaryProgress{
			Module: p.Module, Channel: p.Channel, Version: p.Version, Against: p.Against, Envoys: uint32(p.Envoys), //nolint:gosec // a count
			Canary: servedOf(p.Canary), Others: servedOf(p.Others), Waiting: p.Waiting,
		})
	}
	return connect.NewResponse(answer), nil
}

func servedOf(s distribution.Served) *registryv1.Served {
	return &registryv1.Served{
		Requests: uint64(max(s.Requests, 0)), ErrorRate: s.ErrorRate, RefusalRate: s.RefusalRate, LatencyP95: durationpb.New(s.Latency),
	}
}
