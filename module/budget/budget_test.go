package budget

import (
	"slices"
	"testing"
	"time"
)

// store is one that others can write to in between.
type store struct {
	values   map[string][]byte
	versions map[string]uint32
	meddle   func(key string)
}

func newStore() *store { return &store{values: map[string][]byte{}, versions: map[string]uint32{}} }

func (s *store) Get(key string) ([]byte, uint32) { return slices.Clone(s.values[key]), s.versions[key] }

func (s *store) Set(key string, value []byte, version uint32) bool {
	if s.meddle != nil {
		s.meddle(key)
	}
	if version != s.versions[key] {
		return false
	}
	s.values[key], s.versions[key] = value, version+1
	return true
}

// A history is what happens to a budget: r is a request, f a further attempt, digits let as many seconds pass.
func TestABudgetBoundsFurtherAttempts(t *testing.T) {
	tests := map[string]struct {
		history string
		set     Settings
		want    bool // of one more request
	}{
		"nothing has happened":                {"", Settings{Percent: 20, Least: 2}, true},
		"as many as there may be in any case": {"rf", Settings{Percent: 20, Least: 2}, true},
		"no more than those":                  {"rfrf", Settings{Percent: 20, Least: 2}, false},
		"a part of many":                      {"rrrrrrrrrrrrrrrrrrrrff", Settings{Percent: 20, Least: 1}, true},
		"more than that part":                 {"rrrrrrrrrrrrrrffff", Settings{Percent: 20, Least: 1}, false},
		"without a bound":                     {"ffffffffffff", Settings{}, true},
		"some time later":                     {"rfrf9", Settings{Percent: 20, Least: 2}, true},
		"the requests fade too":               {"rrrrrrrrrr99999ff", Settings{Percent: 20, Least: 2}, false},
		"long ago":                            {"ffffffff99999", Settings{Percent: 1, Least: 1}, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			all, now := newStore(), time.Unix(1_800_000_000, 0)
			for _, c := range tc.history {
				switch c {
				case 'r':
					Request(all, "best", tc.set, now)
				case 'f':
					Further(all, "best", now)
				default:
					now = now.Add(time.Duration(c-'0') * time.Second)
				}
			}
			if got := Request(all, "best", tc.set, now); got != tc.want {
				t.Errorf("after %q a further attempt is allowed: %t, want %t", tc.history, got, tc.want)
			}
		})
	}
}

func TestBudgetsAreEachTheirOwn(t *testing.T) {
	all, now := newStore(), time.Unix(1_800_000_000, 0)
	Further(all, "best", now)
	if Request(all, "best", Settings{Percent: 1, Least: 1}, now) || !Request(all, "other", Settings{Percent: 1, Least: 1}, now) {
		t.Error("what one route spends another one lacks")
	}
}

func TestNothingOfConcurrentAttemptsIsLost(t *testing.T) {
	all, now := newStore(), time.Unix(1_800_000_000, 0)
	rivals := 0
	all.meddle = func(key string) {
		if rivals++; rivals <= 3 {
			all.versions[key]++
		}
	}
	Further(all, "best", now)
	if s := decode(all.values["budget.best"]); s.further != 1 {
		t.Errorf("got %v further attempts, want 1", s.further)
	}
}

func TestWhatIsNoStateIsANewOne(t *testing.T) {
	if s := decode([]byte("short")); s != (state{}) {
		t.Errorf("got %+v", s)
	}
}
