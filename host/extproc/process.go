package extproc

import (
	"context"
	"errors"
	"io"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// PipelineHeader is the gRPC metadata (initial_metadata in Envoy's grpc_service) that names the pipeline.
const PipelineHeader = "x-leash-pipeline"

// processor serves exchanges.
type processor struct {
	pb.UnimplementedExternalProcessorServer
	host *Host
}

// Process takes one exchange through its pipeline. It ends with the exchange, or with an error after which Envoy does
// what its failure_mode_allow says.
func (s processor) Process(stream pb.ExternalProcessor_ProcessServer) error {
	name := DefaultPipeline
	if named := metadata.ValueFromIncomingContext(stream.Context(), PipelineHeader); len(named) > 0 {
		name = named[0]
	}
	p, slot, err := s.host.acquire(name)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	m := s.host.metrics
	m.active.WithLabelValues(name).Inc()
	x := newExchange(p, slot, stream)
	err = x.run()
	failed := x.close()
	p.release(slot, failed)
	m.active.WithLabelValues(name).Dec()
	if failed {
		m.failures.WithLabelValues(name).Inc()
	}
	result := "done"
	if err != nil {
		result = "error"
	}
	m.exchanges.WithLabelValues(name, result).Inc()
	return err
}

// run takes messages until Envoy has no more, or the exchange is over for it.
func (x *exchange) run() error {
	for {
		m, err := x.stream.Recv()
		switch {
		case errors.Is(err, io.EOF), status.Code(err) == codes.Canceled, errors.Is(err, context.Canceled):
			return nil // how every exchange ends
		case err != nil:
			return err
		}
		x.take(m)
		if over, err := x.flush(); over || err != nil {
			return err
		}
	}
}
