package extproc

import (
	"errors"
	"io"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/leash-gateway/leash/host/abi"
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
	switch {
	case errors.Is(err, ErrBusy):
		s.host.metrics.refused.Inc()
		return status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		s.host.metrics.refused.Inc()
		return status.Error(codes.Unavailable, err.Error())
	}
	x := newExchange(p, slot, stream)
	err = x.run()
	died := x.close()
	x.account(err, died != nil)
	p.release(slot)
	x.senders.Wait()
	return err
}

// run takes messages until Envoy has no more, or the exchange is over for it.
func (x *exchange) run() error {
	for {
		m, err := x.stream.Recv()
		if err == nil {
			x.take(m)
			var over bool
			if over, err = x.flush(); over && err == nil {
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF), status.Code(err) == codes.Canceled, err != nil && x.stream.Context().Err() != nil:
			return nil //nolint:nilerr // Envoy has left, as it does at the end of each exchange
		case err != nil:
			return err
		}
	}
}

// account counts an exchange that has ended.
func (x *exchange) account(err error, failed bool) {
	name, m := x.pipeline.spec.Name, x.pipeline.host.metrics
	if failed {
		m.failures.WithLabelValues(name).Inc()
	}
	switch {
	case err != nil:
		m.exchanges.WithLabelValues(name, "error").Inc()
		x.pipeline.complain("an exchange was given up", "error", err)
	case x.lanes[abi.Request].stalled() || x.lanes[abi.Response].stalled():
		m.exchanges.WithLabelValues(name, "stalled").Inc()
		x.pipeline.complain("Envoy gave up an exchange: in the body mode STREAMED it waits for an answer to the headers, while a module " +
			"holds them until it has seen the body; use FULL_DUPLEX_STREAMED or BUFFERED, or send_body_without_waiting_for_header_response")
	default:
		m.exchanges.WithLabelValues(name, "done").Inc()
	}
}
