// Package breaker keeps what is known of a provider's health where all workers of a host see it: who asks it finds out whether the
// provider is worth an attempt now, and who has made one tells how it went.
//
// A breaker opens after failures in a row, or where too many of the last attempts failed, and for as long as a provider
// asks to be left alone. Once its time is over it is half open: one exchange may try, and how that goes decides. Each time that
// it opens again it does so for longer.
package breaker

import (
	"encoding/binary"
	"time"
)

// Settings say when a breaker opens. The zero value never does, but for a provider that asks for it.
type Settings struct {
	// Consecutive failures open it; 0: never.
	Consecutive int
	// Percent of at least Volume attempts within Window that failed open it; 0: never.
	Percent, Volume int
	Window          time.Duration
	// Open is how long it stays open at first; each time that it opens again twice as long, up to MaxOpen.
	Open, MaxOpen time.Duration
}

// probeTime is how long an attempt that was let through may take until another one is.
const probeTime = 30 * time.Second

// maxCool bounds what a provider may ask for.
const maxCool = 10 * time.Minute

// A State is a breaker's. Times are milliseconds since 1970, spans milliseconds.
type State struct {
	failures  int64 // in a row
	until     int64 // it is open; 0: it is closed
	openFor   int64 // the last time
	cool      int64 // until when the provider wants to be left alone
	probed    int64 // when the last exchange was let through while half open
	window    int64 // its beginning
	attempts  int64 // in it
	failed    int64 // of them
	firstByte int64 // decayed time to the first byte of an answer, in microseconds
	measured  int64 // when that was measured last
}

func (s *State) fields() [10]*int64 {
	return [10]*int64{&s.failures, &s.until, &s.openFor, &s.cool, &s.probed, &s.window, &s.attempts, &s.failed, &s.firstByte, &s.measured}
}

// decode reads a state. What is no state is a new one.
func decode(b []byte) (s State) {
	fields := s.fields()
	if len(b) != 8*len(fields) {
		return s
	}
	for i, f := range fields {
		*f = int64(binary.LittleEndian.Uint64(b[8*i:])) //nolint:gosec // as it was written
	}
	return s
}

func (s *State) encode() []byte {
	fields := s.fields()
	b := make([]byte, 0, 8*len(fields))
	for _, f := range fields {
		b = binary.LittleEndian.AppendUint64(b, uint64(*f)) //nolint:gosec // likewise
	}
	return b
}

// Open says whether the breaker lets nothing through: it is open, or half open and another exchange tries.
func (s *State) Open(now time.Time) bool {
	ms := now.UnixMilli()
	return ms < s.cool || s.until != 0 && (ms < s.until || ms < s.probed+probeTime.Milliseconds())
}

// HalfOpen says that the next exchange has to claim the attempt (Probe).
func (s *State) HalfOpen(now time.Time) bool { return s.until != 0 && !s.Open(now) }

// OpenUntil is until when it lets nothing through, in milliseconds since 1970, and from when on it is half open; 0 where it is closed.
func (s *State) OpenUntil() int64 { return s.until }

// CoolUntil is until when the provider wants to be left alone, likewise; 0 where it has never said so.
func (s *State) CoolUntil() int64 { return s.cool }

// halfLife is how long it takes until a measurement counts half: a provider that was slow is tried again.
const halfLife = 30 * time.Second

// FirstByte is the decayed time to the first byte of an answer; 0 as long as none has come, and again after a long time.
func (s *State) FirstByte(now time.Time) time.Duration {
	age := max(now.UnixMilli()-s.measured, 0) / halfLife.Milliseconds()
	return time.Duration(s.firstByte>>min(age, 62)) * time.Microsecond
}

// count adds an attempt to those of the window.
func (s *State) count(now time.Time, set Settings, failed int64) {
	if ms := now.UnixMilli(); ms >= s.window+set.Window.Milliseconds() {
		s.window, s.attempts, s.failed = ms, 0, 0
	}
	s.attempts++
	s.failed += failed
}

// Succeed notes an attempt that was answered, after a time to the first byte.
func (s *State) Succeed(now time.Time, set Settings, firstByte time.Duration) {
	s.count(now, set, 0)
	s.failures, s.until, s.openFor, s.probed = 0, 0, 0, 0
	s.measure(now, firstByte)
}

// measure notes the time to a first byte.
func (s *State) measure(now time.Time, firstByte time.Duration) {
	const decay = 8 // the weight of the past, against 1
	took := max(firstByte.Microseconds(), 1)
	if s.firstByte == 0 {
		s.firstByte = took
	}
	s.firstByte += (took - s.firstByte) / decay
	s.measured = now.UnixMilli()
}

// GiveUp notes an attempt that was given up after a time in which no answer had begun: nobody knows whether it would have failed.
func (s *State) GiveUp(now time.Time, waited time.Duration) {
	if waited > s.FirstByte(now) {
		s.measure(now, waited)
	}
}

// Fail notes an attempt that failed.
func (s *State) Fail(now time.Time, set Settings) {
	s.count(now, set, 1)
	s.failures++
	ms := now.UnixMilli()
	probe := s.until != 0
	switch {
	case probe && ms < s.until: // one that was under way when it opened
	case probe, set.Consecutive > 0 && s.failures >= int64(set.Consecutive),
		set.Percent > 0 && s.attempts >= int64(set.Volume) && 100*s.failed >= int64(set.Percent)*s.attempts:
		s.openFor = min(max(2*s.openFor, set.Open.Milliseconds()), max(set.MaxOpen, set.Open).Milliseconds())
		s.until, s.probed, s.window = ms+s.openFor, 0, 0
	}
}

// Cool notes that the provider asks to be left alone for a time.
func (s *State) Cool(now time.Time, d time.Duration) {
	s.cool = max(s.cool, now.Add(min(d, maxCool)).UnixMilli())
}

// Probe claims the one attempt of a breaker that is half open.
func (s *State) probe(now time.Time) bool {
	if !s.HalfOpen(now) {
		return false
	}
	s.probed = now.UnixMilli()
	return true
}

// A Store is data that all workers of a host share (module.SharedData).
type Store interface {
	Get(key string) (value []byte, version uint32)
	Set(key string, value []byte, version uint32) bool
}

func key(provider string) string { return "breaker." + provider }

// Of is the state of a provider's breaker.
func Of(store Store, provider string) State {
	value, _ := store.Get(key(provider))
	return decode(value)
}

// Update changes the state of a provider's breaker. Where others do so all the time, what is to be noted is lost rather than
// waited for.
func Update(store Store, provider string, change func(*State)) {
	const tries = 8
	for range tries {
		value, version := store.Get(key(provider))
		s := decode(value)
		change(&s)
		if store.Set(key(provider), s.encode(), version) {
			return
		}
	}
}

// Probe claims the attempt of a breaker that is half open, for one exchange alone.
func Probe(store Store, provider string, now time.Time) bool {
	value, version := store.Get(key(provider))
	s := decode(value)
	return s.probe(now) && store.Set(key(provider), s.encode(), version)
}
