package conformance

import "github.com/leash-gateway/leash/host/internal/asm"

var headerCases = []Case{
	{Name: "a header is read whatever its case", Module: on("proxy_on_request_headers", get(requestHeaders, "x-probe"), get(requestHeaders, "X-PROBE"), get(requestHeaders, ":path"), get(requestHeaders, ":method"), get(requestHeaders, ":authority"))},
	{Name: "a header that is missing is not found", Module: on("proxy_on_request_headers", get(requestHeaders, "x-none"))},
	{Name: "a header with an empty name is not found", Module: on("proxy_on_request_headers", get(requestHeaders, ""))},
	{Name: "in ABI 0.1.0 a header that is missing is empty", ABI: "0_1_0", Module: on("proxy_on_request_headers", get(requestHeaders, "x-none"))},
	{Name: "a header is replaced, for the server and for later reads", Module: on("proxy_on_request_headers", change("replace", requestHeaders, "X-Probe", "new"), get(requestHeaders, "x-probe"))},
	{Name: "replacing makes a header that was missing", Module: on("proxy_on_request_headers", change("replace", requestHeaders, "x-made", "1"))},
	{Name: "a header is added beside the one that is there, and the first is read", Module: on("proxy_on_request_headers", change("add", requestHeaders, "x-probe", "second"), get(requestHeaders, "x-probe"))},
	{Name: "adding to a header that HTTP knows once joins the values", Module: on("proxy_on_request_headers", change("add", requestHeaders, "user-agent", "second"), get(requestHeaders, "user-agent"))},
	{Name: "adding to the path joins it", Module: on("proxy_on_request_headers", change("add", requestHeaders, ":path", "/b"), get(requestHeaders, ":path"), change("replace", requestHeaders, ":path", "/c"))},
	{Name: "a header is removed", Module: on("proxy_on_request_headers", remove(requestHeaders, "x-Probe"), get(requestHeaders, "x-probe"), remove(requestHeaders, "x-probe"))},
	{Name: "replacing keeps one of several", Module: on("proxy_on_request_headers", change("add", requestHeaders, "x-probe", "b"), change("add", requestHeaders, "x-probe", "c"), change("replace", requestHeaders, "x-probe", "d"))},
	{Name: "path and method can be changed", Module: on("proxy_on_request_headers", change("replace", requestHeaders, ":path", "/other?x=1"), change("replace", requestHeaders, ":method", "PUT"))},
	{Name: "response headers are read and changed", Module: on("proxy_on_response_headers", get(responseHeaders, ":status"), get(responseHeaders, "x-server"), change("replace", responseHeaders, "x-server", "changed"), change("add", responseHeaders, "x-added", "1"), change("replace", responseHeaders, ":status", "201"))},
	{Name: "request headers are gone once they have passed", Module: on("proxy_on_response_headers", get(requestHeaders, ":path"), change("replace", requestHeaders, "x-probe", "1"), asm.Call("proxy_get_header_map_size", asm.Word(requestHeaders), asm.OutWord(0)))},
	{Name: "response headers are not there before the response", Module: on("proxy_on_request_headers", get(responseHeaders, ":status"), change("add", responseHeaders, "a", "b"))},
	{Name: "pairs of a map that is not there are an empty list", Module: on("proxy_on_request_headers", asm.Call("proxy_get_header_map_pairs", asm.Word(responseHeaders), asm.OutBytes()))},
	{Name: "all headers are replaced by a list and read back as one", Module: on("proxy_on_response_headers", asm.Call("proxy_set_header_map_pairs", asm.Word(responseHeaders), asm.Pairs(":status", "203", "x-a", "1", "x-b", "", "X-C", "3")), asm.Call("proxy_get_header_map_pairs", asm.Word(responseHeaders), asm.OutBytes()))},
	{Name: "a malformed list counts as empty", Module: on("proxy_on_response_headers", asm.Call("proxy_set_header_map_pairs", asm.Word(requestTrailers), asm.Text("\x01\x00\x00")))},
	{Name: "the size of a map is in bytes", Module: on("proxy_on_response_headers", asm.Call("proxy_set_header_map_pairs", asm.Word(responseHeaders), asm.Pairs(":status", "203", "x-a", "1")), asm.Call("proxy_get_header_map_size", asm.Word(responseHeaders), asm.OutWord(0)))},
	{Name: "an unknown map is a bad argument", Module: on("proxy_on_request_headers", get(8, "x"), change("add", 9, "a", "b"), remove(8, "x"), asm.Call("proxy_get_header_map_pairs", asm.Word(8), asm.OutBytes()), asm.Call("proxy_get_header_map_size", asm.Word(8), asm.OutWord(0)))},
	{Name: "memory that the module does not have is an invalid access", Module: on("proxy_on_request_headers",
		asm.Call("proxy_get_header_map_value", asm.Word(0), asm.Word(asm.OutOfMemory), asm.Word(64), asm.OutBytes()),
		asm.Call("proxy_get_header_map_value", asm.Word(0), asm.Text(":path"), asm.Word(asm.OutOfMemory), asm.Word(asm.OutOfMemory)),
		asm.Call("proxy_log", asm.Word(2), asm.Word(asm.OutOfMemory), asm.Word(64)),
		asm.Call("proxy_set_property", asm.Word(asm.OutOfMemory), asm.Word(64), asm.Text("v")),
		asm.Call("proxy_get_current_time_nanoseconds", asm.Word(asm.OutOfMemory)))},
	{Name: "the headers callback gets no end while a body follows", Request: "hello", Module: withParams(on("proxy_on_request_body"))},
}

var bodyCases = []Case{
	{Name: "a request body is read in parts", Request: "0123456789", Module: on("proxy_on_request_body", buffer(requestBody, 0, 100), buffer(requestBody, 2, 3), buffer(requestBody, 10, 1), buffer(requestBody, 11, 1), buffer(requestBody, 0, 0))},
	{Name: "a request body is replaced", Request: "0123456789", Module: withoutLength(on("proxy_on_request_body", setBuffer(requestBody, 0, 100, "new")))},
	{Name: "a request body is prepended to", Request: "0123456789", Module: withoutLength(on("proxy_on_request_body", setBuffer(requestBody, 0, 0, "<")))},
	{Name: "the beginning of a body is replaced", Request: "0123456789", Module: withoutLength(on("proxy_on_request_body", setBuffer(requestBody, 0, 4, "abc")))},
	{Name: "a body is appended to at or past its end", Request: "0123456789", Module: withoutLength(on("proxy_on_request_body", setBuffer(requestBody, 1000, 0, ">")))},
	{Name: "the middle of a body is not replaced", Request: "0123456789", Module: withoutLength(on("proxy_on_request_body", setBuffer(requestBody, 5, 2, "x")))},
	{Name: "a body is held until its end and then seen whole", Request: "0123456789", Module: join(
		asm.Module{"proxy_on_request_headers": {Return: pause}}, withParams(returning(pause, on("proxy_on_request_body", buffer(requestBody, 0, 100), resume(0)))))},
	{Name: "the response body is read and replaced", Response: "answer", Module: join(
		on("proxy_on_response_headers", remove(responseHeaders, "content-length")), on("proxy_on_response_body", buffer(responseBody, 0, 100), setBuffer(responseBody, 0, 100, "other")))},
	{Name: "the size of a body is asked", Request: "0123456789", Module: on("proxy_on_request_body", asm.Call("proxy_get_buffer_status", asm.Word(requestBody), asm.OutWord(0), asm.OutWord(1)))},
	{Name: "a body that has passed is empty and cannot be changed", Request: "0123456789", Module: on("proxy_on_response_headers", buffer(requestBody, 0, 10), setBuffer(requestBody, 0, 0, "x"))},
	{Name: "an unknown buffer is a bad argument", Module: on("proxy_on_request_headers", buffer(9, 0, 1), setBuffer(9, 0, 0, "x"), asm.Call("proxy_get_buffer_status", asm.Word(9), asm.OutWord(0), asm.OutWord(1)))},
	{Name: "a configuration is not there outside of its callback, the VM's always is", Config: "cfg", VMConfig: "vmcfg", Module: on("proxy_on_request_headers", buffer(pluginConfiguration, 0, 10), buffer(vmConfiguration, 0, 10), setBuffer(vmConfiguration, 0, 0, "x"))},
	{Name: "the answer of a callout is not there outside of its callback", Module: on("proxy_on_request_headers", buffer(callBody, 0, 10), get(6, ":status"), asm.Call("proxy_get_buffer_status", asm.Word(callBody), asm.OutWord(0), asm.OutWord(1)))},
	{Name: "foreign arguments and gRPC messages are empty outside of their callbacks", Module: on("proxy_on_request_headers", buffer(8, 0, 10), buffer(5, 0, 10))},
	{Name: "trailers come into being when they are asked for with the last of the body", Request: "0123456789", Module: on("proxy_on_request_body", asm.Call("proxy_add_header_map_value", asm.Word(requestTrailers), asm.Text("x-trailer"), asm.Text("1")))},
}

var flowCases = []Case{
	{Name: "a local response answers the request", Module: on("proxy_on_request_headers", reply(418, "teapot", "x-local", "1", "X-Upper", "2"))},
	{Name: "a local response without a body", Module: on("proxy_on_request_headers", reply(403, ""))},
	{Name: "a local response with a content type", Module: on("proxy_on_request_headers", reply(400, "{}", "content-type", "application/json"))},
	{Name: "a local response passes the module's own response callbacks", Module: join(on("proxy_on_request_headers", reply(418, "teapot")), on("proxy_on_response_headers", get(responseHeaders, ":status"), change("add", responseHeaders, "x-seen", "1")))},
	{Name: "a local response from a body callback", Request: "hello", Module: join(asm.Module{"proxy_on_request_headers": {Return: pause}}, on("proxy_on_request_body", reply(413, "no")))},
	{Name: "a local response takes the place of the server's headers", Response: "answer", Module: on("proxy_on_response_headers", reply(500, "hidden", "x-local", "1"))},
	{Name: "two local responses: the first counts", Module: on("proxy_on_request_headers", reply(418, "one"), reply(419, "two"))},
	{Name: "a pause on headers holds them until continue", Module: returning(pause, on("proxy_on_request_headers", change("add", requestHeaders, "x-held", "1"), resume(0)))},
	{Name: "continue in a callback that does not pause is accepted", Module: on("proxy_on_request_headers", resume(0), resume(2), resume(3), resume(4))},
	{Name: "headers held without stop iteration hold the body back unseen", NoStopIteration: true, Request: "hello", Module: join(returning(pause, on("proxy_on_request_headers", asm.Log("headers"), resume(0))), on("proxy_on_request_body", buffer(requestBody, 0, 10)))},
	{Name: "a body that passes takes held headers with it", Request: "hello", Module: join(asm.Module{"proxy_on_request_headers": {Return: pause}}, on("proxy_on_request_body", buffer(requestBody, 0, 10)))},
	{Name: "closing the request resets it", Module: returning(pause, on("proxy_on_request_headers", asm.Call("proxy_close_stream", asm.Word(0)), asm.Call("proxy_close_stream", asm.Word(7))))},
	{Name: "an unknown action is a pause of everything", Module: returning(9, on("proxy_on_request_headers", resume(0)))},
	{Name: "the lifecycle of a stream", Module: join(
		on("proxy_on_context_create", asm.Log("create")), on("proxy_on_request_headers", asm.Log("request")), on("proxy_on_response_headers", asm.Log("response")),
		on("proxy_on_log", asm.Log("log"), get(requestHeaders, ":path"), get(responseHeaders, ":status"), get(requestHeaders, "x-none"), change("add", requestHeaders, "a", "b")), ok("proxy_on_done", asm.Log("done")))},
	{Name: "a trap answers 503", Module: on("proxy_on_request_headers", asm.Raw(0x00))},
	{Name: "a trap lets the exchange pass where it fails open", FailOpen: true, Module: on("proxy_on_request_headers", asm.Raw(0x00))},
	{Name: "the effective context is another one's", Module: on("proxy_on_request_headers", asm.Call("proxy_set_effective_context", asm.Word(99999)), asm.Call("proxy_set_effective_context", asm.Param(0)), get(requestHeaders, ":path"))},
	{Name: "done is not found unless it is awaited", Module: on("proxy_on_request_headers", asm.Call("proxy_done"))},
	{Name: "an HTTP call is answered to the plugin's context", Module: join(
		returning(pause, on("proxy_on_request_headers", asm.Save(0, asm.Param(0)), httpCall("callout", ":method", "GET", ":path", "/callout", ":authority", "callout"))),
		on("proxy_on_http_call_response", asm.Log("answered"), get(6, ":status"), get(6, "x-callout"), buffer(callBody, 0, 100), asm.Call("proxy_set_effective_context", asm.Slot(0)), change("add", requestHeaders, "x-from-callout", "1"), resume(0)))},
	{Name: "an HTTP call to a cluster that is not there is a bad argument", Module: on("proxy_on_request_headers", httpCall("nowhere", ":method", "GET", ":path", "/", ":authority", "x"))},
	{Name: "an HTTP call without a path, method or authority is a bad argument", Module: on("proxy_on_request_headers", httpCall("callout", ":method", "GET", ":authority", "x"), httpCall("callout", ":path", "/", ":authority", "x"), httpCall("callout", ":method", "GET", ":path", "/"))},
	{Name: "an HTTP call that cannot connect is answered with 503", Module: join(
		returning(pause, on("proxy_on_request_headers", asm.Save(0, asm.Param(0)), httpCall("dead", ":method", "GET", ":path", "/", ":authority", "dead"))),
		on("proxy_on_http_call_response", get(6, ":status"), asm.Call("proxy_set_effective_context", asm.Slot(0)), resume(0)))},
	{Name: "unknown gRPC calls", Module: on("proxy_on_request_headers", asm.Call("proxy_grpc_send", asm.Word(2), asm.Text("x"), asm.Word(0)), asm.Call("proxy_grpc_send", asm.Word(1), asm.Text("x"), asm.Word(0)), asm.Call("proxy_grpc_close", asm.Word(1)), asm.Call("proxy_grpc_close", asm.Word(0)), asm.Call("proxy_grpc_cancel", asm.Word(2)), asm.Call("proxy_grpc_cancel", asm.Word(3)))},
}
