package harness

import (
	"encoding/binary"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
)

// attributesOf are those of an exchange.
type attributesOf struct{ x *exchange }

var _ abi.Properties = attributesOf{}

// Property is the value of a path: what the test says goes before what is so.
func (a attributesOf) Property(path string) ([]byte, abi.Status) {
	return attributes{a.x.request.Properties, a.x.p.setup.Properties, a.x.known()}.Property(path)
}

// SetProperty is never asked: the chain keeps what modules set.
func (attributesOf) SetProperty(string, []byte) abi.Status { return abi.BadArgument }

// attributes answer modules' questions about an exchange: the first map that has a path counts.
type attributes []map[string]any

var _ abi.Properties = attributes(nil)

// Property is the value of a path.
func (a attributes) Property(path string) ([]byte, abi.Status) {
	for _, known := range a {
		for name, value := range known {
			if pathOf(name) == path {
				return encode(value)
			}
		}
	}
	return nil, abi.NotFound
}

// SetProperty is never asked: the chain keeps what modules set.
func (attributes) SetProperty(string, []byte) abi.Status { return abi.BadArgument }

// known are the attributes of the exchange that package chain does not know.
func (x *exchange) known() map[string]any {
	known := map[string]any{
		"source.address": "127.0.0.1:50000", "source.port": 50000, "destination.address": "127.0.0.1:8080", "destination.port": 8080,
		"connection.id": 1 + x.p.exchanges, "request.protocol": "HTTP/1.1",
	}
	if x.result.Provider != nil {
		known["upstream.address"], known["upstream.port"], known["upstream.local_address"] = "127.0.0.1:9000", 9000, "127.0.0.1:50001"
		known["upstream.num_endpoints"], known["xds.cluster_name"] = 1, "harness.provider"
	}
	return known
}

// pathOf is a path as modules ask for it, of one with dots.
func pathOf(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(name, `\.`, "\x01"), ".", "\x00"), "\x01", ".")
}

// encode is a value as Envoy serializes it.
func encode(value any) ([]byte, abi.Status) {
	switch v := value.(type) {
	case string:
		return []byte(v), abi.OK
	case []byte:
		return v, abi.OK
	case bool:
		if v {
			return []byte{1}, abi.OK
		}
		return []byte{0}, abi.OK
	case int:
		return binary.LittleEndian.AppendUint64(nil, uint64(v)), abi.OK //nolint:gosec // two's complement
	}
	return nil, abi.SerializationFailure
}
