package abi

import "strings"

// readable is a map that the module may read, nil if there is none now.
func (vm *VM) readable(which MapType) *Headers {
	switch which {
	case GRPCInitialMetadata, GRPCTrailingMetadata:
		return vm.plugin().grpcMetadata[which-GRPCInitialMetadata]
	case HTTPCallResponseHeaders:
		if answer := vm.plugin().answer; answer != nil {
			return answer.Headers
		}
	case HTTPCallResponseTrailers:
		if answer := vm.plugin().answer; answer != nil {
			return answer.Trailers
		}
	default:
		if s := vm.onStream(); s != nil {
			return s.headers[which]
		}
	}
	return nil
}

// writable is a map that the module may change, nil if there is none now.
func (vm *VM) writable(which MapType) *Headers {
	if s := vm.onStream(); s != nil && which <= ResponseTrailers {
		return s.mutable(which)
	}
	return nil
}

func getHeaderMapPairs(vm *VM, p args) Status {
	if p.word(0) >= uint32(mapTypes) {
		return BadArgument
	}
	return vm.givePairs(vm.readable(MapType(p.word(0))), p.word(1), p.word(2))
}

func setHeaderMapPairs(vm *VM, p args) Status {
	if p.word(0) >= uint32(mapTypes) {
		return BadArgument
	}
	data, ok := vm.bytes(p.word(1), p.word(2))
	if !ok {
		return InvalidMemoryAccess
	}
	h := vm.writable(MapType(p.word(0)))
	if h == nil {
		return BadArgument
	}
	list := parsePairs(data)
	h.Reset()
	for _, entry := range list {
		h.Add(entry.name, entry.value)
	}
	return OK
}

func getHeaderMapValue(vm *VM, p args) Status {
	if p.word(0) >= uint32(mapTypes) {
		return BadArgument
	}
	key, ok := vm.bytes(p.word(1), p.word(2))
	if !ok {
		return InvalidMemoryAccess
	}
	h := vm.readable(MapType(p.word(0)))
	value, found := "", false
	if h != nil {
		for i := range h.list {
			if found = strings.EqualFold(h.list[i].name, string(key)); found {
				value = h.list[i].value
				break
			}
		}
	}
	switch s := vm.onStream(); {
	case found:
	case h == nil && (s == nil || !s.logPhase):
		return BadArgument
	case vm.program.version != V010:
		return NotFound
	}
	return give(vm, value, p.word(3), p.word(4))
}

func addHeaderMapValue(vm *VM, p args) Status     { return vm.setHeader(p, (*Headers).Add) }
func replaceHeaderMapValue(vm *VM, p args) Status { return vm.setHeader(p, (*Headers).Set) }

func (vm *VM) setHeader(p args, set func(h *Headers, key, value string)) Status {
	return vm.changeHeader(p, func(h *Headers, key string) Status {
		value, ok := vm.string(p.word(3), p.word(4))
		if !ok {
			return InvalidMemoryAccess
		}
		if h == nil {
			return BadArgument
		}
		if !h.roomFor(key, value) {
			return InternalFailure
		}
		set(h, key, value)
		return OK
	})
}

func removeHeaderMapValue(vm *VM, p args) Status {
	return vm.changeHeader(p, func(h *Headers, key string) Status {
		if h == nil {
			return BadArgument
		}
		h.Remove(key)
		return OK
	})
}

func (vm *VM) changeHeader(p args, change func(h *Headers, key string) Status) Status {
	if p.word(0) >= uint32(mapTypes) {
		return BadArgument
	}
	key, ok := vm.string(p.word(1), p.word(2))
	if !ok {
		return InvalidMemoryAccess
	}
	return change(vm.writable(MapType(p.word(0))), key)
}

// getHeaderMapSize answers bytes, as Envoy does, and only for maps that may be changed.
func getHeaderMapSize(vm *VM, p args) Status {
	if p.word(0) >= uint32(mapTypes) {
		return BadArgument
	}
	h := vm.writable(MapType(p.word(0)))
	if h == nil {
		return BadArgument
	}
	return written(vm.setWord(p.word(1), uint32(h.ByteSize()))) //nolint:gosec // far below 4 G
}

// buffer is what a module means by a BufferType, and whether there is something. Only bodies and connection data can be changed.
func (vm *VM) buffer(which BufferType) (data []byte, body *Buffer, found bool) {
	plugin := vm.plugin()
	switch which {
	case VMConfiguration:
		return vm.config.Configuration, nil, true
	case PluginConfiguration:
		if plugin == nil || !plugin.configuring {
			return nil, nil, false
		}
		return plugin.config.Configuration, nil, true
	case RequestBody, ResponseBody:
		if s := vm.onStream(); s != nil {
			body = s.bodies[which]
		}
	case DownstreamData, UpstreamData:
		if c := vm.scope(); c != nil && c.conn() != nil {
			body = c.conn().data[which-DownstreamData]
		}
	case HTTPCallResponseBody:
		if plugin == nil || plugin.answer == nil {
			return nil, nil, false
		}
		return plugin.answer.Body, nil, true
	case GRPCMessage:
		if plugin == nil || plugin.grpcMessage == nil {
			return nil, nil, true
		}
		return plugin.grpcMessage.Bytes(), nil, true
	case ForeignArguments:
		if plugin == nil || plugin.foreign == nil {
			return nil, nil, true
		}
		return plugin.foreign.Bytes(), nil, true
	}
	return body.Bytes(), body, true
}

func getBufferBytes(vm *VM, p args) Status {
	if p.word(0) >= uint32(bufferTypes) {
		return BadArgument
	}
	data, _, found := vm.buffer(BufferType(p.word(0)))
	if !found {
		return NotFound
	}
	// Envoy adds in 64 bits, so that no two of 32 overflow; what lies past the end is cut off.
	start, end := uint64(p.word(1)), uint64(p.word(1))+uint64(p.word(2))
	size := uint64(len(data))
	data = data[min(start, size):min(end, size)]
	return vm.give(data, p.word(3), p.word(4))
}

func getBufferStatus(vm *VM, p args) Status {
	if p.word(0) >= uint32(bufferTypes) {
		return BadArgument
	}
	data, _, found := vm.buffer(BufferType(p.word(0)))
	if !found {
		return NotFound
	}
	return written(vm.setWord(p.word(1), uint32(len(data))) && vm.setWord(p.word(2), 0)) //nolint:gosec // far below 4 G
}

func setBufferBytes(vm *VM, p args) Status {
	if p.word(0) >= uint32(bufferTypes) {
		return BadArgument
	}
	_, body, found := vm.buffer(BufferType(p.word(0)))
	if !found {
		return NotFound
	}
	data, ok := vm.bytes(p.word(3), p.word(4))
	if !ok {
		return InvalidMemoryAccess
	}
	if body == nil {
		return BadArgument
	}
	return body.replace(p.word(1), p.word(2), data)
}

func continueStream(vm *VM, p args) Status {
	if p.word(0) >= uint32(streamTypes) {
		return BadArgument
	}
	return vm.resume(StreamType(p.word(0)))
}

func (vm *VM) resume(direction StreamType) Status {
	c := vm.scope()
	switch direction {
	case Upstream:
		return Unimplemented
	case Downstream:
		if c.conn() != nil {
			vm.later(func() { c.conn().s.host.Continue(direction) })
		}
		return OK
	}
	if s := c.stream(); s != nil {
		vm.later(func() { s.host.Continue(direction) })
		s.forget()
	}
	return OK
}

func closeStream(vm *VM, p args) Status {
	if p.word(0) >= uint32(streamTypes) {
		return BadArgument
	}
	direction, c := StreamType(p.word(0)), vm.scope()
	switch {
	case direction <= Response && c.stream() != nil:
		vm.later(func() { c.stream().host.CloseStream(direction) })
	case direction >= Downstream && c.conn() != nil:
		vm.later(func() { c.conn().s.host.CloseStream(direction) })
	}
	return OK
}

func sendLocalResponse(vm *VM, p args) Status {
	details, ok1 := vm.string(p.word(1), p.word(2))
	body, ok2 := vm.bytes(p.word(3), p.word(4))
	pairs, ok3 := vm.bytes(p.word(5), p.word(6))
	if !ok1 || !ok2 || !ok3 {
		return InvalidMemoryAccess
	}
	vm.stopped = true
	s := vm.onStream()
	if s == nil {
		return OK
	}
	if s.replying {
		return OK // the first counts, and is kept
	}
	response := &LocalResponse{
		Status: int(p.word(0)), Headers: fromPairs(parsePairs(pairs)), Body: append([]byte(nil), body...),
		GRPCStatus: -1, Details: strings.ReplaceAll(details, " ", "_"),
	}
	const lastGRPCStatus = 16
	if status := int32(p.word(7)); status >= 0 && status <= lastGRPCStatus { //nolint:gosec // -1 is none
		response.GRPCStatus = status
	}
	s.replying = true
	vm.after = append(vm.after, func() {
		s.replying = false
		s.host.LocalResponse(response)
	})
	return OK
}
