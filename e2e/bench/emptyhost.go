package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
)

// The empty host is what any module host costs: Envoy's ext_proc filter and a gRPC server in the same modes as the module
// host's, which lets everything go as it came.
const emptyHostName = "Envoy and a gRPC server that does nothing (ext_proc, Unix socket)"

// emptyHostEnv tells a process of this program that it is the empty host, and the path of its socket.
const emptyHostEnv = "LEASH_BENCH_EMPTY_HOST"

const emptyHostFilter = `
                  - name: envoy.filters.http.ext_proc
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
                      grpc_service: {envoy_grpc: {cluster_name: host}}
                      processing_mode: {request_header_mode: SEND, request_body_mode: FULL_DUPLEX_STREAMED, request_trailer_mode: SEND,
                        response_header_mode: SEND, response_body_mode: FULL_DUPLEX_STREAMED, response_trailer_mode: SEND}`

const emptyHostCluster = `
    - name: host
      type: STATIC
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http2_protocol_options: {}}
      load_assignment: {cluster_name: host, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %q}}}}]}]}`

func emptyHost(ctx context.Context, dir, provider string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "empty.sock")
	command := exec.CommandContext(ctx, self) //nolint:gosec // ourselves
	command.Env = append(os.Environ(), emptyHostEnv+"="+socket)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := command.Start(); err != nil {
		return nil, err
	}
	s, err := emptyHostEnvoy(ctx, dir, provider, socket)
	if err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		return nil, err
	}
	s.counts = both(s, &server{counts: process(command.Process.Pid)})
	go func() { // the host goes with its Envoy
		<-s.ended
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	return s, nil
}

func emptyHostEnvoy(ctx context.Context, dir, provider, socket string) (*server, error) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return envoyWith(ctx, dir, provider, emptyHostFilter, fmt.Sprintf(emptyHostCluster, socket))
		}
		if time.Now().After(deadline) {
			return nil, errors.New("the empty host does not listen")
		}
	}
}

func serveEmptyHost(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	// The windows are the module host's. Without them the server asks with a ping at each exchange how wide they should be.
	server := grpc.NewServer(grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(8<<20))
	pb.RegisterExternalProcessorServer(server, emptyProcessor{})
	return server.Serve(listener)
}

type emptyProcessor struct {
	pb.UnimplementedExternalProcessorServer
}

// Process lets everything go as it came.
func (emptyProcessor) Process(stream pb.ExternalProcessor_ProcessServer) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) || stream.Context().Err() != nil {
			return nil //nolint:nilerr // Envoy has left, as it does at the end of each exchange
		}
		if err != nil {
			return err
		}
		answer := &pb.ProcessingResponse{}
		switch part := m.GetRequest().(type) {
		case *pb.ProcessingRequest_RequestHeaders:
			answer.Response = &pb.ProcessingResponse_RequestHeaders{RequestHeaders: &pb.HeadersResponse{}}
		case *pb.ProcessingRequest_ResponseHeaders:
			answer.Response = &pb.ProcessingResponse_ResponseHeaders{ResponseHeaders: &pb.HeadersResponse{}}
		case *pb.ProcessingRequest_RequestBody:
			answer.Response = &pb.ProcessingResponse_RequestBody{RequestBody: sameBody(part.RequestBody)}
		case *pb.ProcessingRequest_ResponseBody:
			answer.Response = &pb.ProcessingResponse_ResponseBody{ResponseBody: sameBody(part.ResponseBody)}
		case *pb.ProcessingRequest_RequestTrailers:
			answer.Response = &pb.ProcessingResponse_RequestTrailers{RequestTrailers: &pb.TrailersResponse{}}
		case *pb.ProcessingRequest_ResponseTrailers:
			answer.Response = &pb.ProcessingResponse_ResponseTrailers{ResponseTrailers: &pb.TrailersResponse{}}
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

func sameBody(b *pb.HttpBody) *pb.BodyResponse {
	return &pb.BodyResponse{Response: &pb.CommonResponse{BodyMutation: &pb.BodyMutation{Mutation: &pb.BodyMutation_StreamedResponse{
		StreamedResponse: &pb.StreamedBodyResponse{Body: b.GetBody(), EndOfStream: b.GetEndOfStream()},
	}}}}
}
