//go:build wasip1

package proxywasm

import "unsafe"

// The functions of the host, as far as modules need them. Each returns a status.
// https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1

//go:wasmimport env proxy_log
//go:noescape
func hostLog(level int32, message string) status

//go:wasmimport env proxy_set_tick_period_milliseconds
func hostSetTickPeriod(milliseconds uint32) status

//go:wasmimport env proxy_set_effective_context
func hostSetEffectiveContext(id uint32) status

//go:wasmimport env proxy_get_buffer_bytes
//go:noescape
func hostGetBuffer(kind buffer, start, most uint32, data, size unsafe.Pointer) status

//go:wasmimport env proxy_set_buffer_bytes
//go:noescape
func hostSetBuffer(kind buffer, start, most uint32, data unsafe.Pointer, size uint32) status

//go:wasmimport env proxy_get_header_map_pairs
//go:noescape
func hostGetHeaders(kind headerMap, data, size unsafe.Pointer) status

//go:wasmimport env proxy_set_header_map_pairs
//go:noescape
func hostSetHeaders(kind headerMap, data unsafe.Pointer, size uint32) status

//go:wasmimport env proxy_replace_header_map_value
//go:noescape
func hostReplaceHeader(kind headerMap, name, value string) status

//go:wasmimport env proxy_remove_header_map_value
//go:noescape
func hostRemoveHeader(kind headerMap, name string) status

//go:wasmimport env proxy_send_local_response
//go:noescape
func hostReply(status uint32, details string, body unsafe.Pointer, bodySize uint32, headers unsafe.Pointer, headersSize uint32, grpcStatus int32) status

//go:wasmimport env proxy_continue_stream
func hostContinue(kind side) status

//go:wasmimport env proxy_http_call
//go:noescape
func hostCall(upstream string, headers unsafe.Pointer, headersSize uint32, body unsafe.Pointer, bodySize uint32,
	trailers unsafe.Pointer, trailersSize, timeout uint32, id unsafe.Pointer) status

//go:wasmimport env proxy_get_property
//go:noescape
func hostGetProperty(path unsafe.Pointer, pathSize uint32, data, size unsafe.Pointer) status

//go:wasmimport env proxy_set_property
//go:noescape
func hostSetProperty(path string, value unsafe.Pointer, size uint32) status

//go:wasmimport env proxy_get_shared_data
//go:noescape
func hostGetShared(key string, data, size, version unsafe.Pointer) status

//go:wasmimport env proxy_set_shared_data
//go:noescape
func hostSetShared(key string, value unsafe.Pointer, size, version uint32) status

//go:wasmimport env proxy_define_metric
//go:noescape
func hostDefineMetric(kind uint32, name string, id unsafe.Pointer) status

//go:wasmimport env proxy_increment_metric
func hostIncrementMetric(id uint32, by int64) status

//go:wasmimport env proxy_record_metric
func hostRecordMetric(id uint32, value uint64) status

//go:wasmimport wasi_snapshot_preview1 clock_time_get
//go:noescape
func hostClock(id uint32, precision uint64, nanoseconds unsafe.Pointer) status

type (
	status    uint32
	buffer    uint32
	headerMap uint32
	side      uint32
)

const (
	ok          status = 0
	badArgument status = 2
)

// Buffers, maps and streams as the host numbers them.
const (
	requestBody   buffer = 0
	responseBody  buffer = 1
	callBody      buffer = 4
	configuration buffer = 7

	requestHeaders  headerMap = 0
	responseHeaders headerMap = 2
	callHeaders     headerMap = 6

	requestStream  side = 0
	responseStream side = 1

	// realTime is the clock that counts from 1970.
	realTime = 0
)

// String names a status as the specification does.
func (s status) String() string {
	switch s {
	case ok:
		return "ok"
	case 1:
		return "not found"
	case badArgument:
		return "bad argument"
	case 7:
		return "empty"
	case 8:
		return "version mismatch"
	case 10:
		return "internal failure"
	case 12:
		return "not implemented"
	default:
		return "unknown status"
	}
}
