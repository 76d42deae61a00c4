package abi

// callbacks are the functions of the module that the host calls, found once per VM.
type callbacks struct {
	contextCreate, vmStart, configure, validateConfiguration, tick, done, log, delete               callback
	requestHeaders, requestBody, requestTrailers, requestMetadata                                   callback
	responseHeaders, responseBody, responseTrailers, responseMetadata                               callback
	newConnection, downstreamData, upstreamData, downstreamConnectionClose, upstreamConnectionClose callback
	httpCallResponse, grpcReceive, grpcClose, grpcInitialMetadata, grpcTrailingMetadata             callback
	queueReady, foreignFunction                                                                     callback
}

func findCallbacks(vm *VM) callbacks {
	find := func(name string) callback {
		if vm.denied[name] {
			return callback{name: name}
		}
		f := vm.module.ExportedFunction(name)
		if f == nil {
			return callback{name: name}
		}
		return callback{name, f, len(f.Definition().ParamTypes())}
	}
	c := callbacks{
		contextCreate:             find("proxy_on_context_create"),
		vmStart:                   find("proxy_on_vm_start"),
		configure:                 find("proxy_on_configure"),
		validateConfiguration:     find("proxy_validate_configuration"),
		tick:                      find("proxy_on_tick"),
		done:                      find("proxy_on_done"),
		log:                       find("proxy_on_log"),
		delete:                    find("proxy_on_delete"),
		requestHeaders:            find("proxy_on_request_headers"),
		requestBody:               find("proxy_on_request_body"),
		requestTrailers:           find("proxy_on_request_trailers"),
		requestMetadata:           find("proxy_on_request_metadata"),
		responseHeaders:           find("proxy_on_response_headers"),
		responseBody:              find("proxy_on_response_body"),
		responseTrailers:          find("proxy_on_response_trailers"),
		responseMetadata:          find("proxy_on_response_metadata"),
		newConnection:             find("proxy_on_new_connection"),
		downstreamData:            find("proxy_on_downstream_data"),
		upstreamData:              find("proxy_on_upstream_data"),
		downstreamConnectionClose: find("proxy_on_downstream_connection_close"),
		upstreamConnectionClose:   find("proxy_on_upstream_connection_close"),
		httpCallResponse:          find("proxy_on_http_call_response"),
		grpcReceive:               find("proxy_on_grpc_receive"),
		grpcClose:                 find("proxy_on_grpc_close"),
		grpcInitialMetadata:       find("proxy_on_grpc_receive_initial_metadata"),
		grpcTrailingMetadata:      find("proxy_on_grpc_receive_trailing_metadata"),
		queueReady:                find("proxy_on_queue_ready"),
	}
	if vm.program.version != V010 {
		c.foreignFunction = find("proxy_on_foreign_function")
	}
	return c
}
