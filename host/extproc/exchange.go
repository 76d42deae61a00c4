package extproc

import (
	"fmt"
	"sync"

	modes "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/leash-gateway/leash/host/abi"
	"github.com/leash-gateway/leash/host/abi/chain"
)

// exchange is one HTTP exchange of an Envoy: its chain, and the answers that Envoy waits for. Everything but out and
// send happens on the worker of its slot.
type exchange struct {
	pipeline   *pipeline
	slot       *slot
	chain      *chain.Exchange // nil before the first message, and if that is of a response: see unseen
	attributes attributes
	lanes      [2]lane // by abi.StreamType: Request, Response
	early      bool    // Envoy sends bodies without waiting for the answer to the headers
	observing  bool    // Envoy waits for no answer
	told       bool    // the first message has come
	began      bool    // the first headers have come
	handling   bool    // a message of Envoy is being worked on, whose handler sends what comes of it

	metadata  *structpb.Struct // what modules have set since the last answer
	local     *abi.Headers     // of an answer that a module gives itself, while its body is still coming
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
		x.learn(m)
		if err := x.dispatch(m); err != nil {
			x.fail(err)
		}
	})
}

// dispatch gives a message to the lane that it belongs to. Its error says that Envoy, or whoever says to be one, breaks
// the protocol.
func (x *exchange) dispatch(m *pb.ProcessingRequest) error {
	request, response := &x.lanes[abi.Request], &x.lanes[abi.Response]
	var err error
	switch part := m.GetRequest().(type) {
	case *pb.ProcessingRequest_RequestHeaders:
		if err = x.begin(true); err == nil {
			err = request.takeHeaders(part.RequestHeaders)
		}
	case *pb.ProcessingRequest_RequestBody:
		err = request.takeBody(part.RequestBody)
	case *pb.ProcessingRequest_RequestTrailers:
		err = request.takeTrailers(part.RequestTrailers)
	case *pb.ProcessingRequest_ResponseHeaders:
		if err = x.begin(false); err == nil {
			err = response.takeHeaders(part.ResponseHeaders)
		}
	case *pb.ProcessingRequest_ResponseBody:
		err = response.takeBody(part.ResponseBody)
	case *pb.ProcessingRequest_ResponseTrailers:
		err = response.takeTrailers(part.ResponseTrailers)
	}
	if err != nil {
		return err
	}
	request.settle()
	response.settle()
	return nil
}

// learn takes what comes with a message besides a part of the exchange, and from the first how Envoy sends the rest.
func (x *exchange) learn(m *pb.ProcessingRequest) {
	x.attributes.learn(m)
	if x.told {
		return
	}
	x.told, x.observing = true, m.GetObservabilityMode()
	config := m.GetProtocolConfig()
	x.early = config.GetSendBodyWithoutWaitingForHeaderResponse()
	x.lanes[abi.Request].mode = config.GetRequestBodyMode()
	x.lanes[abi.Response].mode = config.GetResponseBodyMode()
}

// begin makes the chain when the first headers come, if they are those of a request; more calls do nothing.
func (x *exchange) begin(request bool) error {
	if x.began {
		return nil
	}
	x.began = true
	if !request {
		return x.unseen()
	}
	if err := x.suits(); err != nil {
		return err
	}
	x.chain = chain.New(x.slot.plugins, chain.Config{
		Upstream: &x.lanes[abi.Request], Downstream: &x.lanes[abi.Response], Reset: x.reset, Properties: &x.attributes,
		PropertySet: x.publish, MaxBuffer: x.pipeline.spec.MaxBuffer, FailOpen: x.pipeline.failOpen,
	})
	return nil
}

// unseen is an exchange of which a response is the first that is sent: a filter before this one has answered, and as
// modules inside Envoy those here do not see it. Where the provider has answered, Envoy keeps the requests from the
// modules, which a policy does not accept.
func (x *exchange) unseen() error {
	details, known := x.attributes.Property("response\x00code_details")
	if !x.pipeline.policy || known == abi.OK && string(details) != "via_upstream" {
		return nil
	}
	return status.Error(codes.FailedPrecondition, "Envoy has sent a response and no request: policies need request_header_mode SEND, "+
		"and response.code_details in response_attributes, by which answers of other filters are told from those of the provider")
}

// suits says why a policy does not run on what Envoy sends: kept from what it looks at it would let pass what it refuses.
func (x *exchange) suits() error {
	if !x.pipeline.policy {
		return nil
	}
	if x.observing {
		return status.Error(codes.FailedPrecondition, "Envoy only observes (observability_mode), but there is a policy in the pipeline, "+
			"which must be waited for: run leash host serve --modules inspectors, or switch the mode off")
	}
	for i, need := range []Parts{abi.Request: RequestBody, abi.Response: ResponseBody} {
		switch mode := x.lanes[i].mode; mode {
		case modes.ProcessingMode_BUFFERED, modes.ProcessingMode_STREAMED, modes.ProcessingMode_FULL_DUPLEX_STREAMED:
		default:
			if x.pipeline.needs&need != 0 {
				return status.Errorf(codes.FailedPrecondition, "Envoy sends %s in mode %s, but a policy of the pipeline looks at it: "+
					"set %s_mode to FULL_DUPLEX_STREAMED or BUFFERED (leash render --target ext_proc prints it)", need, mode, need)
			}
		}
	}
	return nil
}

// override asks Envoy to send no more than the pipeline needs; nil where it does not send more. Envoy ignores it unless
// allow_mode_override is set, and in full duplex.
func (x *exchange) override() *modes.ProcessingMode {
	request, response, needs := &x.lanes[abi.Request], &x.lanes[abi.Response], x.pipeline.needs
	if request.duplex() || response.duplex() || x.early {
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
	m.DynamicMetadata, x.metadata = x.metadata, nil
	x.out.messages = append(x.out.messages, m)
	if !x.handling {
		x.senders.Go(func() { _, _ = x.flush() }) // of an error the handler hears from Recv
	}
}

// finish lets nothing more be sent.
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

// close ends the exchange for the modules. Its error is why a VM has died, if one has.
func (x *exchange) close() (died error) {
	x.slot.worker.Do(func() {
		x.finish()
		if x.chain != nil {
			x.chain.Close()
		}
		for i, plugin := range x.slot.plugins {
			if err := plugin.VM().Err(); err != nil && died == nil {
				died = fmt.Errorf("%s: %w", x.pipeline.spec.Filters[i].Name, err)
			}
		}
		x.pipeline.measure(x.slot)
	})
	return died
}

func (x *exchange) isOver() bool {
	x.out.Lock()
	defer x.out.Unlock()
	return x.out.over
}
