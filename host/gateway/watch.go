package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// A watch bounds an exchange in time: in all, and between two signs of life. One timer does for both, which is set anew
// only when it has run out. The zero value watches nothing.
//
//  1. start: late will be called, once, when a bound is passed.
//  2. bound sets the bounds, and again when others hold.
//  3. end; late is not called any more, but may still be running.
type watch struct {
	touched atomic.Int64 // after origin
	origin  time.Time

	mu          sync.Mutex
	late        func() // nil: none, or it has been called
	timer       *time.Timer
	from        time.Time // since when the bounds hold
	total, idle time.Duration
}

func (w *watch) start(late func()) { w.origin, w.late = time.Now(), late }

// bound has late called when from now on more than total has passed, or nothing has come for idle. A total of 0 is none.
func (w *watch) bound(total, idle time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late == nil {
		return
	}
	w.from, w.total, w.idle = time.Now(), total, idle
	w.touched.Store(int64(w.from.Sub(w.origin)))
	if w.timer == nil {
		w.timer = time.AfterFunc(w.left(w.from), w.look)
	} else {
		w.timer.Reset(w.left(w.from))
	}
}

func (w *watch) left(now time.Time) time.Duration {
	left := w.idle - (now.Sub(w.origin) - time.Duration(w.touched.Load()))
	if w.total > 0 {
		left = min(left, w.total-now.Sub(w.from))
	}
	return left
}

func (w *watch) look() {
	w.mu.Lock()
	late := w.late
	if late == nil {
		w.mu.Unlock()
		return
	}
	if left := w.left(time.Now()); left > 0 {
		w.timer.Reset(left)
		w.mu.Unlock()
		return
	}
	w.late = nil
	w.mu.Unlock()
	late()
}

// touch is a sign of life.
func (w *watch) touch() { w.touched.Store(int64(time.Since(w.origin))) }

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late = nil; w.timer != nil {
		w.timer.Stop()
	}
}
