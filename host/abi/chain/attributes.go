package chain

import (
	"encoding/binary"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
)

// Attributes are what an embedder knows of an exchange besides its headers, by path: "connection\x00id", "source\x00address". Numbers are
// made with Int. What follows from headers (request.path, response.code, …) the chain answers itself.
type Attributes map[string]string

var _ abi.Properties = Attributes{}

// Property is the value of a path.
func (a Attributes) Property(path string) ([]byte, abi.Status) {
	value, found := a[path]
	if !found {
		return nil, abi.NotFound
	}
	return []byte(value), abi.OK
}

// SetProperty is never asked: the chain keeps what modules set.
func (Attributes) SetProperty(string, []byte) abi.Status { return abi.NotFound }

// Int is a number as an attribute's value.
func Int(n int64) string {
	return string(binary.LittleEndian.AppendUint64(nil, uint64(n))) //nolint:gosec // two's complement
}

// ofHeaders are the attributes that follow from headers. As in Envoy a module has those of the request only as long as it
// has the headers themselves: until it has let them pass.
func (f *filter) ofHeaders(path string) ([]byte, bool) {
	if f.stream == nil {
		return nil, false
	}
	object, name, _ := strings.Cut(path, "\x00")
	name, key, _ := strings.Cut(name, "\x00")
	switch object {
	case "request":
		return ofRequest(f.stream.Map(abi.RequestHeaders), name, key)
	case "response":
		if name == "trailers" {
			return ofMap(f.stream.Map(abi.ResponseTrailers), key)
		}
		return f.ofResponse(name, key)
	}
	return nil, false
}

func ofRequest(h *abi.Headers, name, key string) ([]byte, bool) {
	if h == nil {
		return nil, false
	}
	path, query, _ := strings.Cut(h.Value(":path"), "?")
	switch name {
	case "path":
		return ofMap(h, ":path")
	case "url_path":
		return []byte(path), true
	case "query":
		return []byte(query), true
	case "host":
		return ofMap(h, ":authority")
	case "scheme":
		return ofMap(h, ":scheme")
	case "method":
		return ofMap(h, ":method")
	case "referer":
		return ofMap(h, "referer")
	case "useragent":
		return ofMap(h, "user-agent")
	case "id":
		return ofMap(h, "x-request-id")
	case "headers":
		return ofMap(h, key)
	}
	return nil, false
}

func (f *filter) ofResponse(name, key string) ([]byte, bool) {
	h := f.stream.Map(abi.ResponseHeaders)
	switch {
	case name == "headers":
		return ofMap(h, key)
	case name == "code" && f.x.response != nil:
		status := int64(0)
		for _, digit := range f.x.response.Value(":status") {
			status = status*10 + int64(digit-'0')
		}
		return []byte(Int(status)), true
	}
	return nil, false
}

// ofMap is a header, or with an empty key all of them.
func ofMap(h *abi.Headers, key string) ([]byte, bool) {
	if h == nil {
		return nil, false
	}
	if key == "" {
		return h.AppendPairs(nil), true
	}
	value, found := h.Get(key)
	return []byte(value), found
}
