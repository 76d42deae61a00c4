package extproc

import (
	"sync"

	modes "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// exchange is one HTTP exchange of an Envoy: its chain, and the answers that Envoy waits for. Everything but out and
// send happens on the worker of its slot.
type exchange struct {
	pipeline   *pipeline
	slot       *slot
	chain      *chain.Exchange
	attributes attributes
	lanes      [2]lane // by abi.StreamType: Request, Response
	observing  bool    // Envoy waits for no answer
	began      bool    // the first message has come
	handling   bool    // a message of Envoy is being worked on, whose handler sends what comes of it

	local     *abi.Headers // of an answer that a module gives itself, while its body is still coming
	localBody []byte

	out struct {
		sync.Mutex
		messages []*pb.ProcessingResponse
		over     bool  // Envoy expects nothing more
		failure  error // ends the gRPC stream
	}
	send    sync.Mutex // one sender at a time
	senders sync.WaitGroup
	stream  pb.ExternalProcessor_ProcessServer
}

func newExchange(p *pipeline, s *slot, stream pb.ExternalProcessor_ProcessServer) *exchange {
	x := &exchange{pipeline: p, slot: s, stream: stream}
	x.lanes = [2]lane{{x: x, direction: abi.Request}, {x: x, direction: abi.Response}}
	return x
}

// take works on one message of Envoy.
func (x *exchange) take(m *pb.ProcessingRequest) {
	x.slot.worker.Do(func() {
		x.handling = true
		defer func() { x.handling = false }()
		if !x.began {
			x.begin(m)
		}
		x.attributes.learn(m)
		x.dispatch(m)
	})
}

// begin learns from the first message how Envoy sends the rest. An Envoy that keeps from a policy what it looks at would
// let pass what it refuses, so that is an error.
func (x *exchange) begin(m *pb.ProcessingRequest) {
	x.began, x.observing = true, m.GetObservabilityMode()
	x.lanes[abi.Request].mode = m.GetProtocolConfig().GetRequestBodyMode()
	x.lanes[abi.Response].mode = m.GetProtocolConfig().GetResponseBodyMode()
	if missing := x.missing(); missing != 0 && x.pipeline.policy {
		x.fail(status.Errorf(codes.FailedPrecondition,
			"the policies of pipeline %s look at %s, which the processing_mode of this filter does not send: leash render shows one that does",
			x.pipeline.spec.Name, missing))
	}
	x.chain = chain.New(x.slot.plugins, chain.Config{
		Upstream: &x.lanes[abi.Request], Downstream: &x.lanes[abi.Response],
		Reset: x.reset, Properties: &x.attributes, MaxBuffer: x.pipeline.spec.MaxBuffer, FailOpen: x.pipeline.failOpen,
	})
}

// missing are the bodies that the pipeline looks at and Envoy does not send.
func (x *exchange) missing() (parts Parts) {
	if x.lanes[abi.Request].mode == modes.ProcessingMode_NONE {
		parts |= RequestBody
	}
	if x.lanes[abi.Response].mode == modes.ProcessingMode_NONE {
		parts |= ResponseBody
	}
	return parts & x.pipeline.needs
}

func (x *exchange) dispatch(m *pb.ProcessingRequest) {
	request, response := &x.lanes[abi.Request], &x.lanes[abi.Response]
	switch part := m.GetRequest().(type) {
	case *pb.ProcessingRequest_RequestHeaders:
		x.chain.OnRequestHeaders(request.open(part.RequestHeaders))
	case *pb.ProcessingRequest_RequestBody:
		x.chain.OnRequestData(request.body(part.RequestBody))
	case *pb.ProcessingRequest_RequestTrailers:
		if h, visible := request.trail(part.RequestTrailers); visible {
			x.chain.OnRequestTrailers(h)
		}
	case *pb.ProcessingRequest_ResponseHeaders:
		x.chain.OnResponseHeaders(response.open(part.ResponseHeaders))
	case *pb.ProcessingRequest_ResponseBody:
		x.chain.OnResponseData(response.body(part.ResponseBody))
	case *pb.ProcessingRequest_ResponseTrailers:
		if h, visible := response.trail(part.ResponseTrailers); visible {
			x.chain.OnResponseTrailers(h)
		}
	}
	request.settle()
	response.settle()
}

// override asks Envoy to send no more than the pipeline needs; nil where it does not send more. Envoy ignores it unless
// allow_mode_override is set, and in full duplex.
func (x *exchange) override() *modes.ProcessingMode {
	request, response, needs := &x.lanes[abi.Request], &x.lanes[abi.Response], x.pipeline.needs
	if request.duplex() || response.duplex() {
		return nil
	}
	mode := &modes.ProcessingMode{
		RequestBodyMode: request.mode, ResponseBodyMode: response.mode,
		RequestTrailerMode: sendIf(needs&RequestTrailers != 0), ResponseTrailerMode: sendIf(needs&ResponseTrailers != 0),
		ResponseHeaderMode: sendIf(needs&ResponseHeaders != 0),
	}
	if needs&RequestBody == 0 {
		mode.RequestBodyMode = modes.ProcessingMode_NONE
	}
	if needs&ResponseBody == 0 {
		mode.ResponseBodyMode = modes.ProcessingMode_NONE
	}
	if needs&ResponseHeaders != 0 && mode.GetRequestBodyMode() == request.mode && mode.GetResponseBodyMode() == response.mode {
		return nil
	}
	return mode
}

func sendIf(needed bool) modes.ProcessingMode_HeaderSendMode {
	if needed {
		return modes.ProcessingMode_SEND
	}
	return modes.ProcessingMode_SKIP
}

// reset is a module that closes the stream: the protocol has no word for it but an error.
func (x *exchange) reset() { x.fail(status.Error(codes.Aborted, "a module closed the exchange")) }

// answerLocally collects an answer of a module in the place of the server's, and gives it to Envoy when it is whole.
func (x *exchange) answerLocally(h *abi.Headers, data []byte, end bool) {
	x.local = h
	x.localBody = append(x.localBody, data...)
	if end {
		x.emit(immediateAnswer(h, x.localBody))
		x.finish()
	}
}

// emit hands a message to whoever sends: the handler of the message that is being worked on, or, if a module has waited
// for something else, a goroutine of its own, because a slow Envoy must not hold the worker.
func (x *exchange) emit(m *pb.ProcessingResponse) {
	x.out.Lock()
	defer x.out.Unlock()
	if x.observing || x.out.over {
		return
	}
	x.out.messages = append(x.out.messages, m)
	x.wake()
}

func (x *exchange) finish() {
	x.out.Lock()
	defer x.out.Unlock()
	x.out.over = true
}

// fail ends the gRPC stream, upon which Envoy does what failure_mode_allow says. Where that is found between two messages
// of Envoy, nobody is there to end it, so Envoy is asked to break the exchange off.
func (x *exchange) fail(err error) {
	if !x.handling {
		x.emit(immediateAnswer(abi.NewHeaders(":status", "500"), nil))
		x.finish()
		return
	}
	x.out.Lock()
	defer x.out.Unlock()
	if !x.out.over {
		x.out.over, x.out.failure = true, err
	}
}

func (x *exchange) wake() {
	if !x.handling {
		x.senders.Go(func() { _, _ = x.flush() })
	}
}

// flush sends what is to be sent. It tells whether the exchange is over for Envoy, and with what error.
func (x *exchange) flush() (over bool, err error) {
	x.send.Lock()
	defer x.send.Unlock()
	for {
		x.out.Lock()
		messages := x.out.messages
		x.out.messages = nil
		over, err = x.out.over, x.out.failure
		x.out.Unlock()
		if len(messages) == 0 {
			return over, err
		}
		for _, m := range messages {
			if err := x.stream.Send(m); err != nil {
				return true, err
			}
		}
	}
}

// close ends the exchange for the modules. It tells whether a VM has died.
func (x *exchange) close() (failed bool) {
	x.slot.worker.Do(func() {
		if x.chain != nil {
			x.chain.Close()
		}
		for _, vm := range x.slot.vms {
			failed = failed || vm.Err() != nil
		}
		x.pipeline.measure(x.slot)
	})
	x.senders.Wait()
	return failed
}

func (x *exchange) isOver() bool {
	x.out.Lock()
	defer x.out.Unlock()
	return x.out.over
}
