package service

import (
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	registryv1 "github.com/leash-gateway/leash/api/leash/registry/v1"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/catalog"
)

// SearchModules finds modules that the caller may read.
func (s *service) SearchModules(ctx context.Context, r *connect.Request[registryv1.SearchModulesRequest]) (*connect.Response[registryv1.SearchModulesResponse], error) {
	const page = 50
	after, err := pageAfter(r.Msg.GetPageToken())
	if err != nil {
		return nil, err
	}
	found := s.catalog.Search(r.Msg.GetQuery())
	found = slices.DeleteFunc(found, func(f catalog.Found) bool { return !who(ctx).May(access.Pull, f.Name) })
	if after != "" {
		at := slices.IndexFunc(found, func(f catalog.Found) bool { return f.Name == after })
		found = found[at+1:]
	}
	answer := &registryv1.SearchModulesResponse{}
	for _, f := range found {
		if len(answer.GetModules()) == pageOf(r.Msg.GetPageSize(), page) {
			answer.NextPageToken = pageToken(answer.GetModules()[len(answer.GetModules())-1].GetName())
			break
		}
		one := &registryv1.ModuleSummary{Name: f.Name, LatestVersion: f.Latest.Version, Description: f.Latest.Description, Kind: f.Latest.Kind}
		for _, channel := range f.Channels {
			one.Channels = append(one.Channels, channelOf(channel))
		}
		answer.Modules = append(answer.Modules, one)
	}
	return connect.NewResponse(answer), nil
}

// GetModule tells everything about a module.
func (s *service) GetModule(ctx context.Context, r *connect.Request[registryv1.GetModuleRequest]) (*connect.Response[registryv1.GetModuleResponse], error) {
	name := r.Msg.GetModule()
	if err := may(ctx, access.Pull, name); err != nil {
		return nil, err
	}
	versions, err := s.catalog.Versions(name)
	if err != nil {
		return nil, s.fault(err, about("module", name))
	}
	channels, err := s.catalog.Channels(name)
	if err != nil {
		return nil, s.fault(err, about("module", name))
	}
	answer := &registryv1.GetModuleResponse{Module: name}
	for _, b := range versions {
		answer.Versions = append(answer.Versions, s.versionOf(name, b))
	}
	for _, channel := range channels {
		answer.Channels = append(answer.Channels, channelOf(channel))
	}
	return connect.NewResponse(answer), nil
}

// ListEvents tells who did what.
func (s *service) ListEvents(ctx context.Context, r *connect.Request[registryv1.ListEventsRequest]) (*connect.Response[registryv1.ListEventsResponse], error) {
	const page = 100
	name := r.Msg.GetModule()
	if err := may(ctx, access.Pull, name); err != nil {
		return nil, err
	}
	events, err := s.catalog.History(catalog.Query{Module: name, Before: r.Msg.GetBefore(), Limit: pageOf(r.Msg.GetPageSize(), page)})
	if err != nil {
		return nil, s.fault(err, about("module", name))
	}
	answer := &registryv1.ListEventsResponse{}
	for _, e := range events {
		answer.Events = append(answer.Events, &registryv1.Event{
			Seq: e.Seq, Time: timestamppb.New(e.Time), Actor: e.Actor, Via: e.Via, Kind: string(e.Kind), Module: e.Module, Version: e.Version, Channel: e.Channel,
			Tag: e.Tag, Digest: e.Digest.String(), PreviousDigest: e.Previous.String(), Reason: e.Reason, Details: e.Details, Chain: e.Chain,
		})
	}
	return connect.NewResponse(answer), nil
}

var states = map[catalog.State]registryv1.State{
	catalog.Pending: registryv1.State_STATE_PENDING, catalog.Released: registryv1.State_STATE_RELEASED,
	catalog.Deprecated: registryv1.State_STATE_DEPRECATED, catalog.Yanked: registryv1.State_STATE_YANKED,
}

func (s *service) versionOf(name string, b catalog.Build) *registryv1.Version {
	downloads, _ := s.catalog.Downloads(name, b.Digest) // a number for people to look at
	return &registryv1.Version{
		Version: b.Version, Digest: b.Digest.String(), WasmDigest: b.Wasm.String(), WasmBytes: b.WasmSize, State: states[b.State], Reason: b.Reason,
		PushTime: stamp(b.Pushed), PushedBy: b.By, ReleaseTime: stamp(b.Released), Kind: b.Kind, Description: b.Description, License: b.License,
		Downloads: downloads, Checks: b.Checks,
	}
}

func channelOf(c catalog.Channel) *registryv1.Channel {
	told := &registryv1.Channel{
		Name: c.Name, Version: c.Version, Digest: c.Digest.String(), Revision: c.Revision, ChangeTime: stamp(c.Changed), ChangedBy: c.By,
	}
	if k := c.Canary; k != nil {
		told.Canary = &registryv1.Canary{
			Version: k.Version, Digest: k.Digest.String(), Percent: uint32(k.Percent), Nodes: k.Nodes, PromoteAfter: span(k.For), //nolint:gosec // 0 to 100
			MaxErrorRate: k.MaxErrorRate, MaxLatency: span(k.MaxLatency), StartTime: stamp(k.Started), StartedBy: k.By,
		}
	}
	return told
}

// stamp is a time, nil for none.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// span is a duration, nil for none.
func span(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}
