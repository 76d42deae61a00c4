package conformance

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/leash-gateway/leash/host/abi"
)

// raw is a codec for messages that are bytes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

var _ encoding.Codec = raw{}

// serveGRPC answers Echo with what it gets and Fail with an error.
func serveGRPC(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "/Fail") {
			return status.Error(codes.PermissionDenied, "not you")
		}
		if err := stream.SendHeader(metadata.Pairs("x-initial", "first")); err != nil {
			return err
		}
		stream.SetTrailer(metadata.Pairs("x-trailing", "last"))
		for {
			var message []byte
			if err := stream.RecvMsg(&message); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := stream.SendMsg(&message); err != nil {
				return err
			}
		}
	}))
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// grpcCaller calls the server as Envoy would.
type grpcCaller struct{ connection *grpc.ClientConn }

func newGRPCCaller(t *testing.T, address string) grpcCaller {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return grpcCaller{connection}
}

func (c grpcCaller) GRPCCall(ctx context.Context, call *abi.GRPCCall, events abi.GRPCEvents) (abi.GRPCStream, error) {
	if call.Service != "grpc" {
		return nil, abi.ErrUnknownCluster
	}
	stream, err := c.connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, call.Method)
	if err != nil {
		return nil, err
	}
	go func() {
		if header, err := stream.Header(); err == nil {
			events.InitialMetadata(fromMetadata(header))
		}
		for {
			var message []byte
			err := stream.RecvMsg(&message)
			if err == nil {
				events.Message(message)
				continue
			}
			events.TrailingMetadata(fromMetadata(stream.Trailer()))
			if errors.Is(err, io.EOF) {
				events.Close(0, "")
			} else {
				events.Close(uint32(status.Code(err)), status.Convert(err).Message())
			}
			return
		}
	}()
	return clientStream{stream}, nil
}

func fromMetadata(md metadata.MD) *abi.Headers {
	h := abi.NewHeaders()
	for name, values := range md {
		for _, value := range values {
			h.Add(name, value)
		}
	}
	return h
}

type clientStream struct{ grpc.ClientStream }

func (s clientStream) Send(message []byte, end bool) {
	_ = s.SendMsg(&message)
	if end {
		_ = s.ClientStream.CloseSend()
	}
}

func (s clientStream) CloseSend() { _ = s.ClientStream.CloseSend() }
