package places_test

import (
	"encoding/binary"
	"strings"

	"github.com/leash-gateway/leash/host/internal/asm"
)

// look is how an attribute is compared.
type look uint8

const (
	text   look = iota // the value is the same in all places that have it
	number             // likewise, a number
	there              // what it says depends on the place
)

// attribute is a path that modules may ask for.
type attribute struct {
	path string // with dots
	look look
}

// attributes are those that Envoy documents, in its order.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/advanced/attributes
var attributes = []attribute{
	{"request.path", text}, {"request.url_path", text}, {"request.host", text}, {"request.scheme", text}, {"request.method", text},
	{"request.headers", there}, {"request.headers.x-probe", text}, {"request.headers_bytes", there}, {"request.referer", text},
	{"request.useragent", text}, {"request.time", there}, {"request.id", there}, {"request.protocol", text}, {"request.query", text},
	{"request.duration", there}, {"request.size", number}, {"request.total_size", there},
	{"response.code", number}, {"response.code_details", there}, {"response.flags", number}, {"response.grpc_status", number}, {"response.headers", there},
	{"response.headers.x-server", text}, {"response.headers_bytes", there}, {"response.trailers", there}, {"response.size", there},
	{"response.total_size", there}, {"response.backend_latency", there},
	{"source.address", there}, {"source.port", there}, {"destination.address", there}, {"destination.port", there}, {"connection.id", there},
	{"connection.mtls", there}, {"connection.requested_server_name", text}, {"connection.tls_version", there},
	{"connection.subject_local_certificate", there}, {"connection.subject_peer_certificate", there}, {"connection.dns_san_local_certificate", there},
	{"connection.dns_san_peer_certificate", there}, {"connection.uri_san_local_certificate", there}, {"connection.uri_san_peer_certificate", there},
	{"connection.sha256_peer_certificate_digest", there}, {"connection.peer_certificate", there}, {"connection.transport_failure_reason", there},
	{"connection.termination_details", there},
	{"upstream.address", there}, {"upstream.port", there}, {"upstream.num_endpoints", number}, {"upstream.tls_version", there},
	{"upstream.subject_local_certificate", there}, {"upstream.subject_peer_certificate", there}, {"upstream.dns_san_local_certificate", there},
	{"upstream.dns_san_peer_certificate", there}, {"upstream.uri_san_local_certificate", there}, {"upstream.uri_san_peer_certificate", there},
	{"upstream.sha256_peer_certificate_digest", there}, {"upstream.peer_certificate", there}, {"upstream.local_address", there},
	{"upstream.transport_failure_reason", there}, {"upstream.request_attempt_count", number}, {"upstream.cx_pool_ready_duration", there},
	{"upstream.locality", there},
	{"metadata", there}, {"filter_state", there}, {"upstream_filter_state", there}, {"set_by_a_module", text},
	{"xds.node", there}, {"xds.cluster_name", text}, {"xds.cluster_metadata", there}, {"xds.listener_direction", there}, {"xds.listener_metadata", there},
	{"xds.route_name", there}, {"xds.route_metadata", there}, {"xds.virtual_host_name", there}, {"xds.virtual_host_metadata", there},
	{"xds.upstream_host_metadata", there}, {"xds.upstream_host_locality_metadata", there}, {"xds.filter_chain_name", there},
	{"plugin_name", there}, {"plugin_root_id", text}, {"plugin_vm_id", there},
}

// ask asks for all attributes.
func ask() []asm.Step {
	var steps []asm.Step
	for _, a := range attributes {
		out := asm.OutUnseen()
		switch a.look {
		case text:
			out = asm.OutBytes()
		case number:
			out = asm.OutNumber()
		case there:
		}
		steps = append(steps, asm.Log(attributeMark+a.path), asm.Call("proxy_get_property", asm.Text(strings.ReplaceAll(a.path, ".", "\x00")), out))
	}
	return steps
}

// What the lines of the probe begin with.
const (
	phaseMark     = "phase "
	attributeMark = "attribute "
	functionMark  = "function "
	endMark       = "end of the probe"
)

// function is a host call, tried once, in the request's headers.
type function struct {
	name string
	step asm.Step
}

func call(name string, args ...asm.Arg) function { return function{name, asm.Call(name, args...)} }

func foreign(name, arguments string) function {
	return function{"foreign function " + name, asm.Call("proxy_call_foreign_function", asm.Text(name), asm.Text(arguments), asm.OutUnseen())}
}

// field is a field of a protobuf message: bytes.
func field(number byte, value string) string {
	return string(append(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(value))), value...))
}

// functions are the host calls that depend on where they are made: all others are of package abi alone, and are compared by its
// conformance suite. Those behind a slot use what the ones before have left there.
var functions = []function{
	call("proxy_log", asm.Word(2), asm.Text("a line")),
	call("proxy_get_log_level", asm.OutQuiet(1)),
	call("proxy_get_current_time_nanoseconds", asm.Word(1024)),
	call("proxy_set_tick_period_milliseconds", asm.Word(10)),
	call("proxy_set_property", asm.Text("set_by_a_module"), asm.Text("value")),
	call("proxy_get_header_map_pairs", asm.Word(0), asm.OutUnseen()),
	call("proxy_add_header_map_value", asm.Word(0), asm.Text("x-added"), asm.Text("1")),
	call("proxy_get_buffer_bytes", asm.Word(6), asm.Word(0), asm.Word(10), asm.OutUnseen()),
	call("proxy_set_shared_data", asm.Text("key"), asm.Text("value"), asm.Word(0)),
	call("proxy_get_shared_data", asm.Text("key"), asm.OutUnseen(), asm.OutQuiet(1)),
	call("proxy_register_shared_queue", asm.Text("queue"), asm.OutQuiet(1)),
	call("proxy_resolve_shared_queue", asm.Text(""), asm.Text("queue"), asm.OutQuiet(2)),
	call("proxy_enqueue_shared_queue", asm.Slot(1), asm.Text("item")),
	call("proxy_define_metric", asm.Word(0), asm.Text("probe_counter"), asm.OutQuiet(1)),
	call("proxy_increment_metric", asm.Slot(1), asm.Long(1)),
	call("proxy_get_metric", asm.Slot(1), asm.Word(1024)),
	call("proxy_http_call", asm.Text("provider.p"), asm.Pairs(":method", "GET", ":path", "/called", ":authority", "p"), asm.Text(""), asm.Pairs(), asm.Word(2000), asm.OutQuiet(1)),
	call("proxy_grpc_call", asm.Text("provider.p"), asm.Text("s"), asm.Text("m"), asm.Pairs(), asm.Text(""), asm.Word(2000), asm.OutQuiet(1)),
	call("proxy_set_effective_context", asm.Param(0)),
	foreign("compress", "text"), foreign("uncompress", "\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15"), foreign("clear_route_cache", ""),
	foreign("declare_property", field(1, "declared")), foreign("set_envoy_filter_state", field(1, "wasm.state")+field(2, "value")),
	foreign("sign", ""), foreign("verify_signature", ""), foreign("expr_create", "request.path"),
}

// phases are the callbacks of an exchange, in their order, and what may come between.
var phases = []string{
	"proxy_on_vm_start", "proxy_on_configure", "proxy_on_context_create", "proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers",
	"proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers", "proxy_on_log", "proxy_on_done", "proxy_on_delete",
	"proxy_on_tick", "proxy_on_queue_ready", "proxy_on_http_call_response",
}

// probe is the module.
func probe() []byte {
	m := asm.Module{}
	for _, name := range phases {
		steps := []asm.Step{asm.Log(phaseMark + name)}
		switch name {
		case "proxy_on_request_headers":
			for _, f := range functions {
				steps = append(steps, asm.Log(functionMark+f.name), f.step)
			}
			steps = append(steps, ask()...)
		case "proxy_on_response_headers", "proxy_on_log":
			steps = append(steps, ask()...)
		case "proxy_on_tick":
			steps = append(steps, asm.Drop("proxy_set_tick_period_milliseconds", asm.Word(0)))
		case "proxy_on_delete":
			steps = append(steps, asm.Log(endMark))
		}
		one := asm.Callback{Do: steps}
		if name == "proxy_on_vm_start" || name == "proxy_on_configure" || name == "proxy_on_done" {
			one.Return = 1
		}
		m[name] = one
	}
	return m.Build()
}
