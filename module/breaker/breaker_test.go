package breaker

import (
	"slices"
	"testing"
	"time"
)

var settings = Settings{Consecutive: 3, Percent: 50, Volume: 10, Window: 10 * time.Second, Open: time.Second, MaxOpen: 4 * time.Second}

// store is one that others can write to in between.
type store struct {
	value   []byte
	version uint32
	meddle  func()
}

func (s *store) Get(string) ([]byte, uint32) { return slices.Clone(s.value), s.version }

func (s *store) Set(_ string, value []byte, version uint32) bool {
	if s.meddle != nil {
		s.meddle()
	}
	if version != s.version {
		return false
	}
	s.value, s.version = value, s.version+1
	return true
}

// A history is what happens to a breaker: f fails, s succeeds, p claims the probe, digits let as many seconds pass, and + is
// half a second.
func after(history string) (*store, time.Time) {
	all, now := &store{}, time.Unix(1_800_000_000, 0)
	for _, c := range history {
		switch c {
		case 'f':
			Update(all, "a", func(s *State) { s.Fail(now, settings) })
		case 's':
			Update(all, "a", func(s *State) { s.Succeed(now, settings, 100*time.Millisecond) })
		case 'p':
			Probe(all, "a", now)
		case 'c':
			Update(all, "a", func(s *State) { s.Cool(now, 5*time.Second) })
		case '+':
			now = now.Add(500 * time.Millisecond)
		default:
			now = now.Add(time.Duration(c-'0') * time.Second)
		}
	}
	return all, now
}

func TestABreakerOpensAndCloses(t *testing.T) {
	const closed, open, half = "closed", "open", "half open"
	tests := map[string]struct{ history, want string }{
		"new":                                  {"", closed},
		"a few failures":                       {"ff", closed},
		"failures in a row":                    {"fff", open},
		"failures not in a row":                {"ffsffs", closed},
		"half of many":                         {"sffsffsfsf", open},
		"half of many, long ago":               {"sffsffsfs9+9f", closed},
		"its time is over":                     {"fff1", half},
		"while another tries":                  {"fff1p", open},
		"the other one has not come back":      {"fff1p99999", half},
		"the try succeeds":                     {"fff1ps", closed},
		"the try fails":                        {"fff1pf1", open},
		"twice as long":                        {"fff1pf2", half},
		"no longer than it may":                {"fff1pf2pf4pf4pf4", half},
		"after a success anew":                 {"fff1pf2psfff1", half},
		"a failure that was under way":         {"fff+f+", half},
		"a success that was under way":         {"fff+s", closed},
		"the provider wants to be left alone":  {"c", open},
		"no longer":                            {"c5", closed},
		"left alone, though others have it ok": {"cs1", open},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			all, now := after(tc.history)
			s := Of(all, "a")
			got := closed
			switch {
			case s.Open(now):
				got = open
			case s.HalfOpen(now):
				got = half
			}
			if got != tc.want {
				t.Errorf("after %q it is %s, want %s (%+v)", tc.history, got, tc.want, s)
			}
		})
	}
}

func TestOnlyOneExchangeTriesAProviderThatWasDead(t *testing.T) {
	all, now := after("fff1")
	taken := 0
	for range 10 {
		if Probe(all, "a", now) {
			taken++
		}
	}
	if taken != 1 {
		t.Errorf("%d were let through", taken)
	}
	rivals, now := after("fff1")
	rivals.meddle = func() { rivals.version++ }
	if Probe(rivals, "a", now) {
		t.Error("it was let through though another one had been in between")
	}
}

func TestNothingOfConcurrentAttemptsIsLost(t *testing.T) {
	all, now := after("")
	rivals := 0
	all.meddle = func() {
		if rivals++; rivals <= 3 {
			all.version++
		}
	}
	Update(all, "a", func(s *State) { s.Fail(now, settings) })
	if s := Of(all, "a"); s.failures != 1 {
		t.Errorf("got %d failures, want 1", s.failures)
	}
}

func TestTheTimeToTheFirstByteDecays(t *testing.T) {
	all, now := after("s")
	for range 40 {
		Update(all, "a", func(s *State) { s.Succeed(now, settings, 900*time.Millisecond) })
	}
	s := Of(all, "a")
	if got := s.FirstByte(now); got < 850*time.Millisecond || got > 900*time.Millisecond {
		t.Errorf("got %s, want nearly 900ms", got)
	}
	if got := s.FirstByte(now.Add(halfLife)); got > 450*time.Millisecond {
		t.Errorf("after a while: got %s, want half of it", got)
	}
	if got := s.FirstByte(now.Add(time.Hour)); got > time.Millisecond {
		t.Errorf("after long: got %s, want none", got)
	}
	before := s.FirstByte(now)
	if s.GiveUp(now, time.Millisecond); s.FirstByte(now) != before {
		t.Errorf("given up soon: got %s, want %s as before", s.FirstByte(now), before)
	}
	if s.GiveUp(now, time.Minute); s.FirstByte(now) < 2*before {
		t.Errorf("given up late: got %s, want much more than %s", s.FirstByte(now), before)
	}
	var unknown State
	if unknown.GiveUp(now, time.Second); unknown.FirstByte(now) != time.Second || unknown.Open(now) {
		t.Errorf("given up for the first time: got %s, want 1s and a closed breaker", unknown.FirstByte(now))
	}
}

func TestWhatIsNoStateIsANewOne(t *testing.T) {
	if s := Of(&store{value: []byte("short")}, "a"); s != (State{}) {
		t.Errorf("got %+v", s)
	}
}
