package ratelimit

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"

	"github.com/leash-gateway/leash/module"
)

// A bucket holds what may be spent within a window and fills up steadily: a token bucket as large as the limit.
//
// It is kept as one number, the time at which it will be full again (the "theoretical arrival time" of the generic
// cell rate algorithm, https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm): taking n moves that time by
// n*window/limit. One number of 8 bytes is what makes a compare-and-swap between Envoy's workers cheap.
type bucket struct {
	limit  int64
	window time.Duration
}

// state is what is left of a bucket after an attempt to take from it.
type state struct {
	remaining int64
	// full is how long it takes until the bucket is full again.
	full time.Duration
	// wait is how long the caller has to wait until what it wanted is there; 0 when it was taken.
	wait time.Duration
}

// span is the time in which n are filled up.
func (b bucket) span(n int64) int64 {
	if n < 0 {
		return -b.span(-n)
	}
	high, low := bits.Mul64(uint64(n), uint64(b.window)) //nolint:gosec // both are positive
	if high >= uint64(b.limit) {                         //nolint:gosec // a validated limit is positive
		return int64(1) << 62
	}
	span, _ := bits.Div64(high, low, uint64(b.limit)) //nolint:gosec // a validated limit is positive
	return int64(min(span, 1<<62))                    //nolint:gosec // bounded
}

// after computes the bucket's next value for taking n at now, and what is left. A debt is taken in any case: what has
// been used is used, and the bucket takes so much longer to have something again.
func (b bucket) after(fullAt, now, n int64, debt bool) (next int64, s state, ok bool) {
	fullAt = max(fullAt, now)
	next = fullAt + min(b.span(n), math.MaxInt64-fullAt)
	if late := next - now - int64(b.window); late > 0 && !debt {
		next, ok = fullAt, false
		s.wait = time.Duration(late)
	} else {
		ok = true
	}
	next = max(next, now)
	s.full = time.Duration(next - now)
	free := int64(b.window) - (next - now)
	if free > 0 {
		high, low := bits.Mul64(uint64(free), uint64(b.limit)) //nolint:gosec // both are positive
		left, _ := bits.Div64(high, low, uint64(b.window))     //nolint:gosec // free <= window, so the quotient fits
		s.remaining = int64(min(left, uint64(b.limit)))        //nolint:gosec // at most the limit
	}
	return next, s, ok
}

// maxTries bounds the compare-and-swap: so many other workers cannot all have been faster.
const maxTries = 256

// take takes n from the bucket under key, or nothing. decided is false if the shared data could not be written, and
// nothing is known then.
func (b bucket) take(shared module.SharedData, key string, now time.Time, n int64) (s state, ok, decided bool) {
	return b.change(shared, key, now, n, false)
}

// settle takes n from the bucket whatever is in it, or gives back when n is negative.
func (b bucket) settle(shared module.SharedData, key string, now time.Time, n int64) {
	if n != 0 {
		b.change(shared, key, now, n, true)
	}
}

func (b bucket) change(shared module.SharedData, key string, now time.Time, n int64, debt bool) (s state, ok, decided bool) {
	for range maxTries {
		value, version := shared.Get(key)
		var fullAt int64
		if len(value) == 8 {
			fullAt = int64(binary.LittleEndian.Uint64(value)) //nolint:gosec // written below
		}
		next, s, ok := b.after(fullAt, now.UnixNano(), n, debt)
		if !ok {
			return s, false, true
		}
		var next8 [8]byte
		binary.LittleEndian.PutUint64(next8[:], uint64(next)) //nolint:gosec // a time after 1970
		if shared.Set(key, next8[:], version) {
			return s, true, true
		}
	}
	return state{}, false, false
}
