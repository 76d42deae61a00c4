package harness

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// GRPCCall answers a gRPC call from the script of its upstream, which is the name of the cluster that the module calls: the pieces of the
// body are messages, headers and trailers the metadata. A trailer grpc-status (and grpc-message) is the status; without it a status
// of HTTP other than 200 counts, as gRPC says.
func (c *callouts) GRPCCall(ctx context.Context, call *abi.GRPCCall, events abi.GRPCEvents) (abi.GRPCStream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, known := c.next(call.Service)
	if !known {
		return nil, abi.ErrUnknownCluster
	}
	h := Headers{{":path", call.Method}, {":method", "POST"}, {"content-type", "application/grpc"}}
	c.made = append(c.made, Callout{Upstream: call.Service, Timeout: call.Timeout, Message: Message{Headers: append(h, fromABI(call.Metadata)...)}})
	return &grpcStream{callouts: c, index: len(c.made) - 1, answer: answer, events: events, call: call, ctx: ctx}, nil
}

// next is the answer to the next call to an upstream.
func (c *callouts) next(upstream string) (Answer, bool) {
	answers := c.script[upstream]
	if len(answers) == 0 {
		return Answer{}, false
	}
	if c.count == nil {
		c.count = map[string]int{}
	}
	answer := answers[min(c.count[upstream], len(answers)-1)]
	c.count[upstream]++
	return answer, true
}

// grpcStream is an open call. It is answered when the module has sent all that it wants to.
type grpcStream struct {
	callouts *callouts
	index    int // among the calls that were made
	answer   Answer
	events   abi.GRPCEvents
	call     *abi.GRPCCall
	ctx      context.Context //nolint:containedctx // of the call, which may be cancelled
	ended    bool
}

var (
	_ abi.GRPCCaller = (*callouts)(nil)
	_ abi.GRPCStream = (*grpcStream)(nil)
)

// Send remembers a message.
func (s *grpcStream) Send(message []byte, end bool) {
	s.callouts.mu.Lock()
	s.callouts.made[s.index].add(message, end)
	s.callouts.mu.Unlock()
	if end {
		s.CloseSend()
	}
}

// CloseSend lets the answer come.
func (s *grpcStream) CloseSend() {
	if s.ended {
		return
	}
	s.ended = true
	c := s.callouts
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[s.index].Ended = true
	after := s.answer.Delay
	if s.answer.Failure == Timeout || s.call.Timeout > 0 && after >= s.call.Timeout {
		if after = s.call.Timeout; after <= 0 {
			return // never
		}
		s.answer.Failure = Timeout
	}
	if after > 0 {
		c.clock.AfterFunc(after, s.deliver)
	} else {
		c.waiting = append(c.waiting, s.deliver)
	}
}

// deliver brings the answer.
func (s *grpcStream) deliver() {
	if s.ctx.Err() != nil {
		return
	}
	const deadlineExceeded, unavailable, internal = 4, 14, 13
	a := s.answer
	switch a.Failure {
	case Timeout:
		s.events.Close(deadlineExceeded, "")
		return
	case Unreachable:
		s.events.Close(unavailable, "")
		return
	}
	s.events.InitialMetadata(lowered(a.Headers))
	for _, message := range Pieces(a.Body, a.Chunks, a.ChunkSize) {
		s.events.Message([]byte(message))
	}
	if a.Failure == Cut {
		s.events.Close(internal, "")
		return
	}
	s.events.TrailingMetadata(lowered(a.Trailers))
	s.events.Close(a.grpcStatus(), a.Trailers.Get("grpc-message"))
}

// grpcStatus is the status of a call that was answered.
func (a Answer) grpcStatus() uint32 {
	if status, err := strconv.ParseUint(a.Trailers.Get("grpc-status"), 10, 32); err == nil {
		return uint32(status)
	}
	if a.status() == http.StatusOK {
		return 0
	}
	return uint32(chain.GRPCStatus(a.status())) //nolint:gosec // one of a few
}

func lowered(h Headers) *abi.Headers {
	out := abi.NewHeaders()
	for _, entry := range h {
		if name := strings.ToLower(entry[0]); name != "grpc-status" && name != "grpc-message" {
			out.Add(name, entry[1])
		}
	}
	return out
}
