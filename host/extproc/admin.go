package extproc

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	hostv1 "github.com/leash-gateway/leash/api/leash/host/v1"
)

// NewAdmin serves the management of h. Whoever reaches it decides what happens to exchanges, so it is a Service of its
// own, for an address of its own. Pipelines whose names are reserved are somebody else's: it neither loads nor unloads them.
func NewAdmin(h *Host, o ServiceOptions, reserved ...string) *Service {
	s := newService(h, o, hostv1.PipelineService_ServiceDesc.ServiceName)
	hostv1.RegisterPipelineServiceServer(s.server, &admin{host: h, reserved: reserved})
	return s
}

// admin answers as api/leash/host/v1/pipeline.proto says.
type admin struct {
	hostv1.UnimplementedPipelineServiceServer
	host     *Host
	reserved []string
}

func (a *admin) LoadPipeline(ctx context.Context, r *hostv1.LoadPipelineRequest) (*hostv1.LoadPipelineResponse, error) {
	if err := a.mayChange(r.GetName()); err != nil {
		return nil, err
	}
	const most = 1 << 30
	if r.GetMaxBufferBytes() < 0 || r.GetMaxBufferBytes() > most {
		return nil, status.Errorf(codes.InvalidArgument, "max_buffer_bytes is %d, not 0 to %d", r.GetMaxBufferBytes(), most)
	}
	spec := Spec{Name: r.GetName(), MaxBuffer: int(r.GetMaxBufferBytes())}
	for _, f := range r.GetFilters() {
		spec.Filters = append(spec.Filters, Filter{
			Name: f.GetName(), Wasm: f.GetWasm(), Configuration: f.GetConfiguration(), RootID: f.GetRootId(),
			Policy: f.GetKind() != hostv1.Kind_KIND_INSPECTOR,
		})
	}
	loaded, err := a.host.Load(ctx, spec)
	if err != nil {
		return nil, statusOf(err)
	}
	return &hostv1.LoadPipelineResponse{Pipeline: pipelineMessage(loaded)}, nil
}

func (a *admin) UnloadPipeline(_ context.Context, r *hostv1.UnloadPipelineRequest) (*hostv1.UnloadPipelineResponse, error) {
	if err := a.mayChange(r.GetName()); err != nil {
		return nil, err
	}
	if err := a.host.Unload(r.GetName()); err != nil {
		return nil, statusOf(err)
	}
	return &hostv1.UnloadPipelineResponse{}, nil
}

func (a *admin) ListPipelines(context.Context, *hostv1.ListPipelinesRequest) (*hostv1.ListPipelinesResponse, error) {
	answer := &hostv1.ListPipelinesResponse{}
	for _, s := range a.host.List() {
		answer.Pipelines = append(answer.GetPipelines(), pipelineMessage(s))
	}
	return answer, nil
}

func (a *admin) GetPipeline(_ context.Context, r *hostv1.GetPipelineRequest) (*hostv1.GetPipelineResponse, error) {
	s, err := a.host.Status(r.GetName())
	if err != nil {
		return nil, statusOf(err)
	}
	return &hostv1.GetPipelineResponse{Pipeline: pipelineMessage(s)}, nil
}

func (a *admin) mayChange(name string) error {
	if slices.Contains(a.reserved, name) {
		return status.Errorf(codes.FailedPrecondition, "pipeline %s is that of the host's leash.yaml: change it there, or take another name", name)
	}
	return nil
}

func statusOf(err error) error {
	code := codes.Internal
	switch {
	case errors.Is(err, ErrInvalid):
		code = codes.InvalidArgument
	case errors.Is(err, ErrNotLoaded):
		code = codes.NotFound
	case errors.Is(err, ErrClosed):
		code = codes.Unavailable
	}
	return status.Error(code, err.Error())
}

func pipelineMessage(s Status) *hostv1.Pipeline {
	m := &hostv1.Pipeline{
		Name: s.Name, Generation: s.Generation, LoadTime: timestamppb.New(s.Loaded), Kind: kindOf(s.Policy),
		ActiveExchanges: s.Exchanges, VmFailures: s.Failures, MemoryBytes: s.Memory,
	}
	for _, f := range s.Filters {
		m.Filters = append(m.GetFilters(), &hostv1.FilterState{Name: f.Name, WasmSha256: f.SHA256, Kind: kindOf(f.Policy)})
	}
	for _, part := range []struct {
		is   Parts
		name hostv1.Part
	}{
		{RequestBody, hostv1.Part_PART_REQUEST_BODY}, {RequestTrailers, hostv1.Part_PART_REQUEST_TRAILERS},
		{ResponseHeaders, hostv1.Part_PART_RESPONSE_HEADERS}, {ResponseBody, hostv1.Part_PART_RESPONSE_BODY},
		{ResponseTrailers, hostv1.Part_PART_RESPONSE_TRAILERS},
	} {
		if s.Needs&part.is != 0 {
			m.Needs = append(m.GetNeeds(), part.name)
		}
	}
	return m
}

func kindOf(policy bool) hostv1.Kind {
	if policy {
		return hostv1.Kind_KIND_POLICY
	}
	return hostv1.Kind_KIND_INSPECTOR
}
