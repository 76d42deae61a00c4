package ratelimit

import (
	"bytes"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leash-gateway/leash/module"
)

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// store is shared data that keeps to its contract exactly, whichever goroutine asks.
type store struct {
	mu      sync.Mutex
	entries map[string]entry
	// refuse, where it is set, makes a Set fail as if another worker had been faster.
	refuse func() bool
}

type entry struct {
	value   []byte
	version uint32
}

func (s *store) Get(key string) ([]byte, uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries[key].value, s.entries[key].version
}

func (s *store) Set(key string, value []byte, version uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[key].version != version || s.refuse != nil && s.refuse() {
		return false
	}
	if s.entries == nil {
		s.entries = map[string]entry{}
	}
	s.entries[key] = entry{bytes.Clone(value), version + 1}
	return true
}

// take and settle use a bucket alone in its pair.
func take(b bucket, shared module.SharedData, key string, now time.Time, n int64) (s state, ok, decided bool) {
	all, short, decided := (&pair{tokens: b}).take(shared, key, now, counts{tokens: n}, counts{})
	return all[tokens], decided && short == none, decided
}

func settle(b bucket, shared module.SharedData, key string, now time.Time, n int64) {
	(&pair{tokens: b}).settle(shared, key, now, counts{tokens: n})
}

// naive is a token bucket as it is usually described: a level that rises with time. It counts in tokens times
// nanoseconds, so that it is exact.
type naive struct {
	limit, window int64
	level         int64 // in tokens * window
	at            int64
}

func newNaive(b bucket, now int64) *naive {
	return &naive{b.limit, int64(b.window), b.limit * int64(b.window), now}
}

func (n *naive) rise(now int64) {
	n.level, n.at = min(n.limit*n.window, n.level+(now-n.at)*n.limit), now
}

func (n *naive) take(now, tokens int64) bool {
	if n.rise(now); n.level < tokens*n.window {
		return false
	}
	n.level -= tokens * n.window
	return true
}

func (n *naive) settle(now, tokens int64) {
	n.rise(now)
	n.level = min(n.limit*n.window, n.level-tokens*n.window)
}

func TestABucketDecidesAsATokenBucketDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		b := bucket{limit: 1 + random.Int64N(200)}
		b.window = time.Duration(b.limit * (1 + random.Int64N(1e7))) // a token takes whole nanoseconds: both are exact
		now := epoch.UnixNano()
		want := newNaive(b, now)
		shared := &store{}
		for step := range 200 {
			now += random.Int64N(int64(b.window)/4 + 1)
			n := 1 + random.Int64N(b.limit/3+1)
			if random.IntN(4) == 0 {
				n -= b.limit / 4
				settle(b, shared, "k", time.Unix(0, now), n)
				want.settle(now, n)
				continue
			}
			taken := want.take(now, n)
			s, ok, decided := take(b, shared, "k", time.Unix(0, now), n)
			if !decided || ok != taken {
				t.Fatalf("%+v, step %d: taking %d was %t, want %t", b, step, n, ok, taken)
			}
			if ok && s.remaining != max(0, want.level)/want.window {
				t.Fatalf("%+v, step %d: %d remain, want %d", b, step, s.remaining, max(0, want.level)/want.window)
			}
			if !ok && n <= b.limit {
				missing := n*want.window - want.level
				if wait := (missing + b.limit - 1) / b.limit; int64(s.wait) != wait {
					t.Fatalf("%+v, step %d: wait %d ns, want %d", b, step, s.wait, wait)
				}
			}
		}
	}
}

// Where a token takes no whole number of nanoseconds, its price is rounded down: each take may gain 1 ns, no more.
func TestRoundingGivesAwayNoMoreThanANanosecondATake(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		b := bucket{limit: 1 + random.Int64N(1e6), window: time.Duration(1e9 + random.Int64N(1e12))}
		start, shared := epoch.UnixNano(), &store{}
		now, takes, taken := start, int64(0), int64(0)
		for range 300 {
			now += random.Int64N(int64(b.window) / 50)
			n := 1 + random.Int64N(b.limit/20+1)
			if _, ok, _ := take(b, shared, "k", time.Unix(0, now), n); ok {
				takes, taken = takes+1, taken+n
			}
		}
		allowed := float64(b.limit) * (float64(int64(b.window)+now-start+takes) / float64(b.window))
		if float64(taken) > allowed+1e-6 {
			t.Fatalf("%+v: %d were taken, %.3f allowed", b, taken, allowed)
		}
	}
}

func TestNoMoreThanTheLimitPassesAroundAWindowsBorder(t *testing.T) {
	b := bucket{limit: 10, window: 10 * time.Second}
	shared, passed := &store{}, 0
	for ms := 9_000; ms < 11_000; ms++ { // a counter per fixed window would let 20 through here
		if _, ok, _ := take(b, shared, "k", epoch.Add(time.Duration(ms)*time.Millisecond), 1); ok {
			passed++
		}
	}
	if want := 10 + 1; passed != want { // the bucket, and what fills up in two seconds less a millisecond
		t.Errorf("%d passed, want %d", passed, want)
	}
}

func TestTakingAndWaiting(t *testing.T) {
	b := bucket{limit: 10, window: 10 * time.Second}
	const s = time.Second
	type step struct {
		at      time.Duration
		n       int64
		settles bool
		ok      bool
		want    state
	}
	tests := map[string][]step{
		"full, empty, and a second later one more": {
			{0, 10, false, true, state{0, 10 * s, 0}},
			{0, 1, false, false, state{0, 10 * s, 1 * s}},
			{s - 1, 1, false, false, state{0, 9*s + 1, 1}},
			{s, 1, false, true, state{0, 10 * s, 0}},
		},
		"a bucket is never more than full": {
			{0, 1, false, true, state{9, 1 * s, 0}},
			{time.Hour, 1, false, true, state{9, 1 * s, 0}},
			{time.Hour, -50, true, true, state{}},
			{time.Hour, 10, false, true, state{0, 10 * s, 0}},
			{time.Hour, 1, false, false, state{0, 10 * s, 1 * s}},
		},
		"what was given back can be taken again": {
			{0, 10, false, true, state{0, 10 * s, 0}},
			{0, -4, true, true, state{}},
			{0, 4, false, true, state{0, 10 * s, 0}},
			{0, 1, false, false, state{0, 10 * s, 1 * s}},
		},
		"a debt is paid by waiting": {
			{0, 10, false, true, state{0, 10 * s, 0}},
			{0, 20, true, true, state{}},
			{0, 1, false, false, state{0, 30 * s, 21 * s}},
			{21 * s, 1, false, true, state{0, 10 * s, 0}},
		},
		"more than the bucket holds is never taken": {
			{0, 11, false, false, state{10, 0, 1 * s}},
			{time.Hour, 11, false, false, state{10, 0, 1 * s}},
			{time.Hour, math.MaxInt64, false, false, state{10, 0, 1<<62 - 10*s}},
		},
		"nothing is taken where there is nothing to settle": {
			{0, 0, true, true, state{}},
			{0, 10, false, true, state{0, 10 * s, 0}},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			shared := &store{}
			for i, one := range steps {
				if one.settles {
					settle(b, shared, "k", epoch.Add(one.at), one.n)
					continue
				}
				got, ok, decided := take(b, shared, "k", epoch.Add(one.at), one.n)
				if !decided || ok != one.ok || got != one.want {
					t.Errorf("step %d: got %t %+v, want %t %+v", i, ok, got, one.ok, one.want)
				}
			}
		})
	}
}

func TestAClockThatGoesBackGivesNoMoreThanTheLimit(t *testing.T) {
	b := bucket{limit: 10, window: 10 * time.Second}
	random := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		shared := &store{}
		now, latest, passed := int64(0), int64(0), int64(0)
		for range 500 {
			now = max(0, now+random.Int64N(int64(time.Second))-int64(400*time.Millisecond))
			latest = max(latest, now)
			if _, ok, _ := take(b, shared, "k", epoch.Add(time.Duration(now)), 1); ok {
				passed++
			}
		}
		if allowed := b.limit + latest/int64(time.Second); passed > allowed {
			t.Fatalf("%d passed in %s, %d allowed", passed, time.Duration(latest), allowed)
		}
	}
}

func TestNumbersAtTheirEndsDoNotTurnOver(t *testing.T) {
	for name, b := range map[string]bucket{
		"the smallest limit": {1, 31 * 24 * time.Hour},
		"the largest limit":  {math.MaxInt64, time.Second},
		"both":               {math.MaxInt64, 31 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			shared := &store{}
			for range 5 { // each debt alone is as large as a time can be
				settle(b, shared, "k", epoch, math.MaxInt64)
				settle(b, shared, "k", epoch, b.limit)
			}
			s, ok, _ := take(b, shared, "k", epoch, b.limit)
			if ok || s.wait <= 0 || s.remaining != 0 || s.full <= 0 {
				t.Errorf("after debts without end: %t %+v, want nothing left", ok, s)
			}
			for range 10 {
				settle(b, shared, "k", epoch, math.MinInt64+1)
			}
			if s, ok, _ := take(b, shared, "k", epoch, b.limit); !ok || s.remaining != 0 {
				t.Errorf("after everything was given back: %t %+v, want the whole limit", ok, s)
			}
		})
	}
}

func TestWhatIsNoBucketIsTakenForAFullOne(t *testing.T) {
	b := bucket{limit: 10, window: 10 * time.Second}
	for name, value := range map[string][]byte{"too short": make([]byte, 15), "before 1970": bytes.Repeat([]byte{0xff}, 16)} {
		shared := &fixed{value}
		if s, ok, _ := take(b, shared, "k", epoch, 1); !ok || s.remaining != 9 {
			t.Errorf("%s: got %t %+v, want 9 of 10 left", name, ok, s)
		}
	}
}

// fixed always holds the same value.
type fixed struct{ value []byte }

func (f *fixed) Get(string) ([]byte, uint32)     { return f.value, 1 }
func (f *fixed) Set(string, []byte, uint32) bool { return true }

func TestConcurrentWorkersNeverTakeMoreThanTheLimit(t *testing.T) {
	const workers, each, limit = 16, 400, 1000
	tests := map[string]struct {
		n, want int64
		refuse  func() bool // beside real contention
	}{
		"one at a time":                     {1, limit, nil},
		"seven at a time":                   {7, limit / 7, nil},
		"and every second write is refused": {1, limit, func() bool { return rand.IntN(2) == 0 }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := bucket{limit: limit, window: 1000 * time.Second}
			shared := &store{refuse: tc.refuse}
			var taken, undecided atomic.Int64
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					for range each {
						switch _, ok, decided := take(b, shared, "k", epoch, tc.n); {
						case !decided:
							undecided.Add(1)
						case ok:
							taken.Add(1)
						}
					}
				})
			}
			all.Wait()
			if taken.Load() != tc.want || undecided.Load() > 0 {
				t.Errorf("%d were taken and %d undecided, want %d and 0", taken.Load(), undecided.Load(), tc.want)
			}
		})
	}
}

func TestSharedDataThatCannotBeWrittenDecidesNothing(t *testing.T) {
	tries := 0
	shared := &store{refuse: func() bool { tries++; return true }}
	if _, ok, decided := take(bucket{10, time.Second}, shared, "k", epoch, 1); ok || decided {
		t.Errorf("got %t, decided %t, want neither", ok, decided)
	}
	if tries != maxTries {
		t.Errorf("tried %d times, want %d", tries, maxTries)
	}
}

func TestTheTightestLimitIsTheOneWithTheSmallestShareLeft(t *testing.T) {
	type seen struct{ limit, remaining int64 }
	tests := map[string]struct {
		seen []seen
		want seen
	}{
		"a smaller share":                {[]seen{{100, 50}, {10, 4}}, seen{10, 4}},
		"a larger share of less":         {[]seen{{100, 20}, {10, 4}}, seen{100, 20}},
		"the first of equal ones":        {[]seen{{100, 0}, {10, 0}}, seen{100, 0}},
		"products beyond 64 bits":        {[]seen{{math.MaxInt64, math.MaxInt64}, {math.MaxInt64 - 1, 1}}, seen{math.MaxInt64 - 1, 1}},
		"products beyond, the other way": {[]seen{{math.MaxInt64 - 1, 1}, {math.MaxInt64, math.MaxInt64}}, seen{math.MaxInt64 - 1, 1}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got tightest
			for _, s := range tc.seen {
				got.see(bucket{limit: s.limit}, state{remaining: s.remaining})
			}
			if got.limit != tc.want.limit || got.state.remaining != tc.want.remaining {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// FuzzBuckets takes from buckets whose shared data holds anything: what is told of them stays within their bounds, and what
// is refused changes nothing.
func FuzzBuckets(f *testing.F) {
	f.Add([]byte{}, int64(1), int64(0), int64(1), int64(time.Second))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x00\x00\x00\x00\x00\x80"), int64(math.MaxInt64), int64(7), int64(3), int64(744*time.Hour))
	f.Add([]byte("12345678abcdefgh"), int64(5), int64(-5), int64(math.MaxInt64), int64(time.Minute))
	f.Fuzz(func(t *testing.T, held []byte, n, owed, limit, window int64) {
		if limit < 1 || window < int64(time.Second) || window > int64(744*time.Hour) || n < 0 || owed == math.MinInt64 {
			t.Skip("no configuration, and no request, has it")
		}
		shared := &store{}
		shared.Set("k", held, 0)
		before, _ := shared.Get("k")
		p := pair{requests: {limit, time.Duration(window)}, tokens: {limit, time.Duration(window)}}
		states, short, decided := p.take(shared, "k", epoch, counts{requests: 1, tokens: n}, counts{tokens: owed})
		if !decided {
			t.Error("it is not decided, though nobody else writes")
		}
		for u, s := range states {
			if s.remaining < 0 || s.remaining > limit || s.wait < 0 || s.full < 0 {
				t.Errorf("%s: got %+v", unit(u), s)
			}
		}
		if after, _ := shared.Get("k"); short != none && !bytes.Equal(before, after) {
			t.Errorf("a refusal changed the buckets from %x to %x", before, after)
		}
	})
}
