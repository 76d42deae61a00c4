package conformance

import "github.com/leash-gateway/leash/host/internal/asm"

// TCPCases are connections on which a client sends "ping", gets it back from the server, and closes.
var TCPCases = []Case{
	{Name: "TCP: data is seen, read and changed in both directions", Module: join(
		on("proxy_on_new_connection", asm.Log("connected"), get(requestHeaders, "x"), reply(400, "no effect")),
		on("proxy_on_downstream_data", buffer(2, 0, 100), setBuffer(2, 0, 100, "changed"), buffer(3, 0, 10)),
		on("proxy_on_upstream_data", buffer(3, 0, 100), setBuffer(3, 0, 0, "> ")))},
	{Name: "TCP: what is held goes on after continue", Module: join(
		returning(pause, on("proxy_on_downstream_data", buffer(2, 0, 100), resume(2))), on("proxy_on_new_connection", resume(0), resume(3)))},
	{Name: "TCP: a new connection is held until continue", Module: join(
		returning(pause, on("proxy_on_new_connection", resume(2))), on("proxy_on_downstream_data", asm.Log("data")))},
	{Name: "TCP: a module closes the client's connection", Module: join(
		returning(pause, on("proxy_on_downstream_data", asm.Call("proxy_close_stream", asm.Word(2)), asm.Call("proxy_close_stream", asm.Word(0)))),
		on("proxy_on_downstream_connection_close", asm.Log("closed")))},
	{Name: "TCP: properties", Module: on("proxy_on_downstream_data", property("plugin_root_id"), asm.Call("proxy_set_property", asm.Text("mine"), asm.Text("value")), property("mine"), property("request\x00path"))},
	{Name: "TCP: the end of a connection", Module: join(
		on("proxy_on_downstream_connection_close", asm.Log("client closed")), on("proxy_on_log", asm.Log("log")), ok("proxy_on_done", asm.Log("done")))},
}
