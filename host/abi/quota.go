package abi

// What a module may make its host keep. Its own memory is bounded by Options.MaxMemory; these bound what its calls leave outside of it, which a
// loop of them could otherwise fill the machine with. Envoy has no such limits; modules that mean well are far below.
const (
	// maxMapBytes is for one map of headers or trailers.
	maxMapBytes = 4 << 20
	// maxBufferBytes is for a body or the data of a connection.
	maxBufferBytes = 256 << 20
	// maxSharedBytes is for shared data, maxQueuedBytes for queues: keys, names and values under one vm_id.
	maxSharedBytes = 256 << 20
	maxQueuedBytes = 64 << 20
	// maxMetrics and maxCallouts are for one VM.
	maxMetrics  = 10_000
	maxCallouts = 4096
	// maxLater is how often one callback may ask to continue or close streams, maxWaiting how many notices of one queue may wait.
	maxLater   = 4096
	maxWaiting = 4096
	// maxDeclared is how many properties a context may declare.
	maxDeclared = 1024
	// overhead is what an entry of a map or list takes besides its bytes, roughly.
	overhead = 64
)

// roomFor tells whether an entry may be added to a map.
func (h *Headers) roomFor(key, value string) bool {
	return h.ByteSize()+len(key)+len(value)+overhead*(h.Len()+1) <= maxMapBytes+overhead*maxPairs
}
