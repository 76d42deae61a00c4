package harness

import (
	"sync"
	"time"

	"github.com/leash-gateway/leash/host/abi"
)

// clock is a mocked clock. Time moves only when it is told to.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer
}

type timer struct {
	at   time.Time
	fire func()
}

var _ abi.Clock = (*clock)(nil)

// Now is the mocked time.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc calls f when the clock has moved by d.
func (c *clock) AfterFunc(d time.Duration, f func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{at: c.now.Add(d), fire: f}
	c.timers = append(c.timers, t)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.remove(t)
	}
}

func (c *clock) remove(t *timer) {
	for i, other := range c.timers {
		if other == t {
			c.timers = append(c.timers[:i], c.timers[i+1:]...)
			return
		}
	}
}

// next moves the clock to the next timer that fires no later than until, and fires it. Of two at one time it is the one
// that was made first.
func (c *clock) next(until time.Time) bool {
	c.mu.Lock()
	var first *timer
	for _, t := range c.timers {
		if !t.at.After(until) && (first == nil || t.at.Before(first.at)) {
			first = t
		}
	}
	if first == nil {
		c.mu.Unlock()
		return false
	}
	c.remove(first)
	if first.at.After(c.now) {
		c.now = first.at
	}
	c.mu.Unlock()
	first.fire()
	return true
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.now) {
		c.now = now
	}
}

// early fires what would fire within d, once each, without moving the clock.
func (c *clock) early(d time.Duration) {
	c.mu.Lock()
	var due []*timer
	for _, t := range c.timers {
		if !t.at.After(c.now.Add(d)) {
			due = append(due, t)
		}
	}
	for _, t := range due {
		c.remove(t)
	}
	c.mu.Unlock()
	for _, t := range due {
		t.fire()
	}
}
