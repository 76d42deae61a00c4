package abi

import "sync"

// A Worker runs one thing at a time, as a worker thread of Envoy does. VMs live on one; so does everything that belongs
// to an exchange whose streams are in those VMs. The zero value is ready. A Worker has no goroutine of its own: Do runs
// on the caller's.
type Worker struct {
	mu sync.Mutex

	queue struct {
		sync.Mutex
		jobs     []func()
		draining bool
	}
}

// Do runs f, alone, and returns when it is done. It must not be called from inside Do or Post: what runs there is on
// the worker already.
func (w *Worker) Do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// Post runs f soon, alone, in the order of the calls of Post, and returns at once. It may be called from anywhere.
func (w *Worker) Post(f func()) {
	w.queue.Lock()
	defer w.queue.Unlock()
	w.queue.jobs = append(w.queue.jobs, f)
	if !w.queue.draining {
		w.queue.draining = true
		go w.drain()
	}
}

func (w *Worker) drain() {
	for {
		w.queue.Lock()
		jobs := w.queue.jobs
		w.queue.jobs = nil
		w.queue.draining = len(jobs) > 0
		w.queue.Unlock()
		if len(jobs) == 0 {
			return
		}
		for _, job := range jobs {
			w.Do(job)
		}
	}
}
