package harness

import (
	"encoding/binary"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
)

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

// known are the attributes that follow from the exchange itself.
func (x *exchange) known() map[string]any {
	h := RequestHeaders(x.request)
	path := h.Get(":path")
	plain, query, _ := strings.Cut(path, "?")
	return map[string]any{
		"source.address": "127.0.0.1:50000", "destination.address": "127.0.0.1:8080", "request.protocol": "HTTP/1.1",
		"request.method": h.Get(":method"), "request.path": path, "request.url_path": plain, "request.query": query,
		"request.host": h.Get(":authority"), "request.scheme": h.Get(":scheme"), "request.id": h.Get("x-request-id"),
	}
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
