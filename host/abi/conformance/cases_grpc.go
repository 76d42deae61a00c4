package conformance

import "github.com/leash-gateway/leash/host/internal/asm"

func grpcCall(cluster, method, message string) asm.Step {
	return asm.Call("proxy_grpc_call", asm.Text(cluster), asm.Text("test.Service"), asm.Text(method), asm.Pairs("x-meta", "data"), asm.Text(message), asm.Word(2000), asm.OutQuiet(1))
}

// waits is a request that waits for what comes back, its context in slot 0.
func waits(steps ...asm.Step) asm.Module {
	return returning(pause, on("proxy_on_request_headers", append([]asm.Step{asm.Save(0, asm.Param(0))}, steps...)...))
}

// thenPass lets the waiting request pass.
func thenPass(steps ...asm.Step) []asm.Step {
	return append(steps, asm.Call("proxy_set_effective_context", asm.Slot(0)), resume(0))
}

func grpcMessage() asm.Step { return buffer(5, 0, 100) }

func callStatus() asm.Step { return asm.Call("proxy_get_status", asm.OutWord(2), asm.OutBytes()) }

var grpcCases = []Case{
	{Name: "a gRPC call is answered with a message", Module: join(waits(grpcCall("grpc", "Echo", "hello")),
		on("proxy_on_grpc_receive", thenPass(grpcMessage())...), on("proxy_on_grpc_close", asm.Log("never")), on("proxy_on_grpc_receive_initial_metadata", asm.Log("never")))},
	{Name: "a gRPC call that fails is closed with its status", Module: join(waits(grpcCall("grpc", "Fail", "hello")),
		on("proxy_on_grpc_receive", asm.Log("never")), on("proxy_on_grpc_close", append([]asm.Step{asm.Save(3, asm.Param(2)), callStatus()}, thenPass()...)...))},
	{Name: "a gRPC stream brings metadata, messages and its end", Module: join(
		waits(asm.Call("proxy_grpc_stream", asm.Text("grpc"), asm.Text("test.Service"), asm.Text("Echo"), asm.Pairs("x-meta", "data"), asm.OutQuiet(1)),
			asm.Call("proxy_grpc_send", asm.Slot(1), asm.Text("one"), asm.Word(0)), asm.Call("proxy_grpc_send", asm.Slot(1), asm.Text("two"), asm.Word(1))),
		on("proxy_on_grpc_receive_initial_metadata", get(4, "x-initial")), on("proxy_on_grpc_receive", grpcMessage()), on("proxy_on_grpc_receive_trailing_metadata", get(5, "x-trailing")),
		on("proxy_on_grpc_close", append([]asm.Step{callStatus()}, thenPass()...)...))},
	{Name: "a gRPC stream is closed by the module", Module: join(
		waits(asm.Call("proxy_grpc_stream", asm.Text("grpc"), asm.Text("test.Service"), asm.Text("Echo"), asm.Pairs(), asm.OutQuiet(1)),
			asm.Call("proxy_grpc_send", asm.Slot(1), asm.Text("one"), asm.Word(0)), asm.Call("proxy_grpc_close", asm.Slot(1))),
		on("proxy_on_grpc_receive", grpcMessage()), on("proxy_on_grpc_close", append([]asm.Step{callStatus()}, thenPass()...)...))},
	{Name: "a gRPC call and a stream are cancelled, and are not there any more", Module: on("proxy_on_request_headers",
		grpcCall("grpc", "Echo", "hello"), asm.Call("proxy_grpc_cancel", asm.Slot(1)), asm.Call("proxy_grpc_cancel", asm.Slot(1)),
		asm.Call("proxy_grpc_stream", asm.Text("grpc"), asm.Text("test.Service"), asm.Text("Echo"), asm.Pairs(), asm.OutQuiet(1)), asm.Call("proxy_grpc_cancel", asm.Slot(1)), asm.Call("proxy_grpc_send", asm.Slot(1), asm.Text("x"), asm.Word(0)))},
	{Name: "a gRPC call to a cluster that is not there cannot be parsed", Module: on("proxy_on_request_headers", grpcCall("nowhere", "Echo", ""))},
}
