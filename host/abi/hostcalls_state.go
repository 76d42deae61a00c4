package abi

func getSharedData(vm *VM, p []uint64) Status {
	key, ok := vm.string(p[0], p[1])
	if !ok {
		return InvalidMemoryAccess
	}
	value, cas, found := vm.shared.Get(vm.config.ID, key)
	if !found {
		return NotFound
	}
	if status := vm.give(value, p[2], p[3]); status != OK {
		return status
	}
	return written(vm.setWord(p[4], cas))
}

func setSharedData(vm *VM, p []uint64) Status {
	key, ok := vm.string(p[0], p[1])
	value, okValue := vm.bytes(p[2], p[3])
	if !ok || !okValue {
		return InvalidMemoryAccess
	}
	return vm.shared.Set(vm.config.ID, key, value, uint32(p[4])) //nolint:gosec // an i32 in 64 bits
}

func registerQueue(vm *VM, p []uint64) Status {
	name, ok := vm.string(p[0], p[1])
	if !ok {
		return InvalidMemoryAccess
	}
	return written(vm.setWord(p[2], vm.shared.register(vm, vm.plugin().id, name)))
}

func resolveQueue(vm *VM, p []uint64) Status {
	vmID, ok := vm.string(p[0], p[1])
	name, okName := vm.string(p[2], p[3])
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
	return written(vm.setWord(p[4], token))
}

func dequeue(vm *VM, p []uint64) Status {
	value, status := vm.shared.dequeue(uint32(p[0])) //nolint:gosec // an i32 in 64 bits
	if status != OK {
		return status
	}
	return vm.give(value, p[1], p[2])
}

func enqueue(vm *VM, p []uint64) Status {
	value, ok := vm.bytes(p[1], p[2])
	if !ok {
		return InvalidMemoryAccess
	}
	return vm.shared.enqueue(uint32(p[0]), value) //nolint:gosec // an i32 in 64 bits
}

func defineMetric(vm *VM, p []uint64) Status {
	name, ok := vm.string(p[1], p[2])
	if !ok {
		return InvalidMemoryAccess
	}
	if p[0] >= uint64(metricKinds) {
		return BadArgument
	}
	kind := MetricKind(p[0])
	return written(vm.setWord(p[3], vm.metrics.define(kind, vm.config.Host.Metrics.Define(kind, name))))
}

// incrementMetric refuses to add nothing to a counter, as Envoy does.
func incrementMetric(vm *VM, p []uint64) Status {
	metric, kind := vm.metrics.find(uint32(p[0])) //nolint:gosec // an i32 in 64 bits
	offset := int64(p[1])                         //nolint:gosec // an i64
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

func recordMetric(vm *VM, p []uint64) Status {
	metric, kind := vm.metrics.find(uint32(p[0])) //nolint:gosec // an i32 in 64 bits
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

func getMetric(vm *VM, p []uint64) Status {
	metric, kind := vm.metrics.find(uint32(p[0])) //nolint:gosec // an i32 in 64 bits
	switch {
	case kind > Gauge:
		return BadArgument
	case metric == nil:
		return NotFound
	}
	return written(vm.setLong(p[1], metric.Value()))
}
