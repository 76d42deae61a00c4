package extproc_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	hostv1 "github.com/leash-gateway/leash/api/leash/host/v1"
	"github.com/leash-gateway/leash/host/extproc"
	"github.com/leash-gateway/leash/host/internal/asm"
)

// manage serves the management of a server's host.
func (s *server) manage(t testing.TB) hostv1.PipelineServiceClient {
	t.Helper()
	listener, path := listen(t)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- extproc.NewAdmin(s.Host, extproc.ServiceOptions{}, extproc.DefaultPipeline).Serve(ctx, listener)
	}()
	conn := dial(t, "unix:"+path)
	t.Cleanup(func() {
		_ = conn.Close()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return hostv1.NewPipelineServiceClient(conn)
}

func TestPipelinesAreLoadedListedAndUnloaded(t *testing.T) {
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{says("default")}, true))
	c := s.manage(t)
	loaded, err := c.LoadPipeline(t.Context(), &hostv1.LoadPipelineRequest{Name: "other", Filters: []*hostv1.Filter{
		{Name: "a", Wasm: says("other").Build(), Kind: hostv1.Kind_KIND_INSPECTOR}, {Name: "b", Wasm: marks().Build()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := loaded.GetPipeline()
	if p.GetKind() != hostv1.Kind_KIND_POLICY || len(p.GetNeeds()) != 5 || p.GetGeneration() != 1 || p.GetMemoryBytes() == 0 || !p.GetLoadTime().IsValid() ||
		p.GetFilters()[0].GetKind() != hostv1.Kind_KIND_INSPECTOR || p.GetFilters()[1].GetKind() != hostv1.Kind_KIND_POLICY || len(p.GetFilters()[1].GetWasmSha256()) != 64 {
		t.Errorf("loaded %v", p)
	}
	if got := s.ask(t, "other"); !strings.Contains(got, "x-says=other") {
		t.Errorf("an exchange got %s", got)
	}
	list, err := c.ListPipelines(t.Context(), &hostv1.ListPipelinesRequest{})
	if err != nil || len(list.GetPipelines()) != 2 || list.GetPipelines()[0].GetName() != "default" || list.GetPipelines()[1].GetName() != "other" {
		t.Errorf("listed %v, %v", list, err)
	}
	got, err := c.GetPipeline(t.Context(), &hostv1.GetPipelineRequest{Name: "other"})
	if err != nil || got.GetPipeline().GetName() != "other" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := c.UnloadPipeline(t.Context(), &hostv1.UnloadPipelineRequest{Name: "other"}); err != nil {
		t.Error(err)
	}
	if got := s.ask(t, "other"); !strings.Contains(got, "Unavailable") {
		t.Errorf("after unloading an exchange got %s", got)
	}
}

func TestManagementRefuses(t *testing.T) {
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{says("default")}, true))
	c := s.manage(t)
	good := []*hostv1.Filter{{Name: "a", Wasm: says("x").Build()}}
	for name, tc := range map[string]struct {
		call func(context.Context) error
		code codes.Code
		want string
	}{
		"a pipeline of leash.yaml": {func(ctx context.Context) error {
			_, err := c.LoadPipeline(ctx, &hostv1.LoadPipelineRequest{Name: "default", Filters: good})
			return err
		}, codes.FailedPrecondition, "leash.yaml"},
		"to unload it": {func(ctx context.Context) error {
			_, err := c.UnloadPipeline(ctx, &hostv1.UnloadPipelineRequest{Name: "default"})
			return err
		}, codes.FailedPrecondition, "leash.yaml"},
		"no Wasm": {func(ctx context.Context) error {
			_, err := c.LoadPipeline(ctx, &hostv1.LoadPipelineRequest{Name: "x", Filters: []*hostv1.Filter{{Name: "a"}}})
			return err
		}, codes.InvalidArgument, "filter a"},
		"a strange bound": {func(ctx context.Context) error {
			_, err := c.LoadPipeline(ctx, &hostv1.LoadPipelineRequest{Name: "x", Filters: good, MaxBufferBytes: -1})
			return err
		}, codes.InvalidArgument, "max_buffer_bytes"},
		"to unload nothing": {func(ctx context.Context) error {
			_, err := c.UnloadPipeline(ctx, &hostv1.UnloadPipelineRequest{Name: "x"})
			return err
		}, codes.NotFound, "no such pipeline"},
		"to tell of nothing": {func(ctx context.Context) error {
			_, err := c.GetPipeline(ctx, &hostv1.GetPipelineRequest{Name: "x"})
			return err
		}, codes.NotFound, "no such pipeline"},
	} {
		if err := tc.call(t.Context()); status.Code(err) != tc.code || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s and %s", name, err, tc.code, tc.want)
		}
	}
	if got := s.ask(t, ""); !strings.Contains(got, "x-says=default") {
		t.Errorf("an exchange got %s", got)
	}
}

func TestManagementIsNotServedToWhoSendsExchanges(t *testing.T) {
	s := serve(t, extproc.Options{}, extproc.ServiceOptions{}, filters([]asm.Module{says("default")}, true))
	_, err := hostv1.NewPipelineServiceClient(s.Client).ListPipelines(t.Context(), &hostv1.ListPipelinesRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v, want Unimplemented", err)
	}
}
