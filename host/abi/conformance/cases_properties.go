package conformance

import (
	"strings"

	"github.com/leash-gateway/leash/host/internal/asm"
)

// numeric asks for a property that is a number.
func numeric(path string) asm.Step {
	return asm.Call("proxy_get_property", asm.Text(strings.ReplaceAll(path, ".", "\x00")), asm.OutNumber())
}

// exists asks for a property whose value is not compared.
func exists(path string) asm.Step {
	return asm.Call("proxy_get_property", asm.Text(strings.ReplaceAll(path, ".", "\x00")), asm.OutUnseen())
}

// measures are sizes, times and results of an exchange, as far as they are the same wherever it runs.
func measures() []asm.Step {
	return []asm.Step{
		numeric("request.size"), numeric("response.code"), numeric("response.flags"), numeric("response.size"), numeric("response.grpc_status"),
		property("response\x00code_details"), numeric("upstream.request_attempt_count"), exists("request.time"), exists("request.duration"), exists("request.headers_bytes"), exists("request.total_size"),
		exists("response.headers_bytes"), exists("response.total_size"), exists("response.backend_latency"), exists("request.headers"), exists("response.headers"), exists("response.trailers"),
	}
}

var propertyCases = []Case{
	{Name: "properties: sizes and results, in the request", Request: "0123456789", Module: on("proxy_on_request_headers", measures()...)},
	{Name: "properties: sizes and results, in the response", Request: "0123456789", Response: "answer", Module: on("proxy_on_response_headers", measures()...)},
	{Name: "properties: sizes and results, when the stream is logged", Request: "0123456789", Response: "answer", Module: on("proxy_on_log", measures()...)},
	{Name: "properties: sizes and results of a local response", Module: join(on("proxy_on_request_headers", reply(418, "teapot")), on("proxy_on_log", measures()...))},
	{Name: "properties: what is configured nowhere is empty", Module: on("proxy_on_request_headers", property("metadata"), property("xds\x00route_name"), property("xds\x00filter_chain_name"), property("xds\x00route_metadata"), property("xds\x00listener_metadata"),
		numeric("xds.listener_direction"), property("connection\x00requested_server_name"), property("connection\x00tls_version"), property("connection\x00subject_peer_certificate"), exists("connection.mtls"), property("upstream\x00transport_failure_reason"), property("xds\x00upstream_host_metadata"))},
	{Name: "properties: the upstream, once the request is there", Response: "answer", Module: on("proxy_on_response_headers", property("upstream\x00transport_failure_reason"), property("upstream\x00locality"), property("xds\x00cluster_metadata"), property("upstream\x00tls_version"))},
	{Name: "properties that modules set are filter state", Module: on("proxy_on_request_headers",
		asm.Call("proxy_set_property", asm.Text("mine"), asm.Text("value")), property("filter_state\x00wasm.mine"), property("filter_state\x00mine"), property("filter_state\x00wasm.none"), property("filter_state"), property("upstream_filter_state"))},
	{Name: "a property that is declared final is set once", Module: join(
		ok("proxy_on_configure", foreignCall("declare_property", field(1, "final")+"\x10\x01"), foreignCall("declare_property", field(1, "final")), foreignCall("declare_property", "\xff")),
		on("proxy_on_request_headers", asm.Call("proxy_set_property", asm.Text("final"), asm.Text("one")), asm.Call("proxy_set_property", asm.Text("final"), asm.Text("two")), property("final"),
			foreignCall("declare_property", field(1, "late")+"\x10\x01"), foreignCall("declare_property", field(1, "late")), asm.Call("proxy_set_property", asm.Text("late"), asm.Text("one")), asm.Call("proxy_set_property", asm.Text("late"), asm.Text("two"))))},
}
