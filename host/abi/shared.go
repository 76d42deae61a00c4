package abi

import (
	"maps"
	"sync"
)

// Shared is the shared data and the shared queues of VMs, by vm_id. What is under a vm_id goes with the last VM that has it, as in Envoy. It is
// safe for concurrent use.
type Shared struct {
	mu     sync.Mutex
	vms    map[string]int // that are not closed yet, by vm_id
	data   map[string]map[string]sharedValue
	bytes  map[string]int // of data, by vm_id
	cas    uint32
	queued map[string]int // bytes in queues, by vm_id
	queues map[uint32]*queue
	tokens map[queueName]uint32
	next   uint32
}

type sharedValue struct {
	value []byte
	cas   uint32
}

type queueName struct{ vmID, name string }

type queue struct {
	vmID  string
	items [][]byte
	// vm and context are who registered last, and are told when something comes.
	vm      *VM
	context uint32
	waiting int // notices that have not been brought yet
}

// NewShared is an empty Shared.
func NewShared() *Shared {
	return &Shared{
		vms: map[string]int{}, data: map[string]map[string]sharedValue{}, bytes: map[string]int{}, queued: map[string]int{}, queues: map[uint32]*queue{}, tokens: map[queueName]uint32{}, next: 1,
	}
}

// Get is the value of a key and its version for Set; ok is false if there is none. The value must not be changed.
func (s *Shared) Get(vmID, key string) (value []byte, cas uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.data[vmID][key]
	return v.value, v.cas, ok
}

// Set stores a copy of value. With a cas that is not 0 it is refused (CasMismatch) unless the key has this version now; a key that
// does not exist is made whatever the cas. What is too much under one vm_id is an InternalFailure.
func (s *Shared) Set(vmID, key string, value []byte, cas uint32) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.data[vmID]
	if keys == nil {
		keys = map[string]sharedValue{}
		s.data[vmID] = keys
	}
	old, exists := keys[key]
	if exists && cas != 0 && cas != old.cas {
		return CasMismatch
	}
	grows := len(value) - len(old.value)
	if !exists {
		grows += len(key) + overhead
	}
	if grows > 0 && s.bytes[vmID]+grows > maxSharedBytes {
		return InternalFailure
	}
	s.bytes[vmID] += grows
	s.cas++
	if s.cas == 0 {
		s.cas = 1
	}
	keys[key] = sharedValue{append([]byte(nil), value...), s.cas}
	return OK
}

// Keys are the keys under a vm_id, in no order.
func (s *Shared) Keys(vmID string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key := range s.data[vmID] {
		keys = append(keys, key)
	}
	return keys
}

// register makes a queue, or takes over one: its items stay, the new context is told from now on.
func (s *Shared) register(vm *VM, context uint32, name string) (uint32, Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := queueName{vm.config.ID, name}
	token, known := s.tokens[key]
	if !known {
		if !s.queue(vm.config.ID, len(name)) {
			return 0, InternalFailure
		}
		token = s.next
		s.next++
		s.tokens[key] = token
		s.queues[token] = &queue{vmID: vm.config.ID}
	}
	s.queues[token].vm, s.queues[token].context = vm, context
	return token, OK
}

// queue makes room for bytes in the queues of a vm_id, and tells whether there is.
func (s *Shared) queue(vmID string, bytes int) bool {
	if s.queued[vmID]+bytes+overhead > maxQueuedBytes {
		return false
	}
	s.queued[vmID] += bytes + overhead
	return true
}

func (s *Shared) resolve(vmID, name string) (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, known := s.tokens[queueName{vmID, name}]
	return token, known
}

// Enqueue appends a copy of data to the queue and tells who registered it, if that still lives.
func (s *Shared) enqueue(token uint32, data []byte) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[token]
	if q == nil {
		return NotFound
	}
	if !s.queue(q.vmID, len(data)) {
		return InternalFailure
	}
	q.items = append(q.items, append([]byte(nil), data...))
	if vm, context := q.vm, q.context; vm != nil && q.waiting < maxWaiting {
		q.waiting++
		vm.worker.Post(func() {
			s.mu.Lock()
			q.waiting--
			s.mu.Unlock()
			vm.queueReady(context, token)
		})
	}
	return OK
}

func (s *Shared) dequeue(token uint32) ([]byte, Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[token]
	switch {
	case q == nil:
		return nil, NotFound
	case len(q.items) == 0:
		return nil, Empty
	}
	item := q.items[0]
	q.items = q.items[1:]
	s.queued[q.vmID] -= len(item) + overhead
	return item, OK
}

// enter counts a VM that is made; leave is called once when it is closed.
func (s *Shared) enter(vmID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vms[vmID]++
}

// leave frees what is under a vm_id with its last VM.
func (s *Shared) leave(vmID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vms[vmID]--; s.vms[vmID] > 0 {
		return
	}
	delete(s.vms, vmID)
	delete(s.data, vmID)
	delete(s.bytes, vmID)
	delete(s.queued, vmID)
	maps.DeleteFunc(s.tokens, func(name queueName, _ uint32) bool { return name.vmID == vmID })
	maps.DeleteFunc(s.queues, func(_ uint32, q *queue) bool { return q.vmID == vmID })
}

// forget stops telling a VM that is gone.
func (s *Shared) forget(vm *VM) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if q.vm == vm {
			q.vm = nil
		}
	}
}

func (vm *VM) queueReady(context, token uint32) {
	scope := vm.contexts[context]
	if scope == nil || vm.failure != nil || vm.calls.queueReady.function == nil {
		return
	}
	vm.arguments[0], vm.arguments[1] = uint64(context), uint64(token)
	_ = vm.callAndSettle(scope, vm.calls.queueReady) // a trap fails the VM, which tells everyone
}
