package abi

func getSharedData(vm *VM, p args) Status {
	key, ok := vm.string(p.word(0), p.word(1))
	if !ok {
		return InvalidMemoryAccess
	}
	value, cas, found := vm.shared.Get(vm.config.ID, key)
	if !found {
		return NotFound
	}
	if status := vm.give(value, p.word(2), p.word(3)); status != OK {
		return status
	}
	return written(vm.setWord(p.word(4), cas))
}

func setSharedData(vm *VM, p args) Status {
	key, ok := vm.string(p.word(0), p.word(1))
	value, okValue := vm.bytes(p.word(2), p.word(3))
	if !ok || !okValue {
		return InvalidMemoryAccess
	}
	return vm.shared.Set(vm.config.ID, key, value, p.word(4))
}

func registerQueue(vm *VM, p args) Status {
	name, ok := vm.string(p.word(0), p.word(1))
	if !ok {
		return InvalidMemoryAccess
	}
	token, status := vm.shared.register(vm, vm.plugin().id, name)
	if status != OK {
		return status
	}
	return written(vm.setWord(p.word(2), token))
}

func resolveQueue(vm *VM, p args) Status {
	vmID, ok := vm.string(p.word(0), p.word(1))
	name, okName := vm.string(p.word(2), p.word(3))
	if !ok || !okName {
		return InvalidMemoryAccess
	}
	if vmID == "" {
		vmID = vm.config.ID
	}
	token, found := vm.shared.resolve(vmID, name)
	if !found {
		return NotFound
	}
	return written(vm.setWord(p.word(4), token))
}

func dequeue(vm *VM, p args) Status {
	value, status := vm.shared.dequeue(p.word(0))
	if status != OK {
		return status
	}
	return vm.give(value, p.word(1), p.word(2))
}

func enqueue(vm *VM, p args) Status {
	value, ok := vm.bytes(p.word(1), p.word(2))
	if !ok {
		return InvalidMemoryAccess
	}
	return vm.shared.enqueue(p.word(0), value)
}

func defineMetric(vm *VM, p args) Status {
	name, ok := vm.string(p.word(1), p.word(2))
	if !ok {
		return InvalidMemoryAccess
	}
	if p.word(0) >= uint32(metricKinds) {
		return BadArgument
	}
	id, ok := vm.metrics.define(MetricKind(p.word(0)), name, vm.config.Host.Metrics)
	if !ok {
		return InternalFailure
	}
	return written(vm.setWord(p.word(3), id))
}

// incrementMetric refuses to add nothing to a counter, as Envoy does.
func incrementMetric(vm *VM, p args) Status {
	metric, kind := vm.metrics.find(p.word(0))
	offset := int64(p[1]) //nolint:gosec // an i64
	switch {
	case kind > Gauge:
		return BadArgument
	case metric == nil:
		return NotFound
	case kind == Counter && offset <= 0:
		return BadArgument
	}
	metric.Add(offset)
	return OK
}

func recordMetric(vm *VM, p args) Status {
	metric, kind := vm.metrics.find(p.word(0))
	switch {
	case metric == nil:
		return NotFound
	case kind == Counter:
		metric.Add(int64(p[1])) //nolint:gosec // counted modulo 2^64, as in Envoy
	default:
		metric.Record(p[1])
	}
	return OK
}

func getMetric(vm *VM, p args) Status {
	metric, kind := vm.metrics.find(p.word(0))
	switch {
	case kind > Gauge:
		return BadArgument
	case metric == nil:
		return NotFound
	}
	return written(vm.setLong(p.word(1), metric.Value()))
}
