package conformance

import "github.com/leash-gateway/leash/host/internal/asm"

var trailerCases = []Case{
	{Name: "request trailers are read", Trailers: true, Request: "0123456789", Module: withParams(on("proxy_on_request_trailers", get(requestTrailers, "x-last"), get(requestTrailers, "x-none"), get(requestHeaders, ":path")))},
	{Name: "request trailers are held until continue", Trailers: true, Request: "0123456789", Module: returning(pause, on("proxy_on_request_trailers", change("replace", requestTrailers, "x-last", "changed"), get(requestTrailers, "x-last"), resume(0)))},
	{Name: "a body that trailers follow is held, and goes on with them", Trailers: true, Request: "0123456789", Module: join(
		returning(pause, on("proxy_on_request_body", buffer(requestBody, 0, 100))), on("proxy_on_request_trailers", buffer(requestBody, 0, 100), remove(requestTrailers, "x-last")))},
	{Name: "response trailers are read and changed", Trailers: true, Response: "answer", Module: withParams(on("proxy_on_response_trailers", get(responseTrailers, "x-end"), change("add", responseTrailers, "x-more", "1"), asm.Call("proxy_get_header_map_size", asm.Word(responseTrailers), asm.OutWord(0)), get(responseHeaders, ":status")))},
	{Name: "response trailers are there when the stream is logged", Trailers: true, Response: "answer", Module: on("proxy_on_log", get(responseTrailers, "x-end"), property("response\x00trailers\x00x-end"))},
	{Name: "response headers are held until continue", Response: "answer", Module: returning(pause, on("proxy_on_response_headers", change("add", responseHeaders, "x-held", "1"), resume(1)))},
	{Name: "in ABI 0.1.0 the response is continued by a function of its own", ABI: "0_1_0", Response: "answer", Module: returning(pause, on("proxy_on_response_headers", asm.Call("proxy_continue_response")))},
}
