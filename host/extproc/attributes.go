package extproc

import (
	"encoding/binary"
	"maps"
	"math"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/leash-gateway/leash/host/abi"
)

// filterNamespace is under which Envoy sends the attributes that its configuration asks for (request_attributes,
// response_attributes).
const filterNamespace = "envoy.filters.http.ext_proc"

// attributes are what Envoy has told of an exchange besides its headers.
type attributes struct {
	values   map[string]*structpb.Value
	metadata *core.Metadata
}

var _ abi.Properties = (*attributes)(nil)

// learn takes the attributes and the dynamic metadata that come with a message.
func (a *attributes) learn(m *pb.ProcessingRequest) {
	if sent := m.GetAttributes()[filterNamespace].GetFields(); len(sent) > 0 {
		if a.values == nil {
			a.values = make(map[string]*structpb.Value, len(sent))
		}
		maps.Copy(a.values, sent)
	}
	if m.GetMetadataContext() != nil {
		a.metadata = m.GetMetadataContext()
	}
}

// Property is an attribute by path.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/advanced/attributes
func (a *attributes) Property(path string) ([]byte, abi.Status) {
	if rest, found := strings.CutPrefix(path, "metadata\x00filter_metadata\x00"); found {
		return a.dynamic(rest)
	}
	if value, found := a.values[strings.ReplaceAll(path, "\x00", ".")]; found {
		return serialize(value), abi.OK
	}
	return nil, abi.NotFound
}

// SetProperty is never asked: the chain keeps what modules set.
func (*attributes) SetProperty(string, []byte) abi.Status { return abi.NotFound }

// dynamic is dynamic metadata: its namespace, then the way into it.
func (a *attributes) dynamic(path string) ([]byte, abi.Status) {
	namespace, rest, deeper := strings.Cut(path, "\x00")
	found := a.metadata.GetFilterMetadata()[namespace]
	if found == nil {
		return nil, abi.NotFound
	}
	value := structpb.NewStructValue(found)
	for deeper {
		var name string
		name, rest, deeper = strings.Cut(rest, "\x00")
		if value = value.GetStructValue().GetFields()[name]; value == nil {
			return nil, abi.NotFound
		}
	}
	return serialize(value), abi.OK
}

// serialize gives a value the form in which Envoy hands it to Wasm. All numbers among Envoy's attributes are whole.
func serialize(v *structpb.Value) []byte {
	switch kind := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return []byte(kind.StringValue)
	case *structpb.Value_NumberValue:
		if whole := math.Trunc(kind.NumberValue); whole == kind.NumberValue {
			return binary.LittleEndian.AppendUint64(nil, uint64(int64(whole))) //nolint:gosec // two's complement is what is meant
		}
		return binary.LittleEndian.AppendUint64(nil, math.Float64bits(kind.NumberValue))
	case *structpb.Value_BoolValue:
		if kind.BoolValue {
			return []byte{1}
		}
		return []byte{0}
	case *structpb.Value_StructValue:
		encoded, _ := proto.Marshal(kind.StructValue) // came over the wire, so it can go again
		return encoded
	case *structpb.Value_ListValue:
		encoded, _ := proto.Marshal(kind.ListValue)
		return encoded
	}
	return nil
}
