package service

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	registryv1 "github.com/leash-gateway/leash/api/leash/registry/v1"
	"github.com/leash-gateway/leash/registry/access"
	"github.com/leash-gateway/leash/registry/catalog"
	"github.com/leash-gateway/leash/registry/distribution"
)

// PromoteVersion makes a channel point at a version.
func (s *service) PromoteVersion(ctx context.Context, r *connect.Request[registryv1.PromoteVersionRequest]) (*connect.Response[registryv1.PromoteVersionResponse], error) {
	m := r.Msg
	if err := may(ctx, access.Promote, m.GetModule()); err != nil {
		return nil, err
	}
	expect, err := expected(m.GetExpectedDigest())
	if err != nil {
		return nil, err
	}
	now, rollout, err := s.promoter.Promote(ctx, actor(ctx), catalog.Promotion{
		Module: m.GetModule(), Version: m.GetVersion(), Channel: m.GetChannel(), Reason: m.GetReason(), Expect: expect,
	}, m.GetImmediately())
	if err != nil {
		return nil, s.fault(err, about("module", m.GetModule(), "version", m.GetVersion(), "channel", m.GetChannel()))
	}
	answer := &registryv1.PromoteVersionResponse{Channel: channelOf(now)}
	if rollout != (distribution.Rollout{}) { // else this registry serves no Envoys
		answer.Rollout = &registryv1.Rollout{
			Prepared: uint32(rollout.Prepared), PrepareTime: durationpb.New(rollout.PrepareTime), //nolint:gosec // counts
			Slots: uint32(rollout.Slots), Running: uint32(rollout.Running), SwitchTime: durationpb.New(rollout.SwitchTime), //nolint:gosec // as above
		}
	}
	return connect.NewResponse(answer), nil
}

// RollBackChannel makes a channel point at what it pointed at before.
func (s *service) RollBackChannel(ctx context.Context, r *connect.Request[registryv1.RollBackChannelRequest]) (*connect.Response[registryv1.RollBackChannelResponse], error) {
	m := r.Msg
	if err := may(ctx, access.Promote, m.GetModule()); err != nil {
		return nil, err
	}
	expect, err := expected(m.GetExpectedDigest())
	if err != nil {
		return nil, err
	}
	now, err := s.catalog.Rollback(ctx, actor(ctx), catalog.Return{
		Module: m.GetModule(), Channel: m.GetChannel(), Version: m.GetVersion(), Reason: m.GetReason(), Expect: expect,
	})
	if err != nil {
		return nil, s.fault(err, about("module", m.GetModule(), "version", m.GetVersion(), "channel", m.GetChannel()))
	}
	return connect.NewResponse(&registryv1.RollBackChannelResponse{Channel: channelOf(now)}), nil
}

// StartCanary has some of those who follow a channel try a version first.
func (s *service) StartCanary(ctx context.Context, r *connect.Request[registryv1.StartCanaryRequest]) (*connect.Response[registryv1.StartCanaryResponse], error) {
	m, k := r.Msg, r.Msg.GetCanary()
	if err := may(ctx, access.Promote, m.GetModule()); err != nil {
		return nil, err
	}
	now, err := s.catalog.StartCanary(ctx, actor(ctx), catalog.Trial{
		Module: m.GetModule(), Channel: m.GetChannel(), Reason: m.GetReason(),
		Canary: catalog.Canary{
			Version: k.GetVersion(), Percent: int(k.GetPercent()), Nodes: k.GetNodes(), For: k.GetPromoteAfter().AsDuration(),
			MaxErrorRate: k.GetMaxErrorRate(), MaxLatency: k.GetMaxLatency().AsDuration(),
		},
	})
	if err != nil {
		return nil, s.fault(err, about("module", m.GetModule(), "version", k.GetVersion(), "channel", m.GetChannel()))
	}
	return connect.NewResponse(&registryv1.StartCanaryResponse{Channel: channelOf(now)}), nil
}

// AbortCanary ends a canary.
func (s *service) AbortCanary(ctx context.Context, r *connect.Request[registryv1.AbortCanaryRequest]) (*connect.Response[registryv1.AbortCanaryResponse], error) {
	m := r.Msg
	if err := may(ctx, access.Promote, m.GetModule()); err != nil {
		return nil, err
	}
	now, err := s.catalog.AbortCanary(ctx, actor(ctx), m.GetModule(), m.GetChannel(), "", m.GetReason())
	if err != nil {
		return nil, s.fault(err, about("module", m.GetModule(), "channel", m.GetChannel()))
	}
	return connect.NewResponse(&registryv1.AbortCanaryResponse{Channel: channelOf(now)}), nil
}

// DeprecateVersion says that a version should not be used any more.
func (s *service) DeprecateVersion(ctx context.Context, r *connect.Request[registryv1.DeprecateVersionRequest]) (*connect.Response[registryv1.DeprecateVersionResponse], error) {
	now, err := s.judge(ctx, access.Deprecate, r.Msg, s.catalog.Deprecate)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&registryv1.DeprecateVersionResponse{Version: now}), nil
}

// UndeprecateVersion takes a deprecation back.
func (s *service) UndeprecateVersion(ctx context.Context, r *connect.Request[registryv1.UndeprecateVersionRequest]) (*connect.Response[registryv1.UndeprecateVersionResponse], error) {
	now, err := s.judge(ctx, access.Deprecate, r.Msg, s.catalog.Undeprecate)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&registryv1.UndeprecateVersionResponse{Version: now}), nil
}

// YankVersion takes a version back.
func (s *service) YankVersion(ctx context.Context, r *connect.Request[registryv1.YankVersionRequest]) (*connect.Response[registryv1.YankVersionResponse], error) {
	now, err := s.judge(ctx, access.Yank, r.Msg, s.catalog.Yank)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&registryv1.YankVersionResponse{Version: now}), nil
}

// judgement is a request about one version, for a reason.
type judgement interface {
	GetModule() string
	GetVersion() string
	GetReason() string
}

func (s *service) judge(
	ctx context.Context, needed access.Action, m judgement, do func(ctx context.Context, a catalog.Actor, name, version, reason string) (catalog.Build, error),
) (*registryv1.Version, error) {
	if err := may(ctx, needed, m.GetModule()); err != nil {
		return nil, err
	}
	b, err := do(ctx, actor(ctx), m.GetModule(), m.GetVersion(), m.GetReason())
	if err != nil {
		return nil, s.fault(err, about("module", m.GetModule(), "version", m.GetVersion()))
	}
	return s.versionOf(m.GetModule(), b), nil
}
