// Package conformance holds what modules may rely on: cases, each a small module and an exchange, that run on this host and on a
// real Envoy, with the same result. docs/reference/abi.md lists them.
package conformance

import (
	"maps"
	"slices"

	"github.com/leash-gateway/leash/host/internal/asm"
)

// A Case is a module and one exchange.
type Case struct {
	// Name is the promise, in the reference.
	Name   string
	Module asm.Module
	// Restrict is capability_restriction_config; empty: none.
	Restrict []string
	// Request and Response are the bodies; "" is none.
	Request, Response string
	// Config is the plugin's configuration, VMConfig the VM's.
	Config, VMConfig string
	// FailOpen lets the exchange go on when the VM fails.
	FailOpen bool
	// NoStopIteration leaves allow_on_headers_stop_iteration off.
	NoStopIteration bool
	// ABI is the version, by default "0_2_1".
	ABI string
	// Header is added to the request.
	Header [2]string
	// Env are the environment variables of the VM.
	Env map[string]string
	// Trailers says that request and response have some: x-last and x-end.
	Trailers bool
}

const (
	requestHeaders, requestTrailers, responseHeaders, responseTrailers = 0, 1, 2, 3
	requestBody, responseBody, callBody                                = 0, 1, 4
	vmConfiguration, pluginConfiguration                               = 6, 7
	counter, gauge, histogram                                          = 0, 1, 2
	pause, proceed                                                     = 1, 0
)

func on(name string, steps ...asm.Step) asm.Module { return asm.Module{name: {Do: steps}} }

func get(which uint32, name string) asm.Step {
	return asm.Call("proxy_get_header_map_value", asm.Word(which), asm.Text(name), asm.OutBytes())
}

func change(how string, which uint32, name, value string) asm.Step {
	return asm.Call("proxy_"+how+"_header_map_value", asm.Word(which), asm.Text(name), asm.Text(value))
}

func remove(which uint32, name string) asm.Step {
	return asm.Call("proxy_remove_header_map_value", asm.Word(which), asm.Text(name))
}

func property(path string) asm.Step {
	return asm.Call("proxy_get_property", asm.Text(path), asm.OutBytes())
}

func buffer(which, start, size uint32) asm.Step {
	return asm.Call("proxy_get_buffer_bytes", asm.Word(which), asm.Word(start), asm.Word(size), asm.OutBytes())
}

func setBuffer(which, start, size uint32, data string) asm.Step {
	return asm.Call("proxy_set_buffer_bytes", asm.Word(which), asm.Word(start), asm.Word(size), asm.Text(data))
}

func reply(status uint32, body string, headers ...string) asm.Step {
	return asm.Call("proxy_send_local_response", asm.Word(status), asm.Text("by module"), asm.Text(body), asm.Pairs(headers...), asm.Word(0xffffffff))
}

func resume(stream uint32) asm.Step { return asm.Call("proxy_continue_stream", asm.Word(stream)) }

// join is a module of several callbacks.
func join(parts ...asm.Module) asm.Module {
	whole := asm.Module{}
	for _, part := range parts {
		maps.Copy(whole, part)
	}
	return whole
}

func returning(value int32, m asm.Module) asm.Module {
	for name, callback := range m {
		callback.Return = value
		m[name] = callback
	}
	return m
}

func withParams(m asm.Module) asm.Module {
	for name, callback := range m {
		callback.Params = true
		m[name] = callback
	}
	return m
}

// ok is a callback that answers true.
func ok(name string, steps ...asm.Step) asm.Module { return returning(1, on(name, steps...)) }

// withoutLength removes the content-length of the request, so that its body may get another.
func withoutLength(m asm.Module) asm.Module {
	return join(on("proxy_on_request_headers", remove(requestHeaders, "content-length")), m)
}

func httpCall(cluster string, headers ...string) asm.Step {
	return asm.Call("proxy_http_call", asm.Text(cluster), asm.Pairs(headers...), asm.Text(""), asm.Pairs(), asm.Word(2000), asm.OutQuiet(1))
}

// Cases are all of them, in the order of the reference.
var Cases = slices.Concat(headerCases, bodyCases, trailerCases, flowCases, grpcCases, stateCases, propertyCases, foreignCases)
