package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leash-gateway/leash/manifest/wasmfile"
)

// groups are the host calls that a module has to ask for, by the names under which it does.
// https://github.com/proxy-wasm/spec/blob/main/abi-versions/v0.2.1/README.md
var groups = map[string][]string{
	"properties":        {"proxy_get_property", "proxy_set_property"},
	"metrics":           {"proxy_define_metric", "proxy_increment_metric", "proxy_record_metric", "proxy_get_metric"},
	"shared_data":       {"proxy_get_shared_data", "proxy_set_shared_data"},
	"shared_queues":     {"proxy_register_shared_queue", "proxy_resolve_shared_queue", "proxy_dequeue_shared_queue", "proxy_enqueue_shared_queue"},
	"http_calls":        {"proxy_http_call"},
	"grpc_calls":        {"proxy_grpc_call", "proxy_grpc_stream", "proxy_grpc_send", "proxy_grpc_close", "proxy_grpc_cancel"},
	"foreign_functions": {"proxy_call_foreign_function"},
}

// everybody's are the host calls that come without asking: what happens inside the module's own exchange, and what its
// language's runtime needs to start. Files and sockets are not among them; no host has them anyway.
var everybodys = []string{
	"proxy_log", "proxy_get_log_level", "proxy_get_current_time_nanoseconds", "proxy_set_tick_period_milliseconds",
	"proxy_get_configuration", "proxy_get_status",
	"proxy_get_header_map_pairs", "proxy_set_header_map_pairs", "proxy_get_header_map_value", "proxy_add_header_map_value",
	"proxy_replace_header_map_value", "proxy_remove_header_map_value", "proxy_get_header_map_size",
	"proxy_get_buffer_bytes", "proxy_get_buffer_status", "proxy_set_buffer_bytes",
	"proxy_continue_stream", "proxy_close_stream", "proxy_continue_request", "proxy_continue_response", "proxy_clear_route_cache",
	"proxy_send_local_response", "proxy_set_effective_context", "proxy_done",
	"args_get", "args_sizes_get", "clock_res_get", "clock_time_get", "environ_get", "environ_sizes_get", "fd_close", "fd_fdstat_get",
	"fd_fdstat_set_flags", "fd_prestat_dir_name", "fd_prestat_get", "fd_read", "fd_seek", "fd_write", "poll_oneoff", "proc_exit", "random_get",
	"sched_yield",
}

// rarely asked are functions of WASI that a module may name one by one.
var rare = []string{
	"fd_advise", "fd_allocate", "fd_datasync", "fd_fdstat_set_rights", "fd_filestat_get", "fd_filestat_set_size", "fd_filestat_set_times",
	"fd_pread", "fd_pwrite", "fd_readdir", "fd_renumber", "fd_sync", "fd_tell", "path_create_directory", "path_filestat_get",
	"path_filestat_set_times", "path_link", "path_open", "path_readlink", "path_remove_directory", "path_rename", "path_symlink",
	"path_unlink_file", "sock_accept", "sock_recv", "sock_send", "sock_shutdown",
}

// callbacks are what a host calls of every module, the others what it calls only of those with a phase that needs it.
var (
	callbacks = []string{
		"proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure", "proxy_validate_configuration", "proxy_on_tick", "proxy_on_done",
		"proxy_on_log", "proxy_on_delete", "proxy_on_request_headers",
	}
	requestBodies = []string{"proxy_on_request_body", "proxy_on_request_trailers", "proxy_on_request_metadata"}
	responses     = []string{"proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers", "proxy_on_response_metadata"}
	connections   = []string{
		"proxy_on_new_connection", "proxy_on_downstream_data", "proxy_on_upstream_data", "proxy_on_downstream_connection_close",
		"proxy_on_upstream_connection_close",
	}
	// answers are the callbacks that come of what a group lets a module do.
	answers = map[string][]string{
		"http_calls":        {"proxy_on_http_call_response"},
		"grpc_calls":        {"proxy_on_grpc_receive", "proxy_on_grpc_close", "proxy_on_grpc_receive_initial_metadata", "proxy_on_grpc_receive_trailing_metadata"},
		"shared_queues":     {"proxy_on_queue_ready"},
		"foreign_functions": {"proxy_on_foreign_function"},
	}
)

func groupNames() []string { return slices.Sorted(maps.Keys(groups)) }

// known says whether a host call can be asked for by its own name.
func known(function string) bool {
	if slices.Contains(rare, function) {
		return true
	}
	for _, functions := range groups {
		if slices.Contains(functions, function) {
			return true
		}
	}
	return false
}

// Allowed is what the module may call, and what of it may be called, sorted: the names of Envoy's
// capability_restriction_config and of host/abi's.
func (m *Manifest) Allowed() []string {
	allowed := slices.Concat(everybodys, callbacks)
	if m.NeedsRequestBody() {
		allowed = append(allowed, requestBodies...)
	}
	if m.NeedsResponse() {
		allowed = append(allowed, responses...)
	}
	if slices.Contains(m.Phases, Connection) {
		allowed = append(allowed, connections...)
	}
	for _, call := range m.Capabilities.HostCalls {
		functions, isGroup := groups[call]
		if !isGroup {
			functions = []string{call}
		}
		allowed = append(allowed, functions...)
	}
	for group, callbacks := range answers {
		if slices.ContainsFunc(groups[group], func(f string) bool { return slices.Contains(allowed, f) }) {
			allowed = append(allowed, callbacks...)
		}
	}
	slices.Sort(allowed)
	return slices.Compact(allowed)
}

// NeedsRequestBody says whether the host must call the module with the bodies of requests: for the phases that see them,
// and for those that see an answer in the light of its request. A module that waits while it looks at headers must be
// called too, because a body that nobody holds takes the headers with it.
func (m *Manifest) NeedsRequestBody() bool {
	return m.has(RequestHeader, Request, Body, Response, Event, Usage, Carry)
}

// NeedsResponse says whether the host must call the module with answers.
func (m *Manifest) NeedsResponse() bool {
	return m.has(ResponseHeader, Response, Event, Usage, Finish, Carry)
}

// has says whether the module takes part in any of the phases.
func (m *Manifest) has(phases ...Phase) bool {
	return slices.ContainsFunc(phases, func(p Phase) bool { return slices.Contains(m.Phases, p) })
}

func (m *Manifest) mayCall(function string) bool {
	_, found := slices.BinarySearch(m.Allowed(), function)
	return found
}

// Check holds a .wasm against the manifest: it may import no more than what is allowed, and take no more than the
// resources' bounds. Everything that is wrong is told at once.
func (m *Manifest) Check(wasm []byte) error {
	f, err := wasmfile.Parse(wasm)
	if err != nil {
		return err
	}
	var wrong []string
	if f.ABI() == "" {
		wrong = append(wrong, "it is no proxy-wasm module: it exports no proxy_abi_version_0_1_0, _0_2_0 or _0_2_1")
	}
	wrong = append(wrong, m.checkImports(f)...)
	if bound := m.Resources.Size; bound > 0 && int64(len(wasm)) > int64(bound) {
		wrong = append(wrong, fmt.Sprintf("it is %d bytes large, but resources.size is %s", len(wasm), bound))
	}
	if bound := m.Resources.Memory; bound > 0 {
		switch {
		case f.Memory == nil:
			wrong = append(wrong, "it has no memory of its own, so resources.memory cannot be kept")
		case !f.Memory.Bounded || f.Memory.Max*wasmfile.PageSize > uint64(bound): //nolint:gosec // positive
			wrong = append(wrong, fmt.Sprintf("its memory is not bounded to resources.memory, %s: leash module build does that", bound))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("module %s does not keep to its manifest: %s", m.Name, strings.Join(wrong, "; "))
	}
	return nil
}

// files stands for the host calls of files and connections, which are allowed one by one.
const files = "files and connections"

func (m *Manifest) checkImports(f *wasmfile.File) (wrong []string) {
	allowed := m.Allowed()
	lacks := map[string][]string{} // functions by what would allow them
	for _, i := range f.Imports {
		switch {
		case i.Module == "env" && (i.Name == "emscripten_notify_memory_growth" || i.Name == "pthread_equal"):
		case i.Module != "env" && i.Module != "wasi_snapshot_preview1" && i.Module != "wasi_unstable":
			wrong = append(wrong, fmt.Sprintf("it imports %s of %q, which no proxy-wasm host has", i.Name, i.Module))
		case !slices.Contains(allowed, i.Name):
			by := groupOf(i.Name)
			if strings.HasPrefix(by, "fd_") || strings.HasPrefix(by, "path_") || strings.HasPrefix(by, "sock_") {
				by = files
			}
			if !slices.Contains(lacks[by], i.Name) {
				lacks[by] = append(lacks[by], i.Name)
			}
		}
	}
	for _, by := range slices.Sorted(maps.Keys(lacks)) {
		functions := strings.Join(lacks[by], ", ")
		if by == "" {
			wrong = append(wrong, fmt.Sprintf("it imports %s, which no proxy-wasm host has", functions))
			continue
		}
		if by == files {
			wrong = append(wrong, fmt.Sprintf("it imports %s, as net/http, os and packages that use them do: do without them, since no host opens a file or a connection for a module "+
				"(other services are called with x.Call and x.Send); or add the names to capabilities.host_calls, if what would call them never runs", functions))
			continue
		}
		wrong = append(wrong, fmt.Sprintf("it imports %s: add %s to capabilities.host_calls, or do without", functions, by))
	}
	return wrong
}

// groupOf is what to ask for to get a function: its group, or itself; "" where there is no such function.
func groupOf(function string) string {
	for _, name := range groupNames() {
		if slices.Contains(groups[name], function) {
			return name
		}
	}
	if slices.Contains(rare, function) {
		return function
	}
	return ""
}
