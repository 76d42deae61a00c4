package distribution

import (
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that is wrapped
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// resourcesField is the number of the field resources in DiscoveryResponse and DeltaDiscoveryResponse, resourceField that of
// resource in Resource.
const (
	resourcesField protowire.Number = 2
	resourceField  protowire.Number = 2
)

// A message is a response on its way: what is this Envoy's own, and behind it the bytes of the resource, which all
// Envoys' messages share. A module is megabytes large; a copy for each Envoy would not fit into memory.
type message struct {
	head   []byte
	shared []byte
}

// wholeResponse is the answer to a subscription in the protocol's state-of-the-world form.
func wholeResponse(r *discovery.DiscoveryResponse, resource []byte) (*message, error) {
	head, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	return &message{appendField(head, resourcesField, len(resource)), resource}, nil
}

// deltaResponse is the same in the incremental form.
func deltaResponse(r *discovery.DeltaDiscoveryResponse, name, version string, resource []byte) (*message, error) {
	head, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	inner, err := proto.Marshal(&discovery.Resource{Name: name, Version: version})
	if err != nil {
		return nil, err
	}
	inner = appendField(inner, resourceField, len(resource))
	head = appendField(head, resourcesField, len(inner)+len(resource))
	return &message{append(head, inner...), resource}, nil
}

// appendField begins a field of so many bytes.
func appendField(b []byte, field protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(size)) //nolint:gosec // a length
}

// codec is gRPC's own, but for messages, whose bytes it hands on as they are.
type codec struct{ encoding.CodecV2 }

// Codec is what the gRPC server must be made with: grpc.ForceServerCodecV2(distribution.Codec()).
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

// Marshal encodes a message, or anything else as the codec of gRPC does.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ours := v.(*message)
	if !ours {
		return c.CodecV2.Marshal(v)
	}
	return mem.BufferSlice{mem.SliceBuffer(m.head), mem.SliceBuffer(m.shared)}, nil
}
