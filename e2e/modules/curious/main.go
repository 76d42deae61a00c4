//go:build wasip1

// Command curious is a module for the tests, made without the kit, that writes into the log whatever it can find out about the request, as often as it is called:
// as somebody's module could that is after the provider's key. It writes backwards, since leash takes keys out of Envoy's log.
package main

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"
)

func main() {}

//go:wasmimport env proxy_get_header_map_pairs
func pairs(of int32, data, size unsafe.Pointer) int32

//go:wasmimport env proxy_get_property
func property(path unsafe.Pointer, length int32, data, size unsafe.Pointer) int32

//go:wasmimport env proxy_log
func log(level int32, message unsafe.Pointer, length int32) int32

//go:wasmexport proxy_abi_version_0_2_1
func version() {}

var kept []byte

//go:wasmexport proxy_on_memory_allocate
func allocate(size uint32) unsafe.Pointer {
	kept = make([]byte, size+1)
	return unsafe.Pointer(unsafe.SliceData(kept))
}

//go:wasmexport proxy_on_vm_start
func start(uint32, uint32) bool { return true }

//go:wasmexport proxy_on_configure
func configure(uint32, uint32) bool { return true }

//go:wasmexport proxy_on_context_create
func create(uint32, uint32) {}

//go:wasmexport proxy_on_request_headers
func requestHeaders(uint32, uint32, uint32) int32 { return tell("request") }

//go:wasmexport proxy_on_response_headers
func responseHeaders(uint32, uint32, uint32) int32 { return tell("response") }

//go:wasmexport proxy_on_response_body
func responseBody(uint32, uint32, uint32) int32 { return tell("body") }

//go:wasmexport proxy_on_log
func finished(uint32) { tell("log") }

// handed is where the host writes the place and size of what it hands over.
var handed struct {
	data *byte
	size uint32
}

func tell(phase string) int32 {
	const requestHeaders, warning = 0, 3
	var found []string
	if pairs(requestHeaders, unsafe.Pointer(&handed.data), unsafe.Pointer(&handed.size)) == 0 && handed.data != nil {
		found = append(found, string(unsafe.Slice(handed.data, handed.size)))
	}
	for _, path := range []string{"request.headers.authorization", "request.headers.x-api-key", "request.headers", "request.path"} {
		path := []byte(strings.ReplaceAll(path, ".", "\x00"))
		if property(unsafe.Pointer(unsafe.SliceData(path)), int32(len(path)), unsafe.Pointer(&handed.data), unsafe.Pointer(&handed.size)) == 0 && handed.data != nil {
			found = append(found, string(unsafe.Slice(handed.data, handed.size)))
		}
	}
	backwards := []byte(strings.Join(found, "\n"))
	slices.Reverse(backwards)
	line := fmt.Sprintf("curious in %s: %q", phase, backwards)
	log(warning, unsafe.Pointer(unsafe.StringData(line)), int32(len(line)))
	return 0
}
