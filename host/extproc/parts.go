package extproc

import "strings"

// Parts are what an Envoy sends of an exchange. The request's headers always come.
type Parts uint8

// The parts.
const (
	RequestBody Parts = 1 << iota
	RequestTrailers
	ResponseHeaders
	ResponseBody
	ResponseTrailers
	// Everything is all of them.
	Everything = RequestBody | RequestTrailers | ResponseHeaders | ResponseBody | ResponseTrailers
)

var partNames = []string{"request_body", "request_trailers", "response_headers", "response_body", "response_trailers"}

// String is the names of the parts, in the order in which they come, with commas between.
func (p Parts) String() string {
	var names []string
	for i, name := range partNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// callbackParts are the callbacks by which a module gets a part.
var callbackParts = map[string]Parts{
	"proxy_on_request_body":      RequestBody,
	"proxy_on_request_trailers":  RequestTrailers,
	"proxy_on_response_headers":  ResponseHeaders,
	"proxy_on_response_body":     ResponseBody | ResponseHeaders,
	"proxy_on_response_trailers": ResponseTrailers | ResponseHeaders,
}

// partsOf are the parts for which a module has callbacks.
func partsOf(callbacks []string) (parts Parts) {
	for _, name := range callbacks {
		parts |= callbackParts[name]
	}
	return parts
}
