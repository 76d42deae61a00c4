package chain

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/leash-gateway/leash/host/abi"
)

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
		return []byte(Int(int64(f.x.status()))), true
	}
	return nil, false
}

// status is that of the answer, 0 if it has none that is a number.
func (x *Exchange) status() int {
	status, _ := strconv.Atoi(x.response.Value(":status"))
	return status
}

// own are attributes that the chain knows, and the embedder may know better: it has been asked before. As in Envoy what is configured
// nowhere (metadata, names of routes) is empty, not missing.
func (f *filter) own(path string) ([]byte, bool) {
	object, name, _ := strings.Cut(path, "\x00")
	switch object {
	case "request":
		return f.ownRequest(name)
	case "response":
		return f.ownResponse(name)
	case "connection":
		switch name {
		case "mtls":
			return []byte{0}, true
		case "requested_server_name":
			return nil, true
		}
	case "upstream":
		attempts := int64(0)
		if !f.x.toServer.IsZero() {
			attempts = 1
		}
		switch name {
		case "request_attempt_count":
			return []byte(Int(attempts)), true
		case "transport_failure_reason", "locality":
			return nil, attempts > 0
		}
	case "metadata":
		return nil, name == ""
	case "xds":
		return f.ownXDS(name)
	}
	return nil, false
}

func (f *filter) ownRequest(name string) ([]byte, bool) {
	var h *abi.Headers
	if f.stream != nil {
		h = f.stream.Map(abi.RequestHeaders)
	}
	switch name {
	case "headers":
		return noPairs, true
	case "headers_bytes":
		return []byte(Int(size(h))), true
	case "size":
		if length, err := strconv.ParseInt(h.Value("content-length"), 10, 64); err == nil {
			return []byte(Int(length)), true
		}
		return []byte(Int(f.x.received)), true
	case "total_size":
		return []byte(Int(f.x.received + size(h))), true
	case "time":
		return []byte(Int(f.x.began.UnixNano())), true
	case "duration":
		return []byte(Int(int64(f.x.clock.Now().Sub(f.x.began)))), f.x.over
	}
	return nil, false
}

func (f *filter) ownResponse(name string) ([]byte, bool) {
	var h, trailers *abi.Headers
	if f.stream != nil {
		h, trailers = f.stream.Map(abi.ResponseHeaders), f.stream.Map(abi.ResponseTrailers)
	}
	switch name {
	case "headers", "trailers":
		return noPairs, true
	case "headers_bytes":
		return []byte(Int(size(h))), true
	case "size":
		return []byte(Int(f.x.sent)), true
	case "total_size":
		return []byte(Int(f.x.sent + size(h) + size(trailers))), true
	case "flags":
		return []byte(Int(0)), true
	case "code_details":
		if f.x.response == nil {
			return nil, false
		}
		return []byte(f.x.details), true
	case "grpc_status":
		return f.ofGRPC(h, trailers)
	case "backend_latency":
		return []byte(Int(int64(f.x.fromServer.Sub(f.x.toServer)))), !f.x.fromServer.IsZero()
	}
	return nil, false
}

// ofGRPC is the status of a gRPC answer, or what follows from that of HTTP.
func (f *filter) ofGRPC(h, trailers *abi.Headers) ([]byte, bool) {
	for _, from := range []*abi.Headers{trailers, h} {
		if status, err := strconv.ParseInt(from.Value("grpc-status"), 10, 32); err == nil {
			return []byte(Int(status)), true
		}
	}
	if f.x.response == nil {
		return nil, false
	}
	return []byte(Int(int64(GRPCStatus(f.x.status())))), true
}

func (f *filter) ownXDS(name string) ([]byte, bool) {
	switch name {
	case "listener_direction":
		return []byte(Int(0)), true
	case "node", "listener_metadata", "filter_chain_name", "route_name", "route_metadata", "virtual_host_name", "virtual_host_metadata":
		return nil, true
	case "cluster_metadata":
		return nil, !f.x.toServer.IsZero()
	}
	return nil, false
}

// noPairs is a map without entries.
var noPairs = []byte{0, 0, 0, 0}

func size(h *abi.Headers) int64 {
	if h == nil {
		return 0
	}
	return int64(h.ByteSize())
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
