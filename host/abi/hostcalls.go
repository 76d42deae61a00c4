package abi

import "time"

// hostcalls are the functions of the module "env".
// https://github.com/proxy-wasm/spec/blob/main/abi-versions/v0.2.1/README.md
var hostcalls = [...]hostcall{
	{name: "proxy_log", early: true, run: proxyLog, params: []param{{"level", lvlWord}, {"message", in}}},
	{name: "proxy_get_log_level", versions: V021, run: proxyGetLogLevel, params: []param{{"level", outWord}}},
	{name: "proxy_get_current_time_nanoseconds", run: proxyGetTime, params: []param{{"time", outLong}}},
	{name: "proxy_set_tick_period_milliseconds", run: proxySetTick, params: []param{{"milliseconds", word}}},
	{name: "proxy_get_configuration", versions: V010, run: proxyGetConfiguration, params: []param{{"configuration", out}}},
	{name: "proxy_get_status", run: proxyGetStatus, params: []param{{"code", outWord}, {"message", out}}},

	{name: "proxy_get_property", run: proxyGetProperty, params: []param{{"path", in}, {"value", out}}},
	{name: "proxy_set_property", run: proxySetProperty, params: []param{{"path", in}, {"value", in}}},

	{name: "proxy_get_header_map_pairs", run: getHeaderMapPairs, params: []param{{"map", mapWord}, {"pairs", outPairs}}},
	{name: "proxy_set_header_map_pairs", run: setHeaderMapPairs, params: []param{{"map", mapWord}, {"pairs", inPairs}}},
	{name: "proxy_get_header_map_value", run: getHeaderMapValue, params: []param{{"map", mapWord}, {"key", in}, {"value", out}}},
	{name: "proxy_add_header_map_value", run: addHeaderMapValue, params: []param{{"map", mapWord}, {"key", in}, {"value", in}}},
	{name: "proxy_replace_header_map_value", run: replaceHeaderMapValue, params: []param{{"map", mapWord}, {"key", in}, {"value", in}}},
	{name: "proxy_remove_header_map_value", run: removeHeaderMapValue, params: []param{{"map", mapWord}, {"key", in}}},
	{name: "proxy_get_header_map_size", run: getHeaderMapSize, params: []param{{"map", mapWord}, {"size", outWord}}},

	{name: "proxy_get_buffer_bytes", run: getBufferBytes, params: []param{{"buffer", bufWord}, {"start", word}, {"size", word}, {"bytes", out}}},
	{name: "proxy_get_buffer_status", run: getBufferStatus, params: []param{{"buffer", bufWord}, {"size", outWord}, {"flags", outWord}}},
	{name: "proxy_set_buffer_bytes", run: setBufferBytes, params: []param{{"buffer", bufWord}, {"start", word}, {"size", word}, {"bytes", in}}},

	{name: "proxy_continue_stream", versions: V020 | V021, run: continueStream, params: []param{{"stream", dirWord}}},
	{name: "proxy_close_stream", versions: V020 | V021, run: closeStream, params: []param{{"stream", dirWord}}},
	{name: "proxy_continue_request", versions: V010, run: func(vm *VM, _ args) Status { return vm.resume(Request) }},
	{name: "proxy_continue_response", versions: V010, run: func(vm *VM, _ args) Status { return vm.resume(Response) }},
	{name: "proxy_clear_route_cache", versions: V010, run: func(*VM, args) Status { return OK }},
	{name: "proxy_send_local_response", run: sendLocalResponse, params: []param{
		{"status", word}, {"details", in}, {"body", in}, {"headers", inPairs}, {"grpc_status", word},
	}},

	{name: "proxy_set_effective_context", run: setEffectiveContext, params: []param{{"context", word}}},
	{name: "proxy_done", run: proxyDone},

	{name: "proxy_get_shared_data", run: getSharedData, params: []param{{"key", in}, {"value", out}, {"cas", outWord}}},
	{name: "proxy_set_shared_data", run: setSharedData, params: []param{{"key", in}, {"value", in}, {"cas", word}}},
	{name: "proxy_register_shared_queue", run: registerQueue, params: []param{{"name", in}, {"queue", outWord}}},
	{name: "proxy_resolve_shared_queue", run: resolveQueue, params: []param{{"vm_id", in}, {"name", in}, {"queue", outWord}}},
	{name: "proxy_dequeue_shared_queue", run: dequeue, params: []param{{"queue", word}, {"value", out}}},
	{name: "proxy_enqueue_shared_queue", run: enqueue, params: []param{{"queue", word}, {"value", in}}},

	{name: "proxy_define_metric", run: defineMetric, params: []param{{"type", word}, {"name", in}, {"metric", outWord}}},
	{name: "proxy_increment_metric", run: incrementMetric, params: []param{{"metric", word}, {"offset", long}}},
	{name: "proxy_record_metric", run: recordMetric, params: []param{{"metric", word}, {"value", long}}},
	{name: "proxy_get_metric", run: getMetric, params: []param{{"metric", word}, {"value", outLong}}},

	{name: "proxy_http_call", run: proxyHTTPCall, params: []param{
		{"cluster", in}, {"headers", inPairs}, {"body", in}, {"trailers", inPairs}, {"timeout_milliseconds", word}, {"call", outWord},
	}},
	{name: "proxy_grpc_call", run: proxyGRPCCall, params: []param{
		{"service", in}, {"service_name", in}, {"method", in}, {"metadata", inPairs}, {"message", in}, {"timeout_milliseconds", word}, {"call", outWord},
	}},
	{name: "proxy_grpc_stream", run: proxyGRPCStream, params: []param{
		{"service", in}, {"service_name", in}, {"method", in}, {"metadata", inPairs}, {"call", outWord},
	}},
	{name: "proxy_grpc_send", run: proxyGRPCSend, params: []param{{"call", word}, {"message", in}, {"end", word}}},
	{name: "proxy_grpc_close", run: proxyGRPCClose, params: []param{{"call", word}}},
	{name: "proxy_grpc_cancel", run: proxyGRPCCancel, params: []param{{"call", word}}},

	{name: "proxy_call_foreign_function", run: callForeignFunction, params: []param{{"function", in}, {"arguments", in}, {"results", out}}},

	{name: "emscripten_notify_memory_growth", early: true, run: func(*VM, args) Status { return OK }, params: []param{{"memory", word}}},
	{name: "pthread_equal", run: pthreadEqual, params: []param{{"left", word}, {"right", word}}},
}

func proxyLog(vm *VM, p args) Status {
	if p.word(0) > uint32(Critical) {
		return BadArgument
	}
	message, ok := vm.string(p.word(1), p.word(2))
	if !ok {
		return InvalidMemoryAccess
	}
	vm.log(Level(p.word(0)), message)
	return OK
}

func proxyGetLogLevel(vm *VM, p args) Status {
	return written(vm.setWord(p.word(0), uint32(vm.config.Host.Logger.Level())))
}

func proxyGetTime(vm *VM, p args) Status {
	return written(vm.setLong(p.word(0), uint64(vm.config.Host.Clock.Now().UnixNano()))) //nolint:gosec // after 1970
}

func proxySetTick(vm *VM, p args) Status {
	vm.plugin().setTick(time.Duration(p.word(0)) * time.Millisecond)
	return OK
}

// proxyGetConfiguration is the plugin's while it is configured, else the VM's.
func proxyGetConfiguration(vm *VM, p args) Status {
	if plugin := vm.plugin(); plugin.configuring {
		return vm.give(plugin.config.Configuration, p.word(0), p.word(1))
	}
	return vm.give(vm.config.Configuration, p.word(0), p.word(1))
}

func proxyGetStatus(vm *VM, p args) Status {
	plugin := vm.plugin()
	if !vm.setWord(p.word(0), uint32(plugin.status)) {
		return InvalidMemoryAccess
	}
	return give(vm, plugin.statusMessage, p.word(1), p.word(2))
}

func proxyGetProperty(vm *VM, p args) Status {
	path, ok := vm.string(p.word(0), p.word(1))
	if !ok {
		return InvalidMemoryAccess
	}
	value, status := vm.property(path)
	if status != OK {
		return status
	}
	return vm.give(value, p.word(2), p.word(3))
}

func (vm *VM) property(path string) ([]byte, Status) {
	if n := len(path); n > 0 && path[n-1] == 0 {
		path = path[:n-1] // a zero byte may end the last name too
	}
	plugin := vm.plugin()
	switch path {
	case "":
		return nil, SerializationFailure
	case "plugin_name":
		return []byte(plugin.config.Name), OK
	case "plugin_root_id":
		return []byte(plugin.config.RootID), OK
	case "plugin_vm_id":
		return []byte(vm.config.ID), OK
	}
	if host := vm.onHost(); host != nil {
		return host.Property(path)
	}
	if plugin.config.Properties != nil {
		return plugin.config.Properties.Property(path)
	}
	return nil, NotFound
}

func proxySetProperty(vm *VM, p args) Status {
	path, ok := vm.string(p.word(0), p.word(1))
	value, okValue := vm.bytes(p.word(2), p.word(3))
	if !ok || !okValue {
		return InvalidMemoryAccess
	}
	host := vm.onHost()
	if host == nil {
		return NotFound
	}
	return host.SetProperty(path, value)
}

func setEffectiveContext(vm *VM, p args) Status {
	c := vm.contexts[p.word(0)]
	if c == nil {
		return BadArgument
	}
	vm.effective = c
	return OK
}

func proxyDone(vm *VM, _ args) Status {
	plugin := vm.plugin()
	if !plugin.closing {
		return NotFound
	}
	plugin.closing = false
	vm.after = append(vm.after, func() { _ = plugin.remove() })
	return OK
}

func callForeignFunction(vm *VM, p args) Status {
	name, ok := vm.string(p.word(0), p.word(1))
	arguments, okArguments := vm.bytes(p.word(2), p.word(3))
	if !ok || !okArguments {
		return InvalidMemoryAccess
	}
	function := vm.config.Host.Foreign[name]
	if function == nil {
		function = ForeignFunctions[name]
	}
	if function == nil {
		return NotFound
	}
	caller := Caller{Plugin: vm.plugin()}
	if c := vm.scope(); c != nil {
		caller.Stream, caller.Conn = c.stream(), c.conn()
	}
	result, status := function(caller, arguments)
	var pointer uint32
	if p.word(4) != 0 && len(result) > 0 {
		var memory []byte
		if pointer, memory, ok = vm.alloc(len(result)); !ok {
			return InvalidMemoryAccess
		}
		copy(memory, result)
	}
	if p.word(4) != 0 && !vm.setWord(p.word(4), pointer) || p.word(5) != 0 && !vm.setWord(p.word(5), uint32(len(result))) { //nolint:gosec // far below 4 G
		return InvalidMemoryAccess
	}
	return status
}

func pthreadEqual(_ *VM, p args) Status {
	if p.word(0) == p.word(1) {
		return 1
	}
	return 0
}

func written(ok bool) Status {
	if !ok {
		return InvalidMemoryAccess
	}
	return OK
}
