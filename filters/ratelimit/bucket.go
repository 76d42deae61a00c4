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
// n*window/limit. The zero bucket limits nothing.
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

// unit is what is counted, and a bucket's place in its pair.
type unit int

const (
	requests unit = iota
	tokens
	units int = iota

	none unit = -1
)

func (u unit) String() string {
	if u == tokens {
		return "tokens"
	}
	return "requests"
}

// counts are numbers of each unit.
type counts [units]int64

// A pair is the buckets of a limit, side by side in one value of 16 bytes: one compare-and-swap between Envoy's workers
// takes from both.
type pair [units]bucket

// maxTries bounds the compare-and-swap: so many other workers cannot all have been faster.
const maxTries = 256

// take takes n from the buckets under key, or nothing and tells which of them is short. What is owed is taken first,
// whatever is there. decided is false if the shared data could not be written, and nothing is known then.
func (p *pair) take(shared module.SharedData, key string, now time.Time, n, owed counts) (s [units]state, short unit, decided bool) {
	return p.change(shared, key, now, n, owed)
}

// settle takes n from the buckets whatever is in them, or gives back where n is negative.
func (p *pair) settle(shared module.SharedData, key string, now time.Time, n counts) {
	if n != (counts{}) {
		p.change(shared, key, now, counts{}, n)
	}
}

func (p *pair) change(shared module.SharedData, key string, now time.Time, n, owed counts) (s [units]state, short unit, decided bool) {
	at := now.UnixNano()
	for range maxTries {
		value, version := shared.Get(key)
		var next [8 * units]byte
		short = none
		for u, b := range p {
			var fullAt int64
			if len(value) == len(next) {
				fullAt = int64(binary.LittleEndian.Uint64(value[8*u:])) //nolint:gosec // written below
			}
			if b.limit > 0 {
				if owed[u] != 0 {
					fullAt, _, _ = b.after(fullAt, at, owed[u], true)
				}
				var ok bool
				if fullAt, s[u], ok = b.after(fullAt, at, n[u], n[u] == 0); !ok {
					short = unit(u)
					break
				}
			}
			binary.LittleEndian.PutUint64(next[8*u:], uint64(fullAt)) //nolint:gosec // a time after 1970
		}
		if short != none {
			return s, short, true
		}
		if shared.Set(key, next[:], version) {
			return s, none, true
		}
	}
	return s, none, false
}
