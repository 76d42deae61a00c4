//go:build wasip1

package proxywasm

import "math"

// sharedData is the host's shared data, by compare-and-swap.
type sharedData struct{}

// Get returns a value and its version.
func (sharedData) Get(key string) ([]byte, uint32) {
	s := hostGetShared(key, toData, toSize, toNumber)
	value := taken(s)
	if s != ok {
		return nil, 0
	}
	return value, returned.number
}

// Set takes care that two workers which both find nothing do not both set: the host overwrites whatever is there for
// version 0, and for any other it refuses only where there is something.
// https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/shared_data.cc
func (sharedData) Set(key string, value []byte, version uint32) bool {
	if version == 0 {
		version = math.MaxUint32
	}
	return hostSetShared(key, first(value), uint32(len(value)), version) == ok
}
