// Package budget bounds how many attempts there are to a number of requests, where all workers of a host see it: so that an outage does not
// multiply what the providers that still work are asked for.
//
// What was counted fades: after ten seconds it counts half. So it is the requests of late that matter, and a budget that is spent is
// there again by itself.
package budget

import (
	"encoding/binary"
	"math"
	"time"
)

// halfLife is how long it takes until what was counted counts half.
const halfLife = 10 * time.Second

// Settings say how large a budget is.
type Settings struct {
	// Percent is how many further attempts there may be to a hundred requests; 0: any number.
	Percent int
	// Least is how many there may be in any case.
	Least int
}

// A state is what is known of a budget.
type state struct {
	requests, further float64 // faded
	at                int64   // when, in milliseconds since 1970
}

// decode reads a state. What is no state is a new one.
func decode(b []byte) (s state) {
	if len(b) != 3*8 {
		return s
	}
	s.requests = math.Float64frombits(binary.LittleEndian.Uint64(b))
	s.further = math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))
	s.at = int64(binary.LittleEndian.Uint64(b[16:])) //nolint:gosec // as it was written
	return s
}

func (s *state) encode() []byte {
	b := make([]byte, 0, 3*8)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.requests))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.further))
	return binary.LittleEndian.AppendUint64(b, uint64(s.at)) //nolint:gosec // likewise
}

// fade lets the time up to now pass. Workers' clocks are the host's, so it never goes back by much.
func (s *state) fade(now time.Time) {
	ms := now.UnixMilli()
	if passed := ms - s.at; passed > 0 {
		factor := math.Exp2(-float64(passed) / float64(halfLife.Milliseconds()))
		s.requests, s.further, s.at = s.requests*factor, s.further*factor, ms
	}
}

// A Store is data that all workers of a host share (module.SharedData).
type Store interface {
	Get(key string) (value []byte, version uint32)
	Set(key string, value []byte, version uint32) bool
}

// Request counts a request, and tells whether there may be further attempts to it.
func Request(store Store, name string, set Settings, now time.Time) bool {
	s := update(store, name, now, func(s *state) { s.requests++ })
	return set.Percent == 0 || s.further < max(float64(set.Least), s.requests*float64(set.Percent)/100)
}

// Further counts an attempt that is not the first one to its request.
func Further(store Store, name string, now time.Time) {
	update(store, name, now, func(s *state) { s.further++ })
}

// update changes a state. Where others do so all the time, what is to be counted is lost rather than waited for.
func update(store Store, name string, now time.Time, change func(*state)) (s state) {
	const tries = 8
	key := "budget." + name
	for range tries {
		value, version := store.Get(key)
		s = decode(value)
		s.fade(now)
		change(&s)
		if store.Set(key, s.encode(), version) {
			break
		}
	}
	return s
}
