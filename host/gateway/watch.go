package gateway

import (
	"sync/atomic"
	"time"
)

// A watch bounds an exchange in time: in all, and between two signs of life. One timer does for both, which is set anew
// only when it has run out. The zero value watches nothing.
type watch struct {
	began   time.Time
	touched atomic.Int64 // after began
	timer   *time.Timer
}

// start begins to watch. late is called once, when the exchange took longer than total, or nothing came for idle.
func (w *watch) start(total, idle time.Duration, late func()) {
	w.began = time.Now()
	w.touched.Store(0)
	ready := make(chan struct{})
	w.timer = time.AfterFunc(min(total, idle), func() {
		<-ready
		passed := time.Since(w.began)
		silent := passed - time.Duration(w.touched.Load())
		if left := min(total-passed, idle-silent); left > 0 {
			w.timer.Reset(left)
			return
		}
		late()
	})
	close(ready)
}

// touch is a sign of life.
func (w *watch) touch() {
	if w.timer != nil {
		w.touched.Store(int64(time.Since(w.began)))
	}
}

// end stops watching.
func (w *watch) end() { w.timer.Stop() }
