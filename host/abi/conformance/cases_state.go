package conformance

import "github.com/leash-gateway/leash/host/internal/asm"

// metric defines the metric that the next steps are about; its id stays in slot 0.
func metric(kind uint32, name string) asm.Step {
	return asm.Call("proxy_define_metric", asm.Word(kind), asm.Text(name), asm.OutQuiet(0))
}

func increment(by int64) asm.Step {
	return asm.Call("proxy_increment_metric", asm.Slot(0), asm.Long(by))
}

func record(value int64) asm.Step {
	return asm.Call("proxy_record_metric", asm.Slot(0), asm.Long(value))
}

func read() asm.Step { return asm.Call("proxy_get_metric", asm.Slot(0), asm.OutLong()) }

func shared(key string) asm.Step {
	return asm.Call("proxy_get_shared_data", asm.Text(key), asm.OutBytes(), asm.OutQuiet(5))
}

func share(key, value string, cas asm.Arg) asm.Step {
	return asm.Call("proxy_set_shared_data", asm.Text(key), asm.Text(value), cas)
}

var stateCases = []Case{
	{Name: "shared data is kept, compared and swapped", Module: on("proxy_on_request_headers",
		shared("k"), share("k", "one", asm.Word(0)), shared("k"), share("k", "two", asm.Slot(5)), share("k", "three", asm.Slot(5)), shared("k"), share("k", "four", asm.Word(0)), shared("k"))},
	{Name: "shared data that is new is made whatever the version", Module: on("proxy_on_request_headers", share("new", "v", asm.Word(77)), shared("new"))},
	{Name: "an empty value is shared data too", Module: on("proxy_on_request_headers", share("", "", asm.Word(0)), shared(""))},
	{Name: "a queue gives back what came first", Module: on("proxy_on_request_headers",
		asm.Call("proxy_resolve_shared_queue", asm.Text(""), asm.Text("q"), asm.OutQuiet(1)),
		asm.Call("proxy_register_shared_queue", asm.Text("q"), asm.OutQuiet(1)),
		asm.Call("proxy_resolve_shared_queue", asm.Text(""), asm.Text("q"), asm.OutQuiet(2)),
		asm.Call("proxy_resolve_shared_queue", asm.Text("other vm"), asm.Text("q"), asm.OutQuiet(3)),
		asm.Call("proxy_dequeue_shared_queue", asm.Slot(1), asm.OutBytes()),
		asm.Call("proxy_enqueue_shared_queue", asm.Slot(2), asm.Text("first")), asm.Call("proxy_enqueue_shared_queue", asm.Slot(2), asm.Text("second")),
		asm.Call("proxy_dequeue_shared_queue", asm.Slot(1), asm.OutBytes()), asm.Call("proxy_dequeue_shared_queue", asm.Slot(1), asm.OutBytes()), asm.Call("proxy_dequeue_shared_queue", asm.Slot(1), asm.OutBytes()),
		asm.Call("proxy_enqueue_shared_queue", asm.Word(99), asm.Text("x")), asm.Call("proxy_dequeue_shared_queue", asm.Word(99), asm.OutBytes()))},
	{Name: "a queue tells who registered it that something came", Module: join(
		returning(pause, on("proxy_on_request_headers", asm.Save(0, asm.Param(0)), asm.Call("proxy_register_shared_queue", asm.Text("ready"), asm.OutQuiet(1)), asm.Call("proxy_enqueue_shared_queue", asm.Slot(1), asm.Text("item")))),
		on("proxy_on_queue_ready", asm.Log("ready"), asm.Call("proxy_dequeue_shared_queue", asm.Param(1), asm.OutBytes()), asm.Call("proxy_set_effective_context", asm.Slot(0)), resume(0)))},
	{Name: "a tick comes when it was asked for", Module: join(
		returning(pause, on("proxy_on_request_headers", asm.Save(0, asm.Param(0)), asm.Call("proxy_set_tick_period_milliseconds", asm.Word(20)))),
		on("proxy_on_tick", asm.Log("tick"), asm.Call("proxy_set_tick_period_milliseconds", asm.Word(0)), asm.Call("proxy_set_effective_context", asm.Slot(0)), resume(0)))},
	{Name: "a counter counts up only", Module: on("proxy_on_request_headers", metric(counter, "c"), increment(3), increment(0), increment(-1), read(), record(4), read())},
	{Name: "a gauge goes up and down and is set", Module: on("proxy_on_request_headers", metric(gauge, "g"), increment(10), increment(-3), increment(0), read(), record(42), read())},
	{Name: "a histogram takes samples and has no value", Module: on("proxy_on_request_headers", metric(histogram, "h"), record(5), increment(1), read())},
	{Name: "metrics that are not there", Module: on("proxy_on_request_headers", metric(3, "x"),
		asm.Call("proxy_increment_metric", asm.Word(4000), asm.Long(1)), asm.Call("proxy_increment_metric", asm.Word(4001), asm.Long(1)), asm.Call("proxy_record_metric", asm.Word(4002), asm.Long(1)), asm.Call("proxy_record_metric", asm.Word(4003), asm.Long(1)), asm.Call("proxy_get_metric", asm.Word(4000), asm.OutLong()), asm.Call("proxy_get_metric", asm.Word(4003), asm.OutLong()))},
	{Name: "properties: plugin", Module: on("proxy_on_request_headers", property("plugin_root_id"), property("plugin_vm_id"))},
	{Name: "properties: request", Module: on("proxy_on_request_headers", property("request\x00path"), property("request\x00url_path"), property("request\x00method"), property("request\x00scheme"), property("request\x00headers\x00x-probe"), property("request\x00headers\x00x-none"), property("request\x00protocol"), property("request\x00query"), property("request\x00useragent"), property("request\x00none"), property("none"), property(""))},
	{Name: "properties: request, in the response", Module: on("proxy_on_response_headers", property("request\x00path"), property("request\x00headers\x00x-probe"), property("response\x00headers\x00x-server"))},
	{Name: "properties that modules set", Module: on("proxy_on_request_headers",
		asm.Call("proxy_set_property", asm.Text("mine"), asm.Text("value")), property("mine"), property("wasm.mine"), asm.Call("proxy_set_property", asm.Text("mine"), asm.Text("changed")), property("mine"),
		asm.Call("proxy_set_property", asm.Text("a\x00b"), asm.Text("deep")), property("a\x00b"), property("a"))},
	{Name: "properties are not set by a plugin outside of a stream", Module: join(ok("proxy_on_configure", asm.Call("proxy_set_property", asm.Text("mine"), asm.Text("value")), property("mine"), property("request\x00path"), property("plugin_root_id")))},
	{Name: "the configuration is read while it is applied", Config: "the configuration", VMConfig: "the vm configuration", Module: join(
		withParams(ok("proxy_on_vm_start", buffer(vmConfiguration, 0, 100))), withParams(ok("proxy_on_configure", buffer(pluginConfiguration, 0, 100), buffer(pluginConfiguration, 4, 5))))},
	{Name: "in ABI 0.1.0 the configuration has a function of its own", ABI: "0_1_0", Config: "cfg", VMConfig: "vmcfg", Module: join(
		ok("proxy_on_configure", asm.Call("proxy_get_configuration", asm.OutBytes())), on("proxy_on_request_headers", asm.Call("proxy_get_configuration", asm.OutBytes())))},
	{Name: "in ABI 0.1.0 continue is a function per direction", ABI: "0_1_0", Module: returning(pause, on("proxy_on_request_headers", asm.Call("proxy_clear_route_cache"), asm.Call("proxy_continue_request")))},
	{Name: "ABI 0.2.0 runs", ABI: "0_2_0", Module: on("proxy_on_request_headers", get(requestHeaders, ":path"))},
	{Name: "levels of log lines", Module: on("proxy_on_request_headers", asm.Call("proxy_log", asm.Word(6), asm.Text("never")), asm.Call("proxy_log", asm.Word(5), asm.Text("critical")), asm.Call("proxy_log", asm.Word(2), asm.Text("")), asm.Call("proxy_get_log_level", asm.OutWord(0)))},
	{Name: "the status of no call", Module: on("proxy_on_request_headers", asm.Call("proxy_get_status", asm.OutWord(0), asm.OutBytes()))},
	{Name: "foreign functions", Module: on("proxy_on_request_headers", asm.Call("proxy_call_foreign_function", asm.Text("no such function"), asm.Text(""), asm.OutBytes()), asm.Call("proxy_call_foreign_function", asm.Text("clear_route_cache"), asm.Text(""), asm.Word(0), asm.Word(0)), asm.Call("proxy_call_foreign_function", asm.Text("uncompress"), asm.Text("\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15"), asm.OutBytes()), asm.Call("proxy_call_foreign_function", asm.Text("uncompress"), asm.Text("garbage"), asm.OutBytes()))},
	{Name: "a capability that is not allowed", Restrict: []string{"proxy_log", "proxy_on_request_headers", "proxy_on_delete", "proxy_on_context_create", "proxy_get_property"}, Module: join(
		on("proxy_on_request_headers", get(requestHeaders, ":path"), property("plugin_root_id"), asm.Call("random_get", asm.Word(1024), asm.Word(8))), on("proxy_on_response_headers", asm.Log("never called")))},
	{Name: "WASI", Module: on("proxy_on_request_headers",
		asm.Call("random_get", asm.Word(1024), asm.Word(8)), asm.Call("random_get", asm.Word(1024), asm.Word(70000)), asm.Call("random_get", asm.Word(asm.OutOfMemory), asm.Word(8)),
		asm.Call("clock_time_get", asm.Word(0), asm.Long(0), asm.Word(1024)), asm.Call("clock_time_get", asm.Word(2), asm.Long(0), asm.Word(1024)), asm.Call("clock_res_get", asm.Word(1), asm.OutLong()),
		asm.Call("args_sizes_get", asm.OutWord(0), asm.OutWord(1)), asm.Call("environ_sizes_get", asm.OutWord(0), asm.OutWord(1)), asm.Call("environ_get", asm.Word(1024), asm.Word(1100)),
		asm.Call("fd_fdstat_get", asm.Word(1), asm.Word(1024)), asm.Call("fd_fdstat_get", asm.Word(3), asm.Word(1024)), asm.Call("fd_prestat_get", asm.Word(3), asm.Word(1024)), asm.Call("fd_close", asm.Word(3)),
		asm.Call("fd_read", asm.Word(0), asm.Word(1024), asm.Word(0), asm.Word(1100)), asm.Call("fd_seek", asm.Word(1), asm.Long(0), asm.Word(0), asm.Word(1024)), asm.Call("fd_write", asm.Word(3), asm.Word(1024), asm.Word(0), asm.OutWord(0)), asm.Call("fd_write", asm.Word(1), asm.Word(1024), asm.Word(0), asm.OutWord(0)), asm.Call("sched_yield"),
		asm.Call("path_open", asm.Word(3), asm.Word(0), asm.Word(1024), asm.Word(0), asm.Word(0), asm.Long(0), asm.Long(0), asm.Word(0), asm.Word(1100)), asm.Call("poll_oneoff", asm.Word(1024), asm.Word(1024), asm.Word(1), asm.OutWord(0)))},
	{Name: "WASI: the environment is what the configuration says", Env: map[string]string{"NAME": "value", "OTHER": ""}, Module: on("proxy_on_request_headers",
		asm.Call("environ_sizes_get", asm.OutWord(0), asm.OutWord(1)), asm.Call("environ_get", asm.Word(1024), asm.Word(1100)))},
	{Name: "WASI: a variable of the environment is read", Env: map[string]string{"NAME": "value"}, Module: on("proxy_on_request_headers",
		asm.Call("environ_get", asm.Word(1024), asm.Word(1100)), asm.Drop("proxy_log", asm.Word(2), asm.Word(1100), asm.Word(10)))},
	{Name: "WASI: files and sockets that are not there", Module: on("proxy_on_request_headers",
		asm.Call("args_get", asm.Word(1024), asm.Word(1024)), asm.Call("fd_fdstat_set_flags", asm.Word(1), asm.Word(0)), asm.Call("fd_fdstat_set_rights", asm.Word(1), asm.Long(0), asm.Long(0)), asm.Call("fd_fdstat_set_rights", asm.Word(5), asm.Long(0), asm.Long(0)),
		asm.Call("fd_advise", asm.Word(1), asm.Long(0), asm.Long(0), asm.Word(0)), asm.Call("fd_allocate", asm.Word(1), asm.Long(0), asm.Long(0)), asm.Call("fd_datasync", asm.Word(1)), asm.Call("fd_sync", asm.Word(7)),
		asm.Call("fd_filestat_get", asm.Word(1), asm.Word(1024)), asm.Call("fd_filestat_set_size", asm.Word(1), asm.Long(0)), asm.Call("fd_filestat_set_times", asm.Word(1), asm.Long(0), asm.Long(0), asm.Word(0)),
		asm.Call("fd_pread", asm.Word(1), asm.Word(1024), asm.Word(0), asm.Long(0), asm.Word(1024)), asm.Call("fd_pwrite", asm.Word(1), asm.Word(1024), asm.Word(0), asm.Long(0), asm.Word(1024)), asm.Call("fd_pwrite", asm.Word(9), asm.Word(1024), asm.Word(0), asm.Long(0), asm.Word(1024)),
		asm.Call("fd_readdir", asm.Word(1), asm.Word(1024), asm.Word(0), asm.Long(0), asm.OutWord(0)), asm.Call("fd_renumber", asm.Word(1), asm.Word(2)), asm.Call("fd_renumber", asm.Word(1), asm.Word(3)), asm.Call("fd_tell", asm.Word(1), asm.OutLong()), asm.Call("fd_prestat_dir_name", asm.Word(3), asm.Word(1024), asm.Word(0)),
		asm.Call("path_filestat_get", asm.Word(3), asm.Word(0), asm.Word(1024), asm.Word(0), asm.Word(1024)), asm.Call("path_filestat_set_times", asm.Word(3), asm.Word(0), asm.Word(1024), asm.Word(0), asm.Long(0), asm.Long(0), asm.Word(0)),
		asm.Call("path_create_directory", asm.Word(3), asm.Word(1024), asm.Word(0)), asm.Call("path_remove_directory", asm.Word(3), asm.Word(1024), asm.Word(0)), asm.Call("path_link", asm.Word(3), asm.Word(0), asm.Word(1024), asm.Word(0), asm.Word(3), asm.Word(1024)),
		asm.Call("path_readlink", asm.Word(3), asm.Word(1024), asm.Word(0), asm.Word(1024), asm.Word(0), asm.OutWord(0)), asm.Call("path_rename", asm.Word(3), asm.Word(1024), asm.Word(0), asm.Word(3), asm.Word(1024), asm.Word(0)), asm.Call("path_symlink", asm.Word(1024), asm.Word(0), asm.Word(3), asm.Word(1024)), asm.Call("path_unlink_file", asm.Word(3), asm.Word(1024), asm.Word(0)),
		asm.Call("sock_accept", asm.Word(3), asm.Word(0), asm.OutWord(0)), asm.Call("sock_recv", asm.Word(3), asm.Word(1024), asm.Word(0), asm.Word(0), asm.OutWord(0), asm.OutWord(1)), asm.Call("sock_send", asm.Word(3), asm.Word(1024), asm.Word(0), asm.Word(0), asm.OutWord(0)), asm.Call("sock_shutdown", asm.Word(3), asm.Word(0)))},
	{Name: "WASI: a program that ends itself goes on", Module: on("proxy_on_request_headers", asm.CallVoid("proc_exit", asm.Word(3)), asm.Log("after"))},
	{Name: "WASI: a line written to stdout is an info line, without the newline at its end", Module: on("proxy_on_request_headers", asm.Store(1024, asm.Text("two words\n")), asm.Call("fd_write", asm.Word(1), asm.Word(1024), asm.Word(1), asm.OutWord(0)))},
	{Name: "Emscripten's functions", Module: on("proxy_on_request_headers", asm.Call("pthread_equal", asm.Word(1), asm.Word(1)), asm.Call("pthread_equal", asm.Word(1), asm.Word(2)), asm.CallVoid("emscripten_notify_memory_growth", asm.Word(0)))},
}
