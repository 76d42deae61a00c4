package extproc

import (
	"strconv"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/leash-gateway/leash/host/abi"
)

// headersAnswer lets headers go, changed by m if it is not nil.
func headersAnswer(direction abi.StreamType, m *pb.HeaderMutation) *pb.ProcessingResponse {
	common := &pb.CommonResponse{HeaderMutation: m}
	if direction == abi.Request {
		common.ClearRouteCache = m != nil // what routes are chosen by may have changed
		return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_RequestHeaders{RequestHeaders: &pb.HeadersResponse{Response: common}}}
	}
	return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_ResponseHeaders{ResponseHeaders: &pb.HeadersResponse{Response: common}}}
}

// bodyAnswer puts body in the place of the piece that Envoy has sent.
func bodyAnswer(direction abi.StreamType, m *pb.HeaderMutation, body []byte) *pb.ProcessingResponse {
	return bodyResponse(direction, &pb.CommonResponse{
		HeaderMutation: m, ClearRouteCache: m != nil && direction == abi.Request,
		BodyMutation: &pb.BodyMutation{Mutation: &pb.BodyMutation_Body{Body: body}},
	})
}

// streamedAnswer is a piece of a body in full duplex, which belongs to no message of Envoy in particular.
func streamedAnswer(direction abi.StreamType, body []byte, end bool) *pb.ProcessingResponse {
	return bodyResponse(direction, &pb.CommonResponse{
		BodyMutation: &pb.BodyMutation{Mutation: &pb.BodyMutation_StreamedResponse{
			StreamedResponse: &pb.StreamedBodyResponse{Body: body, EndOfStream: end},
		}},
	})
}

func bodyResponse(direction abi.StreamType, common *pb.CommonResponse) *pb.ProcessingResponse {
	answer := &pb.BodyResponse{Response: common}
	if direction == abi.Request {
		return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_RequestBody{RequestBody: answer}}
	}
	return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_ResponseBody{ResponseBody: answer}}
}

func trailersAnswer(direction abi.StreamType, m *pb.HeaderMutation) *pb.ProcessingResponse {
	answer := &pb.TrailersResponse{HeaderMutation: m}
	if direction == abi.Request {
		return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_RequestTrailers{RequestTrailers: answer}}
	}
	return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_ResponseTrailers{ResponseTrailers: answer}}
}

// immediateAnswer answers the client instead of the server.
func immediateAnswer(h *abi.Headers, body []byte) *pb.ProcessingResponse {
	code, _ := strconv.ParseInt(h.Value(":status"), 10, 32) // of the chain, so it is one
	answer := &pb.ImmediateResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(code)}, Headers: immediateHeaders(h), Body: body, Details: "leash",
	}
	if number, err := strconv.ParseUint(h.Value("grpc-status"), 10, 32); err == nil {
		answer.GrpcStatus = &pb.GrpcStatus{Status: uint32(number)}
	}
	return &pb.ProcessingResponse{Response: &pb.ProcessingResponse_ImmediateResponse{ImmediateResponse: answer}}
}
